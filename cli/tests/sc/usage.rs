//! Errors, help and what the environment says.

use crate::harness::{Cli, finish, plain_command};

#[test]
fn a_failure_is_one_sentence_and_code_1() {
    let cli = Cli::new();
    assert_eq!(cli.error(&["info", "nope"]), "Error: Instance \"nope\" not found: see sc list");
    assert_eq!(cli.error(&["start", "nope"]), "Error: Instance \"nope\" not found: see sc list");
    assert_eq!(cli.error(&["launch", "broken", "c1"]), "Error: unpack image: tar ends too early");
    assert_eq!(cli.error(&["launch", "missing", "c1"]), "Error: Image alias not found");
}

#[test]
fn a_name_that_is_a_slip_away_from_another_is_asked_about() {
    let cli = Cli::new();
    assert_eq!(
        cli.error(&["info", "wbe1"]),
        "Error: Instance \"wbe1\" not found: see sc list (did you mean \"web1\"?)"
    );
    let ran = cli.run(&["start", "web", "db"]);
    assert!(
        ran.stderr
            .contains("Error: Instance \"web\" not found: see sc list (did you mean \"web1\"?)")
    );
}

#[test]
fn a_value_that_is_a_slip_away_from_another_is_asked_about() {
    let cli = Cli::new();
    assert!(cli.usage(&["list", "-f", "cvs"]).ends_with("(did you mean \"csv\"?)"));
    assert!(cli.usage(&["list", "statsu=running"]).ends_with("(did you mean \"status\"?)"));
    let image = cli.error(&["image", "info", "debian:bookwrm"]);
    assert!(image.ends_with("(did you mean \"debian:bookworm\"?)"), "{image}");
}

#[test]
fn help_that_cannot_be_written_is_a_failure() {
    for words in [&["start", "--help"][..], &["--version"]] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let ran = finish(plain_command(words).stdout(full));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_eq!(ran.stderr, "Error: write standard output: No space left on device\n");
    }
}

#[test]
fn wrong_usage_is_one_sentence_and_code_2() {
    let cli = Cli::new();
    for words in [&["lst"][..], &["start"], &["list", "--nope"], &["launch"], &["list", "-f", "x"]]
    {
        let ran = cli.run(words);
        assert_eq!(ran.code, Some(2), "{words:?}: {ran:?}");
        assert!(ran.stderr.starts_with("Error: ") && ran.stderr.lines().count() == 1, "{ran:?}");
    }
    assert!(cli.fake.lines().is_empty());
}

#[test]
fn a_daemon_that_does_not_run_is_named_with_what_starts_it() {
    let ran = finish(plain_command(&["list"]).env("SC_DIR", "/nonexistent"));
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.starts_with(
            "Error: there is no socket /nonexistent/unix.socket: start the daemon as root with `"
        ),
        "{ran:?}"
    );
    assert!(ran.stderr.ends_with("` (the path is from SC_DIR)\n"), "{ran:?}");
    let ran = finish(plain_command(&["list"]).env("SC_SOCKET", "/etc/passwd"));
    assert_eq!(
        ran.stderr,
        "Error: /etc/passwd cannot be the daemon's socket: it is no socket (the path is from \
         SC_SOCKET)\n"
    );
}

#[test]
fn help_and_version_need_no_daemon() {
    let ran = finish(plain_command(&["--help"]).env("SC_DIR", "/nonexistent"));
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("launch") && ran.stdout.contains("Exit codes"), "{ran:?}");
    let ran = finish(&mut plain_command(&["list", "--help"]));
    assert!(ran.stdout.contains("Columns:\n  n  Name\n"), "{}", ran.stdout);
    for group in ["config", "profile"] {
        let ran = finish(&mut plain_command(&[group, "set", "--help"]));
        assert!(ran.stdout.contains("\n  limits.memory ") && !ran.stdout.contains("volatile"));
    }
    let ran = finish(&mut plain_command(&["--version"]));
    assert!(ran.stdout.starts_with("sc "), "{ran:?}");
}

#[test]
fn nothing_is_coloured_in_a_pipe() {
    let cli = Cli::new();
    for words in [&["--help"][..], &["list"], &["info", "nope"], &["lst"]] {
        let ran = cli.run(words);
        assert!(!ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'), "{ran:?}");
    }
}

#[test]
fn what_the_environment_asks_for_is_refused_where_it_is_not_there() {
    let cli = Cli::new();
    let ran = finish(cli.command(&["list"]).env("SC_PROJECT", "other"));
    assert!(ran.stderr.contains("only \"default\""), "{ran:?}");
    let ran = finish(cli.command(&["list"]).env("SC_REMOTE", "nope"));
    assert!(ran.stderr.contains("no remote \"nope\""), "{ran:?}");
}

#[test]
fn each_command_has_a_page_of_the_manual() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let ran = finish(&mut plain_command(&["man", pages.to_str().unwrap()]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
    assert!(page("sc.1").contains("Exit codes:"));
    let add = page("sc-config-device-add.1");
    for part in ["Add a device to an instance", "<DEVICE> <TYPE> [KEY=VALUE]..."] {
        assert!(add.contains(part), "{part}: {add}");
    }
    assert!(page("sc-network-create.1").contains("\n  ipv4.address "), "lines stay lines");
}

#[test]
fn the_remote_that_was_switched_to_is_meant_until_another_is() {
    let cli = Cli::new();
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let ran = finish(cli.command(words).env("SC_CONF", folder.path().join("sc")));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    };
    assert_eq!(run(&["remote", "get-default"]), "local\n");
    run(&["remote", "switch", "debian:"]);
    assert_eq!(run(&["remote", "get-default"]), "debian\n");
    assert!(run(&["remote", "list", "-f", "csv"]).contains("debian,,packages,YES"));
    run(&["launch", "12", "c1"]);
    assert_eq!(cli.fake.last("POST /1.0/instances").body["source"]["protocol"], "packages");
    assert!(run(&["info", "web1"]).contains("Name: web1"));
    run(&["start", "db1"]);
    run(&["exec", "web1", "--", "true"]);
    run(&["delete", "db1"]);
    assert!(run(&["image", "list", "-f", "csv"]).contains("12 (3 more)"));
    run(&["image", "delete", "bb"]);
    run(&["remote", "switch", "local"]);
    assert_eq!(run(&["remote", "get-default"]), "local\n");
}

#[test]
fn settings_that_cannot_be_read_are_named() {
    let cli = Cli::new();
    let folder = tempfile::tempdir().unwrap();
    for (text, said) in
        [("default-remoet: x\n", "default-remoet"), ("default-remote: nope\n", "\"nope\"")]
    {
        std::fs::write(folder.path().join("config.yaml"), text).unwrap();
        let ran = finish(cli.command(&["list"]).env("SC_CONF", folder.path()));
        assert!(matches!(ran.code, Some(1 | 2)) && ran.stderr.contains(said), "{ran:?}");
    }
}
