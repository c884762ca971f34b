//! A command that goes on beside others.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::ran::Ran;
use super::wait::patient;

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

    /// Waits for its end, and kills it and panics when it has none within that time.
    #[track_caller]
    pub fn ended_within(mut self, time: Duration) -> Ran {
        let end = Instant::now() + patient(time);
        while self.child.try_wait().expect("our own child").is_none() {
            if Instant::now() > end {
                self.child.kill().expect("our own child can be killed");
                panic!("`{}` hangs: it has not ended within {time:?}", self.command);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.ended()
    }

    /// Waits for its end.
    pub fn ended(self) -> Ran {
        let output = self.child.wait_with_output().expect("our own child");
        Ran::new(self.command, &output, self.began.elapsed())
    }
}
