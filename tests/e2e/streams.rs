//! `exec` and `console`: streams that lose nothing, terminals that are terminals.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use sc_tests::guests::Busybox;
use sc_tests::{Daemon, Terminal, eventually, full};
use sha2::{Digest, Sha256};

#[test]
fn a_slow_reader_of_much_output_loses_nothing() {
    let daemon = Busybox::running();
    // With --full what the manual promises; else enough to overrun every buffer many times.
    let mebibytes: u64 = if full() { 2048 } else { 256 };
    let line =
        format!("dd if=/dev/zero bs=1M count={mebibytes} 2>/dev/null | tr '\\0' x; echo end");
    let mut command = daemon.command(&["exec", "c1", "--", "sh", "-c", &line]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (mut total, mut others) = (0u64, Vec::new());
    let mut buffer = vec![0; 1 << 20];
    let mut pauses = 40;
    loop {
        let read = stdout.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        total += read as u64;
        others.extend(buffer[..read].iter().copied().filter(|byte| *byte != b'x'));
        if pauses > 0 {
            pauses -= 1;
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(total, (mebibytes << 20) + 4);
    assert_eq!(others, b"end\n");
}

#[test]
fn much_input_arrives_whole() {
    let daemon = Busybox::running();
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(16 << 20)
    .collect();
    let expected: String = Sha256::digest(&noise).iter().map(|b| format!("{b:02x}")).collect();
    let ran = daemon.sc_with_input(&["exec", "c1", "--", "sha256sum"], &noise);
    assert!(ran.ok().starts_with(&expected), "{ran:?}");
}

#[test]
fn a_program_whose_reader_left_ends_and_hinders_nobody() {
    let daemon = Busybox::running();
    let mut command = daemon.command(&["exec", "c1", "--", "sh", "-c", "exec yes marked"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 4096];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    child.wait().unwrap();
    eventually("the program ends without its reader", Duration::from_secs(20), || {
        let left = daemon.inside("c1", "ps | grep -q '[y]es marked' && echo there || echo none");
        (left == "none").then_some(())
    });
    assert_eq!(daemon.inside("c1", "echo alive"), "alive");
}

#[test]
fn a_program_gets_as_many_arguments_as_the_kernel_takes() {
    let daemon = Busybox::running();
    let words: Vec<_> = (0..16_000).map(|n| format!("{n:064}")).collect();
    let variables: Vec<_> = (0..1000).map(|n| format!("V{n}={}", "x".repeat(200))).collect();
    let mut line = vec!["exec", "c1"];
    line.extend(variables.iter().flat_map(|variable| ["--env", variable]));
    let script = "echo $#; shift 15999; echo $1; env | grep -c '^V[0-9]*=xxx'";
    line.extend(["--", "sh", "-c", script, "sh"]);
    line.extend(words.iter().map(String::as_str));
    assert_eq!(daemon.sc(&line).ok(), format!("16000\n{}\n1000", words[15_999]));

    let client = daemon.client();
    for command in
        [&["echo", &*"x".repeat(128 << 10)][..], &[&["echo"][..], &["x"; 300_000]].concat()]
    {
        let error = daemon.wait(client.exec_output("c1", command)).unwrap_err().to_string();
        assert!(error.contains("(E2BIG)") && error.contains("in a file"), "{error}");
    }
}

#[test]
fn many_programs_run_at_once() {
    let daemon = Busybox::running();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let daemon = &daemon;
            let mut command = daemon.command(&[
                "exec",
                "c1",
                "--",
                "sh",
                "-c",
                &format!("sleep 1; echo {number}"),
            ]);
            scope.spawn(move || {
                let output = command.output().unwrap();
                let told = String::from_utf8_lossy(&output.stderr);
                assert_eq!(
                    String::from_utf8_lossy(&output.stdout),
                    format!("{number}\n"),
                    "{told}"
                );
            });
        }
    });
}

#[test]
fn a_terminal_has_the_size_of_the_window_and_follows_it() {
    let daemon = Busybox::running();
    let mut shell = Terminal::run(&daemon, &["exec", "c1", "--", "sh"], (97, 31));
    shell.expect("#");
    shell.type_in("stty size\n");
    shell.expect("31 97");
    shell.resize((120, 40));
    eventually("the new size", Duration::from_secs(10), || {
        let sizes = daemon.inside("c1", "for t in /dev/pts/[0-9]*; do stty -F $t size; done");
        sizes.contains("40 120").then_some(())
    });
    shell.type_in("stty size\n");
    shell.expect("40 120");
    shell.type_in("exit 3\n");
    assert_eq!(shell.ended().code(), Some(3));
}

#[test]
fn keys_reach_the_program_as_signals() {
    let daemon = Busybox::running();
    let mut shell =
        Terminal::run(&daemon, &["exec", "c1", "--", "sh", "-c", "cat; echo got $?"], (80, 24));
    shell.type_in("hello\n");
    shell.expect("hello\r\nhello");
    shell.type_in("\u{3}");
    assert_eq!(shell.ended().code(), Some(130), "ctrl-c ends the program, not its client");
}

#[test]
fn a_signal_to_the_client_reaches_the_program() {
    let daemon = Busybox::running();
    let line = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let mut command = daemon.command(&["exec", "c1", "--", "sh", "-c", line]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    stdout.read_exact(&mut ready).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("caught\n", Some(9)));
}

#[test]
fn a_login_on_the_console_gives_a_shell() {
    let daemon = Busybox::running();
    daemon.inside("c1", "passwd -d root 2>/dev/null || sed -i 's/root:x:/root::/' /etc/passwd");
    let mut console = Terminal::run(&daemon, &["console", "c1"], (80, 24));
    console.expect("To detach");
    console.type_in("\n");
    console.expect("login:");
    console.type_in("root\n");
    console.expect("#");
    console.type_in("tty\n");
    console.expect("/dev/console");
    console.type_in("\u{1}q");
    assert!(console.ended().success(), "the detach keys leave");
    assert!(daemon.sc(&["console", "--show-log", "c1"]).ok().contains("login:"));
}

#[test]
fn a_second_client_of_the_console_is_told_unless_it_takes_over() {
    let daemon = Busybox::running();
    let mut first = Terminal::run(&daemon, &["console", "c1"], (80, 24));
    first.expect("To detach");
    first.type_in("\n");
    first.expect("login:");
    let mut second = Terminal::run(&daemon, &["console", "c1"], (80, 24));
    second.expect("already connected");
    assert_eq!(second.ended().code(), Some(1));
    let mut third = Terminal::run(&daemon, &["console", "--force", "c1"], (80, 24));
    third.expect("To detach");
    third.type_in("\n");
    third.expect("login:");
    first.ended();
    third.type_in("\u{1}q");
    assert!(third.ended().success());
}

#[test]
fn what_runs_in_a_guest_that_stops_ends_with_it() {
    let daemon = Busybox::running();
    let mut command = daemon.command(&["exec", "c1", "--", "sleep", "1000"]);
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    eventually("the program runs", Duration::from_secs(10), || {
        (!daemon.inside("c1", "pidof sleep || true").is_empty()).then_some(())
    });
    daemon.sc(&["stop", "--force", "c1"]).ok();
    let status =
        eventually("its client ends", Duration::from_secs(10), || child.try_wait().unwrap());
    assert!(!status.success());
}

/// Starts `sleep SECONDS` in c1 through a client of its own, and waits until it runs.
fn sleeper(daemon: &Daemon, options: &[&str], seconds: &str) -> std::process::Child {
    let args = [&["exec"], options, &["c1", "--", "sleep", seconds]].concat();
    let mut command = daemon.command(&args);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    eventually("the program runs", Duration::from_secs(10), || runs(daemon, seconds).then_some(()));
    child.unwrap()
}

fn runs(daemon: &Daemon, seconds: &str) -> bool {
    daemon.inside("c1", "ps -o args").lines().any(|line| line == format!("sleep {seconds}"))
}

#[test]
fn what_runs_inside_ends_with_a_daemon_that_is_killed() {
    let mut daemon = Busybox::running();
    let clients = [("-T", "1001"), ("-t", "1002")]
        .map(|(terminal, seconds)| sleeper(&daemon, &[terminal], seconds));
    daemon.kill9();
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("the connection to the daemon broke"), "{said}");
    }
    daemon.run_again();
    eventually("both programs end", Duration::from_secs(10), || {
        let left = runs(&daemon, "1001") || runs(&daemon, "1002");
        (!left).then_some(())
    });
}

/// Breaks the daemon's connections to its agents, which nobody else has.
fn break_connections_to_agents(daemon: &Daemon) {
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

    let folder = format!("/proc/{}", daemon.pid());
    let table = std::fs::read_to_string(format!("{folder}/net/unix")).unwrap();
    // Num, RefCount, Protocol, Flags, Type (5 is SOCK_SEQPACKET), St, Inode.
    let sockets: Vec<String> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|line| line.get(4) == Some(&"0005"))
        .map(|line| format!("socket:[{}]", line[6]))
        .collect();
    let pid = Pid::from_raw(daemon.pid().try_into().unwrap()).unwrap();
    let daemon = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let mut broken = 0;
    for entry in std::fs::read_dir(format!("{folder}/fd")).unwrap() {
        let entry = entry.unwrap();
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        if sockets.iter().any(|socket| target.as_os_str() == socket.as_str()) {
            let number = entry.file_name().to_str().unwrap().parse().unwrap();
            let socket = pidfd_getfd(&daemon, number, PidfdGetfdFlags::empty()).unwrap();
            rustix::net::shutdown(&socket, rustix::net::Shutdown::Both).unwrap();
            broken += 1;
        }
    }
    assert!(broken > 0, "no connection to an agent: {table}");
}

#[test]
fn a_program_whose_daemon_has_lost_its_agents_connection_ends_with_that_reason() {
    let daemon = Busybox::running();
    let clients = [("-T", "1001"), ("-t", "1002")]
        .map(|(terminal, seconds)| sleeper(&daemon, &[terminal], seconds));
    break_connections_to_agents(&daemon);
    for client in clients {
        let output = client.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("the connection to the instance's agent broke"), "{said}");
        assert!(!said.contains("daemon"), "{said}");
    }
}

#[test]
fn what_runs_inside_ends_with_a_client_that_is_killed() {
    let daemon = Busybox::running();
    for (terminal, seconds) in [("-T", "1001"), ("-t", "1002")] {
        let mut client = sleeper(&daemon, &[terminal], seconds);
        client.kill().unwrap();
        client.wait().unwrap();
        eventually("the program ends", Duration::from_secs(10), || {
            (!runs(&daemon, seconds)).then_some(())
        });
    }
}

#[test]
fn a_program_in_a_terminal_whose_client_is_killed_can_still_save_what_it_has() {
    let daemon = Busybox::running();
    let line = "trap 'echo saved > /root/saved; exit' HUP; echo ready; while :; do sleep 0.1; done";
    let mut command = daemon.command(&["exec", "-t", "c1", "--", "sh", "-c", line]);
    let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    client.stdout.take().unwrap().read_exact(&mut [0; 5]).unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
    eventually("it has saved", Duration::from_secs(10), || {
        (daemon.inside("c1", "cat /root/saved 2>/dev/null || true") == "saved").then_some(())
    });
}
