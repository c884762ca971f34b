//! Nothing is made or removed outside that the journal does not know of.

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Effect, Host, effects, report};

/// What ARCHITECTURE.md names as being found without the journal, or as what no crash leaves anything of.
const UNJOURNALED: [&str; 7] = [
    // Claims of id ranges.
    "/run/sc/idmap",
    // The store's own files.
    "/database/",
    // The copy beside a volume.
    "backup.yaml",
    // Logs.
    "/logs/",
    // What is on its way out.
    "/trash",
    // The tables that a network makes anew.
    "/networks/",
    // The copy beside the volume of the instance before, on its way to its name.
    "/volumes/c1 ",
];

fn shown(what: &str, effects: &[Effect]) {
    for effect in effects {
        report("effects of a launch and a deletion", &format!("{what}: {effect}"));
    }
}

fn needs_journal(effect: &&Effect) -> bool {
    !UNJOURNALED.iter().any(|path| effect.object.contains(path))
}

#[test]
fn every_effect_of_a_launch_and_a_deletion_stands_in_the_journal_before() {
    // In a network of its own: the daemon looks at what others do to the rules of its own.
    Host::run(|_| {
        let daemon = Busybox::daemon();
        daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
        let launch = effects(&daemon, || {
            daemon.sc(&["launch", BUSYBOX, "c2"]).ok();
        });
        shown("launch", &launch);
        // The first commit writes down the creation and the run.
        let early: Vec<_> =
            launch.iter().filter(|e| e.commits == 0).filter(needs_journal).collect();
        assert!(early.is_empty(), "{early:?}");
        for made in ["mkdir", "mkdirat", "renameat2", "bind", "clone3", "sendto"] {
            assert!(launch.iter().any(|e| e.call == made), "no {made} is seen");
        }

        let deletion = effects(&daemon, || {
            daemon.sc(&["delete", "--force", "c2"]).ok();
        });
        shown("delete --force", &deletion);
        // Commits: that it is stopped, the end of the run, the begin of the deletion, the end of it.
        let between = |e: &&Effect| matches!(e.commits, 2 | 4);
        let outside: Vec<_> = deletion.iter().filter(between).filter(needs_journal).collect();
        assert!(outside.is_empty(), "{outside:?}");
        for made in ["rmdir", "unlink"] {
            assert!(deletion.iter().any(|e| e.call == made), "no {made} is seen");
        }
    });
}
