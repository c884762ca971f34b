//! Progress of long work, as LXD's and Incus's clients show it: `metadata.progress` with percent
//! and speed, and a ready-made line under a key that ends in `_progress`.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sc_api::{ByteSize, Progress};
use serde_json::Map;

use super::registry::Handle;
use crate::error::{Error, Result};

/// How often listeners are told at most.
const INTERVAL: Duration = Duration::from_millis(200);

/// Reports the progress of one operation. Cheap to call as often as one likes, from any thread.
#[derive(Debug, Clone)]
pub struct ProgressReporter {
    operation: Arc<Handle>,
    key: &'static str,
    current: Arc<Mutex<Current>>,
}

#[derive(Debug)]
struct Current {
    stage: String,
    stage_began: Instant,
    last_told: Option<Instant>,
}

impl ProgressReporter {
    /// Reports under `key`, such as `create_instance_from_image_unpack_progress`.
    pub fn new(operation: Arc<Handle>, key: &'static str) -> Self {
        let current =
            Current { stage: String::new(), stage_began: Instant::now(), last_told: None };
        Self { operation, key, current: Arc::new(Mutex::new(current)) }
    }

    /// A new step begins. The libraries name them in their own case; users see one.
    pub fn stage(&self, stage: &str) {
        let stage = &capitalised(stage);
        let mut current = self.lock();
        current.stage = stage.to_owned();
        current.stage_began = Instant::now();
        current.last_told = Some(Instant::now());
        drop(current);
        self.tell(Progress { stage: stage.to_owned(), ..Progress::default() }, stage.to_owned());
    }

    /// `done` bytes of the step are done, out of `total` where that is known.
    pub fn bytes(&self, done: u64, total: Option<u64>) {
        let Some((stage, elapsed)) = self.due(total == Some(done)) else { return };
        let speed = (done as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
        let percent = total.filter(|total| *total > 0).map(|total| done * 100 / total);
        let amount = match percent {
            Some(percent) => format!("{percent}%"),
            None => ByteSize(done).to_string(),
        };
        let progress = Progress {
            stage: stage.clone(),
            percent: percent.map(|p| p.to_string()).unwrap_or_default(),
            speed: speed.to_string(),
            processed: done.to_string(),
        };
        self.tell(progress, format!("{stage}: {amount} ({}/s)", ByteSize(speed)));
    }

    /// `done` things of the step are done, such as packages, out of `total` where that is known.
    pub fn items(&self, done: u64, total: Option<u64>) {
        let Some((stage, _)) = self.due(total == Some(done)) else { return };
        let percent = total.filter(|total| *total > 0).map(|total| done * 100 / total);
        let amount = percent.map_or_else(|| done.to_string(), |percent| format!("{percent}%"));
        let progress = Progress {
            stage: stage.clone(),
            percent: percent.map(|percent| percent.to_string()).unwrap_or_default(),
            ..Progress::default()
        };
        self.tell(progress, format!("{stage}: {amount}"));
    }

    /// Waits for something that takes no notice of the operation's cancellation; fails with that.
    pub async fn unless_cancelled<T>(&self, wait: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            done = wait => Ok(done),
            () = self.operation.cancelled().cancelled() => {
                Err(Error::internal("the operation was cancelled"))
            }
        }
    }

    /// Whether the operation was asked to end.
    pub fn is_cancelled(&self) -> bool {
        self.operation.cancelled().is_cancelled()
    }

    fn due(&self, last: bool) -> Option<(String, Duration)> {
        let mut current = self.lock();
        if !last && current.last_told.is_some_and(|told| told.elapsed() < INTERVAL) {
            return None;
        }
        current.last_told = Some(Instant::now());
        Some((current.stage.clone(), current.stage_began.elapsed()))
    }

    fn tell(&self, progress: Progress, line: String) {
        let progress = serde_json::to_value(progress).expect("progress serialises");
        self.operation.update(Map::from_iter([
            ("progress".to_owned(), progress),
            (self.key.to_owned(), line.into()),
        ]));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().expect("no panic while progress is locked")
    }
}

impl ProgressReporter {
    /// Takes what a storage driver tells of a copy; `Break` when the operation was asked to end.
    pub fn copied(&self, at: sc_storage::Progress) -> std::ops::ControlFlow<()> {
        if self.is_cancelled() {
            return std::ops::ControlFlow::Break(());
        }
        if self.lock().stage != COPYING {
            self.stage(COPYING);
        }
        self.bytes(at.bytes, at.total_bytes);
        std::ops::ControlFlow::Continue(())
    }
}

fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// The step of a copy.
const COPYING: &str = "Copying files";
