//! Failures as the daemon wants them: step, object, error number and what to do.

use rustix::io::Errno;
use sc_agent_protocol::BootFailure;
use sc_sys::SysError;

/// Names the step in which something failed.
pub(crate) trait Step<T> {
    /// Turns the error into a failure of this step.
    fn step(self, step: &str) -> Result<T, BootFailure>;
}

impl<T> Step<T> for Result<T, SysError> {
    fn step(self, step: &str) -> Result<T, BootFailure> {
        self.map_err(|error| of(step, &error))
    }
}

/// Returns the failure that an error is in this step.
pub(crate) fn of(step: &str, error: &SysError) -> BootFailure {
    let errno = error.errno().unwrap_or(0);
    // Without a number the cause is a sentence, and belongs to what is told.
    let object = match error.errno() {
        Some(_) => error.object().to_owned(),
        None => format!("{}: {}", error.object(), error.io()),
    };
    // The operation inside the step, where the step's name does not say it already.
    let step =
        if step.contains(error.op()) { step.into() } else { format!("{step}: {}", error.op()) };
    BootFailure { step, object, errno, remedy: remedy(error).map(str::to_owned) }
}

/// Makes a failure without a system call behind it.
pub(crate) fn plain(step: &str, object: impl Into<String>, errno: Errno) -> BootFailure {
    BootFailure {
        step: step.into(),
        object: object.into(),
        errno: errno.raw_os_error(),
        remedy: None,
    }
}

fn remedy(error: &SysError) -> Option<&'static str> {
    let is = |errno: Errno| error.is(errno.raw_os_error());
    let op = error.op();
    if op == "idmap mount" && is(Errno::INVAL) {
        return Some(
            "this kernel cannot map ids on that file system; keep the storage pool on ext4, xfs or btrfs",
        );
    }
    if error.object() == "user namespace" && (is(Errno::NOSPC) || is(Errno::USERS)) {
        return Some(
            "the host allows no more user namespaces; raise the sysctl user.max_user_namespaces",
        );
    }
    if is(Errno::ROFS) {
        return Some(
            "the overlay came out read-only: the kernel log of the host says why its upper directory \
             cannot be written",
        );
    }
    if op == "clone" && is(Errno::AGAIN) {
        return Some(
            "the limit on processes is reached; raise limits.processes or the host's pids limit",
        );
    }
    if is(Errno::NOTDIR) {
        return Some(
            "a file is where the guest's folder must be; mend its root file system, or use another image",
        );
    }
    is(Errno::NOSPC).then_some("the storage is full; free some space in the pool")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_operation_is_named_once() {
        let error = |op: &'static str| SysError::new(op, "/x", io::Error::from_raw_os_error(22));
        assert_eq!(of("mount overlay", &error("mount")).step, "mount overlay");
        assert_eq!(of("mount root", &error("idmap mount")).step, "mount root: idmap mount");
        assert!(of("mount root", &error("idmap mount")).remedy.is_some());
    }

    #[test]
    fn a_host_without_room_for_user_namespaces_is_told_so_and_not_that_its_disk_is_full() {
        let cause = io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error());
        let error = SysError::new("create", "user namespace", cause);
        assert!(of("create user namespace", &error).remedy.unwrap().contains("sysctl"));
    }

    #[test]
    fn a_cause_in_words_is_kept() {
        let error = SysError::message("read", "/x", io::ErrorKind::InvalidData, "too long");
        let failure = of("seed files", &error);
        assert_eq!((failure.errno, failure.object.as_str()), (0, "/x: too long"));
    }
}
