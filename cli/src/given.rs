//! Configuration that a new object is given on standard input, as YAML.
//!
//! LXD reads standard input to its end wherever that is no terminal. That hangs where nobody ever
//! writes and nobody closes, as over `ssh` without a terminal, and it eats the list of a loop
//! (`while read name; do ...; done <list`). So a file is read only from its beginning, which
//! leaves alone what another program has begun to read, and of a pipe something must come at once.

use std::io::Read;

use anyhow::{Context as _, Result, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::retry_on_intr;
use rustix::stdio::stdin;
use serde::de::DeserializeOwned;

use crate::yaml;

/// How long a pipe may be silent.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// What the help of verbs says that read it.
pub const HELP: &str = "\
Standard input:
  YAML with the same fields as `edit` shows, below what the arguments say. It is read where it is
  a file at its beginning, or a pipe that something comes from (or that ends) within half a second.
  Pass </dev/null where none is meant.";

/// Reads what is given; nothing where standard input is a terminal, a device or empty.
pub fn read<T: DeserializeOwned + Default>(what: &str, quiet: bool) -> Result<T> {
    if !is_given(quiet)? {
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

fn is_given(quiet: bool) -> Result<bool> {
    let stat = rustix::fs::fstat(stdin()).context("look at standard input")?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(rustix::fs::tell(stdin()).is_ok_and(|place| place == 0)),
        FileType::Fifo | FileType::Socket => {
            let mut polled = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
            let ready = retry_on_intr(|| poll(&mut polled, Some(&PATIENCE)));
            let ready = ready.context("wait for standard input")? > 0;
            if !ready && !quiet {
                eprintln!("Nothing came on standard input within half a second: not waited for");
            }
            Ok(ready)
        }
        _ => Ok(false),
    }
}
