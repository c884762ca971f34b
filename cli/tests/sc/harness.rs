//! Runs the command line on a server of its own.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};

use crate::fake::Fake;

/// A command line on a server of its own.
pub struct Cli {
    pub fake: Fake,
}

/// What a run left.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Cli {
    pub fn new() -> Self {
        Self { fake: Fake::start() }
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = plain_command(words);
        command.env("SC_SOCKET", &self.fake.socket);
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        finish(self.command(words).stdin(Stdio::null()))
    }

    /// Runs it and expects success; returns standard output.
    pub fn ok(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, Some(0), "{words:?}: {ran:?}");
        ran.stdout
    }

    /// Runs it and expects failure with code 1 and one line; returns the line.
    pub fn error(&self, words: &[&str]) -> String {
        self.failure(words, 1)
    }

    /// As [`Cli::error`], of a command that was used wrongly.
    pub fn usage(&self, words: &[&str]) -> String {
        self.failure(words, 2)
    }

    fn failure(&self, words: &[&str], code: i32) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, Some(code), "{words:?}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        ran.stderr.trim_end().to_owned()
    }
}

pub fn plain_command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sc"));
    command.args(words);
    for name in ["SC_DIR", "SC_SOCKET", "SC_REMOTE", "SC_PROJECT", "SC_CONF", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
}

pub fn finish(command: &mut Command) -> Ran {
    command.output().unwrap().into()
}

pub fn with_input(mut command: Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

pub fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}
