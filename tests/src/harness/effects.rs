//! What a daemon changes outside of its memory, and how many commits of its store were on disk before: so
//! that a test can see that the journal knew of it.

use std::collections::BTreeMap;
use std::fmt;

use super::daemon::Daemon;
use super::traced::{Line, trace};

/// A change outside of the daemon's memory.
#[derive(Debug)]
pub struct Effect {
    /// How many commits were on disk when it was made.
    pub commits: usize,
    /// The system call.
    pub call: String,
    /// What was changed.
    pub object: String,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} commits | {} {}", self.commits, self.call, self.object)
    }
}

/// What the daemon changes while `act` runs and in the moment after, in order.
#[track_caller]
pub fn effects(daemon: &Daemon, act: impl FnOnce()) -> Vec<Effect> {
    let (mut commits, mut syncing) = (0, BTreeMap::new());
    let mut effects = Vec::new();
    for line in &trace(daemon, act) {
        let Line { pid, call, arguments, resumed } = line;
        match call.as_str() {
            "fsync" | "fdatasync" if !resumed => {
                syncing.insert(*pid, arguments.contains("-wal>"));
            }
            _ if !resumed && changes_something(call, arguments) => {
                effects.push(Effect { commits, call: call.clone(), object: object(arguments) })
            }
            _ => {}
        }
        let returned = *resumed || !arguments.contains("<unfinished");
        if call.ends_with("sync") && returned && syncing.remove(pid) == Some(true) {
            commits += 1;
        }
    }
    effects
}

/// Whether a call makes, renames, gives away or removes something by name, gives a socket a name, starts a
/// process or tells the kernel's network something.
fn changes_something(call: &str, arguments: &str) -> bool {
    match call {
        "mkdir" | "mkdirat" | "symlink" | "symlinkat" | "link" | "linkat" | "rename"
        | "renameat" | "renameat2" | "unlink" | "unlinkat" | "rmdir" | "mknod" | "mknodat"
        | "chown" | "fchown" | "fchownat" | "mount" | "umount2" | "move_mount" | "fork"
        | "vfork" => true,
        "bind" => arguments.contains("sun_path"),
        "clone" | "clone3" => !arguments.contains("CLONE_THREAD"),
        "open" | "openat" | "openat2" => arguments.contains("O_CREAT"),
        "sendto" | "sendmsg" => arguments.contains("<NETLINK:"),
        _ => false,
    }
}

/// The paths in a call's arguments, or else what there is.
fn object(arguments: &str) -> String {
    let arguments = arguments.replace("<unfinished ...>", "");
    let parts = arguments.split(", ").filter_map(|part| {
        let part = part.trim();
        let folder = part.split_once('<').filter(|(number, _)| number.parse::<u32>().is_ok());
        match folder {
            Some((_, rest)) => Some(rest.trim_end_matches(')').trim_end_matches('>').to_owned()),
            None => part
                .strip_prefix('"')
                .map(|rest| rest.split('"').next().unwrap_or_default().to_owned()),
        }
    });
    let paths: Vec<String> = parts.collect();
    if paths.is_empty() { arguments.chars().take(120).collect() } else { paths.join(" ") }
}
