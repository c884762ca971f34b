//! Many lives of guests, after which everything is as it was: descriptors, threads, memory, disk, and
//! what the daemon has on the host.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use sc_tests::guests::BUSYBOX;
use sc_tests::{Daemon, HostSnapshot, eventually, left_nothing, report, warmed};

/// What one daemon holds and has grown to.
#[derive(Debug, Clone)]
struct Weight {
    descriptors: usize,
    threads: u64,
    /// Memory that is its own, in KiB.
    memory: u64,
    /// What its folder takes on disk, in KiB.
    disk: u64,
}

impl Weight {
    fn of(daemon: &Daemon) -> Self {
        let proc = format!("/proc/{}", daemon.pid());
        let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        Self {
            descriptors: std::fs::read_dir(format!("{proc}/fd")).unwrap().count(),
            threads: field("Threads:"),
            memory: field("RssAnon:"),
            disk: blocks_below(&daemon.dir()) / 2,
        }
    }

    /// Of a daemon that has come to rest: its spare threads go after ten seconds.
    fn at_rest(daemon: &Daemon, before: &HostSnapshot) -> Self {
        left_nothing(daemon, "the soak", before);
        let mut last = Self::of(daemon);
        eventually("the daemon comes to rest", Duration::from_secs(60), || {
            std::thread::sleep(Duration::from_secs(11));
            let now = Self::of(daemon);
            let rests = now.threads == last.threads && now.descriptors == last.descriptors;
            last = now.clone();
            rests.then_some(now)
        })
    }

    fn shown(&self) -> String {
        let Self { descriptors, threads, memory, disk } = self;
        format!(
            "{descriptors} descriptors, {threads} threads, {memory} KiB memory, {disk} KiB disk"
        )
    }
}

/// In units of 512 bytes.
fn blocks_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => blocks_below(&entry.path()),
        // It is kept to a size of its own.
        Ok(_) if entry.file_name().to_string_lossy().starts_with("dnsmasq.log") => 0,
        Ok(meta) => meta.blocks(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

fn one_life(daemon: &Daemon, name: &str) {
    daemon.sc(&["launch", BUSYBOX, name, "-c", "limits.memory=64MiB"]).ok();
    assert_eq!(daemon.inside(name, "hostname"), name);
    daemon.sc(&["config", "set", name, "user.life=1"]).ok();
    daemon.sc(&["restart", "--force", name]).ok();
    daemon.sc(&["stop", "--force", name]).ok();
    daemon.sc(&["delete", name]).ok();
}

fn soaked(lives: u32, name: &str) {
    let (daemon, before) = warmed();
    // An allocator grows with the first of them.
    for _ in 0..lives / 2 {
        one_life(&daemon, "c1");
    }
    let first = Weight::at_rest(&daemon, &before);
    for _ in 0..lives / 2 {
        one_life(&daemon, "c1");
    }
    let last = Weight::at_rest(&daemon, &before);
    report(name, &format!("before: {}\nafter:  {}\n", first.shown(), last.shown()));
    assert!(last.descriptors <= first.descriptors + 2, "{first:?} {last:?}");
    assert!(last.threads <= first.threads + 1, "{first:?} {last:?}");
    // A leak of a page in each life would show.
    assert!(last.memory <= first.memory + 2048 + u64::from(lives), "{first:?} {last:?}");
    assert!(last.disk <= first.disk + 256, "{first:?} {last:?}");
}

#[test]
fn forty_lives_leave_the_daemon_as_it_was() {
    soaked(40, "soak of 40 lives");
}

#[test]
#[ignore = "takes minutes"]
fn a_thousand_lives_leave_the_daemon_as_it_was() {
    soaked(1000, "soak of 1,000 lives");
}
