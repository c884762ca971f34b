//! What the everyday operations cost, counted: a change that makes one of them dearer has to say so
//! here. The times are in docs/performance.md.

use std::time::Duration;

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Counts, Daemon, Host, traced};

/// A daemon that has done everything once, and has nothing to do.
fn quiet() -> Daemon {
    let daemon = Busybox::running();
    daemon.exec("c1", &["true"]).ok();
    daemon.sc(&["list"]).ok();
    std::thread::sleep(Duration::from_secs(3));
    daemon
}

#[track_caller]
fn at_most(what: &str, seen: &Counts, most: &Counts) {
    println!("{what}: {seen:?}");
    let Counts { commits, syncs, processes, netlink, calls } = most;
    let within = seen.commits <= *commits
        && seen.syncs <= *syncs
        && seen.processes <= *processes
        && seen.netlink <= *netlink
        && seen.calls <= *calls;
    assert!(within, "{what} costs {seen:?}, and may cost {most:?}");
}

#[test]
fn a_launch_an_exec_a_list_and_a_deletion_cost_no_more_than_they_did() {
    // In a network of its own: the daemon looks at what others do to the rules of its own.
    Host::run(|_| {
        let daemon = quiet();
        let launch = traced(&daemon, || {
            daemon.sc(&["launch", BUSYBOX, "c2"]).ok();
        });
        // The syncs are those of the copy beside the volume, for which no launch waits.
        let most = Counts { commits: 2, syncs: 2, processes: 1, netlink: 2, calls: 400 };
        at_most("launch", &launch, &most);
        assert!(launch.commits >= 2 && launch.processes == 1, "it is counted: {launch:?}");
        // It is written behind.
        std::thread::sleep(Duration::from_secs(2));

        let exec = traced(&daemon, || drop(daemon.exec("c1", &["true"])));
        at_most("exec", &exec, &Counts { calls: 50, ..Counts::default() });

        let list = traced(&daemon, || {
            daemon.sc(&["list"]).ok();
        });
        at_most("list", &list, &Counts { calls: 60, ..Counts::default() });

        // Whether the guest is gone is looked at until it is, more often where all is slow.
        let deletions = ["c2", "c3", "c4"].map(|name| {
            if name != "c2" {
                daemon.sc(&["launch", BUSYBOX, name]).ok();
                std::thread::sleep(Duration::from_secs(2));
            }
            traced(&daemon, || drop(daemon.sc(&["delete", name, "--force"])))
        });
        let delete = deletions.into_iter().min_by_key(|seen| seen.calls).unwrap();
        assert!(delete.commits > 0, "it is counted: {delete:?}");
        let most = Counts { commits: 4, syncs: 0, processes: 0, netlink: 6, calls: 480 };
        at_most("delete --force", &delete, &most);
    });
}
