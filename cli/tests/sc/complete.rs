//! Completion, as shells ask for it.

use std::process::Stdio;

use crate::harness::{Cli, finish, plain_command};

/// Has a real bash complete a line at its end, where it splits the line into such words; and returns
/// what it may put in place of the last, each in brackets.
fn bash(cli: &Cli, line: &str, split: &[&str]) -> String {
    let last = split.last().unwrap();
    let current = if [":", "="].contains(last) { "" } else { last };
    let script = r#"
        source <(sc completion bash)
        COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 current=$2
        COMP_WORDS=("${@:3}") COMP_CWORD=$(($# - 3))
        _sc sc "$current" "${COMP_WORDS[COMP_CWORD - 1]}"
        if ((${#COMPREPLY[@]})); then printf '[%s]' "${COMPREPLY[@]}"; fi"#;
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_sc")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "-c", script, "bash", line, current]).args(split);
    for (name, value) in cli.command(&[]).get_envs() {
        match value {
            Some(value) => bash.env(name, value),
            None => bash.env_remove(name),
        };
    }
    let ran = finish(bash.env("PATH", path).stdin(Stdio::null()));
    assert_eq!((ran.code.is_some(), ran.stderr.as_str()), (true, ""), "{ran:?}");
    ran.stdout
}

/// The same where nothing but spaces splits.
fn completed(cli: &Cli, line: &str) -> String {
    bash(cli, line, &line.split(' ').collect::<Vec<_>>())
}

#[test]
fn shells_complete_verbs_and_names() {
    let cli = Cli::new();
    for shell in ["zsh", "fish"] {
        let ran = finish(&mut plain_command(&["completion", shell]));
        assert!(ran.stdout.contains("SC_COMPLETE"), "{ran:?}");
    }
    assert!(completed(&cli, "sc la").contains("[launch]"));
    assert_eq!(completed(&cli, "sc stop w"), "[web1]");
    assert!(completed(&cli, "sc launch debian").contains("[debian:12]"));
    assert_eq!(completed(&cli, "sc launch b"), "[bb]");
    assert_eq!(completed(&cli, "sc config set web1 limits.mem"), "[limits.memory=]");
    assert!(completed(&cli, "sc config get web1 user").contains("[user.]"));
}

#[test]
fn bash_completes_words_that_go_on_after_a_colon_or_an_equals_sign() {
    let cli = Cli::new();
    let images = bash(&cli, "sc launch debian:", &["sc", "launch", "debian", ":"]);
    assert!(images.contains("[12]") && !images.contains("debian"), "{images}");
    let images = bash(&cli, "sc launch debian:1", &["sc", "launch", "debian", ":", "1"]);
    assert!(images.contains("[12]") && !images.contains("[sid]"), "{images}");
    let launch = ["sc", "launch", "bb", "--network", "=", "sc"];
    assert_eq!(bash(&cli, "sc launch bb --network=sc", &launch), "[scbr0]");
    assert_eq!(bash(&cli, "sc launch bb --network=", &launch[..5]), "[scbr0]");
    let set = ["sc", "config", "set", "web1", "limits.cpu", "=", "2", "limits.mem"];
    assert_eq!(bash(&cli, "sc config set web1 limits.cpu=", &set[..6]), "");
    assert_eq!(bash(&cli, "sc config set web1 limits.cpu=2 limits.mem", &set), "[limits.memory=]");
    let images = bash(&cli, "sc launch debian:boo", &["sc", "launch", "debian", ":", "boo"]);
    assert!(images.starts_with("[bookworm]"), "{images}");
    // Where they stand alone they begin nothing.
    let names = bash(&cli, "sc start x: ", &["sc", "start", "x", ":", ""]);
    assert!(names.starts_with("[web1][db1]"), "{names}");
    // And where the user lets bash not split there.
    assert!(completed(&cli, "sc launch debian:1").contains("[debian:12]"));
}

#[test]
fn what_is_unset_or_removed_is_completed_by_what_there_is() {
    let cli = Cli::new();
    let ends = |line: &str, with: &str| {
        let names = completed(&cli, line);
        let names = names.split("[-").next().unwrap();
        assert_eq!(names, with, "{line}");
    };
    ends("sc config unset web1 ", "[user.owner]");
    ends("sc config unset web1 limits", "");
    ends("sc profile device remove default ", "[eth0][root]");
    ends("sc -q profile device get default r", "[root]");
    ends("sc profile device unset default root ", "[path][pool][type]");
    ends("sc profile device add default r", "");
    ends("sc profile device add default d disk p", "[path=][pool=]");
    ends("sc profile device add default d disk netw", "");
    ends("sc config device override web1 r", "[root]");
}

#[test]
fn keys_are_completed_from_the_table_that_they_are_read_by() {
    let cli = Cli::new();
    assert_eq!(completed(&cli, "sc network create n1 ipv4.add"), "[ipv4.address=]");
    assert_eq!(completed(&cli, "sc network create n1 user"), "[user.]");
    assert!(completed(&cli, "sc storage create p1 ").starts_with("[overlay][dir]"));
    assert_eq!(completed(&cli, "sc storage create p1 dir s"), "[source=]");
    assert_eq!(completed(&cli, "sc profile device set default root p"), "[path=][pool=]");
    assert_eq!(completed(&cli, "sc profile device get default eth0 h"), "[hwaddr]");
    assert_eq!(completed(&cli, "sc config set web1 volatile"), "");
    assert!(completed(&cli, "sc config get web1 volatile").contains("[volatile.uuid]"));
    assert!(completed(&cli, "sc image copy ").contains("[debian:12]"));
}
