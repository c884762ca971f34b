//! What a program that was run left.

use std::process::Output;
use std::time::Duration;

/// A finished run of `sc`.
#[derive(Debug)]
pub struct Ran {
    /// The command, for messages.
    pub command: String,
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Ran {
    /// From what the program left.
    pub fn new(command: String, output: &Output, took: Duration) -> Self {
        Self {
            command,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took,
        }
    }

    /// Its standard output without the last line's end; panics unless it succeeded.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "`{}` failed: {}{}", self.command, self.stdout, self.stderr);
        self.stdout.trim_end_matches('\n')
    }

    /// Panics unless it failed with one sentence that holds `part`, in any case of letters. Lines of
    /// progress may come before it.
    #[track_caller]
    pub fn refused(&self, part: &str) {
        assert!(self.code > 0, "`{}` was accepted: {}", self.command, self.stdout);
        let shown = format!("`{}` said {:?}", self.command, self.stderr);
        let mut lines = self.stderr.trim_end().lines().skip_while(|l| !l.starts_with("Error: "));
        let text = lines.next().unwrap_or_default();
        assert!(lines.next().is_none(), "not one sentence: {shown}");
        assert!(text.to_lowercase().contains(&part.to_lowercase()), "no {part:?}: {shown}");
        for inside in ["panicked", "not implemented"] {
            assert!(!text.contains(inside), "{inside:?} helps nobody: {shown}");
        }
    }
}
