//! Pools, networks and images that are made and taken away: by several at once, beside those who use
//! them, and by clients that do not wait for the answer.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::{Begun, Daemon, HostSnapshot, Ran, until};

const PATIENCE: Duration = Duration::from_secs(30);

/// How many of these commands succeed that begin at once.
fn how_many_succeed(daemon: &Daemon, args: &[&str], of: usize) -> usize {
    let all: Vec<_> = (0..of).map(|_| daemon.begin(args)).collect();
    all.into_iter().map(Begun::ended).filter(|ran| ran.code == 0).count()
}

/// Sends a request and leaves.
fn ask_and_leave(daemon: &Daemon, method: &str, path: &str, body: &str) {
    let mut stream = UnixStream::connect(daemon.dir().join("unix.socket")).unwrap();
    let length = body.len();
    let kind = "application/json";
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).unwrap();
    // As long as a request needs to be read, also by a busy machine; what it asks for takes longer.
    std::thread::sleep(Duration::from_millis(5));
}

fn names(daemon: &Daemon, what: &str) -> Vec<String> {
    let text = daemon.sc(&[what, "list", "-f", "csv"]).ok().to_owned();
    text.lines().filter_map(|line| Some(line.split_once(',')?.0.to_owned())).collect()
}

#[test]
fn what_a_client_asks_for_that_leaves_is_carried_out_and_outlives_the_daemon() {
    let mut daemon = Busybox::daemon();
    let before = HostSnapshot::of(&daemon.dir());
    daemon.sc(&["storage", "create", "pp", "dir"]).ok();
    for round in 0..4 {
        ask_and_leave(&daemon, "DELETE", "/1.0/storage-pools/pp", "");
        until("the pool is gone", PATIENCE, &false, || {
            names(&daemon, "storage").contains(&"pp".to_owned())
        });
        let body = r#"{"name":"pp","driver":"dir"}"#;
        ask_and_leave(&daemon, "POST", "/1.0/storage-pools", body);
        until("the pool is there", PATIENCE, &true, || {
            names(&daemon, "storage").contains(&"pp".to_owned())
        });
        let (network, body) = (format!("sct{round}x"), format!(r#"{{"name":"sct{round}x"}}"#));
        ask_and_leave(&daemon, "POST", "/1.0/networks", &body);
        until("the network is there", PATIENCE, &true, || {
            names(&daemon, "network").contains(&network)
        });
        daemon.sc(&["network", "delete", &network]).ok();
    }
    daemon.sc(&["launch", BUSYBOX, "v1", "-s", "pp"]).ok();
    daemon.inside("v1", "echo precious > /root/data");
    daemon.kill9();
    daemon.run_again();
    assert_eq!(daemon.inside("v1", "cat /root/data"), "precious");
    daemon.sc(&["delete", "v1", "--force"]).ok();
    daemon.sc(&["storage", "delete", "pp"]).ok();
    assert_eq!(HostSnapshot::of(&daemon.dir()).more_than(&before), Vec::<String>::new());
}

#[test]
fn one_of_several_makes_a_network_or_pool_and_one_takes_it_away() {
    let daemon = Daemon::start();
    let before = HostSnapshot::of(&daemon.dir());
    for round in 0..4 {
        let name = format!("sct{round}y");
        assert_eq!(how_many_succeed(&daemon, &["network", "create", &name], 4), 1);
        let list = daemon.sc(&["network", "list", "-f", "csv"]);
        let line = list.ok().lines().find(|line| line.starts_with(&name)).unwrap().to_owned();
        assert!(line.ends_with("CREATED"), "{line}");
        assert_eq!(how_many_succeed(&daemon, &["network", "delete", &name], 3), 1);
        assert_eq!(how_many_succeed(&daemon, &["storage", "create", "pp", "dir"], 4), 1);
        assert_eq!(how_many_succeed(&daemon, &["storage", "delete", "pp"], 3), 1);
    }
    assert_eq!(HostSnapshot::of(&daemon.dir()).more_than(&before), Vec::<String>::new());
}

#[test]
fn who_comes_to_use_a_pool_or_network_has_it_or_is_refused() {
    let daemon = Busybox::daemon();
    for round in 0..6 {
        let (pool, network) = (format!("p{round}"), format!("sct{round}z"));
        daemon.sc(&["storage", "create", &pool, "dir"]).ok();
        daemon.sc(&["network", "create", &network]).ok();
        let init = daemon.begin(&["init", BUSYBOX, "i1", "-s", &pool, "-n", &network]);
        std::thread::sleep(Duration::from_millis(round * 8));
        let mut gone = Vec::new();
        for delete in [["storage", "delete", &*pool], ["network", "delete", &*network]] {
            gone.push(daemon.sc(&delete).code == 0);
        }
        match init.ended().code {
            0 => {
                assert_eq!(gone, [false, false], "what it uses is there");
                daemon.sc(&["start", "i1"]).ok();
                daemon.sc(&["delete", "i1", "--force"]).ok();
            }
            _ => assert_eq!(daemon.sc(&["list", "-f", "csv"]).ok(), ""),
        }
        let _ = daemon.sc(&["storage", "delete", &pool]);
        let _ = daemon.sc(&["network", "delete", &network]);
        assert_eq!(names(&daemon, "storage").len(), 1);
    }
}

#[test]
fn a_profile_that_comes_to_name_a_network_keeps_it_or_is_refused() {
    let daemon = Daemon::start();
    for round in 0..6 {
        let network = format!("sct{round}p");
        let named = format!("network={network}");
        daemon.sc(&["network", "create", &network]).ok();
        let add = ["profile", "device", "add", "default", "eth1", "nic", &named];
        let add = daemon.begin(&add);
        std::thread::sleep(Duration::from_millis(round * 4));
        let gone = daemon.sc(&["network", "delete", &network]).code == 0;
        assert_eq!(add.ended().code != 0, gone, "round {round}");
        if !gone {
            daemon.sc(&["profile", "device", "remove", "default", "eth1"]).ok();
            daemon.sc(&["network", "delete", &network]).ok();
        }
    }
}

#[test]
fn an_image_that_is_deleted_while_it_is_unpacked_leaves_no_layer() {
    let daemon = Daemon::start();
    daemon.sc(&["storage", "create", "zz", "dir"]).ok();
    let layers = daemon.dir().join("storage-pools/zz/layers");
    for pause in [5, 15, 30, 60] {
        Busybox::import(&daemon);
        let launches =
            ["a", "b", "c"].map(|name| daemon.begin(&["init", BUSYBOX, name, "-s", "zz"]));
        std::thread::sleep(Duration::from_millis(pause));
        daemon.sc(&["image", "delete", BUSYBOX]).ok();
        for launch in launches {
            let Ran { code, stderr, .. } = launch.ended();
            let told = ["image busybox was deleted meanwhile", "\"busybox\" not found"];
            assert!(code == 0 || told.iter().any(|told| stderr.contains(told)), "{stderr}");
        }
        for name in daemon.sc(&["list", "-f", "csv", "-c", "n"]).ok().lines() {
            daemon.sc(&["delete", name, "--force"]).ok();
        }
        until("no layer is left", PATIENCE, &0, || {
            std::fs::read_dir(&layers).map_or(0, Iterator::count)
        });
    }
}

#[test]
fn keys_that_many_set_at_once_are_all_set() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    for verb in [["config", "set", "c1"], ["profile", "set", "default"]] {
        let settings: Vec<String> = (0..12).map(|number| format!("user.k{number}=1")).collect();
        let all = settings.iter().map(|setting| daemon.begin(&[&verb[..], &[setting]].concat()));
        let all: Vec<_> = all.collect();
        for child in all {
            child.ended().ok();
        }
        let show = [verb[0], "show", verb[2]];
        assert_eq!(daemon.sc(&show).ok().matches("user.k").count(), 12);
    }
}

#[test]
fn an_image_that_several_import_at_once_is_one_clients() {
    let daemon = Daemon::start();
    let busybox = Busybox::new();
    let (metadata, rootfs) = busybox.split();
    let import = [metadata, rootfs].map(|path| path.display().to_string());
    let import = ["image", "import", &import[0], &import[1]];
    for round in 0..6 {
        assert_eq!(how_many_succeed(&daemon, &import, 6), 1, "round {round}");
        let images = daemon.json(&["image", "list", "-f", "json"]);
        daemon.sc(&["image", "delete", images[0]["fingerprint"].as_str().unwrap()]).ok();
        let left = std::fs::read_dir(daemon.dir().join("images")).unwrap().count();
        assert_eq!(left, 0, "files of no image");
    }
}

#[test]
fn a_profile_that_a_launch_follows_is_not_deleted_meanwhile() {
    let daemon = Busybox::daemon();
    daemon.sc(&["launch", BUSYBOX, "first"]).ok();
    for round in 0..20 {
        daemon.sc(&["profile", "create", "work"]).ok();
        let launching = daemon.begin(&["launch", BUSYBOX, "c1", "-p", "default", "-p", "work"]);
        std::thread::sleep(Duration::from_millis(round));
        let deleted = daemon.sc(&["profile", "delete", "work"]);
        let launched = launching.ended();
        assert!(deleted.code != 0 || launched.code != 0, "both were done: {launched:?}");
        if launched.code == 0 {
            daemon.sc(&["restart", "--force", "c1"]).ok();
            daemon.sc(&["delete", "--force", "c1"]).ok();
            daemon.sc(&["profile", "delete", "work"]).ok();
        }
    }
}

#[test]
fn a_profile_changes_beside_an_instance_that_is_deleted() {
    let daemon = Busybox::daemon();
    daemon.sc(&["launch", BUSYBOX, "stays"]).ok();
    for round in 0..24 {
        daemon.sc(&["init", BUSYBOX, "goes"]).ok();
        let delete = daemon.begin(&["delete", "goes"]);
        std::thread::sleep(Duration::from_millis(round));
        let setting = format!("user.round={round}");
        daemon.sc(&["profile", "set", "default", &setting]).ok();
        delete.ended().ok();
    }
    let shown = daemon.sc(&["config", "show", "stays", "--expanded"]).ok().to_owned();
    assert!(shown.contains("user.round: \"23\""), "{shown}");
}

#[test]
fn a_launch_beside_a_change_of_its_profile_has_it() {
    let daemon = Busybox::daemon();
    for round in 0..12 {
        let launch = daemon.begin(&["launch", BUSYBOX, "c1"]);
        std::thread::sleep(Duration::from_millis(round * 6));
        let limit = format!("limits.processes={}", 500 + round);
        daemon.sc(&["profile", "set", "default", &limit]).ok();
        launch.ended().ok();
        let now = sc_tests::cgroup_value(&daemon, "c1", "pids", &["pids.max"]);
        assert_eq!(now, (500 + round).to_string(), "round {round}");
        daemon.sc(&["delete", "--force", "c1"]).ok();
    }
}

#[test]
fn a_launch_beside_a_change_of_its_profile_that_is_taken_back_does_not_keep_it() {
    let daemon = Busybox::daemon();
    daemon.sc(&["profile", "set", "default", "limits.memory=100MiB"]).ok();
    daemon.sc(&["launch", BUSYBOX, "large"]).ok();
    daemon.inside("large", "dd if=/dev/zero of=/dev/shm/fill bs=1M count=60 2>/dev/null");
    for round in 0..16 {
        let launch = daemon.begin(&["launch", BUSYBOX, "c1"]);
        std::thread::sleep(Duration::from_millis(round * 6));
        let shrunk = daemon.sc(&["profile", "set", "default", "limits.memory=40MiB"]);
        if shrunk.code == 0 {
            // With cgroup2 alone the kernel takes any limit and ends what is too large for it.
            assert!(
                sc_tests::memory_is_in_cgroup2(),
                "more is in use than the limit that was taken"
            );
            launch.ended().ok();
            let shown = daemon.sc(&["config", "show", "c1", "--expanded"]).ok().to_owned();
            assert!(shown.contains("40MiB"), "{shown}");
            return;
        }
        shrunk.refused("profile default: instance large: set limits.memory");
        launch.ended().ok();
        let files = ["memory.limit_in_bytes", "memory.max"];
        let now = sc_tests::cgroup_value(&daemon, "c1", "memory", &files);
        assert_eq!(now, (100 << 20).to_string(), "round {round}");
        let shown = daemon.sc(&["config", "show", "c1", "--expanded"]).ok().to_owned();
        assert!(shown.contains("100MiB"), "round {round}: {shown}");
        daemon.sc(&["delete", "--force", "c1"]).ok();
    }
}

fn patch_profiles(daemon: &Daemon, name: &str, profiles: &str) -> Begun {
    let path = format!("/1.0/instances/{name}");
    daemon.begin(&["query", "-X", "PATCH", "-d", &format!("{{\"profiles\":{profiles}}}"), &path])
}

#[test]
fn a_profile_that_an_instance_comes_to_follow_is_not_deleted_meanwhile() {
    let daemon = Busybox::daemon();
    daemon.sc(&["init", BUSYBOX, "c1"]).ok();
    for round in 0..40 {
        daemon.sc(&["profile", "create", "work"]).ok();
        let follow = patch_profiles(&daemon, "c1", r#"["default","work"]"#);
        std::thread::sleep(Duration::from_micros(round * 200));
        let deleted = daemon.sc(&["profile", "delete", "work"]);
        let followed = follow.ended();
        assert!(deleted.code != 0 || followed.code != 0, "both were done: {followed:?}");
        daemon.sc(&["profile", "set", "default", &format!("user.round={round}")]).ok();
        patch_profiles(&daemon, "c1", r#"["default"]"#).ended().ok();
        daemon.sc(&["profile", "delete", "work"]);
    }
}

#[test]
fn an_instance_that_comes_to_follow_a_profile_while_that_changes_has_what_it_says() {
    let daemon = Busybox::running();
    daemon.sc(&["profile", "create", "work"]).ok();
    for round in 0..40 {
        let follow = patch_profiles(&daemon, "c1", r#"["default","work"]"#);
        std::thread::sleep(Duration::from_micros(round * 200));
        let limit = format!("limits.processes={}", 500 + round);
        daemon.sc(&["profile", "set", "work", &limit]).ok();
        follow.ended().ok();
        let now = sc_tests::cgroup_value(&daemon, "c1", "pids", &["pids.max"]);
        assert_eq!(now, (500 + round).to_string(), "round {round}");
        patch_profiles(&daemon, "c1", r#"["default"]"#).ended().ok();
    }
}

#[test]
fn a_name_that_an_image_is_given_beside_its_deletion_goes_with_it() {
    let daemon = Daemon::start();
    for round in 0..8 {
        Busybox::import(&daemon);
        let fingerprint = names_of_images(&daemon).pop().unwrap();
        let names: Vec<_> = (0..6).map(|n| format!("other{n}")).collect();
        let delete = daemon.begin(&["image", "delete", &fingerprint]);
        let named: Vec<_> = names
            .iter()
            .map(|name| {
                std::thread::sleep(Duration::from_millis(round));
                daemon.begin(&["image", "alias", "create", name, &fingerprint])
            })
            .collect();
        named.into_iter().for_each(|create| drop(create.ended()));
        delete.ended().ok();
        assert_eq!(daemon.sc(&["image", "alias", "list", "-f", "csv"]).ok(), "", "round {round}");
    }
}

fn names_of_images(daemon: &Daemon) -> Vec<String> {
    let text = daemon.sc(&["image", "list", "-f", "csv", "-c", "F"]).ok().to_owned();
    text.lines().map(str::to_owned).collect()
}
