//! The power of the daemon's disk is cut in the midst of twenty launches, some deletions and the
//! import of an image.
//!
//! What lies in the kernel's caches and was not synced is lost, as with a host that loses its power;
//! processes are killed. scripts/power-cuts does the same to a whole machine.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{
    Caller, Daemon, DiskKind, HostSnapshot, Options, eventually, left_nothing, status, warmed_with,
};

/// How many requests of a load are acknowledged when nothing goes wrong: 20 launches, 6 deletions, an
/// import.
const ALL: u64 = 27;

/// The longest that the load goes on after the last acknowledgement before the cut, in milliseconds.
const LONGER: u64 = 50;

/// The alias of an image that is imported under load.
const NEW: &str = "new";

/// What clients know.
#[derive(Debug, Default)]
struct Known {
    launched: BTreeSet<String>,
    deleting: BTreeSet<String>,
    deleted: BTreeSet<String>,
    imported: bool,
}

/// Runs `sc` and counts what is acknowledged; tells whether it was.
fn ask(caller: &Caller, said: &AtomicU64, args: &[&str]) -> bool {
    let done = caller.sc(args).code == 0;
    said.fetch_add(done.into(), Ordering::Relaxed);
    done
}

/// Launches, and deletes every third.
fn client(caller: &Caller, said: &AtomicU64, number: u32) -> Known {
    let name = format!("c{number}");
    let mut known = Known::default();
    if !ask(caller, said, &["launch", BUSYBOX, &name]) {
        return known;
    }
    known.launched.insert(name.clone());
    if number.is_multiple_of(3) {
        known.deleting.insert(name.clone());
        if ask(caller, said, &["delete", "--force", &name]) {
            known.deleted.insert(name);
        }
    }
    known
}

/// Loads the daemon and cuts its power some milliseconds after so many acknowledgements.
fn load_and_cut(daemon: &mut Daemon, (acknowledged, later): (u64, u64), cut: u32) -> Known {
    let said = AtomicU64::new(0);
    let image = Busybox::new();
    std::fs::write(image.root().join("etc/cut"), cut.to_string()).unwrap();
    let tarball = image.unified().display().to_string();
    let caller = daemon.caller();
    std::thread::scope(|scope| {
        let (caller, said) = (&caller, &said);
        let clients: Vec<_> =
            (1..=20).map(|number| scope.spawn(move || client(caller, said, number))).collect();
        let import = ["image", "import", &tarball, "--alias", NEW];
        let import = scope.spawn(move || ask(caller, said, &import));
        eventually("so much is acknowledged", Duration::from_secs(60), || {
            (said.load(Ordering::Relaxed) >= acknowledged).then_some(())
        });
        std::thread::sleep(Duration::from_millis(later));
        daemon.cut_power();
        let mut all = Known { imported: import.join().unwrap(), ..Known::default() };
        for client in clients {
            let known = client.join().unwrap();
            all.launched.extend(known.launched);
            all.deleting.extend(known.deleting);
            all.deleted.extend(known.deleted);
        }
        all
    })
}

fn comes_up(daemon: &Daemon, name: &str) {
    if status(daemon, name) == "Stopped" {
        daemon.sc(&["start", name]).ok();
    }
    eventually(&format!("{name} comes up"), Duration::from_secs(20), || {
        (daemon.exec(name, &["test", "-e", "/run/up"]).code == 0).then_some(())
    });
    assert_eq!(daemon.inside(name, "hostname"), name);
}

/// What was acknowledged is so, what is there is whole, and nothing else is there. Returns how many
/// instances were found.
fn holds(daemon: &Daemon, known: &Known, before: &HostSnapshot) -> usize {
    daemon.sc(&["admin", "waitready", "--timeout", "60"]).ok();
    let list = daemon.sc(&["list", "--format", "csv", "--columns", "n"]).ok().to_owned();
    let there: BTreeSet<String> = list.lines().map(str::to_owned).collect();
    let kept: BTreeSet<_> = known.launched.difference(&known.deleting).cloned().collect();
    assert!(kept.is_subset(&there), "acknowledged and gone: {kept:?}, there: {there:?}");
    assert!(known.deleted.is_disjoint(&there), "deleted and there: {known:?}, there: {there:?}");
    there.iter().for_each(|name| comes_up(daemon, name));
    if known.imported {
        daemon.sc(&["launch", NEW, "of-new"]).ok();
        comes_up(daemon, "of-new");
        daemon.sc(&["delete", "--force", "of-new"]).ok();
    }
    for name in &there {
        daemon.sc(&["delete", "--force", name]).ok();
    }
    // An import that was not acknowledged may have come as far as the image, and not to its alias.
    let images =
        daemon.sc(&["image", "list", "--format", "csv", "--columns", "fl"]).ok().to_owned();
    for image in images.lines().filter(|line| !line.ends_with(BUSYBOX)) {
        daemon.sc(&["image", "delete", image.split(',').next().unwrap()]).ok();
    }
    left_nothing(daemon, "a power cut", before);
    there.len()
}

fn survives(cuts: u32) {
    let mut seed: u64 = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
    println!("seed {seed}");
    let (mut daemon, before) = warmed_with(Options { disk: DiskKind::Own, ..Options::default() });
    let mut acknowledged = 0;
    for cut in 1..=cuts {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let moment = ((seed >> 33) % ALL, (seed >> 13) % LONGER);
        let known = load_and_cut(&mut daemon, moment, cut);
        daemon.run_again();
        let found = holds(&daemon, &known, &before);
        println!(
            "cut {cut}, {} ms after {} answers: {} launches, {} deletions acknowledged, image {}; {found} found",
            moment.1,
            moment.0,
            known.launched.len(),
            known.deleted.len(),
            if known.imported { "too" } else { "not" },
        );
        acknowledged += known.launched.len();
    }
    println!("{cuts} cuts, {acknowledged} launches acknowledged");
}

#[test]
#[ignore = "takes minutes"]
fn what_was_acknowledged_outlives_twenty_power_cuts() {
    survives(20);
}

/// Several clients at once, each with one request that is acknowledged; then the power is cut.
fn all_do_and_cut(daemon: &mut Daemon, names: &[String], words: &[&str]) {
    let caller = daemon.caller();
    std::thread::scope(|scope| {
        for name in names {
            scope.spawn(|| caller.sc(&[words, &[name]].concat()).ok().to_owned());
        }
    });
    daemon.cut_power();
    daemon.run_again();
}

// Commits within one tick of the clock had no times to change, and left behind what was done before them.
#[test]
fn volumes_are_there_and_gone_as_was_acknowledged_when_the_power_goes_at_once() {
    let (mut daemon, before) = warmed_with(Options { disk: DiskKind::Own, ..Options::default() });
    let names: Vec<String> = (1..=6).map(|number| format!("c{number}")).collect();
    for _ in 0..4 {
        all_do_and_cut(&mut daemon, &names, &["init", BUSYBOX]);
        for name in &names {
            daemon.sc(&["start", name]).ok();
            daemon.sc(&["stop", "--force", name]).ok();
        }
        all_do_and_cut(&mut daemon, &names, &["delete"]);
        left_nothing(&daemon, "a power cut behind deletions", &before);
    }
}
