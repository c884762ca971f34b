//! Which system calls are in which set.

use std::fmt;

use nix::libc::{self, c_long};

use super::object::Object;

/// A set of system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// What opens, reads, writes, syncs, names and describes files and folders.
    Files,
    /// What mounts and enters namespaces.
    Mounts,
    /// What makes, joins, reads and writes sockets and pipes, and what waits for them.
    Sockets,
    /// What makes, changes, signals and waits for processes.
    Processes,
    /// Of [`Set::Files`], what writes the log of the daemon's database.
    Log,
}

impl Set {
    /// All of them, but for what is a part of one.
    pub const ALL: [Self; 4] = [Self::Files, Self::Mounts, Self::Sockets, Self::Processes];
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Files => "files",
            Self::Mounts => "mounts",
            Self::Sockets => "sockets",
            Self::Processes => "processes",
            Self::Log => "log",
        })
    }
}

/// What decides to which set a call belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// Always to this one.
    Of(Set),
    /// To files or sockets, as its first argument is a descriptor of the one or the other.
    ByDescriptor,
    /// To files if its second argument duplicates the descriptor; else it does not fail.
    Fcntl,
    /// To sockets if its second argument adds something to what is waited for.
    EpollCtl,
    /// To processes, or to none where it starts a thread: the kernel has one error for that.
    Clone,
}

/// A call: its name and where it belongs.
pub type Known = (c_long, &'static str, Member);

const FILES: Member = Member::Of(Set::Files);
const EITHER: Member = Member::ByDescriptor;
const MOUNTS: Member = Member::Of(Set::Mounts);
const SOCKETS: Member = Member::Of(Set::Sockets);
const PROCESSES: Member = Member::Of(Set::Processes);

/// The set that a call belongs to, if any, given what its first descriptor is.
pub fn set_of(member: Member, arguments: [u64; 2], object: impl FnOnce() -> Object) -> Option<Set> {
    match member {
        Member::Of(set) => Some(set),
        Member::ByDescriptor => match object() {
            Object::File(_) => Some(Set::Files),
            Object::Stream(_) => Some(Set::Sockets),
            Object::Runtime => None,
        },
        Member::Fcntl => {
            let duplicates = [libc::F_DUPFD as u64, libc::F_DUPFD_CLOEXEC as u64];
            duplicates.contains(&arguments[1]).then_some(Set::Files)
        }
        Member::EpollCtl => (arguments[1] == libc::EPOLL_CTL_ADD as u64).then_some(Set::Sockets),
        Member::Clone => Some(Set::Processes),
    }
}

/// Whether a call of this name, which belongs to `set`, is one of those that are `wanted`.
pub fn is_of(wanted: Set, set: Option<Set>, name: &str, object: impl FnOnce() -> Object) -> bool {
    match wanted {
        Set::Log => {
            let writes = matches!(name, "write" | "pwrite64" | "pwritev" | "fdatasync" | "fsync");
            set == Some(Set::Files) && writes && object().name().ends_with("/store.db-wal")
        }
        wanted => set == Some(wanted),
    }
}

/// The call of this number, where it is in a set.
pub fn known(number: c_long) -> Option<&'static Known> {
    CALLS.iter().find(|(known, ..)| *known == number)
}

/// Every call that is in a set.
const CALLS: &[Known] = &[
    (libc::SYS_open, "open", FILES),
    (libc::SYS_openat, "openat", FILES),
    (libc::SYS_openat2, "openat2", FILES),
    (libc::SYS_creat, "creat", FILES),
    (libc::SYS_access, "access", FILES),
    (libc::SYS_faccessat, "faccessat", FILES),
    (libc::SYS_faccessat2, "faccessat2", FILES),
    (libc::SYS_stat, "stat", FILES),
    (libc::SYS_lstat, "lstat", FILES),
    (libc::SYS_newfstatat, "newfstatat", FILES),
    (libc::SYS_statx, "statx", FILES),
    (libc::SYS_statfs, "statfs", FILES),
    (libc::SYS_fstatfs, "fstatfs", FILES),
    (libc::SYS_readlink, "readlink", FILES),
    (libc::SYS_readlinkat, "readlinkat", FILES),
    (libc::SYS_getdents64, "getdents64", FILES),
    (libc::SYS_getcwd, "getcwd", FILES),
    (libc::SYS_chdir, "chdir", FILES),
    (libc::SYS_fchdir, "fchdir", FILES),
    (libc::SYS_mkdir, "mkdir", FILES),
    (libc::SYS_mkdirat, "mkdirat", FILES),
    (libc::SYS_rmdir, "rmdir", FILES),
    (libc::SYS_unlink, "unlink", FILES),
    (libc::SYS_unlinkat, "unlinkat", FILES),
    (libc::SYS_rename, "rename", FILES),
    (libc::SYS_renameat, "renameat", FILES),
    (libc::SYS_renameat2, "renameat2", FILES),
    (libc::SYS_link, "link", FILES),
    (libc::SYS_linkat, "linkat", FILES),
    (libc::SYS_symlink, "symlink", FILES),
    (libc::SYS_symlinkat, "symlinkat", FILES),
    (libc::SYS_mknod, "mknod", FILES),
    (libc::SYS_mknodat, "mknodat", FILES),
    (libc::SYS_chmod, "chmod", FILES),
    (libc::SYS_fchmod, "fchmod", FILES),
    (libc::SYS_fchmodat, "fchmodat", FILES),
    (libc::SYS_fchmodat2, "fchmodat2", FILES),
    (libc::SYS_chown, "chown", FILES),
    (libc::SYS_fchown, "fchown", FILES),
    (libc::SYS_lchown, "lchown", FILES),
    (libc::SYS_fchownat, "fchownat", FILES),
    (libc::SYS_truncate, "truncate", FILES),
    (libc::SYS_ftruncate, "ftruncate", FILES),
    (libc::SYS_fallocate, "fallocate", FILES),
    (libc::SYS_utimensat, "utimensat", FILES),
    (libc::SYS_setxattr, "setxattr", FILES),
    (libc::SYS_lsetxattr, "lsetxattr", FILES),
    (libc::SYS_fsetxattr, "fsetxattr", FILES),
    (libc::SYS_getxattr, "getxattr", FILES),
    (libc::SYS_lgetxattr, "lgetxattr", FILES),
    (libc::SYS_fgetxattr, "fgetxattr", FILES),
    (libc::SYS_removexattr, "removexattr", FILES),
    (libc::SYS_flock, "flock", FILES),
    (libc::SYS_memfd_create, "memfd_create", FILES),
    (libc::SYS_fsync, "fsync", FILES),
    (libc::SYS_fdatasync, "fdatasync", FILES),
    (libc::SYS_sync_file_range, "sync_file_range", FILES),
    (libc::SYS_syncfs, "syncfs", FILES),
    (libc::SYS_copy_file_range, "copy_file_range", FILES),
    (libc::SYS_sendfile, "sendfile", FILES),
    (libc::SYS_ioctl, "ioctl", FILES),
    (libc::SYS_inotify_init1, "inotify_init1", FILES),
    (libc::SYS_inotify_add_watch, "inotify_add_watch", FILES),
    (libc::SYS_read, "read", EITHER),
    (libc::SYS_write, "write", EITHER),
    (libc::SYS_pread64, "pread64", EITHER),
    (libc::SYS_pwrite64, "pwrite64", EITHER),
    (libc::SYS_readv, "readv", EITHER),
    (libc::SYS_writev, "writev", EITHER),
    (libc::SYS_preadv, "preadv", EITHER),
    (libc::SYS_pwritev, "pwritev", EITHER),
    (libc::SYS_preadv2, "preadv2", EITHER),
    (libc::SYS_pwritev2, "pwritev2", EITHER),
    (libc::SYS_lseek, "lseek", EITHER),
    (libc::SYS_fstat, "fstat", EITHER),
    (libc::SYS_splice, "splice", EITHER),
    (libc::SYS_mount, "mount", MOUNTS),
    (libc::SYS_umount2, "umount2", MOUNTS),
    (libc::SYS_open_tree, "open_tree", MOUNTS),
    (libc::SYS_move_mount, "move_mount", MOUNTS),
    (libc::SYS_fsopen, "fsopen", MOUNTS),
    (libc::SYS_fsconfig, "fsconfig", MOUNTS),
    (libc::SYS_fsmount, "fsmount", MOUNTS),
    (libc::SYS_fspick, "fspick", MOUNTS),
    (libc::SYS_mount_setattr, "mount_setattr", MOUNTS),
    (libc::SYS_pivot_root, "pivot_root", MOUNTS),
    (libc::SYS_chroot, "chroot", MOUNTS),
    (libc::SYS_unshare, "unshare", MOUNTS),
    (libc::SYS_setns, "setns", MOUNTS),
    (libc::SYS_socket, "socket", SOCKETS),
    (libc::SYS_socketpair, "socketpair", SOCKETS),
    (libc::SYS_bind, "bind", SOCKETS),
    (libc::SYS_listen, "listen", SOCKETS),
    (libc::SYS_accept, "accept", SOCKETS),
    (libc::SYS_accept4, "accept4", SOCKETS),
    (libc::SYS_connect, "connect", SOCKETS),
    (libc::SYS_sendto, "sendto", SOCKETS),
    (libc::SYS_recvfrom, "recvfrom", SOCKETS),
    (libc::SYS_sendmsg, "sendmsg", SOCKETS),
    (libc::SYS_recvmsg, "recvmsg", SOCKETS),
    (libc::SYS_sendmmsg, "sendmmsg", SOCKETS),
    (libc::SYS_recvmmsg, "recvmmsg", SOCKETS),
    (libc::SYS_getsockopt, "getsockopt", SOCKETS),
    (libc::SYS_setsockopt, "setsockopt", SOCKETS),
    (libc::SYS_getsockname, "getsockname", SOCKETS),
    (libc::SYS_getpeername, "getpeername", SOCKETS),
    (libc::SYS_shutdown, "shutdown", SOCKETS),
    (libc::SYS_pipe, "pipe", SOCKETS),
    (libc::SYS_pipe2, "pipe2", SOCKETS),
    (libc::SYS_epoll_create1, "epoll_create1", SOCKETS),
    (libc::SYS_signalfd4, "signalfd4", SOCKETS),
    (libc::SYS_timerfd_create, "timerfd_create", SOCKETS),
    (libc::SYS_timerfd_settime, "timerfd_settime", SOCKETS),
    (libc::SYS_execve, "execve", PROCESSES),
    (libc::SYS_execveat, "execveat", PROCESSES),
    (libc::SYS_wait4, "wait4", PROCESSES),
    (libc::SYS_waitid, "waitid", PROCESSES),
    (libc::SYS_kill, "kill", PROCESSES),
    (libc::SYS_pidfd_open, "pidfd_open", PROCESSES),
    (libc::SYS_pidfd_send_signal, "pidfd_send_signal", PROCESSES),
    (libc::SYS_pidfd_getfd, "pidfd_getfd", PROCESSES),
    (libc::SYS_prctl, "prctl", PROCESSES),
    (libc::SYS_setsid, "setsid", PROCESSES),
    (libc::SYS_setpgid, "setpgid", PROCESSES),
    (libc::SYS_setuid, "setuid", PROCESSES),
    (libc::SYS_setgid, "setgid", PROCESSES),
    (libc::SYS_setreuid, "setreuid", PROCESSES),
    (libc::SYS_setregid, "setregid", PROCESSES),
    (libc::SYS_setresuid, "setresuid", PROCESSES),
    (libc::SYS_setresgid, "setresgid", PROCESSES),
    (libc::SYS_setgroups, "setgroups", PROCESSES),
    (libc::SYS_setfsuid, "setfsuid", PROCESSES),
    (libc::SYS_setfsgid, "setfsgid", PROCESSES),
    (libc::SYS_capset, "capset", PROCESSES),
    (libc::SYS_capget, "capget", PROCESSES),
    (libc::SYS_prlimit64, "prlimit64", PROCESSES),
    (libc::SYS_setrlimit, "setrlimit", PROCESSES),
    (libc::SYS_seccomp, "seccomp", PROCESSES),
    (libc::SYS_dup, "dup", PROCESSES),
    (libc::SYS_dup2, "dup2", PROCESSES),
    (libc::SYS_dup3, "dup3", PROCESSES),
    (libc::SYS_sched_setaffinity, "sched_setaffinity", PROCESSES),
    (libc::SYS_sched_setscheduler, "sched_setscheduler", PROCESSES),
    (libc::SYS_setpriority, "setpriority", PROCESSES),
    (libc::SYS_ioprio_set, "ioprio_set", PROCESSES),
    (libc::SYS_keyctl, "keyctl", PROCESSES),
    (libc::SYS_close_range, "close_range", PROCESSES),
    (libc::SYS_fcntl, "fcntl", Member::Fcntl),
    (libc::SYS_epoll_ctl, "epoll_ctl", Member::EpollCtl),
    (libc::SYS_clone, "clone", Member::Clone),
    (libc::SYS_clone3, "clone3", Member::Clone),
    (libc::SYS_fork, "fork", Member::Clone),
    (libc::SYS_vfork, "vfork", Member::Clone),
];
