//! The daemon is killed at random moments under clients who do what clients do.
//!
//! Each client has names of its own, so that it knows what must be there: what was acknowledged is
//! true ever after, and what was not is either done or not done at all. Its words to a client whose
//! request it did not live to answer are clear ones.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sc_tests::guests::BUSYBOX;
use sc_tests::{Caller, Daemon, Ran, left_nothing, patient, status, warmed};

/// The longest that a daemon lives.
const LIFE: u64 = 700;

/// What a client may be told when the daemon dies under its request, or is not there.
const NO_DAEMON: [&str; 3] =
    ["nobody listens on", "there is no socket", "the connection to the daemon broke"];

/// What it may be told of what another daemon has begun and this one finishes.
const BUSY: &str = "is busy running";

/// A sequence that looks random and is the same for the same seed (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What one client knows of its instance.
#[derive(Debug)]
struct Known {
    name: String,
    /// What the list may say of it.
    status: BTreeSet<&'static str>,
    /// What `user.mark` may be.
    mark: BTreeSet<String>,
    /// What it was told that is no clear word.
    odd: Vec<String>,
    acknowledged: u32,
}

impl Known {
    fn new(name: String) -> Self {
        let (odd, acknowledged) = (Vec::new(), 0);
        let mut known =
            Self { name, status: BTreeSet::new(), mark: BTreeSet::new(), odd, acknowledged };
        known.is_gone();
        known
    }

    fn is_gone(&mut self) {
        self.status = BTreeSet::from(["-"]);
        self.mark = BTreeSet::from([String::new()]);
    }

    /// Does something to the instance, and notes what follows from it.
    fn act(&mut self, caller: &Caller, dice: &mut Dice) {
        let name = self.name.clone();
        let name = name.as_str();
        match dice.below(8) {
            _ if self.status.contains("-") && self.status.len() > 1 => self.look(caller),
            _ if self.status.contains("-") => {
                let ran = caller.sc(&["launch", BUSYBOX, name]);
                self.now(&ran, "Running", &["already exists"]);
            }
            0 => {
                let ran = caller.sc(&["delete", "--force", name]);
                self.now(&ran, "-", &["not found"]);
                if ran.code == 0 {
                    self.is_gone();
                }
            }
            1 => self.now(&caller.sc(&["stop", "--force", name]), "Stopped", &["already stopped"]),
            2 => self.now(&caller.sc(&["start", name]), "Running", &["already running"]),
            3 => {
                let ran = caller.sc(&["restart", "--force", name]);
                self.now(&ran, "Running", &["not running"]);
            }
            4 | 5 => self.set_mark(caller, &dice.below(1000).to_string()),
            _ => {
                let ran = caller.sc(&["exec", name, "--", "hostname"]);
                match ran.code {
                    0 => assert_eq!(ran.ok(), name),
                    _ => self.judge(&ran, &["not running", "not found"]),
                }
            }
        }
    }

    /// Finds out whether it is there, which a request that was not answered leaves open.
    fn look(&mut self, caller: &Caller) {
        let ran = caller.sc(&["config", "show", &self.name]);
        match ran.code {
            0 => drop(self.status.remove("-")),
            _ if ran.stderr.contains("not found") => self.is_gone(),
            _ => self.judge(&ran, &[]),
        }
    }

    fn set_mark(&mut self, caller: &Caller, mark: &str) {
        let ran = caller.sc(&["config", "set", &self.name, &format!("user.mark={mark}")]);
        if ran.code == 0 {
            self.mark.clear();
            self.acknowledged += 1;
        }
        self.mark.insert(mark.to_owned());
        if ran.code != 0 {
            self.judge(&ran, &["not found"]);
        }
    }

    /// After a request that makes the instance be so.
    fn now(&mut self, ran: &Ran, status: &'static str, refusals: &[&str]) {
        if ran.code == 0 {
            self.status = BTreeSet::from([status]);
            self.acknowledged += 1;
            return;
        }
        // Done or not done at all; a restart is both of its halves.
        self.status.insert(status);
        if ran.command.contains("restart") || ran.command.contains("delete") {
            self.status.insert("Stopped");
        }
        if ran.command.contains("delete") {
            self.mark.insert(String::new());
        }
        self.judge(ran, refusals);
    }

    fn judge(&mut self, ran: &Ran, refusals: &[&str]) {
        let text = ran.stderr.to_lowercase();
        let is_one_of = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if is_one_of(&NO_DAEMON) {
            // Until the next daemon is there.
            std::thread::sleep(Duration::from_millis(20));
        } else if !is_one_of(refusals) && !text.contains(BUSY) {
            let (command, code) = (&ran.command, ran.code);
            self.odd.push(format!("{command} (exit {code}): {}", ran.stderr.trim_end()));
        }
    }

    fn check(&self, daemon: &Daemon) {
        let found = status(daemon, &self.name);
        assert!(self.status.contains(found.as_str()), "it is {found:?}: {self:?}");
        if found != "-" {
            let mark = daemon.sc(&["config", "get", &self.name, "user.mark"]).ok().to_owned();
            assert!(self.mark.contains(&mark), "its mark is {mark:?}: {self:?}");
        }
        if found == "Running" {
            assert_eq!(daemon.inside(&self.name, "hostname"), self.name);
        }
    }
}

fn survives(kills: u32, clients: u64) {
    let seed: u64 = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
    println!("seed {seed}");
    let (mut daemon, before) = warmed();
    let caller = daemon.caller();
    let over = AtomicBool::new(false);
    let all: Vec<Known> = std::thread::scope(|scope| {
        let client = |number: u64| {
            let (caller, over) = (&caller, &over);
            scope.spawn(move || {
                let mut dice = Dice(seed + 1 + number * 7919);
                let mut known = Known::new(format!("k{number}"));
                while !over.load(Ordering::Relaxed) {
                    known.act(caller, &mut dice);
                }
                known
            })
        };
        let clients: Vec<_> = (0..clients).map(client).collect();
        let mut dice = Dice(seed + 1);
        for _ in 0..kills {
            std::thread::sleep(patient(Duration::from_millis(dice.below(LIFE))));
            daemon.kill9();
            daemon.run_again();
        }
        over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    daemon.sc(&["admin", "waitready", "--timeout", "60"]).ok();
    let acknowledged: u32 = all.iter().map(|known| known.acknowledged).sum();
    println!("{kills} kills, {acknowledged} requests acknowledged");
    assert!(acknowledged > 2 * kills, "the daemon lives long enough to do something");
    for known in &all {
        known.check(&daemon);
        let _ = daemon.sc(&["delete", "--force", &known.name]);
    }
    left_nothing(&daemon, "all that", &before);
    let odd: Vec<_> = all.iter().flat_map(|known| &known.odd).collect();
    assert!(odd.is_empty(), "{odd:#?}");
}

#[test]
fn what_was_acknowledged_outlives_twenty_random_kills() {
    survives(20, 4);
}

#[test]
#[ignore = "takes minutes"]
fn what_was_acknowledged_outlives_two_hundred_random_kills() {
    survives(200, 8);
}
