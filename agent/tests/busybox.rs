//! A busybox guest, from its boot to its end, by an agent started as the daemon starts it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod harness;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use harness::{Agent, Fixture, SIZE, eventually, is_alive, is_root, request};
use sc_agent_protocol::{
    BindMount, Event, ExecRequest, Exit, InitKind, Phase, Reply, Request, SeedFile, ToDaemon, Tree,
};

macro_rules! need_root {
    () => {
        if !is_root() {
            eprintln!("skipped: needs root");
            return;
        }
    };
}

fn console(agent: &mut Agent, force: bool) -> Option<UnixStream> {
    match agent.ask(Request::Console { size: Some(SIZE), force }, &[]) {
        (Reply::Console, mut fds) => Some(UnixStream::from(fds.remove(0))),
        (Reply::ConsoleBusy, _) => None,
        other => panic!("{other:?}"),
    }
}

fn read_until(stream: &mut UnixStream, wanted: &str) -> String {
    stream.set_read_timeout(Some(harness::PATIENCE)).unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&all).contains(wanted) {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "the console ended after {:?}", String::from_utf8_lossy(&all));
        all.extend(&buffer[..length]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

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
fn programs_have_their_streams_exit_codes_and_surroundings() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let (status, out, err) = agent.run(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((status, out.as_str(), err.as_str()), (7, "out\n", "err\n"));
    assert_eq!(agent.run(&["sh", "-c", "kill -9 $$"]).0, 137);

    let (_, environment, _) = agent.run(&["env"]);
    for line in ["HOME=/root", "USER=root", "LANG=C.UTF-8", "container=lxc"] {
        assert!(environment.lines().any(|found| found == line), "{line} in {environment}");
    }
    let as_web = ExecRequest {
        user: 33,
        group: 33,
        environment: vec![("A".into(), "b c".into())],
        ..request(&["sh", "-c", "id -u; id -G; pwd; echo $HOME $USER $A; touch x && stat -c %u x"])
    };
    assert_eq!(agent.run_as(&as_web).1, "33\n33\n/srv\n/srv web b c\n33\n");
    let elsewhere = ExecRequest { cwd: Some("/etc".into()), ..request(&["pwd"]) };
    assert_eq!(agent.run_as(&elsewhere).1, "/etc\n");

    let null =
        || -> Vec<OwnedFd> { (0..3).map(|_| File::open("/dev/null").unwrap().into()).collect() };
    let failed =
        |agent: &mut Agent, request: &ExecRequest| agent.start_exec(request, &null()).unwrap_err();
    assert_eq!(failed(&mut agent, &request(&["no-such-program"])), ("execve".into(), 2));
    assert_eq!(failed(&mut agent, &request(&["/etc/passwd"])), ("execve".into(), 13));
    let nowhere = ExecRequest { cwd: Some("/none".into()), ..request(&["pwd"]) };
    assert_eq!(failed(&mut agent, &nowhere).1, 2);
    let stranger = ExecRequest { user: 70_000, ..request(&["pwd"]) };
    assert_eq!(failed(&mut agent, &stranger).1, 22);
    let (_, script, _) =
        agent.run(&["sh", "-c", "echo 'echo by-shell $1' > /tmp/s; chmod 755 /tmp/s"]);
    assert_eq!(script, "");
    assert_eq!(agent.run(&["/tmp/s", "arg"]).1, "by-shell arg\n");
}

#[test]
fn a_program_in_a_terminal_has_it_as_its_own() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let command =
        "tty; stty size; test -c /dev/tty && echo ctty > /dev/tty; id -u; echo $TERM; exit 3";
    let request = ExecRequest {
        terminal: Some(SIZE),
        user: 33,
        group: 33,
        ..request(&["sh", "-c", command])
    };
    let (reply, mut fds) = agent.ask(Request::Exec(request), &[]);
    let Reply::ExecStarted { exec, .. } = reply else { panic!("{reply:?}") };
    let output = harness::read_all(File::from(fds.remove(0)));
    assert_eq!(output, "/dev/pts/1\r\n33 111\r\nctty\r\n33\r\nxterm\r\n");
    assert_eq!(agent.exited(exec), 3);
}

#[test]
fn a_signal_reaches_a_program_and_in_a_terminal_its_whole_group() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let null: Vec<OwnedFd> = (0..3).map(|_| File::open("/dev/null").unwrap().into()).collect();
    let exec = agent.start_exec(&request(&["sleep", "1000"]), &null).unwrap();
    assert_eq!(agent.ask(Request::Signal { exec, signal: 15 }, &[]).0, Reply::Done);
    assert_eq!(agent.exited(exec), 128 + 15);
    assert!(matches!(
        agent.ask(Request::Signal { exec, signal: 15 }, &[]).0,
        Reply::ExecFailed { errno: 3, .. }
    ));

    let command = "sleep 1000 & echo started; wait";
    let request = ExecRequest { terminal: Some(SIZE), ..request(&["sh", "-c", command]) };
    let (reply, mut fds) = agent.ask(Request::Exec(request), &[]);
    let Reply::ExecStarted { exec, .. } = reply else { panic!("{reply:?}") };
    let mut master = File::from(fds.remove(0));
    let mut buffer = [0; 64];
    let length = master.read(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"started\r\n");
    assert_eq!(agent.ask(Request::Signal { exec, signal: 9 }, &[]).0, Reply::Done);
    assert_eq!(agent.exited(exec), 137);
    eventually("its child has ended as well", || {
        agent.run(&["sh", "-c", "pidof sleep || echo none"]).1 == "none\n"
    });
}

#[test]
fn a_thousand_programs_leave_nothing_behind() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let descriptors =
        |agent: &Agent| std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count();
    let before = descriptors(&agent);
    let null: Vec<OwnedFd> = (0..3).map(|_| File::open("/dev/null").unwrap().into()).collect();
    let start = Instant::now();
    for _ in 0..1000 {
        let exec = agent.start_exec(&request(&["true"]), &null).unwrap();
        assert_eq!(agent.exited(exec), 0);
    }
    eprintln!("1,000 programs: {:?}", start.elapsed());
    assert!(descriptors(&agent) <= before);
    assert_eq!(fixture.cgroups.leaves(), Vec::<String>::new());
    let children = format!("/proc/{0}/task/{0}/children", agent.pid());
    let children = std::fs::read_to_string(children).unwrap();
    assert_eq!(children.split_whitespace().count(), 1, "PID 1 alone");
}

#[test]
fn the_cgroup_of_a_program_that_leaves_a_child_goes_when_the_child_has_ended() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    agent.run(&["sh", "-c", "sleep 1000 >/dev/null 2>&1 & exit 0"]);
    assert_eq!(agent.run(&["true"]).0, 0);
    agent.run(&["killall", "sleep"]);
    eventually("the leaf is gone", || {
        agent.run(&["true"]);
        fixture.cgroups.leaves().is_empty()
    });
}

#[test]
fn the_console_shows_a_shell_survives_hang_ups_and_has_one_client() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let mut first = console(&mut agent, false).unwrap();
    first.write_all(b"stty size; echo con''sole $((6*7))\n").unwrap();
    let text = read_until(&mut first, "console 42");
    assert!(text.contains("33 111"), "{text}");
    assert!(console(&mut agent, false).is_none());
    // Its shell ends, getty's successor hangs the terminal up and opens it again.
    first.write_all(b"exit\n").unwrap();
    agent.run(&[
        "sh",
        "-c",
        "exec setsid sh -c 'exec </dev/console >/dev/console; stty -echo; stty echo'",
    ]);
    let mut second = console(&mut agent, true).unwrap();
    first.read_to_end(&mut Vec::new()).expect("the first client's stream has ended");
    assert!(
        read_until(&mut second, "console 42").contains("con''sole"),
        "the ring begins the stream"
    );
    second.write_all(b"echo ag''ain\n").unwrap();
    read_until(&mut second, "again");
    let (reply, mut fds) = agent.ask(Request::ConsoleLog, &[]);
    assert_eq!(reply, Reply::Log);
    let log = harness::read_all(File::from(fds.remove(0)));
    assert!(log.contains("console 42") && fixture.read("console.log").contains("again"));
}

#[test]
fn a_console_client_that_never_reads_holds_nobody_up() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let _deaf = console(&mut agent, false).unwrap();
    let command = "head -c 3000000 /dev/zero | tr '\\0' x > /dev/console; echo done";
    assert_eq!(agent.run(&["sh", "-c", command]).1, "done\n");
    assert!(fixture.read("console.log").len() <= 64 * 1024, "the log is bounded");
}

#[test]
fn a_guest_that_reboots_comes_back_under_the_same_agent() {
    need_root!();
    let mut fixture = Fixture::busybox();
    fixture.spec.seed_files.push(seed("/etc/seeded", Some("first\n")));
    let mut agent = fixture.boot();
    agent.run(&[
        "sh",
        "-c",
        "echo mine > /etc/seeded; ip link set lo up; ip addr add 10.9.8.7/24 dev lo",
    ]);
    agent.run(&["ip", "link", "add", "made0", "type", "veth", "peer", "name", "made1"]);
    agent.run(&["reboot"]);
    agent.wait_for(|event| *event == Event::Rebooting);
    let pid = agent.started();
    assert!(is_alive(pid));
    assert_eq!(agent.run(&["cat", "/etc/seeded"]).1, "mine\n", "seeds are for the first boot");
    let (_, links, _) = agent.run(&["ip", "addr"]);
    assert!(!links.contains("10.9.8.7") && !links.contains("made0"), "{links}");
    let mut stream = console(&mut agent, false).unwrap();
    stream.write_all(b"echo li''ve\n").unwrap();
    read_until(&mut stream, "live");
    let record = fixture.read("exits");
    assert!(record.contains("rebooting") && record.contains("\"reboots\":1"), "{record}");
    agent.reconnect();
    let Some(Phase::Running { reboots: 1, init: InitKind::Busybox, .. }) = agent.phase else {
        panic!("{:?}", agent.phase)
    };
}

#[test]
fn a_guest_powers_itself_off() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let null: Vec<OwnedFd> = (0..3).map(|_| File::open("/dev/null").unwrap().into()).collect();
    agent.start_exec(&request(&["poweroff", "-f"]), &null).unwrap();
    assert_eq!(agent.ended(), Exit::Halted);
    assert!(agent.wait().success());
    assert!(fixture.read("exits").lines().last().unwrap().contains("halted"));
}

#[test]
fn a_guest_stops_in_order_by_its_inits_own_signal() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let start = Instant::now();
    assert_eq!(agent.ask(Request::Stop { signal: None }, &[]).0, Reply::Done);
    assert_eq!(agent.ended(), Exit::Halted);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert!(fixture.dir.path().join("rw/upper/var/stopped").exists(), "its shutdown lines ran");
    agent.wait();
}

#[test]
fn quit_kills_the_guest() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.start();
    let pid = agent.boot();
    assert_eq!(agent.ask(Request::Quit, &[]).0, Reply::Done);
    assert_eq!(agent.ended(), Exit::Killed { signal: 9 });
    assert!(agent.wait().success());
    assert!(!is_alive(pid));
}

#[test]
fn a_guest_dies_with_its_agent() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.start();
    let pid = agent.boot();
    agent.kill();
    agent.wait();
    eventually("the guest is gone", || !is_alive(pid));
}

#[test]
fn the_agent_outlives_its_daemon_and_serves_the_next_one() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.start();
    let pid = agent.boot();
    let null: Vec<OwnedFd> = (0..3).map(|_| File::open("/dev/null").unwrap().into()).collect();
    agent.start_exec(&request(&["sh", "-c", "sleep 0.3; reboot -f"]), &null).unwrap();
    agent.hang_up();
    sc_sys::process::send_signal(sc_sys::process::open_pidfd(agent.pid()).unwrap(), 15).unwrap();
    eventually("the guest has rebooted meanwhile", || {
        fixture.read("exits").contains("\"reboots\":1")
    });
    assert!(!is_alive(pid));
    agent.reconnect();
    assert!(matches!(agent.phase, Some(Phase::Running { reboots: 1, .. })), "{:?}", agent.phase);
    assert_eq!(agent.run(&["echo", "here"]).1, "here\n");
}

#[test]
fn an_agent_whose_daemon_leaves_before_the_first_boot_ends() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.start();
    agent.wait_for(|event| matches!(event, Event::NamespacesReady));
    agent.hang_up();
    assert!(agent.wait().success());
}

#[test]
fn an_unknown_request_is_answered_as_such() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let answer = agent.send_raw(br#"{"id":99,"request":{"from_the_future":{"x":1}}}"#);
    assert_eq!(answer, ToDaemon::Reply(99, Reply::Unsupported));
    assert_eq!(agent.ask(Request::Boot, &[]).0, Reply::WrongPhase(agent.phase_now()));
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

fn seed(path: &str, content: Option<&str>) -> SeedFile {
    SeedFile {
        path: path.into(),
        content: content.map(str::to_owned),
        mode: 0o640,
        uid: 0,
        gid: 33,
        only_existing: false,
        only_missing: false,
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
    fixture.spec.root = sc_agent_protocol::RootSpec::Directory { tree };
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
    fixture.spec.cgroup_view = Some(sc_agent_protocol::CgroupView::NamedSystemd);
    let mut agent = fixture.boot();
    let command = "cd /sys/fs/cgroup/systemd && mkdir mine && echo $$ > mine/cgroup.procs && grep systemd: /proc/self/cgroup";
    assert!(agent.run(&["sh", "-c", command]).1.ends_with(":name=systemd:/mine\n"));
}

#[test]
fn a_layer_or_cgroup_that_is_not_there_fails_by_name() {
    need_root!();
    let mut fixture = Fixture::busybox();
    fixture.spec.cgroup.unified = Some("/sys/fs/cgroup/none".into());
    let failure = boot_failure(&mut fixture.start());
    assert_eq!((failure.step.as_str(), failure.errno), ("open cgroup", 2));
    assert_eq!(failure.object, "/sys/fs/cgroup/none");

    let mut fixture = Fixture::busybox();
    let tree = Tree::Path("/var/tmp/no-such-layer".into());
    fixture.spec.root = sc_agent_protocol::RootSpec::Directory { tree };
    let failure = boot_failure(&mut fixture.start());
    assert!(failure.object.contains("no-such-layer"), "{failure:?}");
}

#[test]
fn the_guest_cannot_look_into_a_program_that_is_being_started() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    // A process of the guest that tries to read every other's descriptors, all the time.
    let null: Vec<OwnedFd> = (0..3).map(|_| File::open("/dev/null").unwrap().into()).collect();
    let spy = "while :; do ls -l /proc/[0-9]*/fd 2>/dev/null | grep -E 'cgroup|socket:' >> /tmp/seen; done";
    agent.start_exec(&request(&["sh", "-c", spy]), &null).unwrap();
    for _ in 0..200 {
        let exec = agent.start_exec(&request(&["true"]), &null).unwrap();
        agent.exited(exec);
    }
    assert_eq!(agent.run(&["cat", "/tmp/seen"]).1, "");
}

#[test]
fn a_stop_during_a_reboot_ends_the_guest() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let null: Vec<OwnedFd> = (0..3).map(|_| File::open("/dev/null").unwrap().into()).collect();
    agent.start_exec(&request(&["reboot", "-f"]), &null).unwrap();
    agent.wait_for(|event| *event == Event::Rebooting);
    assert_eq!(agent.ask(Request::Stop { signal: None }, &[]).0, Reply::Done);
    assert_eq!(agent.ended(), Exit::Halted);
}

fn boot_failure(agent: &mut Agent) -> sc_agent_protocol::BootFailure {
    match agent.wait_for(|event| matches!(event, Event::Failed(_))) {
        (Event::Failed(failure), _) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_without_init_fails_with_what_to_do() {
    need_root!();
    let fixture = Fixture::busybox();
    std::fs::remove_file(fixture.dir.path().join("image/sbin/init")).unwrap();
    std::fs::remove_file(fixture.dir.path().join("image/bin/init")).unwrap();
    let mut agent = fixture.start();
    let failure = boot_failure(&mut agent);
    assert_eq!((failure.step.as_str(), failure.errno), ("find init", 2));
    assert!(failure.object.contains("/sbin/init") && failure.remedy.is_some());
    assert!(agent.wait().success());
    assert!(fixture.read("exits").contains("failed"));
}

#[test]
fn an_init_for_another_processor_or_without_interpreter_fails_with_the_reason() {
    need_root!();
    let mut elf = std::fs::read("/bin/busybox").unwrap();
    elf[18] = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
    elf[19] = 0;
    for (program, errno, words) in
        [(elf.as_slice(), 8, "architecture"), (b"#!/no/such/thing\n", 2, "interpreter")]
    {
        let fixture = Fixture::busybox();
        let init = fixture.dir.path().join("image/sbin/init");
        std::fs::remove_file(&init).unwrap();
        std::fs::write(&init, program).unwrap();
        std::fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let mut agent = fixture.start();
        agent.wait_for(|event| matches!(event, Event::NamespacesReady));
        let (reply, _) = agent.ask(Request::Boot, &[]);
        let Reply::Failed(failure) = reply else { panic!("{reply:?}") };
        assert_eq!((failure.step.as_str(), failure.errno), ("execute init", errno));
        assert!(failure.remedy.unwrap().contains(words));
        boot_failure(&mut agent);
    }
}

#[test]
fn an_init_that_dies_at_once_is_a_failed_boot() {
    need_root!();
    let mut fixture = Fixture::busybox();
    fixture.spec.init = vec!["/bin/sh".into(), "-c".into(), "echo dying; exit 5".into()];
    let mut agent = fixture.boot();
    let failure = boot_failure(&mut agent);
    assert_eq!(failure.step, "run init");
    assert!(failure.object.starts_with("/bin/sh: exit status 5 after"), "{failure:?}");
    agent.wait();
    assert!(fixture.read("console.log").contains("dying"));
}

#[test]
fn a_stop_sent_as_soon_as_the_guest_starts_is_not_lost() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    agent.ask(Request::Stop { signal: None }, &[]);
    assert_eq!(agent.ended(), Exit::Halted);
}

#[test]
#[ignore = "measures, on a machine that does nothing else"]
fn measure_the_time_from_spawn_to_started() {
    need_root!();
    let mut times: Vec<(Duration, Duration)> = (0..30)
        .map(|_| {
            let fixture = Fixture::busybox();
            let mut agent = fixture.start();
            agent.wait_for(|event| matches!(event, Event::NamespacesReady));
            let namespaces = agent.spawned.elapsed();
            assert_eq!(agent.ask(Request::Boot, &[]).0, Reply::Done);
            (agent.spawned.elapsed(), namespaces)
        })
        .collect();
    times.sort();
    let namespaces: Vec<Duration> = times.iter().map(|(_, namespaces)| *namespaces).collect();
    eprintln!(
        "started: least {:?}, median {:?}; namespaces ready: median {:?}",
        times[0].0,
        times[times.len() / 2].0,
        namespaces[namespaces.len() / 2]
    );
}

#[test]
#[ignore = "measures the static agent that SC_TEST_AGENT names"]
fn measure_the_memory_of_an_agent() {
    need_root!();
    let (one, two) = (Fixture::busybox(), Fixture::busybox());
    let (mut agent, _second) = (one.boot(), two.boot());
    agent.run(&["true"]);
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", agent.pid())).unwrap();
    for line in rollup.lines().filter(|line| line.starts_with('P') || line.starts_with("Rss")) {
        eprintln!("{line}");
    }
}

#[test]
fn quit_ends_an_agent_in_every_phase() {
    need_root!();
    let fixture = Fixture::busybox();
    let mut agent = fixture.start();
    agent.wait_for(|event| matches!(event, Event::NamespacesReady));
    assert_eq!(agent.ask(Request::Quit, &[]).0, Reply::Done);
    assert!(agent.wait().success());

    let fixture = Fixture::busybox();
    let mut agent = fixture.boot();
    let null: Vec<OwnedFd> = (0..3).map(|_| File::open("/dev/null").unwrap().into()).collect();
    agent.start_exec(&request(&["reboot", "-f"]), &null).unwrap();
    agent.wait_for(|event| *event == Event::Rebooting);
    assert_eq!(agent.ask(Request::Quit, &[]).0, Reply::Done);
    assert_eq!(agent.ended(), Exit::Killed { signal: 9 });
    assert!(agent.wait().success());
}
