//! The writer: one thread that takes what is queued, commits it as a group, and answers.
//!
//! The guards of a group are checked one commit after the other against the index and what the
//! group has already changed. One that fails is answered and leaves no trace, so that it fails
//! nobody else. The rest goes into one transaction. If there is no room for that, each is tried by itself.
//! If the disk fails, the file is opened anew, and what is in it decides whether the transaction has
//! happened: a sync that fails says neither. As long as it cannot be opened nothing is taken.
//!
//! ```text
//!  queue ─> group ─> guards ─> transaction ─────────────────> index ─> answers
//!                               ├─ no room: one by one          ^
//!                               └─ failed: opened anew ─┬─ it is there
//!                                                       ├─ it is not: refused, and on with the next
//!                                                       └─ cannot be: refused, and tried at the next
//! ```

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::change::{Batch, Change, Guard, Revision};
use crate::error::{CommitError, OpenError};
use crate::index::Index;
use crate::key::Key;
use crate::sqlite::{Database, WriteError};

/// The most commits, and the bytes beyond which no more are taken, in one transaction.
const GROUP_COMMITS: usize = 256;
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// How long nothing must have come before the log is emptied, and how full it must be: a nearly
/// empty log is left alone, since the commit after a checkpoint costs a sync more.
const IDLE: Duration = Duration::from_millis(500);
const IDLE_FILL: f64 = 0.125;

/// The writer's handle.
pub(crate) struct Writer {
    running: Mutex<Option<Running>>,
}

struct Running {
    queue: Sender<Request>,
    thread: JoinHandle<()>,
    /// Closed when the thread has closed the file.
    ended: oneshot::Receiver<()>,
}

/// A commit that waits for its turn.
struct Request {
    guards: Vec<Guard>,
    changes: Vec<Change>,
    answer: oneshot::Sender<Result<Revision, CommitError>>,
}

impl Writer {
    pub(crate) fn start(database: Database, index: Arc<Index>) -> Result<Self, OpenError> {
        let (queue, requests) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let path = database.path().to_owned();
        let task = Task { database, index, failure: None };
        let thread = std::thread::Builder::new().name("store".to_owned());
        let thread = thread
            .spawn(move || {
                task.run(&requests);
                let _ = end.send(());
            })
            .map_err(|source| OpenError::Io { step: "start the writer of", path, source })?;
        Ok(Self { running: Mutex::new(Some(Running { queue, thread, ended })) })
    }

    pub(crate) async fn commit(
        &self,
        guards: Vec<Guard>,
        changes: Vec<Change>,
    ) -> Result<Revision, CommitError> {
        let (answer, answered) = oneshot::channel();
        {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let queue = &running.as_ref().ok_or(CommitError::Closed)?.queue;
            let request = Request { guards, changes, answer };
            queue.send(request).map_err(|_| CommitError::Closed)?;
        }
        answered.await.map_err(|_| CommitError::Closed)?
    }

    fn take(&self) -> Option<Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Lets the thread write what is queued, empty the log and close the file.
    pub(crate) async fn close(&self) {
        let Some(Running { queue, thread, ended }) = self.take() else { return };
        drop(queue);
        // An error says that the thread panicked, as the join does too.
        let _ = ended.await;
        join(thread);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some(Running { queue, thread, .. }) = self.take() else { return };
        drop(queue);
        join(thread);
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("the store's writer panicked");
    }
}

/// What the thread owns.
struct Task {
    database: Database,
    index: Arc<Index>,
    /// Why nothing is written at present.
    failure: Option<String>,
}

/// Why a group was not written.
#[derive(Debug, Clone)]
enum Refusal {
    /// There is no room for it.
    NoSpace,
    /// It failed, and nothing of it is in the file.
    Undone(String),
    /// Nothing is known of the file.
    Broken(String),
}

impl Refusal {
    fn error(&self, path: &Path) -> CommitError {
        let path = path.to_owned();
        match self.clone() {
            Self::NoSpace => CommitError::NoSpace { path },
            Self::Undone(reason) => CommitError::Undone { path, reason },
            Self::Broken(reason) => CommitError::Failed { path, reason },
        }
    }
}

impl Task {
    fn run(mut self, requests: &Receiver<Request>) {
        while let Some(first) = self.wait(requests) {
            self.commit_group(collect(first, requests));
            if self.failure.is_none() && self.database.log_fill() >= 1.0 {
                self.checkpoint();
            }
        }
        self.checkpoint();
    }

    /// The next request, `None` when there will be none. Uses the quiet for a checkpoint.
    fn wait(&mut self, requests: &Receiver<Request>) -> Option<Request> {
        if self.failure.is_none() && self.database.log_fill() >= IDLE_FILL {
            match requests.recv_timeout(IDLE) {
                Ok(request) => return Some(request),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.checkpoint(),
            }
        }
        requests.recv().ok()
    }

    fn checkpoint(&mut self) {
        // What is in the log is safe there; the next checkpoint tries again.
        if let Err(error) = self.database.checkpoint() {
            tracing::warn!(%error, "the store's log cannot be emptied");
        }
    }

    /// Commits a group and answers each of it.
    fn commit_group(&mut self, group: Vec<Request>) {
        let (batches, outcomes) = admit(&self.index, &group);
        match self.write(&batches) {
            Ok(()) => {
                self.index.apply(batches);
                for (request, outcome) in group.into_iter().zip(outcomes) {
                    // Who no longer waits does not want to know.
                    let _ = request.answer.send(outcome);
                }
            }
            // What is too much together may fit one by one; and a conflict with a commit that did
            // not happen is none.
            Err(Refusal::NoSpace) if group.len() > 1 => {
                for request in group {
                    self.commit_group(vec![request]);
                }
            }
            Err(refusal) => {
                for request in group {
                    let _ = request.answer.send(Err(refusal.error(self.database.path())));
                }
            }
        }
    }

    fn write(&mut self, batches: &[Batch]) -> Result<(), Refusal> {
        if self.failure.is_some() {
            self.open_anew(self.index.revision())?;
        }
        if batches.is_empty() {
            return Ok(());
        }
        match self.database.write(batches) {
            Ok(()) => Ok(()),
            Err(WriteError::NoSpace) => Err(Refusal::NoSpace),
            Err(WriteError::Failed(error)) => self.settle(batches, &error.to_string()),
        }
    }

    /// Finds out whether a transaction that failed has happened.
    fn settle(&mut self, batches: &[Batch], reason: &str) -> Result<(), Refusal> {
        tracing::error!(reason, "the store failed: it is opened anew");
        self.failure = Some(reason.to_owned());
        let written = batches.last().map_or_else(|| self.index.revision(), |last| last.revision);
        match self.open_anew(written) {
            Err(Refusal::Undone(_)) => Err(Refusal::Undone(reason.to_owned())),
            settled => settled,
        }
    }

    /// Opens the file anew after a failure. It must end with the commit that readers see, or with the one
    /// that is `expected`; refused where it does not end with that.
    fn open_anew(&mut self, expected: Revision) -> Result<(), Refusal> {
        let first = self.failure.clone().unwrap_or_default();
        let also = match self.database.open_anew() {
            Ok(found) if found == expected => {
                self.failure = None;
                return Ok(());
            }
            Ok(found) if found == self.index.revision() => {
                self.failure = None;
                return Err(Refusal::Undone(first));
            }
            Ok(found) => format!("it ends with commit {found}, which was told to have failed"),
            Err(error) => match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            },
        };
        tracing::error!(also, "the store cannot be opened anew");
        Err(Refusal::Broken(format!("{first}; {also}")))
    }
}

/// Decides each commit of a group, in order, as if those before it had happened: the batches to
/// write, and what to answer once they are written.
fn admit(index: &Index, group: &[Request]) -> (Vec<Batch>, Vec<Result<Revision, CommitError>>) {
    let mut revision = index.revision();
    let mut changed: HashMap<Key, Option<Revision>> = HashMap::new();
    let mut batches = Vec::new();
    let mut outcomes = Vec::new();
    for Request { guards, changes, .. } in group {
        let found = |key: &Key| match changed.get(key) {
            Some(revision) => *revision,
            None => index.revision_of(key),
        };
        if let Some(broken) = guards.iter().find(|guard| !guard.holds(found(&guard.key))) {
            outcomes.push(Err(CommitError::Conflict { key: broken.key.clone() }));
            continue;
        }
        if !changes.is_empty() {
            revision.0 += 1;
            changed.extend(changes.iter().map(|change| {
                let put = matches!(change, Change::Put { .. });
                (change.key().clone(), put.then_some(revision))
            }));
            batches.push(Batch { revision, changes: changes.clone() });
        }
        outcomes.push(Ok(revision));
    }
    (batches, outcomes)
}

fn collect(first: Request, requests: &Receiver<Request>) -> Vec<Request> {
    let size = |request: &Request| request.changes.iter().map(Change::size).sum::<usize>();
    let mut bytes = size(&first);
    let mut group = vec![first];
    while group.len() < GROUP_COMMITS && bytes < GROUP_BYTES {
        let Ok(request) = requests.try_recv() else { break };
        bytes += size(&request);
        group.push(request);
    }
    group
}

#[cfg(test)]
mod tests;
