//! The world that a guest finds, and what its root may be made of.

use sc_agent_protocol::{
    BindMount, CgroupView, Event, ExecRequest, Reply, Request, RootSpec, Tree,
};

use crate::harness::{Fixture, request, seed};
use crate::need_root;

#[test]
fn a_guest_boots_and_finds_the_world_that_it_expects() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    eprintln!("spawn to started: {:?}", agent.spawned.elapsed());
    let mut read = |command: &str| agent.run(&["sh", "-c", command]).1;

    let base = fixture.spec.ids.base;
    let map: Vec<String> =
        read("cat /proc/self/uid_map").split_whitespace().map(str::to_owned).collect();
    assert_eq!(map, ["0", &base.to_string(), "65536"]);
    assert_eq!(read("cat /proc/1/comm"), "init\n");
    assert_eq!(read("hostname"), "guest1\n");
    assert_eq!(read("cat /proc/self/cgroup | grep ^0:"), "0::/.sc-exec-4\n");
    assert_eq!(read("cat /proc/1/cgroup | grep ^0:"), "0::/\n");
    assert_eq!(read("ls /sys/kernel/debug /dev/hugepages | grep -v :"), "\n");
    let devices =
        read("cd /dev; ls null zero full random urandom tty console tty1 ptmx fd shm mqueue");
    assert_eq!(devices.matches("No such").count(), 0);
    assert_eq!(read("echo x > /dev/null && head -c 3 /dev/zero | wc -c"), "3\n");
    assert_eq!(read("stat -c %a /tmp /dev/shm"), "1777\n1777\n");
    let log = fixture.read("agent.log");
    for line in ["init is /sbin/init: busybox init", "init runs, pid "] {
        assert!(log.contains(line), "{line} in {log}");
    }
    assert!(!log.contains('{'), "words, no structures: {log}");
    assert_eq!(read("mknod /root/null c 1 3 2>/dev/null || echo refused"), "refused\n");
    assert_eq!(read("grep -c . /proc/net/dev"), "3\n");
    // What init itself was born with.
    let status = read("cat /proc/1/status");
    for line in [
        "SigBlk:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "CapInh:\t0000000000000000",
        "Umask:\t0022",
    ] {
        assert!(status.contains(line), "{line} in {status}");
    }
    let ignored = status.lines().find(|line| line.starts_with("SigIgn")).unwrap();
    assert!(!ignored.ends_with("1000"), "SIGPIPE is at its default: {ignored}");
    assert_eq!(read("ls /proc/1/fd | tr '\\n' ' '"), "0 1 2 ");
    assert_eq!(read("cat /proc/1/oom_score_adj"), "0\n");
    let environment = read("tr '\\0' '\\n' < /proc/1/environ");
    assert!(environment.lines().any(|line| line == "container=lxc"));
    // Sixteen bits of access on disk are the guest's own.
    assert_eq!(read("touch /root/new && stat -c %u:%g /root/new"), "0:0\n");
    assert_eq!(
        read("cp /bin/busybox /root/su && chmod 4755 /root/su && stat -c %a /root/su"),
        "4755\n"
    );
    let on_disk = std::fs::metadata(fixture.dir.path().join("rw/upper/root/new")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&on_disk), 0, "unshifted on disk");
}

#[test]
fn devices_are_open_to_everyone_inside_whatever_the_hosts_modes_are() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let devices = ["fuse", "net/tun"].into_iter().filter(|name| {
        // What the host does not have the guest has not either.
        std::path::Path::new("/dev").join(name).exists()
    });
    for device in devices.chain(["null", "tty"]) {
        let mode = format!("stat -c %a /dev/{device}");
        assert_eq!(agent.run(&["sh", "-c", &mode]).1, "666\n", "{device}");
        if device == "tty" {
            continue; // Without a terminal there is none to open.
        }
        let open = format!("exec 3<>/dev/{device} && echo opened");
        for user in [0, 33] {
            let request = ExecRequest { user, group: user, ..request(&["sh", "-c", &open]) };
            assert_eq!(agent.run_as(&request).1, "opened\n", "{device} by {user}");
        }
        let change = format!("chmod 600 /dev/{device} 2>/dev/null || echo refused");
        assert_eq!(agent.run(&["sh", "-c", &change]).1, "refused\n", "{device}");
    }
}

#[test]
fn seed_files_and_binds_are_there_before_init_runs() {
    need_root!();
    let mut fixture = Fixture::busybox();
    let shared = fixture.dir.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("file"), "from the host").unwrap();
    fixture.spec.seed_files.push(seed("/etc/deep/seeded", Some("x")));
    for (device, readonly) in [("data", false), ("fixed", true)] {
        fixture.spec.binds.push(BindMount {
            device: device.into(),
            source: Tree::Path(shared.clone()),
            target: format!("/mnt/{device}").into(),
            readonly,
            idmapped: true,
            recursive: false,
        });
    }
    fixture.spec.binds.push(BindMount {
        device: "one".into(),
        source: Tree::Path(shared.join("file")),
        target: "/etc/one".into(),
        readonly: true,
        idmapped: true,
        recursive: false,
    });
    let mut agent = fixture.boot();
    let mut read = |command: &str| agent.run(&["sh", "-c", command]).1;
    assert_eq!(read("stat -c %a:%u:%g /etc/deep/seeded"), "640:0:33\n");
    assert_eq!(read("cat /mnt/data/file; stat -c :%u /mnt/data/file"), "from the host:0\n");
    assert_eq!(read("touch /mnt/data/new && echo ok"), "ok\n");
    assert_eq!(read("touch /mnt/fixed/no 2>/dev/null || echo refused"), "refused\n");
    assert_eq!(read("cat /etc/one"), "from the host");
}

/// A seccomp program that refuses one system call with an error number.
fn refuse(call: u32, errno: u32) -> Vec<u8> {
    const LOAD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let program: [(u16, u8, u8, u32); 4] = [
        (LOAD, 0, 0, 0),
        (JUMP_EQUAL, 0, 1, call),
        (RETURN, 0, 0, 0x0005_0000 | errno),
        (RETURN, 0, 0, 0x7fff_0000),
    ];
    let bytes = |(code, yes, no, value): (u16, u8, u8, u32)| {
        let mut one = code.to_ne_bytes().to_vec();
        one.extend([yes, no]);
        one.extend(value.to_ne_bytes());
        one
    };
    program.into_iter().flat_map(bytes).collect()
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_seccomp_program_holds_for_init_and_for_programs() {
    need_root!();
    const UMASK: u32 = 95;
    let mut fixture = Fixture::busybox();
    fixture.spec.seccomp_fd = Some(0);
    // The agent itself sets the mask before the program is loaded.
    let program = refuse(UMASK, 38);
    let fd = sc_sys::memfd::sealed("seccomp", &program, sc_sys::memfd::Content::Data).unwrap();
    let mut agent = fixture.start_with(&[fd]);
    agent.boot();
    let modes = agent.run(&["sh", "-c", "grep -h ^Seccomp: /proc/1/status /proc/self/status"]).1;
    assert_eq!(modes, "Seccomp:\t2\nSeccomp:\t2\n");
    let as_web =
        ExecRequest { user: 33, group: 33, ..request(&["grep", "^Seccomp:", "/proc/self/status"]) };
    assert_eq!(agent.run_as(&as_web).1, "Seccomp:\t2\n");
}

#[test]
fn a_directory_is_a_root_as_well_as_an_overlay() {
    need_root!();
    let mut fixture = Fixture::busybox();
    let tree = Tree::Path(fixture.dir.path().join("image"));
    fixture.spec.root = RootSpec::Directory { tree };
    let mut agent = fixture.boot();
    assert_eq!(agent.run(&["sh", "-c", "touch /root/x; stat -c %u /root/x; findmnt -no options / 2>/dev/null || grep ' / ' /proc/mounts | grep -c nodev"]).1, "0\n1\n");
    assert!(fixture.dir.path().join("image/root/x").exists());
}

#[test]
fn an_old_systemd_would_find_its_named_hierarchy() {
    need_root!();
    let mut fixture = Fixture::busybox();
    if fixture.spec.cgroup.v1.is_empty() {
        return;
    }
    fixture.spec.cgroup_view = Some(CgroupView::NamedSystemd);
    let mut agent = fixture.boot();
    let command = "cd /sys/fs/cgroup/systemd && mkdir mine && echo $$ > mine/cgroup.procs && grep systemd: /proc/self/cgroup";
    assert!(agent.run(&["sh", "-c", command]).1.ends_with(":name=systemd:/mine\n"));
}

#[test]
fn addresses_are_told_when_they_change() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    agent.run(&["sh", "-c", "ip link set lo up; ip addr add 10.1.2.3/24 dev lo"]);
    let has_it = |event: &Event| {
        let Event::Interfaces(all) = event else { return false };
        all.iter().flat_map(|one| &one.addresses).any(|one| one.address.to_string() == "10.1.2.3")
    };
    agent.wait_for(has_it);
    let (reply, _) = agent.ask(Request::Interfaces, &[]);
    let Reply::Interfaces(all) = reply else { panic!("{reply:?}") };
    assert_eq!(
        (all.len(), all[0].name.as_str(), all[0].loopback, all[0].up),
        (1, "lo", true, true)
    );
}

#[test]
fn an_interface_with_very_many_addresses_leaves_the_others_theirs() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let line = "ip link add other type veth peer name peer; ip addr add 10.1.2.3/24 dev other
        for a in 1 2 3; do for b in $(seq 200); do ip addr add 10.9.$a.$b/32 dev lo; done; done";
    assert_eq!(agent.run(&["sh", "-c", line]).0, 0);
    let (reply, _) = agent.ask(Request::Interfaces, &[]);
    let Reply::Interfaces(all) = reply else { panic!("{reply:?}") };
    let of = |name: &str| all.iter().find(|one| one.name == name).unwrap().addresses.len();
    assert_eq!((of("lo"), of("other")), (64, 1));
}
