//! What SQLite would pass over in silence: a log that is gone, cut off, or damaged before its last commit.
//!
//! SQLite takes what is valid from the log's beginning on, and forgets the rest. After a crash that is right:
//! each transaction is synced before the next is written, so that what is not valid is the last one, which
//! nobody was told of. Where commits come after it the log was damaged, and they would be lost.
//!
//! ```text
//! header: magic, .., salts, sum │ frame: page, commit?, salts, sum, page's bytes │ frame │ …
//! ```
//!
//! The format is SQLite's own (<https://sqlite.org/fileformat2.html#walformat>). Numbers are big-endian; each
//! sum goes on from the one before, over the words of what it covers, whose order the magic number says.
//! Frames of an earlier round have other salts.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::OpenError;
use crate::migrate::suffixed;
use crate::sqlite::{LOG_BYTES, PAGE_BYTES};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const FRAME: usize = FRAME_HEADER + PAGE_BYTES as usize;

/// The magic number; one more where words are big-endian.
const MAGIC: u32 = 0x377f_0682;

/// Where a database's header says whether it has a log, and what it says then.
const MODE_AT: u64 = 18;
const WITH_LOG: u8 = 2;
const WITHOUT_LOG: u8 = 1;

/// What is wrong with a log, and how many of its bytes are good.
#[derive(Debug, PartialEq, Eq)]
struct Damage {
    detail: String,
    good: u64,
}

/// Refuses a log that would lose more than the last transaction. Writes nothing.
pub(crate) fn check(database: &Path) -> Result<(), OpenError> {
    let path = suffixed(database, "-wal");
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { step: "read", path, source }
    };
    let mode = mode(database).map_err(io(database))?;
    let bytes = match File::open(&path) {
        Ok(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(io(&path))?;
            Some(bytes)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io(&path)(error)),
    };
    judge(mode, bytes.as_deref()).map_err(|Damage { detail, good }| OpenError::Log {
        path,
        detail,
        good,
        size: LOG_BYTES,
    })
}

/// What the database's header says; `None` where it has none.
fn mode(database: &Path) -> io::Result<Option<u8>> {
    let mut mode = [0];
    let read = File::open(database)?.read_at(&mut mode, MODE_AT)?;
    Ok((read == 1).then_some(mode[0]))
}

fn judge(mode: Option<u8>, log: Option<&[u8]>) -> Result<(), Damage> {
    let damage =
        |detail: &str, good: usize| Err(Damage { detail: detail.to_owned(), good: good as u64 });
    match (mode, log) {
        (Some(WITH_LOG), None) => damage("it is not there", 0),
        (Some(WITH_LOG), Some(log)) if (log.len() as u64) < LOG_BYTES => {
            let detail = format!("it has {} bytes, of {LOG_BYTES}", log.len());
            damage(&detail, Sum::of_header(log).map_or(0, |_| log.len()))
        }
        (Some(WITH_LOG), Some(log)) => frames(log),
        // One that was made a moment ago, or a copy of before a migration.
        (Some(WITHOUT_LOG), Some(log)) if log.iter().take(HEADER).any(|byte| *byte != 0) => {
            damage("it belongs to another database", 0)
        }
        // What else is wrong with the database is found when it is opened.
        _ => Ok(()),
    }
}

fn frames(log: &[u8]) -> Result<(), Damage> {
    let Some(mut sum) = Sum::of_header(log) else {
        let begun = log.iter().take(HEADER + FRAME_HEADER).any(|byte| *byte != 0);
        let detail = "its first 32 bytes are not what was written".to_owned();
        return if begun { Err(Damage { detail, good: 0 }) } else { Ok(()) };
    };
    let salts = &log[16..24];
    let mut good = HEADER;
    let mut broken = None;
    let mut commits_after = 0;
    for (number, frame) in log[HEADER..].chunks_exact(FRAME).enumerate() {
        if &frame[8..16] != salts {
            // Of an earlier round, or never written; a damaged one is where commits come after it.
            broken.get_or_insert(number);
        } else if broken.is_none() && sum.takes(frame) {
            if word(frame, 4) != 0 {
                good = HEADER + (number + 1) * FRAME;
            }
        } else {
            broken.get_or_insert(number);
            commits_after += u32::from(word(frame, 4) != 0);
        }
    }
    match broken {
        Some(number) if commits_after > 1 => {
            let page = word(&log[HEADER + number * FRAME..], 0);
            let detail = format!(
                "its frame {} (page {page}) is not what was written, and {commits_after} commits come \
                 after it",
                number + 1
            );
            Err(Damage { detail, good: good as u64 })
        }
        _ => Ok(()),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map_or(0, u32::from_be_bytes)
}

/// The running sum of a log.
#[derive(Clone, Copy)]
struct Sum {
    words: (u32, u32),
    read: fn([u8; 4]) -> u32,
}

impl Sum {
    /// The sum of the header; `None` where that is not what it says.
    fn of_header(log: &[u8]) -> Option<Self> {
        let read = match word(log, 0) {
            MAGIC => u32::from_le_bytes,
            magic if magic == MAGIC + 1 => u32::from_be_bytes,
            _ => return None,
        };
        let mut sum = Self { words: (0, 0), read };
        sum.add(log.get(..24)?);
        (sum.words == (word(log, 24), word(log, 28))).then_some(sum)
    }

    /// Goes on over a frame; false, and back, where it has another sum.
    fn takes(&mut self, frame: &[u8]) -> bool {
        let mut next = *self;
        next.add(&frame[..8]);
        next.add(&frame[FRAME_HEADER..]);
        let is_right = next.words == (word(frame, 16), word(frame, 20));
        if is_right {
            *self = next;
        }
        is_right
    }

    fn add(&mut self, bytes: &[u8]) {
        let words = bytes.chunks_exact(4).map(|word| word.try_into().expect("four bytes"));
        let mut words = words.map(self.read);
        while let (Some(first), Some(second)) = (words.next(), words.next()) {
            self.words.0 = self.words.0.wrapping_add(first).wrapping_add(self.words.1);
            self.words.1 = self.words.1.wrapping_add(second).wrapping_add(self.words.0);
        }
    }
}
