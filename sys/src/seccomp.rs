//! Compiles which system calls a guest may not make (feature `seccomp`).
//!
//! A guest is a whole system, so that all is allowed but a list: what LXD denies, and what has since proved
//! to lead out of a namespace or into the kernel without a guest needing it. The program covers every kind
//! of system call that the processor takes, so that none is a way around. [`crate::filter::install`] loads
//! it.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;

use libseccomp::error::SeccompError;
use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use rustix::fs::MemfdFlags;

use crate::Context;
use crate::error::{Result, SysError};

/// A condition on one argument of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// The argument (counted from 0) has this value.
    Equals(u32, u64),
    /// The argument has all these bits.
    HasBits(u32, u64),
}

/// A call that fails with an errno instead of being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Its name, such as `kexec_load`.
    pub call: String,
    /// What it fails with.
    pub errno: i32,
    /// When it is denied; always, when there is none.
    pub when: Option<Argument>,
}

/// The list of denied calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    denied: Vec<Denied>,
}

impl Default for Policy {
    /// What a guest gets unless its configuration says otherwise.
    fn default() -> Self {
        let mut policy = Self::empty();
        // LXD's list: other kernels, other modules, and files by handle (which ignores every mount).
        for call in
            ["kexec_load", "open_by_handle_at", "init_module", "finit_module", "delete_module"]
        {
            policy.deny(call, libc::ENOSYS, None);
        }
        let force = u64::from(libc::MNT_FORCE.unsigned_abs());
        policy.deny("umount2", libc::EACCES, Some(Argument::HasBits(1, force)));
        // The newer way to another kernel.
        policy.deny("kexec_file_load", libc::ENOSYS, None);
        // For years the kernel's richest source of ways up; programs fall back where it is not there.
        for call in ["io_uring_setup", "io_uring_enter", "io_uring_register"] {
            policy.deny(call, libc::ENOSYS, None);
        }
        // Sockets to the hypervisor, which no network namespace holds in.
        let vsock = Argument::Equals(0, libc::AF_VSOCK.unsigned_abs().into());
        policy.deny("socket", libc::EAFNOSUPPORT, Some(vsock));
        // Long obsolete, kept by the kernel, used by nobody.
        policy.deny("uselib", libc::ENOSYS, None);
        policy
    }
}

impl Policy {
    /// Denies nothing.
    pub fn empty() -> Self {
        Self { denied: Vec::new() }
    }

    /// Adds a call; several conditions on one call are alternatives.
    pub fn deny(&mut self, call: &str, errno: i32, when: Option<Argument>) {
        self.denied.push(Denied { call: call.to_owned(), errno, when });
    }

    /// Takes a call off the list.
    pub fn allow(&mut self, call: &str) {
        self.denied.retain(|denied| denied.call != call);
    }

    /// Returns the list.
    pub fn denied(&self) -> &[Denied] {
        &self.denied
    }

    /// Compiles the list to a program: the bytes of the kernel's `struct sock_filter`s.
    ///
    /// # Errors
    ///
    /// Invalid for a call that no processor has.
    pub fn compile(&self) -> Result<Vec<u8>> {
        let mut context = new_context().map_err(io).op("create", "seccomp filter")?;
        for denied in &self.denied {
            let call = ScmpSyscall::from_name(&denied.call).map_err(|_| {
                let kind = io::ErrorKind::InvalidInput;
                SysError::message("deny system call", &denied.call, kind, "no such system call")
            })?;
            let action = ScmpAction::Errno(denied.errno);
            let outcome = match denied.when {
                None => context.add_rule(action, call),
                Some(when) => context.add_rule_conditional(action, call, &[compare(when)]),
            };
            outcome.map(drop).map_err(io).op("deny system call", &denied.call)?;
        }
        export(&context)
    }
}

fn new_context() -> Result<ScmpFilterContext, SeccompError> {
    let mut context = ScmpFilterContext::new(ScmpAction::Allow)?;
    context.add_arch(ScmpArch::Native)?;
    for arch in other_arches() {
        context.add_arch(*arch)?;
    }
    // Calls of a kind that is not listed are not made at all.
    context.set_act_badarch(ScmpAction::Errno(libc::ENOSYS))?;
    // A search tree instead of a chain: most calls are on no list and would pass every comparison.
    context.set_ctl_optimize(2)?;
    Ok(context)
}

/// What else the processor runs.
fn other_arches() -> &'static [ScmpArch] {
    if cfg!(target_arch = "x86_64") {
        &[ScmpArch::X86, ScmpArch::X32]
    } else if cfg!(target_arch = "aarch64") {
        &[ScmpArch::Arm]
    } else {
        &[]
    }
}

fn compare(when: Argument) -> ScmpArgCompare {
    match when {
        Argument::Equals(argument, value) => {
            ScmpArgCompare::new(argument, ScmpCompareOp::Equal, value)
        }
        Argument::HasBits(argument, bits) => {
            ScmpArgCompare::new(argument, ScmpCompareOp::MaskedEqual(bits), bits)
        }
    }
}

fn export(context: &ScmpFilterContext) -> Result<Vec<u8>> {
    const OBJECT: &str = "seccomp filter";
    // The library writes to a descriptor only.
    let file: OwnedFd =
        rustix::fs::memfd_create(c"seccomp", MemfdFlags::CLOEXEC).op("create file for", OBJECT)?;
    let mut file = File::from(file);
    context.export_bpf(&file).map_err(io).op("compile", OBJECT)?;
    file.rewind().op("read", OBJECT)?;
    let mut program = Vec::new();
    file.read_to_end(&mut program).op("read", OBJECT)?;
    Ok(program)
}

fn io(error: SeccompError) -> io::Error {
    match error.sysrawrc() {
        Some(code) => io::Error::from_raw_os_error(code.abs()),
        None => io::Error::other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_list_compiles_to_whole_instructions() {
        let program = Policy::default().compile().unwrap();
        assert!(program.len() > 100);
        assert_eq!(program.len() % 8, 0);
        assert!(program.len() / 8 < 4096, "the kernel takes no more instructions");
    }

    #[test]
    fn a_call_can_be_taken_off_and_an_unknown_one_is_refused() {
        let mut policy = Policy::default();
        policy.allow("io_uring_setup");
        assert!(policy.denied().iter().all(|denied| denied.call != "io_uring_setup"));
        policy.deny("no_such_call", 1, None);
        assert_eq!(policy.compile().unwrap_err().kind(), crate::ErrorKind::Invalid);
    }
}
