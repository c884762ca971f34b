//! System calls fail: whoever asked is told in one sentence, nothing is left, and all goes on.

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use sc_tests::guests::BUSYBOX;
use sc_tests::{
    Daemon, Fault, HostSnapshot, Injector, Options, Ran, Set, VICTIM, Whose, left_nothing, report,
    status, until, warmed_with,
};

/// How long a command may take while a call fails: the longest patience that the daemon itself has with
/// an agent is less.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is done while a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Launch,
    Exec,
    Delete,
}

impl Operation {
    fn prepare(self, daemon: &Daemon) {
        match self {
            Self::Launch => {}
            _ if status(daemon, VICTIM) == "Running" => {}
            Self::Exec | Self::Delete => drop(daemon.sc(&["launch", BUSYBOX, VICTIM]).ok()),
        }
    }

    fn act(self, daemon: &Daemon) -> Ran {
        let args: &[&str] = match self {
            Self::Launch => &["launch", BUSYBOX, VICTIM],
            Self::Exec => &["exec", VICTIM, "--", "echo", "alive"],
            Self::Delete => &["delete", "--force", VICTIM],
        };
        daemon.begin(args).ended_within(PATIENCE)
    }

    /// Back to where it began, with the same done once more.
    fn again(self, daemon: &Daemon, what: &str, before: &HostSnapshot) {
        if self == Self::Exec {
            assert_eq!(daemon.exec(VICTIM, &["echo", "alive"]).ok(), "alive", "{what}");
            until(&format!("{what} leaves nothing"), PATIENCE, &Vec::new(), || {
                let mut left = HostSnapshot::of(&daemon.dir()).more_than(before);
                // The guest may be booting still.
                let of_boot = ["process ", "lease ", "file "];
                left.retain(|it| !of_boot.iter().any(|kind| it.starts_with(kind)));
                left
            });
            return;
        }
        // Where only the client's connection broke, the operation goes on.
        until(&format!("{what}: operations under way"), PATIENCE, &0, || {
            let all = daemon.json(&["operation", "list", "-f", "json"]);
            let under_way = |one: &&serde_json::Value| one["status"] == "Running";
            all.as_array().expect("a list").iter().filter(under_way).count()
        });
        if status(daemon, VICTIM) != "-" {
            daemon.sc(&["delete", "--force", VICTIM]).ok();
        }
        left_nothing(daemon, what, before);
        daemon.sc(&["launch", BUSYBOX, VICTIM]).ok();
        daemon.sc(&["delete", "--force", VICTIM]).ok();
        left_nothing(daemon, what, before);
    }
}

/// Whether a log tells of a panic. The standard library has one where a program is started, which the daemon
/// catches; that happens beside an operation, when somebody else has changed the host's rules.
fn has_panicked(log: &str) -> bool {
    let mut lines = log.lines();
    lines.any(|line| line.contains("panicked") && !line.contains("/library/std/src/sys/process/"))
}

/// A daemon on a runtime of one worker, whose calls can be made to fail.
struct Faulty {
    daemon: Daemon,
    before: HostSnapshot,
    injector: Injector,
}

impl Faulty {
    fn start() -> Self {
        let environment = vec![("TOKIO_WORKER_THREADS".to_owned(), "1".to_owned())];
        let (daemon, before) = warmed_with(Options { environment, ..Options::default() });
        let injector = Injector::attach(&daemon);
        Self { daemon, before, injector }
    }

    /// Does it with one fault; false when it ended before the fault was reached.
    fn inject(&self, operation: Operation, fault: Fault) -> bool {
        let daemon = &self.daemon;
        operation.prepare(daemon);
        let with_guest = HostSnapshot::of(&daemon.dir());
        self.injector.arm(fault);
        let ran = operation.act(daemon);
        let hit = self.injector.disarm();
        let what = match &hit {
            None => format!("{operation:?}, {fault} was not reached"),
            Some(hit) => format!("{operation:?}, {fault}: {hit}"),
        };
        if ran.code != 0 {
            assert!(hit.is_some(), "{what}: {}", ran.stderr);
            self.judge(&what, &ran, &daemon.dir());
        }
        let log = std::fs::read_to_string(daemon.log_path()).unwrap();
        assert!(!has_panicked(&log), "{what}: the daemon panicked");
        let before = if operation == Operation::Exec { &with_guest } else { &self.before };
        operation.again(daemon, &what, before);
        hit.is_some()
    }

    /// It failed, in one sentence that names what was being done to what.
    fn judge(&self, what: &str, ran: &Ran, dir: &Path) {
        println!("{what}: {}", ran.stderr.trim_end());
        ran.refused("");
        let of_exec = ["start echo inside", "the instance's agent", "the daemon"];
        let dir = dir.display().to_string();
        let named = [VICTIM, &dir].into_iter().chain(of_exec);
        assert!(named.into_iter().any(|name| ran.stderr.contains(name)), "{what}: {}", ran.stderr);
    }

    /// Lets every `stride`th call of a set fail, until there is no further one; reports and returns how many
    /// that were.
    fn inject_all(
        &self,
        operation: Operation,
        whose: Whose,
        set: Set,
        errno: Errno,
        stride: usize,
    ) -> usize {
        let mut injected = 0;
        for nth in (1..).step_by(stride) {
            if !self.inject(operation, Fault { whose, set, errno, nth }) {
                break;
            }
            injected += 1;
        }
        let whose = format!("{whose:?}").to_lowercase();
        let operation = format!("{operation:?}").to_lowercase();
        let line = format!("{operation:6} {whose:6} {set:9} {errno:6?} {injected:4}");
        report("system calls that failed", &line);
        injected
    }
}

#[test]
fn some_calls_of_a_launch_and_an_exec_fail_and_nothing_is_left() {
    use Operation::{Delete, Exec, Launch};
    let faulty = Faulty::start();
    for (operation, whose, set, errno, stride) in [
        (Launch, Whose::Daemon, Set::Files, Errno::EIO, 53),
        (Launch, Whose::Daemon, Set::Sockets, Errno::ENOMEM, 11),
        (Launch, Whose::Daemon, Set::Processes, Errno::EMFILE, 5),
        (Launch, Whose::Agent, Set::Files, Errno::ENOSPC, 61),
        (Launch, Whose::Agent, Set::Mounts, Errno::EIO, 41),
        (Launch, Whose::Agent, Set::Sockets, Errno::EMFILE, 13),
        (Launch, Whose::Agent, Set::Processes, Errno::ENOMEM, 37),
        (Exec, Whose::Daemon, Set::Sockets, Errno::EIO, 9),
        (Exec, Whose::Agent, Set::Sockets, Errno::EIO, 1),
        (Delete, Whose::Daemon, Set::Sockets, Errno::EIO, 7),
    ] {
        let injected = faulty.inject_all(operation, whose, set, errno, stride);
        assert!(injected > 0, "{operation:?} makes no such call: {whose:?}, {set:?}");
    }
}

/// Every call of every set, of each operation, in the daemon and in the agent.
fn every_call_fails_with(errno: Errno) {
    let faulty = Faulty::start();
    for operation in [Operation::Exec, Operation::Delete, Operation::Launch] {
        for whose in [Whose::Daemon, Whose::Agent] {
            let each = Set::ALL.map(|set| faulty.inject_all(operation, whose, set, errno, 1));
            assert!(each.iter().sum::<usize>() > 0, "{operation:?} makes no calls in {whose:?}");
        }
    }
}

#[test]
#[ignore = "it takes ten minutes"]
fn every_call_fails_with_an_input_or_output_error_and_nothing_is_left() {
    every_call_fails_with(Errno::EIO);
}

#[test]
#[ignore = "it takes ten minutes"]
fn every_call_fails_for_want_of_room_and_nothing_is_left() {
    every_call_fails_with(Errno::ENOSPC);
}

#[test]
#[ignore = "it takes ten minutes"]
fn every_call_fails_for_want_of_descriptors_and_nothing_is_left() {
    every_call_fails_with(Errno::EMFILE);
}

#[test]
#[ignore = "it takes ten minutes"]
fn every_call_fails_for_want_of_memory_and_nothing_is_left() {
    every_call_fails_with(Errno::ENOMEM);
}
