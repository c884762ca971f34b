//! The database is gone, damaged, another's, or on a full disk: what belongs to it is not touched, running
//! guests go on, and its return mends all.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Daemon, DiskKind, Options, Ran, pid, status};

/// The last line that the daemon has logged.
fn last_words(daemon: &Daemon) -> String {
    let log = fs::read_to_string(daemon.log_path()).unwrap();
    log.lines().last().unwrap_or_default().to_owned()
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_daemon_without_its_database_says_so_and_touches_nothing() {
    let mut daemon = Daemon::start();
    Busybox::import(&daemon);
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    let before = pid(&daemon, "c1");
    daemon.end();
    let (database, away) = (daemon.dir().join("database"), daemon.scratch().join("away"));
    fs::rename(&database, &away).unwrap();
    // The second finds what the first has found.
    for _ in 0..2 {
        daemon.dies_of("");
        let said = last_words(&daemon);
        assert!(said.contains("put the database back"), "{said}");
        assert!(said.contains("backup.yaml"), "{said}");
        assert!(!database.exists(), "an empty database was made");
    }
    fs::rename(&away, &database).unwrap();
    daemon.run_again();
    assert_eq!(pid(&daemon, "c1"), before);
    assert_eq!(daemon.inside("c1", "echo alive"), "alive");
}

/// What is done to the files of a database.
#[derive(Debug)]
enum Damage {
    Gone(&'static [&'static str]),
    /// Cut off at so many hundredths of what is in use.
    Cut(&'static str, u64),
    /// A byte is flipped at so many hundredths.
    Flipped(&'static str, u64),
    /// A byte of the header is flipped.
    Header(&'static str, u64),
    /// There is a file that is none of SQLite's.
    Stray(&'static str),
}

const DB: &str = "store.db";
const LOG: &str = "store.db-wal";

impl Damage {
    fn all() -> Vec<Self> {
        let mut all = vec![
            Self::Gone(&[DB]),
            Self::Gone(&[LOG]),
            Self::Gone(&[DB, LOG]),
            Self::Stray("store.db-shm"),
            Self::Stray("store.db-journal"),
        ];
        for hundredth in [0, 1, 50, 99] {
            all.extend([DB, LOG].map(|name| Self::Cut(name, hundredth)));
        }
        for hundredth in [2, 20, 40, 60, 80, 99] {
            all.extend([DB, LOG].map(|name| Self::Flipped(name, hundredth)));
        }
        for at in [0, 9, 18, 22] {
            all.extend([DB, LOG].map(|name| Self::Header(name, at)));
        }
        all
    }

    /// Damages what lies in `folder`.
    fn harm(&self, folder: &Path) {
        let open = |name: &str| {
            let file = fs::File::options().read(true).write(true).open(folder.join(name)).unwrap();
            let length = file.metadata().unwrap().len();
            // Of the log only a part is in use.
            (file, if name == LOG { length.min(25 * 4120) } else { length })
        };
        match self {
            Self::Gone(names) => {
                names.iter().for_each(|name| fs::remove_file(folder.join(name)).unwrap());
            }
            Self::Cut(name, hundredth) => {
                let (file, used) = open(name);
                file.set_len(used * hundredth / 100).unwrap();
            }
            Self::Flipped(name, hundredth) => {
                let (file, used) = open(name);
                flip(&file, used * hundredth / 100);
            }
            Self::Header(name, at) => flip(&open(name).0, *at),
            Self::Stray(name) => fs::write(folder.join(name), [0xa5; 5000]).unwrap(),
        }
    }
}

fn flip(file: &fs::File, at: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x5a], at).unwrap();
}

#[test]
fn a_damaged_database_is_told_or_loses_its_last_transaction_and_guests_go_on() {
    const PROFILES: usize = 12;
    let mut daemon = Daemon::start();
    Busybox::import(&daemon);
    daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
    let before = pid(&daemon, "c1");
    // Out of the log, and then something into it.
    daemon.restart();
    for number in 0..PROFILES {
        daemon.sc(&["profile", "create", &format!("p{number}")]).ok();
    }
    daemon.kill9();
    let (database, whole) = (daemon.dir().join("database"), daemon.scratch().join("whole"));
    copy(&database, &whole);
    let (mut alive, mut refused) = (0, 0);
    for damage in Damage::all() {
        copy(&whole, &database);
        damage.harm(&database);
        if daemon.outlives("") {
            alive += 1;
            assert_eq!(pid(&daemon, "c1"), before, "{damage:?}");
            let profiles = daemon.json(&["profile", "list", "-f", "json"]);
            let count = profiles.as_array().unwrap().len();
            assert!(count >= PROFILES, "{damage:?}: {count} profiles are there");
            daemon.sc(&["profile", "create", "new"]).ok();
            daemon.kill9();
        } else {
            refused += 1;
            let said = last_words(&daemon);
            let names = said.contains("store.db") || said.contains("the database in");
            assert!(said.starts_with("scd: ") && names, "{damage:?}: {said}");
            let remedy = ["move ", "put ", "truncate "].iter().any(|word| said.contains(word));
            assert!(remedy, "{damage:?}: {said}");
        }
        assert!(Path::new(&format!("/proc/{before}")).exists(), "{damage:?}: the guest has died");
    }
    let log = fs::read_to_string(daemon.log_path()).unwrap();
    assert!(!log.contains("panicked"), "a daemon panicked");
    println!("damaged databases: {alive} lost no more than a transaction, {refused} were refused");
    assert!(alive > 2 && refused > 20, "{alive}, {refused}");
    copy(&whole, &database);
    daemon.run_again();
    assert_eq!(pid(&daemon, "c1"), before);
    daemon.sc(&["stop", "c1"]).ok();
    assert_eq!(status(&daemon, "c1"), "Stopped");
}

/// Fills a file system to its last block; removing the file makes room.
fn fill(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("filler");
    let mut file = fs::File::create(&path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![1; size]).and_then(|()| file.sync_data()).is_ok() {}
    }
    path
}

/// It was refused because something is full, and says what.
#[track_caller]
fn full(ran: &Ran, dir: &Path) {
    ran.refused(&dir.display().to_string());
    let text = ran.stderr.to_lowercase();
    assert!(text.contains("no space left") || text.contains("is full"), "{}", ran.stderr);
}

/// Makes profiles of this size until one is refused.
fn committed_until_full(daemon: &Daemon, size: usize) -> Ran {
    let value = "x".repeat(size);
    let text = format!("config:\n  user.x: {value}\ndescription: ''\ndevices: {{}}\n");
    let mut made = (0..1000).map(|number| {
        let name = format!("p{size}-{number}");
        let made = daemon.sc(&["profile", "create", &name]);
        if made.code != 0 {
            return made;
        }
        daemon.sc_with_input(&["profile", "edit", &name], text.as_bytes())
    });
    made.find(|ran| ran.code != 0).expect("the store is full in the end")
}

#[test]
fn on_a_full_disk_changes_are_refused_reads_go_on_and_room_mends_all() {
    let args = |log: &str| vec!["--logfile".to_owned(), log.to_owned()];
    let daemon = Daemon::start_with(Options { disk: DiskKind::Small(64), ..Options::default() });
    let dir = daemon.dir();
    // What is logged goes to the full disk as well.
    let mut daemon = daemon;
    daemon.end();
    daemon.set_args(args(&dir.join("scd.log").display().to_string()));
    daemon.run_again();
    Busybox::import(&daemon);
    for name in ["c1", "c2"] {
        daemon.sc(&["launch", BUSYBOX, name]).ok();
    }
    let before = pid(&daemon, "c1");
    let filler = fill(&dir);
    full(&daemon.sc(&["launch", BUSYBOX, "c3"]), &dir);
    // The store has room of its own, which is filled as well.
    for size in [500_000, 20_000, 1] {
        full(&committed_until_full(&daemon, size), &dir);
    }
    let changes: [&[&str]; 6] = [
        &["launch", BUSYBOX, "c3"],
        &["init", BUSYBOX, "c3"],
        &["config", "set", "c1", "user.x=1"],
        &["profile", "create", "p1"],
        &["delete", "--force", "c2"],
        &["storage", "create", "p2", "dir"],
    ];
    let mut refused = 0;
    for change in changes {
        // What is given back when one is refused may be room for the next.
        let ran = daemon.sc(change);
        if ran.code != 0 {
            full(&ran, &dir);
            refused += 1;
        }
        assert_eq!(pid(&daemon, "c1"), before, "{change:?}");
        assert_eq!(daemon.inside("c1", "echo alive"), "alive", "{change:?}");
        daemon.sc(&["info", "c1"]).ok();
    }
    assert!(refused >= 2, "{refused} changes were refused");
    fs::remove_file(filler).unwrap();
    daemon.sc(&["config", "set", "c1", "user.x=1"]).ok();
    daemon.sc(&["profile", "create", "p2"]).ok();
    if status(&daemon, "c2") != "-" {
        daemon.sc(&["delete", "--force", "c2"]).ok();
    }
    daemon.sc(&["launch", BUSYBOX, "c4"]).ok();
    assert_eq!(daemon.inside("c4", "echo alive"), "alive");
    assert_eq!(pid(&daemon, "c1"), before);
    daemon.restart();
    assert_eq!(pid(&daemon, "c1"), before);
    let log = fs::read_to_string(daemon.log_path()).unwrap();
    assert!(!log.contains("panicked"), "the daemon panicked");
}

#[test]
fn a_daemon_that_was_killed_starts_on_a_full_disk_and_takes_deletions() {
    let mut daemon =
        Daemon::start_with(Options { disk: DiskKind::Small(64), ..Options::default() });
    Busybox::import(&daemon);
    for name in ["c1", "c2"] {
        daemon.sc(&["launch", BUSYBOX, name]).ok();
    }
    daemon.restart();
    let before = pid(&daemon, "c1");
    // Pages that the database's file has no room for yet.
    for number in 0..40 {
        let note = format!("user.note={}", "x".repeat(4000));
        daemon.sc(&["profile", "create", &format!("p{number}"), &note]).ok();
    }
    daemon.kill9();
    let filler = fill(&daemon.dir());
    for _ in 0..2 {
        daemon.run_again();
        assert_eq!(daemon.json(&["profile", "list", "-f", "json"]).as_array().unwrap().len(), 41);
        assert_eq!(pid(&daemon, "c1"), before);
        let log = fs::read_to_string(daemon.log_path()).unwrap();
        assert!(log.contains("cannot be emptied into the store: make room"), "{log}");
        daemon.kill9();
    }
    daemon.run_again();
    daemon.sc(&["delete", "--force", "c2"]).ok();
    daemon.sc(&["profile", "delete", "p0"]).ok();
    daemon.kill9();
    daemon.run_again();
    assert_eq!((status(&daemon, "c1"), status(&daemon, "c2")), ("Running".into(), "-".into()));
    assert_eq!(daemon.json(&["profile", "list", "-f", "json"]).as_array().unwrap().len(), 40);
    fs::remove_file(filler).unwrap();
    daemon.restart();
    daemon.sc(&["launch", BUSYBOX, "c3"]).ok();
    assert_eq!(pid(&daemon, "c1"), before);
}
