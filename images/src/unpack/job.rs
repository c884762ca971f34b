//! One job of the sandbox: started, followed, ended, its report checked.

use std::{
    fs::File,
    io::{ErrorKind as Io, Seek},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
    time::Duration,
};

use rustix::fs::{Mode, OFlags};
use sc_sys::{
    SysError,
    caps::Capability,
    idmap::{IdRange, RANGE_SIZE},
    memfd,
    sandbox::{self, Chunk, Ended, Running, Sandbox},
};

use super::{ImageFiles, Limits, SANDBOX_ROLE, Sandboxing};
use crate::{
    Error, Metadata, Progress, Result,
    format::{Format, detect},
    wire::{Cause, Failure, Job, MAX_LINE, MAX_TEMPLATES, Outcome, Report, Role},
};

const POLL: Duration = Duration::from_millis(50);
const STEP: &str = "unpack image";
/// How much of what comes from inside is shown, in characters.
const SHOWN: usize = 800;
const SIGKILL: i32 = 9;

impl ImageFiles {
    pub(super) fn open(&self) -> Result<Vec<File>> {
        self.paths().into_iter().map(open_input).collect()
    }
}

/// Opens an image file; one that is a pipe waits for its writer.
pub(super) fn open_input(path: &Path) -> Result<File> {
    File::open(path).map_err(Error::io("open image file", path))
}

/// Opens the directory to fill, which must be empty and no link.
pub(super) fn open_target(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| Error::io("open target directory", path)(errno.into()))?;
    let mut entries = std::fs::read_dir(path).map_err(Error::io("read target directory", path))?;
    if entries.next().is_some() {
        let error = std::io::Error::from(Io::DirectoryNotEmpty);
        return Err(Error::io("unpack into", path)(error));
    }
    Ok(fd)
}

/// Takes the metadata from a report, checked once more: it comes from where foreign bytes were read.
pub(super) fn outcome_metadata(outcome: Outcome) -> Result<Metadata> {
    outcome.metadata.ok_or_else(|| broken("it reported no metadata")).and_then(Metadata::checked)
}

impl Job {
    fn new(role: Role, limits: &Limits) -> Self {
        Self {
            role,
            total_bytes: limits.total_bytes,
            file_bytes: limits.file_bytes,
            files: limits.files,
            depth: limits.depth,
            ids: RANGE_SIZE,
            memory_bytes: limits.memory_bytes,
            owners_bytes: limits.owners_bytes,
        }
    }
}

impl Limits {
    fn of_process(&self) -> sandbox::Limits {
        sandbox::Limits {
            memory: self.memory_bytes,
            cpu: self.cpu,
            // The list of owners is a file as well.
            file_size: self.file_bytes.max(self.owners_bytes),
            wall: self.wall,
            ..sandbox::Limits::default()
        }
    }
}

/// What reads files of any owner and gives them another, with a mode and capabilities.
const OWNING: [Capability; 5] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_SETFCAP,
];

/// And what `unsquashfs` needs beside, which writes in folders of any owner.
const EXTRACTING: [Capability; 6] =
    [OWNING[0], OWNING[1], OWNING[2], OWNING[3], OWNING[4], Capability::CAP_DAC_OVERRIDE];

/// Whether a file is a squashfs, told by its first bytes. One that is a pipe never is.
pub(super) fn is_squashfs(file: &File) -> bool {
    let mut magic = [0; 4];
    file.read_exact_at(&mut magic, 0).is_ok() && detect(&magic) == Ok(Format::Squashfs)
}

impl Sandboxing {
    /// Unpacks what comes in tarballs: in a process without any capability, and, where files are not
    /// root's or have capabilities, in a second one that reads nothing but what the first has put off.
    pub(super) fn tar(
        &self,
        role: Role,
        mut files: Vec<File>,
        target: &OwnedFd,
        limits: &Limits,
        progress: &dyn Progress,
    ) -> Result<Outcome> {
        let list = memfd::bounded("owners", limits.owners_bytes).map_err(Error::Sandbox)?;
        let list = File::from(list);
        files.push(list.try_clone().map_err(Error::io("open", "list of owners"))?);
        let outcome = self.run(role, &files, Some(target), limits, progress)?;
        if outcome.owners {
            let (role, kept) = (Role::Owners, &OWNING);
            self.run_with(role, kept, &[list], Some(target), limits, progress)?;
        }
        Ok(outcome)
    }

    /// Unpacks a squashfs, all of it with capabilities.
    pub(super) fn squashfs(
        &self,
        rootfs: &File,
        target: &OwnedFd,
        limits: &Limits,
        progress: &dyn Progress,
    ) -> Result<Outcome> {
        let mut rootfs = rootfs.try_clone().map_err(Error::io("open", "image file"))?;
        rootfs.rewind().map_err(Error::io("read", "image file"))?;
        self.run_with(Role::Squashfs, &EXTRACTING, &[rootfs], Some(target), limits, progress)
    }

    /// Does a job without any capability.
    pub(super) fn run(
        &self,
        role: Role,
        inputs: &[File],
        target: Option<&OwnedFd>,
        limits: &Limits,
        progress: &dyn Progress,
    ) -> Result<Outcome> {
        self.run_with(role, &[], inputs, target, limits, progress)
    }

    fn run_with(
        &self,
        role: Role,
        capabilities: &[Capability],
        inputs: &[File],
        target: Option<&OwnedFd>,
        limits: &Limits,
        progress: &dyn Progress,
    ) -> Result<Outcome> {
        let payload = serde_json::to_vec(&Job::new(role, limits));
        let payload = payload.expect("a job has nothing JSON cannot say");
        let inputs: Vec<_> = inputs.iter().map(AsFd::as_fd).collect();
        let sandbox = Sandbox {
            exe: &self.exe,
            role: SANDBOX_ROLE,
            ids: IdRange::new(self.base_id, RANGE_SIZE).ok_or_else(|| {
                Error::Invalid(format!("there are no {RANGE_SIZE} ids from {} on", self.base_id))
            })?,
            inputs: &inputs,
            target: target.map(AsFd::as_fd),
            capabilities,
            payload: &payload,
            limits: limits.of_process(),
        };
        let mut running = sandbox.spawn().map_err(not_started)?;
        let followed = follow(&mut running, progress);
        if followed.is_err() {
            running.kill();
        }
        let (ended, complaint) = running.finish().map_err(Error::Sandbox)?;
        match followed? {
            // What the work says of itself says more than how its process ended.
            Some(Ok(outcome)) => Ok(outcome),
            Some(Err(failure)) => Err(refused(failure)),
            None => Err(crashed(&ended, &complaint, limits)),
        }
    }
}

/// Reads reports until the last one, or until there are no more.
fn follow(
    running: &mut Running,
    progress: &dyn Progress,
) -> Result<Option<Result<Outcome, Failure>>> {
    let mut lines = Lines::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        match running.read(&mut buffer, POLL).map_err(Error::Sandbox)? {
            Chunk::Timeout => {}
            Chunk::End => return Ok(None),
            Chunk::Data(n) => {
                lines.push(&buffer[..n]);
                while let Some(line) = lines.next()? {
                    let report = serde_json::from_slice(line)
                        .map_err(|error| broken(&format!("its report cannot be read: {error}")))?;
                    match report {
                        Report::Step(name) => progress.step(&printable(&name)),
                        Report::Progress { done, total } => progress.bytes(done, total),
                        Report::Done(outcome) => return check(outcome).map(|o| Some(Ok(o))),
                        Report::Failed(failure) => return Ok(Some(Err(failure))),
                    }
                }
            }
        }
    }
}

/// Bytes that become lines of a bounded length. No byte is looked at twice.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Where the line begins that is not handed on yet.
    start: usize,
    /// Up to where there is no end of it.
    seen: usize,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.seen -= std::mem::take(&mut self.start);
        self.bytes.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Result<Option<&[u8]>> {
        let end = self.bytes[self.seen..].iter().position(|byte| *byte == b'\n');
        let Some(length) = end else {
            self.seen = self.bytes.len();
            let is_too_long = (self.seen - self.start) as u64 > MAX_LINE;
            return if is_too_long { Err(broken("its report is too long")) } else { Ok(None) };
        };
        let end = self.seen + length;
        let line = self.start..end;
        (self.start, self.seen) = (end + 1, end + 1);
        Ok(Some(&self.bytes[line]))
    }
}

fn check(outcome: Outcome) -> Result<Outcome> {
    let bytes: usize =
        outcome.templates.iter().flatten().map(|(name, text)| name.len() + text.len()).sum();
    let names = outcome.templates.iter().flatten().all(|(name, _)| !name.contains(['/', '\0']));
    if bytes as u64 > MAX_TEMPLATES || !names {
        return Err(broken("it reported impossible templates"));
    }
    Ok(outcome)
}

fn refused(failure: Failure) -> Error {
    if failure.cause == Cause::NoUnsquashfs {
        return Error::MissingProgram { program: "unsquashfs", package: "squashfs-tools" };
    }
    let step = if failure.step.is_empty() { STEP } else { &failure.step };
    Error::Refused {
        step: printable(step),
        entry: failure.entry,
        reason: printable(&failure.reason),
        kind: failure.cause.kind(),
    }
}

/// What kept the sandbox from starting; a filesystem that cannot be idmapped has a remedy.
fn not_started(error: SysError) -> Error {
    if error.op() == "idmap mount" && error.io().kind() == Io::InvalidInput {
        return Error::Unavailable(format!(
            "unpack image into {}: its filesystem cannot be idmapped: put the storage pool on ext4, \
             xfs or btrfs",
            error.object()
        ));
    }
    Error::Sandbox(error)
}

/// Text for a terminal, whatever is in it.
fn printable(text: &str) -> String {
    sc_api::plain(text, SHOWN)
}

fn broken(reason: &str) -> Error {
    Error::Unpacker { step: STEP.to_owned(), reason: format!("the unpacker is broken: {reason}") }
}

fn crashed(ended: &Ended, complaint: &str, limits: &Limits) -> Error {
    let last = printable(complaint.trim());
    let reason = match ended {
        Ended::NotSetUp(why) => format!("the sandbox could not be set up: {}", printable(why)),
        Ended::TimedOut => {
            format!("it took longer than {} seconds, the limit", limits.wall.as_secs())
        }
        // Rust aborts when memory cannot be had.
        Ended::Signaled(_) if last.contains("memory allocation") => {
            format!("it needs more than {} bytes of memory, the limit", limits.memory_bytes)
        }
        // Nobody else kills it.
        Ended::Signaled(SIGKILL) => format!(
            "it took more than {} seconds of processor time, the limit, or the machine is out of \
             memory",
            limits.cpu.as_secs()
        ),
        Ended::Signaled(signal) => format!("the unpacker died of signal {signal}: {last}"),
        Ended::Exited(code) => format!("the unpacker exited with status {code}: {last}"),
    };
    Error::Unpacker { step: STEP.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_of_a_bounded_length() {
        let mut lines = Lines::default();
        lines.push(b"one\ntw");
        assert_eq!(lines.next().unwrap(), Some(&b"one"[..]));
        assert_eq!(lines.next().unwrap(), None);
        lines.push(b"o\n\nx");
        assert_eq!(lines.next().unwrap(), Some(&b"two"[..]));
        assert_eq!(lines.next().unwrap(), Some(&b""[..]));
        // As long as one may be, in pieces: looked through once, it takes a moment.
        for _ in 0..MAX_LINE / 512 {
            assert_eq!(lines.next().unwrap(), None);
            lines.push(&[b'x'; 512]);
        }
        lines.push(&[b'x'; 512]);
        assert!(lines.next().is_err());
    }

    #[test]
    fn an_entry_with_escape_sequences_reaches_no_terminal() {
        let failure = Failure::image("bad\x07").entry(b"\x1b[2Jx\ny");
        let text = refused(failure).to_string();
        assert_eq!(text, "unpack image: bad\\u{7} (entry \"\\u{1b}[2Jx\\ny\")");
    }
}
