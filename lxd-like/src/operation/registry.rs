//! The registry of operations and the handle through which the work reports.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sc_api::{ErrorKind, Operation, OperationClass, StatusCode, Timestamp};
use serde_json::{Map, Value};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::event::Events;
use crate::operation::SocketSet;

/// How long a finished operation can still be asked for, once somebody has waited for its end.
const KEPT: Duration = Duration::from_secs(5);

/// How long that is waited for before: a client on a busy host may be late.
const UNSEEN: Duration = Duration::from_secs(60);

/// What the work of an operation leaves in its metadata.
pub type Output = Map<String, Value>;

/// What an operation is, before it runs.
pub struct NewOperation {
    /// What it does, in words.
    pub description: &'static str,
    /// What it works on: kinds to paths of the API.
    pub resources: BTreeMap<String, Vec<String>>,
    /// Whether a DELETE may end it.
    pub may_cancel: bool,
    /// Its first metadata.
    pub metadata: Option<Output>,
    /// Whether it is work, or a conversation with a client.
    pub class: OperationClass,
    /// Websockets that clients connect to.
    pub sockets: Option<Arc<SocketSet>>,
}

impl NewOperation {
    /// Work on one instance.
    pub fn on_instance(description: &'static str, name: &str) -> Self {
        Self::on(description, "instances", format!("/1.0/instances/{name}"))
    }

    /// Work on one object.
    pub fn on(description: &'static str, kind: &str, path: String) -> Self {
        Self {
            description,
            resources: BTreeMap::from([(kind.to_owned(), vec![path])]),
            may_cancel: false,
            metadata: None,
            class: OperationClass::Task,
            sockets: None,
        }
    }

    /// A conversation with the client that asks for it, of which it is told `metadata`.
    pub fn conversation(mut self, metadata: Output) -> Self {
        self.class = OperationClass::Websocket;
        self.metadata = Some(metadata);
        self
    }

    /// A conversation on websockets, whose secrets it is told too.
    pub fn on_websockets(self, mut metadata: Output, sockets: Arc<SocketSet>) -> Self {
        metadata.insert("fds".to_owned(), sockets.secrets().into());
        Self { sockets: Some(sockets), ..self.conversation(metadata) }
    }

    /// Allows a DELETE to end it.
    pub fn cancellable(mut self) -> Self {
        self.may_cancel = true;
        self
    }
}

/// One operation: its public face, and what ends it.
#[derive(Debug)]
pub struct Handle {
    state: watch::Sender<Operation>,
    cancel: CancellationToken,
    sockets: Option<Arc<SocketSet>>,
    events: Events,
    /// Told when somebody has waited for the end, and has it.
    seen: Notify,
}

impl Handle {
    /// The operation as clients see it.
    pub fn view(&self) -> Operation {
        self.state.borrow().clone()
    }

    /// Ends the work where it next looks, when a client or the daemon's stop asks for it.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancel
    }

    /// The websockets that clients connect to.
    pub fn sockets(&self) -> Option<&Arc<SocketSet>> {
        self.sockets.as_ref()
    }

    /// Lays `changes` over the metadata and tells the listeners.
    pub fn update(&self, changes: Output) {
        self.change(|operation| {
            operation.metadata.get_or_insert_default().extend(changes);
        });
    }

    /// Waits until the operation has ended.
    pub async fn ended(&self) -> Operation {
        let mut receiver = self.state.subscribe();
        let ended = receiver.wait_for(|operation| operation.status_code.is_final()).await;
        // The sender lives in `self`, so the channel cannot close before the wait is over.
        let ended = ended.expect("the sender outlives the wait").clone();
        self.seen.notify_one();
        ended
    }

    /// How long its end is there for somebody to wait for. Of a conversation on one connection that itself
    /// tells the end.
    fn unseen(&self) -> Duration {
        let tells_itself =
            self.state.borrow().class == OperationClass::Websocket && self.sockets.is_none();
        if tells_itself { Duration::ZERO } else { UNSEEN }
    }

    fn finish(&self, outcome: Result<Option<Output>>) {
        let cancelled = self.cancel.is_cancelled();
        self.change(|operation| {
            let status = match outcome {
                Ok(output) => {
                    if let Some(output) = output {
                        operation.metadata.get_or_insert_default().extend(output);
                    }
                    StatusCode::Success
                }
                Err(error) if cancelled => {
                    // What has failed besides is no answer to who has cancelled it.
                    let (what, id, chain) = (&operation.description, &operation.id, error.chain());
                    tracing::info!(operation = %what, %id, error = %chain, "operation cancelled");
                    operation.err = "the operation was cancelled".into();
                    StatusCode::Cancelled
                }
                Err(error) => {
                    let (what, id, chain) = (&operation.description, &operation.id, error.chain());
                    // What the caller did wrong is the caller's to read.
                    match error.kind() {
                        ErrorKind::Internal | ErrorKind::Unavailable => {
                            tracing::warn!(operation = %what, %id, error = %chain, "operation failed");
                        }
                        _ => tracing::info!(operation = %what, %id, error = %chain, "operation failed"),
                    }
                    operation.err = error.chain();
                    StatusCode::Failure
                }
            };
            operation.status = status.text().into();
            operation.status_code = status;
            operation.may_cancel = false;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Operation)) {
        let mut after = None;
        self.state.send_modify(|operation| {
            // Once final, stay final: late progress must not undo the end.
            if !operation.status_code.is_final() {
                change(operation);
                operation.updated_at = Timestamp::now();
                after = Some(operation.clone());
            }
        });
        if let Some(operation) = after {
            self.events.operation(&operation);
        }
    }
}

/// All operations of this daemon.
#[derive(Debug, Clone)]
pub struct Operations {
    all: Arc<Mutex<HashMap<String, Arc<Handle>>>>,
    events: Events,
}

impl Operations {
    /// An empty registry that reports to `events`.
    pub fn new(events: Events) -> Self {
        Self { all: Arc::default(), events }
    }

    /// Starts an operation whose work is the future that `work` makes of its handle.
    pub fn start<F, W>(&self, new: NewOperation, work: F) -> Arc<Handle>
    where
        F: FnOnce(Arc<Handle>) -> W,
        W: Future<Output = Result<Option<Output>>> + Send + 'static,
    {
        let handle = self.register(new);
        let id = handle.view().id;
        let work = work(handle.clone());
        let (registry, working) = (self.clone(), handle.clone());
        tokio::spawn(async move {
            // A task of its own, so that a panic in the work becomes a failed operation.
            let outcome = tokio::spawn(work).await.unwrap_or_else(|error| {
                Err(Error::internal(format!("the operation's task ended early: {error}")))
            });
            working.finish(outcome);
            let _ = tokio::time::timeout(working.unseen(), working.seen.notified()).await;
            tokio::time::sleep(KEPT).await;
            registry.lock().remove(&id);
        });
        handle
    }

    /// The operation with this id.
    pub fn get(&self, id: &str) -> Result<Arc<Handle>> {
        let found = self.lock().get(id).cloned();
        found.ok_or_else(|| {
            Error::not_found(format!("Operation {id:?} not found: see sc operation list"))
        })
    }

    /// Every operation there is, oldest first.
    pub fn list(&self) -> Vec<Operation> {
        let mut all: Vec<_> = self.lock().values().map(|handle| handle.view()).collect();
        all.sort_by_key(|operation| operation.created_at);
        all
    }

    /// Asks all operations to end that may be cancelled.
    pub fn cancel_all(&self) {
        let all: Vec<_> = self.lock().keys().cloned().collect();
        for id in all {
            // Those that may not go on.
            let _ = self.cancel(&id);
        }
    }

    /// Asks an operation to end.
    pub fn cancel(&self, id: &str) -> Result<()> {
        let handle = self.get(id)?;
        let operation = handle.view();
        if operation.status_code.is_final() {
            let text = format!("Only running operations can be cancelled: {id} has ended");
            return Err(Error::invalid(text));
        }
        if !operation.may_cancel {
            let text =
                format!("This operation can't be cancelled: {id} ({})", operation.description);
            return Err(Error::invalid(text));
        }
        handle.cancel.cancel();
        handle.change(|operation| {
            operation.status_code = StatusCode::Cancelling;
            operation.status = StatusCode::Cancelling.text().into();
        });
        Ok(())
    }

    /// Waits until every task-class operation has ended. Conversations may last for days; they do
    /// not hold up the daemon's end.
    pub async fn drained(&self) {
        let tasks: Vec<_> = self.lock().values().cloned().collect();
        for handle in tasks {
            if handle.view().class == OperationClass::Task {
                handle.ended().await;
            }
        }
    }

    fn register(&self, new: NewOperation) -> Arc<Handle> {
        let now = Timestamp::now();
        let operation = Operation {
            id: uuid::Uuid::new_v4().to_string(),
            class: new.class,
            description: new.description.into(),
            created_at: now,
            updated_at: now,
            status: StatusCode::Running.text().into(),
            status_code: StatusCode::Running,
            resources: new.resources,
            metadata: new.metadata,
            may_cancel: new.may_cancel,
            err: String::new(),
            location: "none".into(),
        };
        self.events.operation(&operation);
        let handle = Arc::new(Handle {
            state: watch::Sender::new(operation.clone()),
            cancel: CancellationToken::new(),
            sockets: new.sockets,
            events: self.events.clone(),
            seen: Notify::new(),
        });
        self.lock().insert(operation.id, handle.clone());
        handle
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Handle>>> {
        self.all.lock().expect("no panic while the registry is locked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Operations {
        Operations::new(Events::new())
    }

    fn work() -> NewOperation {
        NewOperation::on_instance("Testing", "c1")
    }

    #[tokio::test]
    async fn an_operation_ends_with_its_output() {
        let handle = registry().start(work(), |_| async {
            Ok(Some(Map::from_iter([("answer".to_owned(), Value::from(42))])))
        });
        let ended = handle.ended().await;
        assert_eq!(ended.status_code, StatusCode::Success);
        assert_eq!(ended.metadata.unwrap()["answer"], 42);
    }

    #[tokio::test]
    async fn a_panic_fails_the_operation_and_not_the_daemon() {
        let handle = registry().start(work(), |_| async { panic!("on purpose") });
        assert_eq!(handle.ended().await.status_code, StatusCode::Failure);
    }

    #[tokio::test]
    async fn only_what_may_be_cancelled_is_cancelled() {
        let registry = registry();
        let fixed = registry.start(work(), |_| std::future::pending());
        assert!(registry.cancel(&fixed.view().id).is_err());

        let loose = registry.start(work().cancellable(), |handle| async move {
            handle.cancelled().cancelled().await;
            Err(Error::internal("stopped half-way"))
        });
        registry.cancel(&loose.view().id).unwrap();
        assert_eq!(loose.ended().await.status_code, StatusCode::Cancelled);
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_there_for_who_comes_late_and_not_much_longer_than_it_was_seen() {
        let registry = registry();
        let start = |new| registry.start(new, |_| async { Ok(None) }).view().id;
        let [seen, unseen] = [work(), work()].map(start);
        let told = start(work().conversation(Map::new()));
        tokio::time::sleep(KEPT / 2).await;
        assert!(registry.get(&told).is_ok());
        tokio::time::sleep(KEPT).await;
        assert!(registry.get(&told).is_err());
        tokio::time::sleep(UNSEEN / 2).await;
        registry.get(&seen).unwrap().ended().await;
        tokio::time::sleep(KEPT / 2).await;
        assert!(registry.get(&seen).is_ok());
        tokio::time::sleep(KEPT).await;
        assert!(registry.get(&seen).is_err() && registry.get(&unseen).is_ok());
        tokio::time::sleep(UNSEEN).await;
        assert!(registry.get(&unseen).is_err());
    }

    #[tokio::test]
    async fn late_progress_does_not_revive_an_ended_operation() {
        let handle = registry().start(work(), |_| async { Ok(None) });
        let ended = handle.ended().await;
        handle.update(Map::from_iter([("late".to_owned(), Value::from(1))]));
        assert_eq!(handle.view(), ended);
    }
}
