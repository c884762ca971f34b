//! Network namespaces for tests. Without root there are none, and such tests say that they skip.

use std::fs::File;
use std::future::Future;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sched::{CloneFlags, setns, unshare};

/// Runs a future on a thread in a new network namespace, which goes with the thread and what it
/// started.
pub(crate) fn in_namespace<F>(future: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        run("lo", future);
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn run<T>(bring_up: &str, future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        crate::Links::new().unwrap().set_up(bring_up).await.unwrap();
        future.await
    })
}

/// A guest's network namespace.
pub(crate) struct Namespace(File);

impl Namespace {
    pub(crate) fn new() -> Self {
        let thread = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            // Of this thread, not of the process.
            Self(File::open("/proc/thread-self/ns/net").unwrap())
        });
        thread.join().unwrap()
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Runs a future on a thread inside.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let file = self.0.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            run("lo", future)
        });
        thread.join().unwrap()
    }
}
