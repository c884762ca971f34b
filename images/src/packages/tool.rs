//! Running the programs that build an image: with progress, a stop button, and nothing left behind.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use sc_sys::command::{CommandError, Failure, Runner, Stream};

use crate::{Error, Progress, Result};

/// How often the stop button is looked at.
const TICK: Duration = Duration::from_millis(50);

/// How many lines of a program's own words an error has.
const DETAIL_LINES: usize = 4;

/// Where programs are, as [`Runner`] looks for them.
const FOLDERS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Fails with the package to install if a program is missing.
pub(super) fn require(program: &'static str, package: &'static str) -> Result<()> {
    if FOLDERS.iter().any(|folder| Path::new(folder).join(program).is_file()) {
        return Ok(());
    }
    Err(Error::MissingProgram { program, package })
}

/// Starts the command line of a program that ends with this daemon, in a mount and a process
/// namespace of its own: whatever it mounts or starts ends with it, however it ends.
pub(super) fn contained() -> Runner {
    let runner = Runner::new("setpriv").args(["--pdeathsig", "KILL", "unshare"]).args([
        "--mount",
        "--propagation=private",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--",
    ]);
    // apt takes its proxies from these as well.
    ["http_proxy", "https_proxy", "no_proxy"].into_iter().fold(runner, |runner, name| {
        match std::env::var_os(name) {
            Some(value) => runner.env(name, value),
            None => runner,
        }
    })
}

/// Runs a program to its end. `hear` gets each line of what it prints.
pub(super) fn run(
    runner: Runner,
    step: &str,
    program: &'static str,
    progress: &dyn Progress,
    mut hear: impl FnMut(&str),
) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, told) = mpsc::channel();
    let tell_error = tell.clone();
    let runner = runner
        .cancel(Arc::clone(&stop))
        .on_line(Stream::Stdout, move |line| drop(tell.send(line.to_owned())))
        .on_line(Stream::Stderr, move |line| drop(tell_error.send(line.to_owned())));
    let mut words = Vec::new();
    let outcome = std::thread::scope(|scope| {
        // The program ends with the thread that started it, which waits for it.
        let run = scope.spawn(move || runner.run());
        loop {
            match told.recv_timeout(TICK) {
                Ok(line) => {
                    hear(&line);
                    remember(&mut words, line);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if progress.cancelled() {
                stop.store(true, Ordering::Relaxed);
            }
        }
        run.join().expect("running a program does not panic")
    });
    outcome.map(drop).map_err(|error| failed(step, program, &error, &words))
}

/// Keeps the lines that tell why something failed, else the last ones.
fn remember(words: &mut Vec<String>, line: String) {
    let telling = |line: &str| {
        let wrappers = ["E: mmdebstrap failed to run", "-oAPT::Status-Fd="];
        ["E: ", "W: ", "dpkg: error", "FATAL"].iter().any(|start| line.starts_with(start))
            && !wrappers.iter().any(|wrapper| line.contains(wrapper))
    };
    if telling(&line) {
        words.retain(|line| telling(line));
    } else if words.iter().any(|line| telling(line)) {
        return;
    }
    if !words.contains(&line) {
        words.push(line);
    }
    let surplus = words.len().saturating_sub(DETAIL_LINES);
    words.drain(..surplus);
}

/// The error of a program that failed, with what it said.
pub(super) fn failed(
    step: &str,
    program: &'static str,
    error: &CommandError,
    words: &[String],
) -> Error {
    match &error.failure {
        Failure::Cancelled => Error::Cancelled,
        Failure::NotFound => Error::MissingProgram { program: "setpriv", package: "util-linux" },
        failure => {
            let mut detail = words.join("; ");
            if detail.is_empty() {
                detail.clone_from(&error.stderr);
            }
            if detail.contains("NO_PUBKEY") {
                detail += ": upgrade the package debian-archive-keyring";
            }
            let (step, status) = (step.to_owned(), failure.to_string());
            Error::Program { step, program, status, detail }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;

    #[test]
    fn a_failure_tells_the_lines_that_say_why() {
        let script = "echo noise; echo 'E: no such release'; echo more; \
                      echo 'E: mmdebstrap failed to run' >&2; exit 25";
        let runner = Runner::new("sh").args(["-c", script]);
        let mut heard = 0;
        let error = run(runner, "build", "sh", &Silent, |_| heard += 1).unwrap_err();
        assert_eq!(heard, 4);
        let text = error.to_string();
        assert!(text.starts_with("build: sh ") && text.ends_with(": E: no such release"), "{text}");
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let error = require("no-such-program", "some-package").unwrap_err();
        assert!(error.to_string().contains("install the package some-package"), "{error}");
        require("sh", "dash").unwrap();
    }

    #[test]
    fn the_stop_button_ends_a_program_and_all_that_it_started() {
        struct Pressed;
        impl Progress for Pressed {
            fn step(&self, _name: &str) {}
            fn bytes(&self, _done: u64, _total: Option<u64>) {}
            fn cancelled(&self) -> bool {
                true
            }
        }
        let start = std::time::Instant::now();
        let runner = Runner::new("sh").args(["-c", "sleep 60 & sleep 60"]);
        let error = run(runner, "build", "sh", &Pressed, |_| {}).unwrap_err();
        assert!(matches!(error, Error::Cancelled));
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
