//! A clone that shares memory and suspends its caller until it executes a program or exits.
//!
//! Copying the page tables of a big program takes milliseconds (1.7 at 100 MB); this takes 0.1, and unlike
//! posix_spawn(3) it can be born into a cgroup. The price is that the child may touch nothing but what is
//! prepared for it.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::child::Child;

const STACK: usize = 64 * 1024;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the child is cloned with.
#[derive(Default)]
pub(crate) struct VforkOptions<'a> {
    /// The cgroup2 directory that it is born into.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// The signal that tells the parent of its end; 0 for none, which hides it from ordinary waits.
    pub(crate) exit_signal: i32,
}

/// Clones a child that runs `entry` on a stack of its own. Returns once the child has executed a program
/// or has exited.
///
/// # Safety
///
/// `entry` shares all memory with the program, whose other threads go on: it may make system calls, write
/// to its stack and to what `argument` gives it alone, and must neither allocate, lock, panic nor return.
/// The caller must have blocked all signals, so that no handler runs in the child.
pub(crate) unsafe fn vfork(
    options: &VforkOptions<'_>,
    entry: extern "C" fn(*mut c_void) -> !,
    argument: *mut c_void,
) -> io::Result<Child> {
    // Words of 16 bytes, so that the stack is aligned as the ABI wants.
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let mut pidfd: libc::c_int = -1;
    let mut flags = (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD) as u64;
    if options.cgroup.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    let args = libc::clone_args {
        flags,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: options.exit_signal as u64,
        stack: stack.as_mut_ptr() as u64,
        stack_size: STACK as u64,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: options.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    // SAFETY: the arguments and the stack outlive the child's use of them, because this thread is
    // suspended until then; the rest is the caller's promise.
    let ret = unsafe { clone3(&args, entry, argument) };
    if ret < 0 {
        return Err(io::Error::from_raw_os_error(-ret as i32));
    }
    // SAFETY: the kernel has stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child::new(ret as i32, pidfd))
}

/// The bare call; the child continues on the new stack, where only a call that never returns may follow.
unsafe fn clone3(
    args: &libc::clone_args,
    entry: extern "C" fn(*mut c_void) -> !,
    argument: *mut c_void,
) -> i64 {
    let ret: i64;
    // SAFETY: the parent sees a system call that clobbers rcx and r11; the child leaves this block only
    // through `entry`, whose address and argument lie in registers that the kernel keeps.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => ret,
            in("rdi") std::ptr::from_ref(args),
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") argument,
            in("r13") entry,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    // SAFETY: the parent sees a system call, which keeps all registers but x0; the child leaves this block
    // only through `entry`, whose address and argument lie in registers that the kernel keeps.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x20",
            "blr x21",
            "brk 1",
            "2:",
            inlateout("x0") std::ptr::from_ref(args) => ret,
            in("x1") size_of::<libc::clone_args>(),
            in("x8") libc::SYS_clone3,
            in("x20") argument,
            in("x21") entry,
        );
    }
    ret
}
