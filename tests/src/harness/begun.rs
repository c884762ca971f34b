//! A command that goes on beside others.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::ran::Ran;

/// A run of `sc` that was begun.
#[derive(Debug)]
pub struct Begun {
    command: String,
    child: Child,
    began: Instant,
}

impl Begun {
    /// Starts a command, which reads nothing; `shown` is what messages call it.
    pub(super) fn start(shown: String, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        Self { command: shown, child: command.spawn().expect("sc can be started"), began }
    }

    /// Waits for its end.
    pub fn ended(self) -> Ran {
        let output = self.child.wait_with_output().expect("our own child");
        Ran::new(self.command, &output, self.began.elapsed())
    }
}
