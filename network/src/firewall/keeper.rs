//! Keeps a network's rules in the kernel, whatever others do to theirs.
//!
//! ```text
//!   a change of any table ──> a moment's pause ──> look ──┬─> all is as it should be, or is put in anew
//!   (told by the kernel)                            ^     │
//!                                                   │     └─> it failed: look again, after a longer pause each time
//!   a new socket, after one that broke ─────────────┘
//! ```
//!
//! So a Docker that starts, restarts or flushes its rules, an `iptables --policy FORWARD DROP` and an
//! `nft flush ruleset` (which is how Debian's nftables.service begins) cut guests off for a moment at
//! most. Nothing is asked of the kernel as long as nobody changes a rule.
//!
//! Where the kernel's reports cannot be heard, as without memory, a new socket is tried until there is one, and
//! the rules are looked at each time: what has changed meanwhile is told by nobody.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::changes::Changes;
use super::others::Standing;
use super::{apply, look};
use crate::{BridgeConfig, Context, NetworkError, Result};

/// Changes come in bursts: the first look is this long after the first of them.
const MOMENT: Duration = Duration::from_millis(50);

/// The pause between two looks, for a host whose rules change all the time.
const PAUSE: Duration = Duration::from_millis(500);

/// The pause after a first failure, and the longest, after many.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Keeps a network's rules in place until it is stopped. Dropping it leaves the rules as they are.
pub(crate) struct Keeper {
    /// Its end is the task's.
    leave: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Puts a network's rules in, and keeps them there from then on.
    pub async fn start(config: Arc<BridgeConfig>, context: Context) -> Result<Self> {
        Self::listening(config, context, Changes::listen).await
    }

    /// As [`Keeper::start`], with sockets that `listen` opens.
    async fn listening(
        config: Arc<BridgeConfig>,
        context: Context,
        mut listen: impl FnMut() -> Result<Changes> + Send + 'static,
    ) -> Result<Self> {
        // First, so that no change is missed.
        let changes = listen();
        let standing = apply(&config, &context).await?;
        standing.tell(&config.name);
        let (leave, left) = oneshot::channel();
        let watch = Watch { config, context, standing, left, deaf: Pauses::default() };
        let task = tokio::spawn(async move {
            // `None` says that it is to leave.
            let _ = watch.keep(changes, listen).await;
        });
        Ok(Self { leave, task })
    }

    /// Ends it; when this returns, it puts nothing in any more.
    pub async fn stop(self) {
        drop(self.leave);
        // A panic of the task has been told already.
        let _ = self.task.await;
    }
}

/// Pauses after failures, each twice as long as the one before.
#[derive(Default)]
struct Pauses(Option<Duration>);

impl Pauses {
    fn next(&mut self) -> Duration {
        let next = self.0.map_or(SHORTEST, |last| (last * 2).min(LONGEST));
        *self.0.insert(next)
    }

    /// Whether there was no failure of late.
    fn none_yet(&self) -> bool {
        self.0.is_none()
    }

    fn are_longest(&self) -> bool {
        self.0 == Some(LONGEST)
    }
}

/// What a look at the rules has come to.
enum Settled {
    /// They are what they should be.
    Right,
    /// They could not be read.
    Unread,
}

/// The task's state. Its functions return `None` once it is to leave, which they notice only while they wait: a
/// transaction that has begun is not left to itself.
struct Watch {
    config: Arc<BridgeConfig>,
    context: Context,
    standing: Standing,
    left: oneshot::Receiver<()>,
    /// The pauses between sockets that heard nothing.
    deaf: Pauses,
}

impl Watch {
    async fn keep(
        mut self,
        mut changes: Result<Changes>,
        mut listen: impl FnMut() -> Result<Changes>,
    ) -> Option<Infallible> {
        loop {
            let error = match changes {
                Ok(changes) => self.follow(&changes).await?,
                Err(error) => error,
            };
            self.tell_deaf(&error);
            let pause = self.deaf.next();
            self.unless_left(sleep(pause)).await?;
            // First, so that no change after the look is missed.
            changes = listen();
            self.settle_at_last().await?;
        }
    }

    /// Looks at the rules after each change, for as long as changes are told; returns why they are not any more.
    async fn follow(&mut self, changes: &Changes) -> Option<NetworkError> {
        loop {
            if let Err(error) = self.unless_left(changes.next()).await? {
                return Some(error);
            }
            if !self.deaf.none_yet() {
                tracing::info!(
                    network = self.config.name,
                    "changes of the host's rules are told again"
                );
                self.deaf = Pauses::default();
            }
            self.unless_left(sleep(MOMENT)).await?;
            changes.drain();
            self.settle_at_last().await?;
            self.unless_left(sleep(PAUSE)).await?;
        }
    }

    /// Looks, and puts in what is missing, until that succeeds.
    async fn settle_at_last(&mut self) -> Option<()> {
        let mut pauses = Pauses::default();
        loop {
            match self.settle().await {
                Ok(Settled::Right) => return Some(()),
                // An nft that cannot say what is there will not learn it.
                Ok(Settled::Unread) if pauses.are_longest() => return Some(()),
                Ok(Settled::Unread) => {}
                Err(error) => self.tell_failed(&error, &pauses),
            }
            self.unless_left(sleep(pauses.next())).await?;
        }
    }

    /// Puts the network's rules in again if they are not what they should be.
    async fn settle(&mut self) -> Result<Settled> {
        let (config, context) = (&*self.config, &self.context);
        // What cannot be read would be put in for ever, as that is a change itself.
        let Some(seen) = look(&config.name, context).await? else { return Ok(Settled::Unread) };
        if self.standing.holds(config, &seen) {
            return Ok(Settled::Right);
        }
        let now = apply(config, context).await?;
        tracing::info!(
            network = config.name,
            "the host's rules have changed: the network's are put in again"
        );
        if now != self.standing {
            now.tell(&config.name);
        }
        self.standing = now;
        Ok(Settled::Right)
    }

    /// Waits for something, but no longer than until it is to leave.
    async fn unless_left<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            _ = &mut self.left => None,
            done = what => Some(done),
        }
    }

    /// Tells the first of a row of failures; the rest of it is for who looks closely.
    fn tell_deaf(&self, error: &NetworkError) {
        let (network, error) = (&self.config.name, error as &dyn Error);
        if self.deaf.none_yet() {
            tracing::warn!(
                network,
                error,
                "changes of the host's rules are not told: listening anew"
            );
        } else {
            tracing::debug!(network, error, "changes of the host's rules are still not told");
        }
    }

    fn tell_failed(&self, error: &NetworkError, pauses: &Pauses) {
        let (network, error) = (&self.config.name, error as &dyn Error);
        if pauses.none_yet() {
            tracing::warn!(network, error, "rules could not be put in again: trying on");
        } else {
            tracing::debug!(network, error, "rules could still not be put in again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::testing::in_namespace;
    use crate::{ConfigMap, Links};

    fn config() -> Arc<BridgeConfig> {
        let map = ConfigMap::from([("ipv4.address".to_owned(), "10.77.5.1/24".to_owned())]);
        Arc::new(BridgeConfig::parse("scbr0", &map).unwrap())
    }

    fn nft(args: &[&str]) -> bool {
        Command::new("nft").args(args).output().unwrap().status.success()
    }

    fn flush() {
        assert!(nft(&["flush", "ruleset"]));
    }

    fn has_table() -> bool {
        nft(&["list", "table", "inet", "sc_scbr0"])
    }

    async fn until(what: &str, is_so: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(Instant::now() < end, "{what}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    #[test]
    fn rules_are_watched_again_after_sockets_that_break_or_cannot_be_opened() {
        in_namespace(async {
            let tries = Arc::new(AtomicU32::new(0));
            let counted = Arc::clone(&tries);
            let listen = move || match counted.fetch_add(1, Ordering::Relaxed) {
                0 | 2 => Ok(Changes::broken()),
                1 => Err(NetworkError::InvalidHost { name: "none".to_owned(), reason: "a test" }),
                _ => {
                    // What changes while nobody hears of it is seen by the look that follows.
                    flush();
                    Changes::listen()
                }
            };
            let context = Context::new(Links::new().unwrap());
            let keeper = Keeper::listening(config(), context, listen).await.unwrap();
            until("a fourth socket", || tries.load(Ordering::Relaxed) == 4).await;
            until("the table is put in unasked", has_table).await;
            flush();
            until("the table is put in after a change", has_table).await;
            keeper.stop().await;
        });
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut pauses = Pauses::default();
        assert!(pauses.none_yet());
        let said: Vec<_> = (0..8).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(said, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!(pauses.are_longest());
    }
}
