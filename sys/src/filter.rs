//! Compiled seccomp programs, loaded.

use std::io;

use crate::error::{Result, SysError, check};

const INSTRUCTION: usize = size_of::<libc::sock_filter>();

/// Filters the calling thread's system calls for good, and those of its children, by a compiled program:
/// the bytes of its `sock_filter`s.
///
/// # Errors
///
/// `EACCES` without `CAP_SYS_ADMIN` in the thread's user namespace (unless it renounced new privileges),
/// `EINVAL` for what the kernel takes for no program; invalid for a length that cannot be one.
pub fn install(program: &[u8]) -> Result<()> {
    let fail = |error: io::Error| SysError::new("install", "seccomp filter", error);
    let count = program.len() / INSTRUCTION;
    let length = match u16::try_from(count) {
        Ok(length) if length > 0 && program.len().is_multiple_of(INSTRUCTION) => length,
        _ => return Err(fail(io::Error::from_raw_os_error(libc::EINVAL))),
    };
    // Copied, since bytes need not lie as instructions must.
    let mut instructions: Vec<libc::sock_filter> = program
        .chunks_exact(INSTRUCTION)
        .map(|bytes| libc::sock_filter {
            code: u16::from_ne_bytes([bytes[0], bytes[1]]),
            jt: bytes[2],
            jf: bytes[3],
            k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        })
        .collect();
    let filter = libc::sock_fprog { len: length, filter: instructions.as_mut_ptr() };
    // SAFETY: the kernel copies the instructions, which are alive and as many as said.
    let ret = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter)
    };
    check(ret).map(drop).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_program_is_refused() {
        for bytes in [&[][..], &[0; 7], &[0xff; 8]] {
            assert_eq!(install(bytes).unwrap_err().errno(), Some(libc::EINVAL));
        }
    }
}
