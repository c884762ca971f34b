//! What a descriptor of a traced process is.

use std::collections::BTreeSet;
use std::path::PathBuf;

use nix::unistd::Pid;

/// What a descriptor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A file, a folder or a device, by its path.
    File(String),
    /// A socket or a pipe.
    Stream(String),
    /// What the runtime needs for itself, and what is no descriptor at all.
    Runtime,
}

impl Object {
    /// What `fd` of a process is; `runtime` are the sockets of its runtime.
    pub fn of(pid: Pid, fd: u64, runtime: &BTreeSet<String>) -> Self {
        let Ok(fd) = i32::try_from(fd) else { return Self::Runtime };
        match std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).map(PathBuf::into_os_string) {
            Ok(target) => Self::named(target.to_string_lossy().into_owned(), runtime),
            Err(_) => Self::Runtime,
        }
    }

    fn named(target: String, runtime: &BTreeSet<String>) -> Self {
        match target.split_once(':') {
            Some(("socket", _)) if runtime.contains(&target) => Self::Runtime,
            Some(("socket" | "pipe", _)) => Self::Stream(target),
            Some(("anon_inode", _)) => Self::Runtime,
            _ => Self::File(target),
        }
    }

    /// Its name, for messages.
    pub fn name(&self) -> &str {
        match self {
            Self::File(name) | Self::Stream(name) => name,
            Self::Runtime => "",
        }
    }
}

/// The sockets of a process that are one end of a pair of streams: by these the runtime hears of signals.
pub fn pairs(pid: Pid) -> BTreeSet<String> {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/unix")).unwrap_or_default();
    let nameless_stream = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        // Type, state and inode; a path would follow.
        (fields.len() == 7 && fields[4] == "0001" && fields[5] == "03")
            .then(|| format!("socket:[{}]", fields[6]))
    };
    let nameless: BTreeSet<_> = table.lines().filter_map(nameless_stream).collect();
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
    let targets = targets.map(|target| target.to_string_lossy().into_owned());
    targets.filter(|target| nameless.contains(target)).collect()
}
