//! The system calls that work on foreign bytes has no use for, refused by a filter.
//!
//! A second wall: the child has no privilege that would let it do harm by these, but many a hole in the
//! kernel was reached through them. What a parser and a writer of files needs is all there.

use crate::error::Result;
use crate::filter;

/// Refused with `EPERM`.
const REFUSED: [libc::c_long; 43] = [
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_mq_open,
    libc::SYS_msgget,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_request_key,
    libc::SYS_semget,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_shmget,
    libc::SYS_socket,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_quotactl,
    libc::SYS_swapon,
];

/// Namespaces that clone(2) must not make.
const NAMESPACES: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u32;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The low half of the first argument, on processors that put it first.
const FIRST_ARGUMENT: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Calls of the processor's 32-bit-pointer ABI have this bit; the list above has no numbers of theirs.
const X32: u32 = 0x4000_0000;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

/// Installs the filter, for good. The caller has renounced new privileges.
pub(super) fn refuse() -> Result<()> {
    filter::install(&program())
}

/// One instruction as the kernel lays it out: operation, how far to jump if so and if not, operand.
fn instruction(operation: u16, then: u8, otherwise: u8, operand: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..2].copy_from_slice(&operation.to_ne_bytes());
    bytes[2..4].copy_from_slice(&[then, otherwise]);
    bytes[4..].copy_from_slice(&operand.to_ne_bytes());
    bytes
}

fn program() -> Vec<u8> {
    let errno = |errno: libc::c_int| libc::SECCOMP_RET_ERRNO | errno as u32;
    let answer = |action: u32| instruction(RETURN, 0, 0, action);
    let mut program = vec![
        instruction(LOAD, 0, 0, ARCHITECTURE),
        instruction(IF_EQUAL, 1, 0, NATIVE),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        instruction(LOAD, 0, 0, NUMBER),
        instruction(IF_AT_LEAST, 0, 1, X32),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        // Its arguments cannot be looked into; libraries fall back to clone(2).
        instruction(IF_EQUAL, 0, 1, libc::SYS_clone3 as u32),
        answer(errno(libc::ENOSYS)),
    ];
    for number in REFUSED {
        program.push(instruction(IF_EQUAL, 0, 1, number as u32));
        program.push(answer(errno(libc::EPERM)));
    }
    program.extend([
        instruction(IF_EQUAL, 0, 3, libc::SYS_clone as u32),
        instruction(LOAD, 0, 0, FIRST_ARGUMENT),
        instruction(IF_ANY_BIT, 0, 1, NAMESPACES),
        answer(errno(libc::EPERM)),
        answer(libc::SECCOMP_RET_ALLOW),
    ]);
    program.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_refused_and_the_rest_works() {
        // A filter is for good, so it gets a thread of its own; spawned ones inherit it.
        let refused = std::thread::spawn(|| {
            crate::process::no_new_privileges().unwrap();
            refuse().unwrap();
            assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
            assert!(std::fs::read("/proc/self/status").is_ok());
            let unshared = crate::namespace::unshare(crate::namespace::Namespaces::NEWNS);
            let socket = std::net::UdpSocket::bind("127.0.0.1:0");
            (unshared.unwrap_err().errno(), socket.unwrap_err().raw_os_error())
        });
        assert_eq!(refused.join().unwrap(), (Some(libc::EPERM), Some(libc::EPERM)));
    }
}
