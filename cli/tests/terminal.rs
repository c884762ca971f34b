//! The command line on a terminal, against a small server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../../client/tests/fake/mod.rs"]
mod fake;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use fake::Fake;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A terminal of 100 columns and 30 lines: the user's side, and the program's.
fn terminal() -> (File, OwnedFd) {
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, Vec::new()).unwrap();
    let program = rustix::fs::open(
        &*name,
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    let size = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&program, size).unwrap();
    (user.into(), program)
}

fn start(fake: &Fake, words: &[&str], environment: &[(&str, &str)]) -> (File, Child) {
    let (user, program) = terminal();
    let end = || Stdio::from(program.try_clone().unwrap());
    let child = Command::new(env!("CARGO_BIN_EXE_sc"))
        .args(words)
        .env_remove("NO_COLOR")
        .env_remove("VISUAL")
        .env("SC_SOCKET", &fake.socket)
        .env("TERM", "xterm")
        .envs(environment.iter().copied())
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap();
    (user, child)
}

/// All that the program shows until it ends. (A terminal whose program has gone gives EIO.)
fn all(mut user: &File, mut child: Child) -> (String, Option<i32>) {
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = user.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..read]);
    }
    (String::from_utf8_lossy(&shown).into_owned(), child.wait().unwrap().code())
}

#[test]
fn exec_on_a_terminal_gives_one_of_the_same_size() {
    let fake = Fake::start();
    let (mut user, child) =
        start(&fake, &["exec", "web1", "--", "sh", "-c", "read x; echo got $x"], &[]);
    user.write_all(b"hello\n").unwrap();
    let (shown, code) = all(&user, child);
    assert_eq!(code, Some(0));
    assert!(shown.contains("got hello"), "{shown:?}");
    let body = fake.last("POST").body;
    assert_eq!(body["interactive"], true);
    assert_eq!((&body["width"], &body["height"]), (&100.into(), &30.into()));
    assert_eq!(body["environment"]["TERM"], "xterm");
}

#[test]
fn exec_without_a_terminal_can_be_asked_for_on_one() {
    let fake = Fake::start();
    let (user, child) = start(&fake, &["exec", "web1", "-T", "--", "echo", "hi"], &[]);
    assert_eq!(all(&user, child), ("hi\r\n".to_owned(), Some(0)));
    assert_eq!(fake.last("POST").body["interactive"], false);
}

#[test]
fn a_shell_is_a_login() {
    let fake = Fake::start();
    let (mut user, child) = start(&fake, &["shell", "web1"], &[]);
    user.write_all(b"exit 3\n").unwrap();
    assert_eq!(all(&user, child).1, Some(3));
    let command = fake.last("POST").body["command"].to_string();
    assert!(command.contains("su -l") && command.contains("sh -l"), "{command}");
}

#[test]
fn progress_moves_on_a_terminal_and_is_cleared() {
    let fake = Fake::start();
    let (user, child) = start(&fake, &["launch", "slow", "c1"], &[]);
    let (shown, code) = all(&user, child);
    assert_eq!(code, Some(0));
    assert!(shown.contains("Unpacking") && shown.contains('\r'), "{shown:?}");
    assert!(shown.trim_end().ends_with("Launched c1"), "{shown:?}");
}

/// The user's side, read until it shows `text`.
fn until(mut user: &File, text: &str) -> String {
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&shown).contains(text) {
        let read = user.read(&mut buffer).unwrap();
        shown.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(shown).unwrap()
}

#[test]
fn a_refused_edit_goes_on_where_it_was() {
    let fake = Fake::start();
    let folder = tempfile::tempdir().unwrap();
    let editor = folder.path().join("editor");
    // The first visit sets a key that is refused, the second sets it right.
    let script = "#!/bin/sh\n\
        if grep -q no.key \"$1\"; then sed -i s/no.key/user.key/ \"$1\"\n\
        else sed -i 's/user.owner: ann/no.key: ann/' \"$1\"; fi\n";
    std::fs::write(&editor, script).unwrap();
    let editor = format!("sh {}", editor.display());
    let (mut user, child) = start(&fake, &["config", "edit", "web1"], &[("EDITOR", &editor)]);
    let shown = until(&user, "stays in ");
    assert!(shown.contains("Unknown configuration key: no.key"), "{shown:?}");
    user.write_all(b"\n").unwrap();
    assert_eq!(all(&user, child).1, Some(0));
    assert_eq!(fake.last("PUT").body["config"], serde_json::json!({"user.key": "ann"}));
}

/// Edits with a script as the editor, whose `$1` is the file; what is shown, the code, and the text that
/// is said to be kept.
fn edited(fake: &Fake, script: &str) -> (String, Option<i32>, Option<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let editor = folder.path().join("editor");
    std::fs::write(&editor, script).unwrap();
    let editor = format!("sh {}", editor.display());
    let (mut user, child) = start(fake, &["config", "edit", "web1"], &[("EDITOR", &editor)]);
    // The end of the input, for whoever asks.
    user.write_all(b"\x04").unwrap();
    let (shown, code) = all(&user, child);
    let kept = shown.rsplit_once("text is kept in ").map(|(_, file)| {
        let text = std::fs::read(file.trim_end()).unwrap();
        std::fs::remove_file(file.trim_end()).unwrap();
        text
    });
    (shown, code, kept)
}

#[test]
fn a_text_that_is_not_utf8_is_kept() {
    let (shown, code, kept) = edited(&Fake::start(), "printf 'description: J\\344ger' >\"$1\"");
    assert!(shown.contains("the YAML for instance web1 is not UTF-8"), "{shown:?}");
    assert_eq!((code, kept.as_deref()), (Some(1), Some(&b"description: J\xe4ger"[..])));
}

#[test]
fn the_text_of_an_editor_that_fails_is_kept_if_it_was_changed() {
    for end in ["kill -9 $$", "exit 1"] {
        let script = format!("printf 'description: new' >\"$1\"; {end}");
        let (shown, code, kept) = edited(&Fake::start(), &script);
        assert!(shown.contains("the editor sh "), "{shown:?}");
        assert_eq!((code, kept.as_deref()), (Some(1), Some(&b"description: new"[..])), "{shown}");
        let (shown, code, kept) = edited(&Fake::start(), end);
        assert_eq!((code, kept), (Some(1), None), "{shown}");
    }
}

#[test]
fn a_text_that_was_emptied_gives_up_and_is_not_kept() {
    let fake = Fake::start();
    let (shown, code, kept) = edited(&fake, "echo >\"$1\"");
    assert!(shown.contains("the YAML for instance web1 is empty"), "{shown:?}");
    assert!(!shown.contains("Press enter"), "{shown:?}");
    assert_eq!((code, kept), (Some(1), None), "{shown}");
}

#[test]
fn ctrl_c_in_the_editor_is_the_editors() {
    let fake = Fake::start();
    // Twice, as the first text is refused: sc has begun to catch signals itself then.
    let script = "kill -INT $PPID; kill -QUIT $PPID; sleep 0.2\n\
        if grep -q no.key \"$1\"; then sed -i s/no.key/user.key/ \"$1\"\n\
        else sed -i 's/user.owner: ann/no.key: ann/' \"$1\"; fi\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("editor"), script).unwrap();
    let editor = format!("sh {}/editor", folder.path().display());
    let (mut user, child) = start(&fake, &["config", "edit", "web1"], &[("EDITOR", &editor)]);
    until(&user, "stays in ");
    user.write_all(b"\n").unwrap();
    assert_eq!(all(&user, child).1, Some(0));
    assert_eq!(fake.last("PUT").body["config"], serde_json::json!({"user.key": "ann"}));
}

#[test]
fn ctrl_c_after_the_editor_says_where_the_text_is() {
    let fake = Fake::start();
    let editor = "sed -i s/user.owner/no.key/";
    let (user, child) = start(&fake, &["config", "edit", "web1"], &[("EDITOR", editor)]);
    until(&user, "stays in ");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let (shown, code) = all(&user, child);
    let (_, file) = shown.rsplit_once("interrupted: your text is kept in ").unwrap();
    assert_eq!(code, Some(130));
    std::fs::remove_file(file.trim_end()).unwrap();
}

#[test]
fn a_dumb_terminal_gets_bare_text() {
    let fake = Fake::start();
    let (user, child) = start(&fake, &["launch", "slow", "c1"], &[("TERM", "dumb")]);
    let (shown, code) = all(&user, child);
    assert_eq!(code, Some(0));
    let bare = !shown.contains('\x1b') && !shown.replace("\r\n", "").contains('\r');
    assert!(bare && shown.contains("Creating c1: Unpacking\r\n"), "{shown:?}");
}

#[test]
fn errors_are_coloured_unless_that_is_not_wanted() {
    let fake = Fake::start();
    let shown = |environment: &[(&str, &str)]| {
        let (user, child) = start(&fake, &["info", "nope"], environment);
        all(&user, child).0
    };
    assert!(
        shown(&[]).contains("\x1b[1;31mError:\x1b[0m Instance \"nope\" not found: see sc list")
    );
    assert!(shown(&[("NO_COLOR", "")]).contains("\x1b[1;31mError:"), "set to nothing is not set");
    for plain in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        assert_eq!(shown(&plain), "Error: Instance \"nope\" not found: see sc list\r\n");
    }
}
