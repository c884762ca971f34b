//! What is true of the agent that the daemon carries inside.

const AGENT: &[u8] = include_bytes!(env!("SC_AGENT_PATH"));

fn program_headers() -> Vec<u32> {
    let short = |at: usize| usize::from(u16::from_le_bytes([AGENT[at], AGENT[at + 1]]));
    let offset =
        u64::from_le_bytes(AGENT[32..40].try_into().expect("as many bytes as the number has"))
            as usize;
    let (size, count) = (short(54), short(56));
    let kind = |at: usize| {
        u32::from_le_bytes(AGENT[at..at + 4].try_into().expect("as many bytes as the number has"))
    };
    (0..count).map(|number| kind(offset + number * size)).collect()
}

#[test]
fn the_agent_is_an_elf_file_that_names_no_dynamic_loader() {
    const PT_LOAD: u32 = 1;
    const PT_INTERP: u32 = 3;
    assert_eq!(&AGENT[..4], b"\x7fELF");
    let headers = program_headers();
    assert!(headers.contains(&PT_LOAD));
    assert!(!headers.contains(&PT_INTERP));
}

#[test]
fn the_agent_is_small() {
    assert!(AGENT.len() < 2 << 20, "{} bytes", AGENT.len());
}
