//! The caller's side: starting a sandbox, listening to it, ending it.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::FileType;

use super::spec::Spec;
use crate::Context;
use crate::caps::Capability;
use crate::error::{Result, SysError};
use crate::idmap::IdRange;
use crate::mount::{Attributes, Depth, Propagation, change_attributes, clone_tree_at, idmap};
use crate::namespace::UserNamespace;
use crate::unix::{Blocking, Seqpacket};

const MAX_INPUTS: usize = 64;
const MAX_COMPLAINT: u64 = 16 * 1024;

/// What the child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Address space of each process, in bytes.
    pub memory: u64,
    /// Processor time of each process; whole seconds, at least one.
    pub cpu: Duration,
    /// The largest file, in bytes.
    pub file_size: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Open descriptors of each process.
    pub open_files: u64,
    /// Time on the clock, from the start of the child.
    pub wall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            cpu: Duration::from_secs(3600),
            file_size: 1 << 40,
            processes: 256,
            open_files: 256,
            wall: Duration::from_secs(3600),
        }
    }
}

/// What a sandbox is made of.
#[derive(Debug, Clone, Copy)]
pub struct Sandbox<'a> {
    /// The program; its main function calls [`super::enter`] when it is given `role`.
    pub exe: &'a Path,
    /// The program's only argument.
    pub role: &'a str,
    /// Ids that belong to nobody else while the sandbox is there. Inside they are 0 and up.
    pub ids: IdRange,
    /// What the child reads, at most 64.
    pub inputs: &'a [BorrowedFd<'a>],
    /// The directory that the child fills, seen by it as [`super::TARGET`].
    pub target: Option<BorrowedFd<'a>>,
    /// What the child keeps of the capabilities over its user namespace; none is the rule.
    pub capabilities: &'a [Capability],
    /// Bytes for the child's work, at most about 180 KB.
    pub payload: &'a [u8],
    /// What the child may use.
    pub limits: Limits,
}

/// What came from the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk {
    /// So many bytes were read.
    Data(usize),
    /// Nothing yet.
    Timeout,
    /// Nothing any more: nobody has the child's standard output open.
    End,
}

/// How a sandbox ended.
#[derive(Debug)]
pub enum Ended {
    /// The child's work returned this.
    Exited(i32),
    /// The child died of this signal.
    Signaled(i32),
    /// The child was killed when its time was over.
    TimedOut,
    /// The sandbox could not be set up, as its maker says.
    NotSetUp(String),
}

impl Sandbox<'_> {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the target's file system cannot be idmapped, `EPERM` without privilege; what
    /// fails later comes out of [`Running::finish`].
    pub fn spawn(&self) -> Result<Running> {
        if self.inputs.len() > MAX_INPUTS {
            let kind = io::ErrorKind::InvalidInput;
            return Err(SysError::message("start", "sandbox", kind, "it has too many inputs"));
        }
        let userns = UserNamespace::create(self.ids)?;
        let target = self.target.map(|dir| self.mount(dir, &userns, Access::Write)).transpose()?;
        let mut mounted = 0;
        let mut mounts = Vec::new();
        for (index, input) in self.inputs.iter().enumerate() {
            if is_file(*input)
                && let Ok(tree) = self.mount(*input, &userns, Access::Read)
            {
                mounted |= 1 << index;
                mounts.push(tree);
            }
        }
        let mut descriptors = vec![userns.fd()];
        descriptors.extend(self.inputs);
        descriptors.extend(mounts.iter().map(AsFd::as_fd));
        descriptors.extend(target.iter().map(AsFd::as_fd));
        let spec = Spec {
            inputs: self.inputs.len(),
            mounted,
            target: target.is_some(),
            host_id: self.ids.start(),
            capabilities: self.capabilities.iter().fold(0, |set, c| set | c.bitmask()),
            limits: self.limits,
        };
        let (ours, theirs) = Seqpacket::pair(Blocking::Yes)?;
        let running = Running { child: self.execute(theirs)?, control: Some(ours) };
        if let Some(control) = &running.control {
            control.send(&spec.encode(self.payload), &descriptors)?;
        }
        Ok(running)
    }

    /// Executes the program, which hears over its standard input what it is to be.
    fn execute(&self, control: Seqpacket) -> Result<Child> {
        Command::new(self.exe)
            .arg(self.role)
            .env_clear()
            .stdin(control.into_fd())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .op("execute", self.exe.display())
    }

    /// Clones the mount under a descriptor, its ids mapped to those of the child.
    fn mount(&self, at: BorrowedFd<'_>, userns: &UserNamespace, access: Access) -> Result<OwnedFd> {
        let tree = clone_tree_at(at, Depth::This)?;
        idmap(&tree, userns)?;
        let attributes =
            Attributes { read_only: access == Access::Read, ..Attributes::NO_SUID_DEV_EXEC };
        let propagation = Some(Propagation::Private);
        change_attributes(&tree, attributes, Attributes::default(), propagation, Depth::This)?;
        Ok(tree)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn is_file(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

/// A sandbox at work. Dropping it ends it and waits until nothing of it is left.
#[derive(Debug)]
pub struct Running {
    child: Child,
    // The process that set the sandbox up kills its child when this is closed.
    control: Option<Seqpacket>,
}

impl Running {
    /// Returns the process that set the sandbox up; the one that does the work is its child.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads what the child writes to its standard output, waiting so long at most.
    pub fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<Chunk> {
        let Some(stdout) = self.child.stdout.as_mut() else {
            return Ok(Chunk::End);
        };
        let wait = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let mut poll = [PollFd::new(stdout, PollFlags::IN)];
        match rustix::event::poll(&mut poll, Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Chunk::Timeout),
            outcome => outcome.op("wait for", "sandbox")?,
        };
        match stdout.read(buffer).op("read from", "sandbox")? {
            0 => Ok(Chunk::End),
            n => Ok(Chunk::Data(n)),
        }
    }

    /// Ends it at once. [`Running::finish`] still tells how it ended.
    pub fn kill(&mut self) {
        self.control = None;
    }

    /// Waits for the end, until nothing of the sandbox is left. Also returns what the child wrote to
    /// its standard error, cut off after 16 KB: mostly nothing, else the last words of a crash.
    pub fn finish(mut self) -> Result<(Ended, String)> {
        // Nobody may hang on a full pipe.
        drop(self.child.stdout.take());
        let mut complaint = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // What cannot be read is not told; and the rest of it ends with the pipe.
            let _ = stderr.take(MAX_COMPLAINT).read_to_end(&mut complaint);
        }
        let mut last = None;
        if let Some(control) = &self.control {
            while let Ok(Some(message)) = control.receive() {
                // Of several the first counts: a failed set-up, before the exit that follows from it.
                last.get_or_insert(message.bytes);
            }
        }
        let status = self.child.wait().op("wait for", "sandbox")?;
        let ended = match last.as_deref().map(parse_ended) {
            Some(ended) => ended,
            None => match (status.code(), std::os::unix::process::ExitStatusExt::signal(&status)) {
                (Some(code), _) => Ended::Exited(code),
                (None, signal) => Ended::Signaled(signal.unwrap_or(0)),
            },
        };
        Ok((ended, String::from_utf8_lossy(&complaint).into_owned()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control = None;
        drop(self.child.stdout.take());
        drop(self.child.stderr.take());
        // Fails only when it was waited for before.
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Writes it as it goes over the control socket.
    pub(super) fn encode(&self) -> String {
        match self {
            Self::Exited(code) => format!("exit {code}"),
            Self::Signaled(signal) => format!("signal {signal}"),
            Self::TimedOut => "timeout".to_owned(),
            Self::NotSetUp(text) => format!("failed {text}"),
        }
    }
}

fn parse_ended(bytes: &[u8]) -> Ended {
    let text = String::from_utf8_lossy(bytes);
    let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
    match (word, rest.parse()) {
        ("exit", Ok(code)) => Ended::Exited(code),
        ("signal", Ok(signal)) => Ended::Signaled(signal),
        ("timeout", _) => Ended::TimedOut,
        _ => Ended::NotSetUp(rest.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_reads_back_as_it_was_written() {
        for ended in [
            Ended::Exited(3),
            Ended::Signaled(9),
            Ended::TimedOut,
            Ended::NotSetUp("mount tmpfs: no".into()),
        ] {
            assert_eq!(parse_ended(ended.encode().as_bytes()).encode(), ended.encode());
        }
    }
}
