//! The disk fails under the database while something is made or taken away: whoever asked is told, can ask
//! again, and the next daemon does nothing that was asked for before.

use std::time::Duration;

use nix::errno::Errno;
use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{
    Begun, Daemon, Fault, Hit, Injector, Options, Ran, Set, Whose, processes, status, until,
};

/// A command does not come to more writes of the database's log.
const MOST_WRITES: u32 = 200;

/// A daemon whose database's disk can be made to fail.
struct Failing {
    daemon: Daemon,
    injector: Injector,
}

impl Failing {
    fn start() -> Self {
        Self::into(None)
    }

    /// One that also runs into a fault.
    fn into(fault: Option<&str>) -> Self {
        let daemon = with_one_worker(fault);
        let injector = Injector::attach(&daemon);
        Self { daemon, injector }
    }

    /// Runs a command whose `nth` write of the database's log fails; `None` when it has no more.
    fn sc(&self, args: &[&str], nth: u32) -> (Ran, Option<Hit>) {
        let fault = Fault { whose: Whose::Daemon, set: Set::Log, errno: Errno::EIO, nth };
        self.injector.arm(fault);
        let ran = self.daemon.sc(args);
        (ran, self.injector.disarm())
    }

    /// Has each write fail of commands that `prepare` makes possible and `command` tells by number; asks
    /// again where one is refused.
    fn each_write_fails(
        &self,
        prepare: impl Fn(&Daemon, u32),
        command: impl Fn(u32) -> Vec<String>,
    ) -> u32 {
        let mut refused = 0;
        for nth in 1..MOST_WRITES {
            prepare(&self.daemon, nth);
            let args = command(nth);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let (ran, hit) = self.sc(&args, nth);
            if ran.code != 0 {
                println!("{args:?}, {hit:?}: {}", ran.stderr.trim_end());
                refused += 1;
                self.daemon.sc(&args).ok();
            }
            if hit.is_none() {
                return refused;
            }
        }
        panic!("more than {MOST_WRITES} writes of the log");
    }
}

/// The injector knows one thread's calls from another's best where there are few.
fn with_one_worker(fault: Option<&str>) -> Daemon {
    let environment = vec![("TOKIO_WORKER_THREADS".to_owned(), "1".to_owned())];
    let fault = fault.map(str::to_owned);
    Daemon::start_with(Options { environment, fault, ..Options::default() })
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// The names of what a list shows.
fn names(daemon: &Daemon, what: &str) -> Vec<String> {
    let list = daemon.sc(&[what, "list", "-f", "csv"]).ok().to_owned();
    list.lines().filter_map(|line| Some(line.split(',').next()?.to_owned())).collect()
}

#[test]
fn an_image_imported_again_after_a_deletion_that_failed_stays() {
    let Failing { mut daemon, injector } = {
        let failing = Failing::start();
        let refused = failing.each_write_fails(
            |daemon, _| Busybox::import(daemon),
            |_| words(&format!("image delete {BUSYBOX}")),
        );
        assert!(refused >= 2, "{refused} deletions were refused");
        failing
    };
    Busybox::import(&daemon);
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    daemon.kill9();
    drop(injector);
    daemon.run_again();
    daemon.sc(&["launch", BUSYBOX, "c2"]).ok();
}

#[test]
fn a_pool_whose_creation_failed_can_be_made_again_and_stays() {
    let Failing { mut daemon, injector } = {
        let failing = Failing::start();
        let refused =
            failing.each_write_fails(|_, _| {}, |nth| words(&format!("storage create p{nth} dir")));
        assert!(refused >= 2, "{refused} creations were refused");
        failing
    };
    let before = names(&daemon, "storage");
    assert!(before.len() > 4, "{before:?}");
    daemon.kill9();
    drop(injector);
    daemon.run_again();
    assert_eq!(names(&daemon, "storage"), before);
}

#[test]
fn a_network_whose_creation_failed_can_be_made_again_and_stays() {
    let Failing { mut daemon, injector } = {
        let failing = Failing::start();
        let refused =
            failing.each_write_fails(|_, _| {}, |nth| words(&format!("network create sctj{nth}")));
        assert!(refused >= 2, "{refused} creations were refused");
        failing
    };
    let before = names(&daemon, "network");
    daemon.kill9();
    drop(injector);
    daemon.run_again();
    assert_eq!(names(&daemon, "network"), before);
    for name in before.iter().filter(|name| name.starts_with("sctj")) {
        daemon.sc(&["network", "delete", name]).ok();
    }
}

#[test]
fn an_instance_whose_deletion_failed_and_that_can_be_started_stays() {
    let Failing { mut daemon, injector } = {
        let failing = Failing::into(Some("fail@delete:intent"));
        Busybox::import(&failing.daemon);
        failing
    };
    let (mut stay, mut go) = (Vec::new(), Vec::new());
    for nth in 1..MOST_WRITES {
        let name = format!("c{nth}");
        daemon.sc(&["init", BUSYBOX, &name]).ok();
        let fault = Fault { whose: Whose::Daemon, set: Set::Log, errno: Errno::EIO, nth };
        injector.arm(fault);
        daemon.sc(&["delete", &name]).refused("");
        if injector.disarm().is_none() {
            break;
        }
        let started = daemon.sc(&["start", &name]);
        match started.code {
            0 => stay.push(name),
            _ => {
                started.refused("delete it again");
                go.push(name);
            }
        }
    }
    assert!(stay.len() >= 2 && !go.is_empty(), "{stay:?} stay, {go:?} go");
    daemon.kill9();
    drop(injector);
    daemon.run_again();
    for name in &stay {
        assert_eq!(status(&daemon, name), "Running", "{name}");
        assert_eq!(daemon.inside(name, "echo alive"), "alive", "{name}");
    }
    for name in &go {
        assert_eq!(status(&daemon, name), "-", "{name}");
    }
}

/// Stops a guest by `stop`, which has a write of the log fail and may leave a command under way, for every
/// write; in the next daemon it is stopped. Returns how many writes there were.
fn stays_stopped_whatever_write_fails(
    mut daemon: Daemon,
    stop: impl Fn(&Daemon, &Injector, Fault) -> (Option<Hit>, Option<Begun>),
) -> u32 {
    for nth in 1..MOST_WRITES {
        let injector = Injector::attach(&daemon);
        let fault = Fault { whose: Whose::Daemon, set: Set::Log, errno: Errno::EIO, nth };
        let (hit, under_way) = stop(&daemon, &injector, fault);
        daemon.kill9();
        drop(injector);
        if let Some(command) = under_way {
            command.ended().refused("");
        }
        daemon.run_again();
        daemon.sc(&["admin", "waitready", "--timeout", "60"]).ok();
        assert_eq!(status(&daemon, "c1"), "Stopped", "{hit:?}");
        daemon.sc(&["delete", "c1"]).ok();
        if hit.is_none() {
            return nth;
        }
    }
    panic!("more than {MOST_WRITES} writes of the log");
}

#[test]
fn a_restart_that_is_done_is_not_done_again_by_the_next_daemon() {
    let daemon = with_one_worker(None);
    Busybox::import(&daemon);
    let writes = stays_stopped_whatever_write_fails(daemon, |daemon, injector, fault| {
        daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
        injector.arm(fault);
        daemon.sc(&["restart", "--force", "c1"]);
        let hit = injector.disarm();
        // Whether it was done or refused: with the stop it is over.
        daemon.sc(&["stop", "--force", "c1"]);
        (hit, None)
    });
    assert!(writes > 4, "{writes} writes of the log");
}

#[test]
fn a_stop_by_force_ends_a_restart_for_good_whatever_write_failed() {
    let daemon = with_one_worker(None);
    Busybox::deaf().import_as(&daemon, "deaf");
    let writes = stays_stopped_whatever_write_fails(daemon, |daemon, injector, fault| {
        daemon.sc(&["launch", "deaf", "c1"]).ok();
        let restart = daemon.begin(&["restart", "c1", "--timeout", "60"]);
        std::thread::sleep(Duration::from_millis(500));
        injector.arm(fault);
        daemon.sc(&["stop", "--force", "c1"]).ok();
        (injector.disarm(), Some(restart))
    });
    assert!(writes > 1, "{writes} writes of the log");
}

#[test]
fn a_stop_that_was_acknowledged_is_written_down_whatever_write_behind_it_failed() {
    let Failing { mut daemon, injector } = {
        let failing = Failing::start();
        Busybox::import(&failing.daemon);
        failing
    };
    let agents = |daemon: &Daemon| {
        let all = processes(&daemon.dir());
        all.iter().filter(|(_, line)| line.starts_with("sc-agent")).count()
    };
    let mut names = Vec::new();
    for nth in 1..MOST_WRITES {
        let name = format!("c{nth}");
        daemon.sc(&["launch", BUSYBOX, &name]).ok();
        let fault = Fault { whose: Whose::Daemon, set: Set::Log, errno: Errno::EIO, nth };
        injector.arm(fault);
        daemon.sc(&["stop", "--force", &name]).ok();
        names.push(name);
        // What is cleared up behind the answer is written down with that.
        until("its agent is gone", Duration::from_secs(20), &0, || agents(&daemon));
        if injector.disarm().is_none() {
            break;
        }
    }
    assert!(names.len() > 2, "{names:?}");
    drop(injector);
    daemon.lose_host();
    daemon.run_again();
    daemon.sc(&["admin", "waitready", "--timeout", "60"]).ok();
    for name in &names {
        assert_eq!(status(&daemon, name), "Stopped", "{name}");
    }
}
