//! Copying a tree whole: content (by reflink where the file system can, else with its holes),
//! owners, modes, times, extended attributes and ACLs, hard links, pipes and sockets.
//!
//! Directories are jobs on a stack, taken by as many threads as there are processors. What must
//! come after a directory's content waits for the end: first the second and further names of
//! hard-linked files, then each directory's attributes (its times would change with every entry,
//! its default ACL would be handed down, its mode might refuse entries). Jobs hold paths, not
//! descriptors, so depth costs nothing.
//!
//! Device nodes are left out and counted: a guest's root is mounted `nodev` and its `/dev` is not
//! on disk. Whiteouts (character device 0:0) are content and copied.

mod attributes;
mod content;
mod entry;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::folder;
use crate::progress::{Progress, ProgressSink};

pub(crate) use attributes::copy_attributes;

/// How often progress is reported at most.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// What a copy came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    /// Bytes of content.
    pub(crate) bytes: u64,
    /// Entries made.
    pub(crate) entries: u64,
    /// Bytes that were copied and not shared: they are not on disk until a sync.
    pub(crate) written: u64,
    /// Device nodes left out.
    pub(crate) devices: u64,
}

/// A copy under way.
struct Copy<'a> {
    source: BorrowedFd<'a>,
    target: BorrowedFd<'a>,
    /// The target's path, for messages.
    path: &'a Path,
    total_bytes: Option<u64>,
    sink: &'a ProgressSink<'a>,
    queue: Mutex<Queue>,
    work: Condvar,
    /// Where the first name of each hard-linked file was made.
    linked: Mutex<HashMap<(u64, u64), PathBuf>>,
    /// Further names: existing path, new path.
    links: Mutex<Vec<(PathBuf, PathBuf)>>,
    /// Every directory, for its attributes.
    directories: Mutex<Vec<PathBuf>>,
    /// Whether the file systems may share extents; found out by trying.
    reflink: AtomicBool,
    bytes: AtomicU64,
    entries: AtomicU64,
    written: AtomicU64,
    devices: AtomicU64,
    /// When progress was last reported.
    reported: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<PathBuf>,
    /// Threads at work, which may yet add jobs.
    active: usize,
    failed: Option<Error>,
    panicked: bool,
}

/// A directory that a thread has taken from the queue. When it is done with it, the others are
/// told, also where it panicked: else they would wait for it, and the scope for them.
struct Taken<'a> {
    copy: &'a Copy<'a>,
    /// The directories below; none yet, or never for a panic.
    outcome: Option<Result<Vec<PathBuf>>>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.copy.queue);
        queue.active -= 1;
        match self.outcome.take() {
            Some(Ok(below)) => queue.jobs.extend(below),
            Some(Err(err)) => {
                queue.failed.get_or_insert(err);
            }
            None => queue.panicked = true,
        }
        drop(queue);
        self.copy.work.notify_all();
    }
}

/// Copies what is in one directory, and its own attributes, to another, which must be empty.
///
/// `path` is the target's, for messages.
///
/// # Errors
///
/// The first failure of any thread, and [`Error::Cancelled`] where the sink asked for it; the
/// target is incomplete then.
pub(crate) fn copy_tree<S: AsFd, T: AsFd>(
    source: S,
    target: T,
    path: &Path,
    total_bytes: Option<u64>,
    sink: &ProgressSink<'_>,
) -> Result<Report> {
    let copy = Copy {
        source: source.as_fd(),
        target: target.as_fd(),
        path,
        total_bytes,
        sink,
        queue: Mutex::new(Queue { jobs: vec![PathBuf::new()], ..Queue::default() }),
        work: Condvar::new(),
        linked: Mutex::default(),
        links: Mutex::default(),
        directories: Mutex::default(),
        reflink: AtomicBool::new(true),
        bytes: AtomicU64::new(0),
        entries: AtomicU64::new(0),
        written: AtomicU64::new(0),
        devices: AtomicU64::new(0),
        reported: Mutex::default(),
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| copy.work());
        }
    });
    copy.finish()
}

/// Locks; a thread that panicked while it held the lock fails the whole scope anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Copy<'_> {
    /// One thread: takes directories until there are none and nobody can add any.
    fn work(&self) {
        while let Some(job) = self.next_job() {
            let mut taken = Taken { copy: self, outcome: None };
            taken.outcome = Some(self.directory(&job));
        }
    }

    fn next_job(&self) -> Option<PathBuf> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.failed.is_some() || queue.panicked {
                return None;
            }
            if let Some(job) = queue.jobs.pop() {
                queue.active += 1;
                return Some(job);
            }
            if queue.active == 0 {
                return None;
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Copies the entries of one directory; returns the directories among them, already made.
    fn directory(&self, at: &Path) -> Result<Vec<PathBuf>> {
        let source = folder::open_beneath(self.source, at).map_err(self.error("open", at))?;
        let target = folder::open_beneath(self.target, at).map_err(self.error("open", at))?;
        let mut below = Vec::new();
        for entry in folder::entries(&source).map_err(self.error("read directory", at))? {
            let path = folder::join(at, &entry.name);
            if self.entry(source.as_fd(), target.as_fd(), &entry, &path)? {
                below.push(path);
            }
            self.report()?;
        }
        lock(&self.directories).push(at.to_owned());
        Ok(below)
    }

    /// Makes the further names of hard-linked files, then sets the directories' attributes.
    fn finish(self) -> Result<Report> {
        if let Some(err) = lock(&self.queue).failed.take() {
            return Err(err);
        }
        for (existing, new) in lock(&self.links).iter() {
            self.link(existing, new)?;
        }
        for at in lock(&self.directories).iter() {
            let source = folder::open_beneath(self.source, at).map_err(self.error("open", at))?;
            let target = folder::open_beneath(self.target, at).map_err(self.error("open", at))?;
            copy_attributes(&source, &target).map_err(self.error("set attributes of", at))?;
        }
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let report = Report {
            bytes: load(&self.bytes),
            entries: load(&self.entries),
            written: load(&self.written),
            devices: load(&self.devices),
        };
        let _ = (self.sink)(self.progress());
        Ok(report)
    }

    fn progress(&self) -> Progress {
        Progress {
            bytes: self.bytes.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
            total_bytes: self.total_bytes,
        }
    }

    /// Reports, not too often; stops the copy where nobody wants it any more.
    fn report(&self) -> Result<()> {
        let Ok(mut last) = self.reported.try_lock() else { return Ok(()) };
        if last.is_some_and(|last| last.elapsed() < REPORT_EVERY) {
            return Ok(());
        }
        *last = Some(Instant::now());
        match (self.sink)(self.progress()) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }

    /// Makes a converter of errors at a path of the tree.
    fn error(&self, step: &'static str, at: &Path) -> impl FnOnce(Errno) -> Error {
        let path = self.path.join(at);
        Error::io(step, path)
    }
}

#[cfg(test)]
mod tests;
