//! What an image may still cost, what was done, and when to tell about it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::wire::{Failure, Inside, Job, Report, Stats};

const INTERVAL: Duration = Duration::from_millis(100);

/// Counts against the limits and reports progress.
pub(crate) struct Budget {
    pub(crate) stats: Stats,
    total_bytes: u64,
    file_bytes: u64,
    files: u64,
    ids: u32,
    reported: Instant,
    source: Option<(Arc<AtomicU64>, Option<u64>)>,
    report: Box<dyn FnMut(Report)>,
}

impl Budget {
    pub(crate) fn new(job: &Job, report: Box<dyn FnMut(Report)>) -> Self {
        Self {
            stats: Stats::default(),
            total_bytes: job.total_bytes,
            file_bytes: job.file_bytes,
            files: job.files,
            ids: job.ids,
            reported: Instant::now(),
            source: None,
            report,
        }
    }

    /// Begins a step.
    pub(crate) fn step(&mut self, name: &str) {
        (self.report)(Report::Step(name.to_owned()));
    }

    /// From now on progress is how far a file has been read.
    pub(crate) fn follow(&mut self, position: Arc<AtomicU64>, size: Option<u64>) {
        self.source = Some((position, size));
    }

    /// Returns how many files there may be.
    pub(crate) fn files(&self) -> u64 {
        self.files
    }

    /// Counts a file, folder or link.
    pub(crate) fn take_entry(&mut self) -> Inside<()> {
        self.stats.files += 1;
        if self.stats.files > self.files {
            return Err(Failure::image(format!(
                "the image has more than {} files, the limit",
                self.files
            )));
        }
        self.tick();
        Ok(())
    }

    /// Counts the bytes of one file, holes included.
    pub(crate) fn take_bytes(&mut self, size: u64) -> Inside<()> {
        if size > self.file_bytes {
            return Err(Failure::image(format!(
                "it claims {size} bytes, a file in an image may have {}",
                self.file_bytes
            )));
        }
        self.stats.bytes = self.stats.bytes.saturating_add(size);
        if self.stats.bytes > self.total_bytes {
            return Err(Failure::image(format!(
                "the files of the image have more than {} bytes together, the limit",
                self.total_bytes
            )));
        }
        Ok(())
    }

    /// Checks an owner.
    pub(crate) fn id(&self, id: u64, what: &str) -> Inside<u32> {
        u32::try_from(id).ok().filter(|id| *id < self.ids).ok_or_else(|| {
            Failure::image(format!(
                "it belongs to {what} {id}, an instance has the ids below {}: change the owner in \
                 the image",
                self.ids
            ))
        })
    }

    /// Reports progress, if it is time.
    pub(crate) fn tick(&mut self) {
        if let Some((position, total)) = &self.source {
            let (done, total) = (position.load(Ordering::Relaxed), *total);
            self.progress(done, total);
        }
    }

    /// Reports progress given by the caller, if it is time.
    pub(crate) fn progress(&mut self, done: u64, total: Option<u64>) {
        if self.reported.elapsed() >= INTERVAL {
            self.reported = Instant::now();
            (self.report)(Report::Progress { done, total });
        }
    }
}
