//! Who runs `sc`, whatever becomes of the daemon meanwhile.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::programs::program;
use super::ran::Ran;

/// Runs `sc` for one daemon, which may be away.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) dir: PathBuf,
    pub(super) scratch: PathBuf,
}

impl Caller {
    /// The command `sc` with these arguments.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(program("sc"));
        for name in ["SC_SOCKET", "SC_REMOTE", "SC_PROJECT", "SC_CONF", "NO_COLOR"] {
            command.env_remove(name);
        }
        // What `sc` keeps for its user, such as a text that was refused, goes with the test.
        command.args(args).env("SC_DIR", &self.dir).env("TMPDIR", &self.scratch);
        command
    }

    /// Runs `sc` with these arguments and nothing to read.
    pub fn sc(&self, args: &[&str]) -> Ran {
        let begin = Instant::now();
        let mut command = self.command(args);
        let output = command.stdin(Stdio::null()).output().expect("sc can be started");
        Ran::new(format!("sc {}", args.join(" ")), &output, begin.elapsed())
    }
}
