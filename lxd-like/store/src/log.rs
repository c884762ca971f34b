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
//! Frames of an earlier round have other salts, both of them: a frame with one of this round's is damaged.
//!
//! One thing looks as a crash does: a frame of the last transaction but one that is wholly gone, being zeros or
//! what was there a round before, as on a disk that has forgotten what it had synced.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::OpenError;
use crate::migrate::suffixed;
use crate::sqlite::{LOG_BYTES, PAGE_BYTES};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Where a frame's header says how many pages the database has; zero where no transaction ends.
const COMMIT: usize = 4;
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

/// Makes a log hold its commits for longer than its opening: they are written again as they are, since a sync
/// that has failed once tells of nothing that was written before it, and what follows them is made zeros.
/// What a crash has left there would count as a lost commit beside what the next one leaves.
pub(crate) fn hold(file: &File) -> io::Result<()> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    let end = end_of_commits(&bytes);
    bytes[end..].fill(0);
    file.write_all_at(&bytes, 0)?;
    file.sync_all()
}

/// Where SQLite writes on: after the last commit, or at the begin of a log without a header.
fn end_of_commits(log: &[u8]) -> usize {
    let Some(mut sum) = Sum::of_header(log) else { return 0 };
    let round = Round::of_header(log);
    let valid = log[HEADER..].chunks_exact(FRAME).enumerate();
    valid
        .take_while(|(_, frame)| round.has(frame) && sum.takes(frame))
        .filter(|(_, frame)| word(frame, COMMIT) != 0)
        .last()
        .map_or(HEADER, |(number, _)| HEADER + (number + 1) * FRAME)
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
    let round = Round::of_header(log);
    let mut good = HEADER;
    let mut broken = None;
    let mut lost = 0;
    for (number, frame) in log[HEADER..].chunks_exact(FRAME).enumerate() {
        if broken.is_none() && round.has(frame) && sum.takes(frame) {
            if word(frame, COMMIT) != 0 {
                good = HEADER + (number + 1) * FRAME;
            }
            continue;
        }
        // Of an earlier round, or never written; a damaged one is where commits come after it.
        let is_first = broken.get_or_insert(number) == &number;
        lost += u32::from(round.may_commit(frame) || is_first && sum.takes_with_a_bit(frame));
    }
    match broken {
        Some(number) if lost > 1 => {
            let page = word(&log[HEADER + number * FRAME..], 0);
            let detail = format!(
                "its frame {} (page {page}) is not what was written, and {lost} commits would be lost",
                number + 1
            );
            Err(Damage { detail, good: good as u64 })
        }
        _ => Ok(()),
    }
}

/// By what the frames of this round are told from those of earlier ones: each round adds one to the first salt
/// and draws the second anew.
#[derive(Clone, Copy)]
struct Round {
    /// How many rounds were before it.
    number: u32,
    salts: (u32, u32),
}

impl Round {
    fn of_header(log: &[u8]) -> Self {
        Self { number: word(log, 12), salts: (word(log, 16), word(log, 20)) }
    }

    /// Whether a frame says that it is of this round.
    fn has(self, frame: &[u8]) -> bool {
        (word(frame, 8), word(frame, 12)) == self.salts
    }

    /// Whether a frame ends a transaction of this round, though its salts may be damaged: those of an earlier
    /// one differ in both.
    fn may_commit(self, frame: &[u8]) -> bool {
        let (first, second) = (word(frame, 8), word(frame, 12));
        let rounds_before = self.salts.0.wrapping_sub(first);
        let is_earlier = (1..=self.number).contains(&rounds_before) && second != self.salts.1;
        word(frame, COMMIT) != 0 && !is_earlier
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
        let next = self.over(&frame[..8], frame);
        let is_right = next.words == (word(frame, 16), word(frame, 20));
        if is_right {
            *self = next;
        }
        is_right
    }

    /// The sum after a frame's page, with this at the begin of its header.
    fn over(mut self, head: &[u8], frame: &[u8]) -> Self {
        self.add(head);
        self.add(&frame[FRAME_HEADER..]);
        self
    }

    /// Whether a frame without a commit was written with one, of which a single bit is gone.
    fn takes_with_a_bit(self, frame: &[u8]) -> bool {
        let with = |bit: u32| [&frame[..COMMIT], &(1_u32 << bit).to_be_bytes()].concat();
        let is_right =
            |bit| self.over(&with(bit), frame).words == (word(frame, 16), word(frame, 20));
        word(frame, COMMIT) == 0 && (0..u32::BITS).any(is_right)
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
