//! Ctrl-C and SIGTERM while an operation is waited for.
//!
//! Until then they do what they do to any program. From the first wait on they are caught here:
//! the command is dropped, so that it begins nothing more; what it waited for is cancelled as far
//! as the daemon lets it be; one sentence says what became of it. A second signal leaves at once.
//!
//! While a program such as an editor has the terminal, ctrl-C and ctrl-\ are that program's; once it
//! has ended ctrl-C is caught here as well, and ctrl-\ does nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context as _, Result};
use sc_api::{ErrorKind, StatusCode};
use sc_client::{Client, Error};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// The operations that a command waits for.
#[derive(Debug, Clone, Default)]
pub struct Interrupts(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Tells that there is a first wait.
    armed: Notify,
    /// The signals, caught since then.
    caught: Mutex<Option<Result<Signals>>>,
    waits: Mutex<Vec<Wait>>,
    /// Another program has the terminal.
    lent: AtomicBool,
    /// Where a text is that would be lost otherwise.
    kept: Mutex<Option<PathBuf>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wait {
    /// What is done, such as `Creating c1`.
    title: String,
    /// The operation's id.
    operation: String,
}

/// An operation is waited for as long as this is there.
#[derive(Debug)]
pub struct Waiting {
    interrupts: Interrupts,
    operation: String,
}

/// The user, or whoever sent the signal, wanted the command to end.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Interrupted {
    /// The exit code that says so: 128 and the signal's number.
    pub code: u8,
    text: String,
}

impl Interrupts {
    /// Notes that the end of an operation is waited for.
    pub fn waiting(&self, title: &str, operation: &str) -> Waiting {
        let wait = Wait { title: title.to_owned(), operation: operation.to_owned() };
        self.waits().push(wait);
        self.arm();
        Waiting { interrupts: self.clone(), operation: operation.to_owned() }
    }

    fn arm(&self) {
        // Now, and not when the runtime comes to it: from here on a signal must not just kill.
        let mut caught = self.0.caught.lock().expect("no panic while it is locked");
        caught.get_or_insert_with(Signals::catch);
        drop(caught);
        self.0.armed.notify_one();
    }

    /// Runs what waits for a program that has the terminal.
    pub async fn lend_terminal<T: Send + 'static>(
        &self,
        wait: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        // Once caught they end us no more; the program begins with what they do by default.
        for kind in [SignalKind::interrupt(), SignalKind::quit()] {
            drop(signal(kind).context("catch signals")?);
        }
        self.0.lent.store(true, Ordering::Relaxed);
        // In a thread, so that the signals meanwhile are seen meanwhile, and not afterwards.
        let ended = tokio::task::spawn_blocking(wait).await;
        // Those that came before its end are seen before.
        tokio::task::yield_now().await;
        self.0.lent.store(false, Ordering::Relaxed);
        self.arm();
        ended.context("wait for the program")
    }

    /// Notes where a text is kept that is told of if a signal ends the command.
    pub fn keeps(&self, file: &Path) {
        *self.0.kept.lock().expect("no panic while it is locked") = Some(file.to_owned());
    }

    /// Runs a command to its end, or to the signal that ends it.
    pub async fn run<T>(
        &self,
        client: &Client,
        command: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let (mut signals, caught, waits) = {
            tokio::pin!(command);
            tokio::select! {
                outcome = &mut command => return outcome,
                caught = self.first_signal() => {
                    let (signals, caught) = caught?;
                    (signals, caught, self.waits().clone())
                }
            }
        };
        let mut became: Vec<String> = tokio::select! {
            became = futures::future::join_all(waits.iter().map(|wait| cancel(client, wait))) => became,
            _ = signals.next() => waits.iter().map(left).collect(),
        };
        let kept = self.0.kept.lock().expect("no panic while it is locked").take();
        became.extend(kept.map(|file| format!("your text is kept in {}", file.display())));
        Err(caught.interrupted(&became).into())
    }

    async fn first_signal(&self) -> Result<(Signals, Caught)> {
        self.0.armed.notified().await;
        let caught = self.0.caught.lock().expect("no panic while it is locked").take();
        let mut signals = caught.expect("it is there before it is told")?;
        loop {
            let caught = signals.next().await;
            if caught == Caught::Terminate || !self.0.lent.load(Ordering::Relaxed) {
                return Ok((signals, caught));
            }
        }
    }

    fn waits(&self) -> MutexGuard<'_, Vec<Wait>> {
        self.0.waits.lock().expect("no panic while it is locked")
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.interrupts.waits().retain(|wait| wait.operation != self.operation);
    }
}

/// A signal that asks for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caught {
    Interrupt,
    Terminate,
}

impl Caught {
    /// The error that says what became of the operations.
    fn interrupted(self, became: &[String]) -> Interrupted {
        let (kind, word) = match self {
            Self::Interrupt => (SignalKind::interrupt(), "interrupted"),
            Self::Terminate => (SignalKind::terminate(), "terminated"),
        };
        let code = 128 + u8::try_from(kind.as_raw_value()).expect("signals are small");
        let text = match became {
            [] => word.to_owned(),
            became => format!("{word}: {}", became.join("; ")),
        };
        Interrupted { code, text }
    }
}

#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        let catch = |kind| signal(kind).context("catch signals");
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.interrupt.recv() => Caught::Interrupt,
            _ = self.terminate.recv() => Caught::Terminate,
        }
    }
}

/// Cancels an operation, waits for its end, and says what became of it.
async fn cancel(client: &Client, wait: &Wait) -> String {
    let what = sentence(&wait.title);
    if let Err(error) = client.cancel(&wait.operation).await {
        return match error.kind() {
            ErrorKind::NotFound => format!("{what} had ended already"),
            _ => format!(
                "{what} cannot be cancelled and goes on in the daemon as operation {}",
                wait.operation
            ),
        };
    }
    let ended = async { client.wait(client.operation(&wait.operation).await?).await };
    match ended.await {
        Ok(_) => format!("{what} was done before it could be cancelled"),
        Err(Error::Operation { status: StatusCode::Cancelled, .. }) => {
            format!("{what} was cancelled")
        }
        Err(error) => format!("{what} failed: {}", crate::output::chain(&error.into())),
    }
}

/// Says that nobody waits for the end of an operation that is being cancelled.
fn left(wait: &Wait) -> String {
    format!("{} is still being cancelled by the daemon", sentence(&wait.title))
}

/// A title as a part of a sentence.
fn sentence(title: &str) -> String {
    let mut letters = title.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
