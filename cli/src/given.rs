//! Configuration that a new object is given on standard input, as YAML.
//!
//! LXD reads standard input to its end wherever that is no terminal. That hangs where nobody ever
//! writes and nobody closes, as over `ssh` without a terminal, and it eats the list of a loop
//! (`while read name; do ...; done <list`). So a file is read only from its beginning, which
//! leaves alone what another program has begun to read; and a pipe is waited for, but not for ever.
//! One that stays open and says nothing is an error, since whoever writes to it may only be slow: an
//! object without what was meant for it would be worse.

use std::io::Read;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::retry_on_intr;
use rustix::stdio::stdin;
use serde::de::DeserializeOwned;

use crate::yaml;

/// How long a pipe may be silent before the user is told what is waited for.
const HINT_AFTER: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// How much longer it is waited for then.
const PATIENCE: Timespec = Timespec { tv_sec: 9, tv_nsec: 0 };

/// What the help of verbs says that read it.
pub const HELP: &str = "\
Standard input:
  YAML with the same fields as `show` prints, below what the arguments say. It is
  read where it is a file at its beginning, or a pipe. A pipe that says nothing
  and stays open for 10 seconds is an error: pass </dev/null where none is meant.";

/// Reads what is given; nothing where standard input is a terminal, a device or empty.
pub fn read<T: DeserializeOwned + Default>(what: &str, quiet: bool) -> Result<T> {
    if !is_given(what, quiet)? {
        return Ok(T::default());
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("read standard input")?;
    if yaml::is_empty(&text) {
        return Ok(T::default());
    }
    yaml::parse(&text).map_err(|why| {
        anyhow!(
            "the YAML for {what} on standard input cannot be read: {why}; pass </dev/null where \
             none is meant"
        )
    })
}

fn is_given(what: &str, quiet: bool) -> Result<bool> {
    let stat = rustix::fs::fstat(stdin()).context("look at standard input")?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(rustix::fs::tell(stdin()).is_ok_and(|place| place == 0)),
        FileType::Fifo | FileType::Socket => wait(what, quiet).map(|()| true),
        _ => Ok(false),
    }
}

/// Waits until a pipe says something, or ends.
fn wait(what: &str, quiet: bool) -> Result<()> {
    if speaks_within(&HINT_AFTER)? {
        return Ok(());
    }
    if !quiet {
        eprintln!(
            "Waiting for YAML for {what} on standard input; pass </dev/null where none is meant"
        );
    }
    match speaks_within(&PATIENCE)? {
        true => Ok(()),
        false => bail!(
            "standard input is a pipe that stayed open and said nothing for 10 s: pass </dev/null \
             where no YAML is meant, and what is slow to come as a file (<FILE)"
        ),
    }
}

fn speaks_within(limit: &Timespec) -> Result<bool> {
    let mut polled = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
    let ready = retry_on_intr(|| poll(&mut polled, Some(limit)));
    Ok(ready.context("wait for standard input")? > 0)
}
