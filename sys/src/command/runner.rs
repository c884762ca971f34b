//! Runs a program to its end.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::error::{CommandError, Failure};
use super::pump::{Keep, LineSink, drain};
use crate::process::{Exit, open_pidfd};

const STDOUT_MAX: usize = 64 * 1024 * 1024;
const STDERR_TAIL: usize = 8 * 1024;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How often a cancelled flag is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Which output a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a program wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// The end of its standard error.
    pub stderr: Vec<u8>,
}

/// A program to be run: arguments and no shell, an environment of its own, a process group of its own.
///
/// ```no_run
/// use sc_sys::command::Runner;
///
/// let output = Runner::new("nft").args(["-f", "-"]).stdin("list ruleset\n").run()?;
/// # Ok::<(), sc_sys::command::CommandError>(())
/// ```
pub struct Runner {
    argv: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    stdin: Vec<u8>,
    timeout: Option<Duration>,
    cancel: Option<Arc<AtomicBool>>,
    on_stdout: Option<LineSink>,
    on_stderr: Option<LineSink>,
}

impl Runner {
    /// Starts with a program's name (looked up in the usual system folders) or path. Its environment is
    /// PATH and `LC_ALL=C.UTF-8` only.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            argv: vec![program.as_ref().to_owned()],
            environment: vec![("PATH".into(), PATH.into()), ("LC_ALL".into(), "C.UTF-8".into())],
            directory: None,
            stdin: Vec::new(),
            timeout: None,
            cancel: None,
            on_stdout: None,
            on_stderr: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.argv.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.argv.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets its working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Sets what it reads from its standard input; nothing by default.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Kills it, and what it started, after this time.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Kills it, and what it started, once the flag is set.
    #[must_use]
    pub fn cancel(mut self, flag: Arc<AtomicBool>) -> Self {
        self.cancel = Some(flag);
        self
    }

    /// Hands each line of one output on as it comes; a carriage return ends a line as well.
    #[must_use]
    pub fn on_line(mut self, stream: Stream, sink: impl FnMut(&str) + Send + 'static) -> Self {
        match stream {
            Stream::Stdout => self.on_stdout = Some(Box::new(sink)),
            Stream::Stderr => self.on_stderr = Some(Box::new(sink)),
        }
        self
    }

    /// Runs it; blocks until it has ended.
    ///
    /// # Errors
    ///
    /// Whenever it does not exit with status 0.
    pub fn run(self) -> Result<Output, CommandError> {
        let argv: Vec<_> = self.argv.iter().map(|a| a.to_string_lossy().into_owned()).collect();
        self.execute().map_err(|(failure, stderr)| {
            let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
            CommandError { argv, failure, stderr }
        })
    }

    fn execute(self) -> Result<Output, (Failure, Vec<u8>)> {
        let bare = |failure| (failure, Vec::new());
        let mut child = self.command().spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if self.directory.as_ref().is_none_or(|d| d.is_dir()) => {
                bare(Failure::NotFound)
            }
            _ => bare(Failure::Io(error)),
        })?;
        let writer = child.stdin.take().map(|mut pipe| {
            let bytes = self.stdin;
            // A program that ends before it has read everything says so by its status.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)))
        });
        let stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let stdout = reader(stdout, Keep::All(STDOUT_MAX), self.on_stdout);
        let stderr = reader(stderr, Keep::Tail(STDERR_TAIL), self.on_stderr);
        let end = wait(&mut child, self.timeout, self.cancel.as_deref());
        if let Some(writer) = writer {
            let _ = writer.join();
        }
        let stderr = stderr.join().unwrap_or_else(|_| Ok(Vec::new())).unwrap_or_default();
        let stdout = stdout.join().unwrap_or_else(|_| Err(io::Error::other("line sink panicked")));
        match end {
            Err(failure) => Err((failure, stderr)),
            Ok(status) if !status.success() => Err((Failure::Exit(exit(status)), stderr)),
            Ok(_) => match stdout {
                Ok(stdout) => Ok(Output { stdout, stderr }),
                Err(error) => Err((Failure::Io(error), stderr)),
            },
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.argv[0]);
        command
            .args(&self.argv[1..])
            .env_clear()
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}

fn reader(
    pipe: impl io::Read + Send + 'static,
    keep: Keep,
    sink: Option<LineSink>,
) -> JoinHandle<io::Result<Vec<u8>>> {
    std::thread::spawn(move || drain(pipe, keep, sink))
}

fn wait(
    child: &mut Child,
    timeout: Option<Duration>,
    cancel: Option<&AtomicBool>,
) -> Result<ExitStatus, Failure> {
    if timeout.is_none() && cancel.is_none() {
        return Ok(child.wait()?);
    }
    let pidfd = open_pidfd(child.id() as i32).map_err(io::Error::from)?;
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let failure = match (left, cancel) {
            (_, Some(flag)) if flag.load(Ordering::Relaxed) => Some(Failure::Cancelled),
            (Some(Duration::ZERO), _) => timeout.map(Failure::Timeout),
            _ => None,
        };
        if let Some(failure) = failure {
            kill_group(child)?;
            return Err(failure);
        }
        let pause = match (left, cancel) {
            (Some(left), None) => left,
            (Some(left), Some(_)) => left.min(TICK),
            (None, _) => TICK,
        };
        let pause = Timespec::try_from(pause).ok();
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut fds, pause.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure::Io(error.into())),
        }
    }
}

/// Kills the program with everything in its process group, so that no pipe stays open.
fn kill_group(child: &mut Child) -> io::Result<()> {
    if let Some(group) = rustix::process::Pid::from_raw(child.id() as i32) {
        // It has not been reaped, so that its number is still its own.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    child.wait().map(drop)
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(libc::SIGKILL)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_arguments_status_and_words() {
        let error = Runner::new("sh").args(["-c", "echo oops >&2; exit 3"]).run().unwrap_err();
        assert_eq!(error.exit(), Some(Exit::Code(3)));
        assert_eq!(error.to_string(), r#"run sh -c "echo oops >&2; exit 3" (oops)"#);
    }

    #[test]
    fn a_program_that_is_not_there_is_told_from_one_that_fails() {
        let error = Runner::new("no-such-program-here").run().unwrap_err();
        assert!(matches!(error.failure, Failure::NotFound));
    }

    #[test]
    fn input_goes_in_and_output_comes_out_whole() {
        let bytes = vec![b'x'; 1_000_000];
        let output = Runner::new("cat").stdin(bytes.clone()).run().unwrap();
        assert_eq!(output.stdout, bytes);
    }

    #[test]
    fn the_environment_is_not_passed_on() {
        let output = Runner::new("env").env("A", "b").run().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut names: Vec<_> = text.lines().filter_map(|l| l.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["A", "LC_ALL", "PATH"]);
    }

    #[test]
    fn a_timeout_kills_the_grandchildren_too() {
        let start = Instant::now();
        let error = Runner::new("sh")
            .args(["-c", "sleep 60 & sleep 60"])
            .timeout(Duration::from_millis(100))
            .run()
            .unwrap_err();
        assert!(matches!(error.failure, Failure::Timeout(_)));
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_set_flag_cancels() {
        let flag = Arc::new(AtomicBool::new(true));
        let error = Runner::new("sleep").arg("60").cancel(flag).run().unwrap_err();
        assert!(matches!(error.failure, Failure::Cancelled));
    }
}
