//! `unsquashfs`, run to its end, and what it complained of.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use crate::inside::xattr::{self, Fate};
use crate::wire::{Cause, Failure, Inside};

pub(super) fn unsquashfs() -> Command {
    let mut command = Command::new("unsquashfs");
    // Few malloc arenas: each reserves address space, which is limited.
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("MALLOC_ARENA_MAX", "2")
        .args(["-data-queue", "64", "-frag-queue", "64"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// How a program ended, and what it complained of.
pub(super) struct Ended {
    status: ExitStatus,
    complaints: Complaints,
}

/// What unsquashfs wrote to its standard error.
#[derive(Default, Debug, PartialEq, Eq)]
struct Complaints {
    /// Attributes that could not be set and need not be.
    dropped: u64,
    /// An attribute that must not be there.
    refused: Option<String>,
    /// The first of all other complaints.
    other: Option<String>,
}

impl Complaints {
    fn take(&mut self, line: &str) {
        let Some(name) = unwritten_xattr(line) else {
            // Some of its lines end by a backslash and an n.
            let line = line.trim().trim_end_matches("\\n");
            if !line.is_empty() {
                self.other.get_or_insert_with(|| line.to_owned());
            }
            return;
        };
        match xattr::fate(name.as_bytes()) {
            Fate::Drop => self.dropped += 1,
            Fate::Refuse => {
                self.refused.get_or_insert_with(|| xattr::refusal(name.as_bytes()));
            }
            Fate::Keep => {
                self.other.get_or_insert_with(|| line.to_owned());
            }
        }
    }
}

/// Finds the attribute's name in unsquashfs' words about one that it could not write.
fn unwritten_xattr(complaint: &str) -> Option<&str> {
    let (_, rest) = complaint.split_once("write_xattr: failed to write xattr ")?;
    rest.split(' ').next()
}

impl Ended {
    /// Fails unless the program did all it was to do, but for attributes that are left out; returns how
    /// many those were.
    pub(super) fn check(self) -> Inside<u64> {
        let Complaints { dropped, refused, other } = self.complaints;
        if let Some(reason) = refused {
            return Err(Failure::image(reason));
        }
        // 2 is what it says when something failed that did not stop it.
        let fine = self.status.success() || (self.status.code() == Some(2) && dropped > 0);
        if fine && other.is_none() {
            return Ok(dropped);
        }
        let what = other.unwrap_or_else(|| self.status.to_string());
        if what.contains("No space left") || what.contains("quota") {
            return Err(Failure::machine("unsquashfs", what));
        }
        Err(Failure::image(format!("unsquashfs refused it, it may be damaged: {what}")))
    }
}

/// Runs a program and hands each line of its output on.
pub(super) fn run(
    mut command: Command,
    mut line: impl FnMut(&[u8]) -> Inside<()>,
) -> Inside<Ended> {
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure { cause: Cause::NoUnsquashfs, ..Failure::image("unsquashfs is not installed") }
        }
        _ => Failure::machine("start unsquashfs", error),
    })?;
    let complaints = listen(&mut child);
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut buffer = Vec::new();
    let outcome = loop {
        buffer.clear();
        match (&mut output).take(1 << 16).read_until(b'\n', &mut buffer) {
            Ok(0) => break Ok(()),
            Ok(_) => {
                if buffer.last() == Some(&b'\n') {
                    buffer.pop();
                }
                if let Err(failure) = line(&buffer) {
                    break Err(failure);
                }
            }
            Err(error) => break Err(Failure::machine("read from unsquashfs", error)),
        }
    };
    if outcome.is_err() {
        // It may be gone already, which is as good.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| Failure::machine("wait for unsquashfs", error))?;
    let complaints = complaints.join().unwrap_or_default();
    outcome.map(|()| Ended { status, complaints })
}

/// Reads what a program writes to its standard error, to the end, so that it never blocks.
fn listen(child: &mut Child) -> thread::JoinHandle<Complaints> {
    let mut from = BufReader::new(child.stderr.take().expect("it is piped"));
    thread::spawn(move || {
        let mut complaints = Complaints::default();
        let mut line = Vec::new();
        // What cannot be read is not told; then the status speaks.
        while (&mut from).take(1 << 16).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            complaints.take(&String::from_utf8_lossy(&line));
            line.clear();
        }
        complaints
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_unwritten_attribute_is_found() {
        let line = "write_xattr: failed to write xattr security.foo for file /t/x because No";
        assert_eq!(unwritten_xattr(line), Some("security.foo"));
        assert_eq!(unwritten_xattr("create_inode: failed"), None);
    }

    #[test]
    fn only_attributes_that_mean_nothing_are_let_pass() {
        let mut complaints = Complaints::default();
        complaints
            .take("write_xattr: failed to write xattr security.selinux for file /t because X\n");
        complaints.take("\n");
        assert_eq!(complaints, Complaints { dropped: 1, ..Complaints::default() });
        complaints.take("write_xattr: failed to write xattr user.x for file /t because No space");
        assert!(complaints.other.is_some());
        let mut complaints = Complaints::default();
        complaints.take("Write on output file failed because No space left on device\\n\n");
        let told = complaints.other.unwrap();
        assert_eq!(told, "Write on output file failed because No space left on device");
    }
}
