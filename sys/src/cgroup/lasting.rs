//! Tasks that were killed and do not end.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::v2::{is_exiting, open_dir, tasks};
use super::walk::{Visitor, walk};
use crate::error::Result;

/// Tasks in a group and below it that are not on their way out, some of them where there are many.
pub(super) fn lasting(dir: impl AsFd) -> Result<Vec<LastingTask>> {
    let mut lasting = Lasting(Vec::new());
    walk(open_dir(&dir, ".")?, Path::new("control group"), &mut lasting)?;
    Ok(lasting.0)
}

/// A task that does not end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastingTask {
    /// Its number on the host.
    pub id: u32,
    /// What it calls itself, which may be anything.
    pub name: String,
    /// The kernel's function that it waits in, if it does and the kernel tells.
    pub waits_in: Option<String>,
}

impl LastingTask {
    fn of(task: &str) -> Option<Self> {
        let read = |name: &str| {
            let text = std::fs::read(format!("/proc/{task}/{name}")).ok()?;
            Some(String::from_utf8_lossy(&text).trim().to_owned())
        };
        let waits_in = read("wchan").filter(|function| !function.is_empty() && function != "0");
        Some(Self { id: task.parse().ok()?, name: read("comm")?, waits_in })
    }
}

/// Names tasks that are not on their way out.
struct Lasting(Vec<LastingTask>);

impl Lasting {
    const MOST: usize = 4;
}

impl Visitor for Lasting {
    fn enter(&mut self, group: BorrowedFd<'_>) -> Result<bool> {
        let tasks = tasks(group)?;
        let lasting = tasks.lines().filter(|task| !is_exiting(task));
        self.0.extend(lasting.filter_map(LastingTask::of).take(Self::MOST - self.0.len()));
        Ok(self.0.len() < Self::MOST)
    }

    fn leave(&mut self, _: BorrowedFd<'_>, _: &CString) -> Result<()> {
        Ok(())
    }
}
