//! How much of a stream may be under way: both ends count.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard};
use std::task::{Poll, Waker};

/// What may be sent on each stream before the first credit, and so the most that its receiver has
/// to keep.
pub const WINDOW: u32 = 256 << 10;

/// The sender's end of a stream: how much it may send.
#[derive(Debug)]
pub struct SendWindow(Mutex<Sending>);

#[derive(Debug)]
struct Sending {
    left: u32,
    /// Who waits for credit.
    waiting: Option<Waker>,
}

impl Default for SendWindow {
    fn default() -> Self {
        Self(Mutex::new(Sending { left: WINDOW, waiting: None }))
    }
}

impl SendWindow {
    /// Waits until something may be sent, and returns how much. One at a time may wait.
    pub async fn open(&self) -> usize {
        poll_fn(|context| {
            let mut sending = self.lock();
            match sending.left {
                0 => {
                    sending.waiting = Some(context.waker().clone());
                    Poll::Pending
                }
                left => Poll::Ready(usize::try_from(left).unwrap_or(usize::MAX)),
            }
        })
        .await
    }

    /// So much is sent, which is no more than there was.
    pub fn take(&self, bytes: usize) {
        let mut sending = self.lock();
        let left = u32::try_from(bytes).ok().and_then(|bytes| sending.left.checked_sub(bytes));
        sending.left = left.expect("no more is sent than may be");
    }

    /// The receiver gives so much credit.
    pub fn grant(&self, bytes: u32) {
        let mut sending = self.lock();
        sending.left = sending.left.saturating_add(bytes);
        if let Some(waiting) = sending.waiting.take_if(|_| bytes > 0) {
            waiting.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sending> {
        self.0.lock().expect("no panic while a window is locked")
    }
}

/// The receiver's end of a stream: how much it has to take, and what it owes.
#[derive(Debug)]
pub struct ReceiveWindow(Mutex<Receiving>);

#[derive(Debug)]
struct Receiving {
    left: u32,
    owed: u32,
}

/// More came than may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more bytes came than there was credit for")]
pub struct Overrun;

impl Default for ReceiveWindow {
    fn default() -> Self {
        Self(Mutex::new(Receiving { left: WINDOW, owed: 0 }))
    }
}

impl ReceiveWindow {
    /// So much has come.
    pub fn arrived(&self, bytes: usize) -> Result<(), Overrun> {
        let mut receiving = self.lock();
        let left = u32::try_from(bytes).ok().and_then(|bytes| receiving.left.checked_sub(bytes));
        receiving.left = left.ok_or(Overrun)?;
        Ok(())
    }

    /// So much was passed on of what had come; returns the credit that is due to the sender. Few
    /// credits do for a stream that flows: half a window at a time.
    pub fn passed_on(&self, bytes: usize) -> Option<u32> {
        let mut receiving = self.lock();
        receiving.owed += u32::try_from(bytes).expect("no more than had come");
        if receiving.owed < WINDOW / 2 {
            return None;
        }
        let due = std::mem::take(&mut receiving.owed);
        receiving.left += due;
        Some(due)
    }

    fn lock(&self) -> MutexGuard<'_, Receiving> {
        self.0.lock().expect("no panic while a window is locked")
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Context;

    use proptest::prelude::*;

    use super::*;

    /// What may be sent now.
    fn open(window: &SendWindow) -> Option<usize> {
        match pin!(window.open()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(left) => Some(left),
            Poll::Pending => None,
        }
    }

    proptest! {
        /// Sending as much as may be and passing on as it comes moves any amount, and never more
        /// than a window is under way.
        #[test]
        fn a_stream_flows_whatever_the_pieces(
            steps in proptest::collection::vec((1_usize..100_000, 1_usize..100_000), 1..200),
        ) {
            let (sender, receiver) = (SendWindow::default(), ReceiveWindow::default());
            let mut kept = 0;
            for (send, pass) in steps {
                if let Some(may) = open(&sender) {
                    let sent = send.min(may);
                    sender.take(sent);
                    prop_assert!(receiver.arrived(sent).is_ok());
                    kept += sent;
                }
                prop_assert!(kept <= WINDOW as usize);
                let passed = pass.min(kept);
                kept -= passed;
                if let Some(due) = receiver.passed_on(passed) {
                    sender.grant(due);
                }
                // Nothing is stuck: with all passed on, something may be sent.
                prop_assert!(kept > 0 || open(&sender).is_some());
            }
        }
    }

    #[test]
    fn who_sends_more_than_he_may_is_found_out() {
        let window = ReceiveWindow::default();
        window.arrived(WINDOW as usize).unwrap();
        assert_eq!(window.arrived(1), Err(Overrun));
        assert_eq!(window.passed_on(WINDOW as usize), Some(WINDOW));
        assert_eq!(window.arrived(1), Ok(()));
    }

    #[test]
    fn credit_wakes_who_waits_for_it() {
        struct Woken(std::sync::atomic::AtomicBool);
        impl std::task::Wake for Woken {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let woken = std::sync::Arc::new(Woken(false.into()));
        let waker = Waker::from(woken.clone());
        let window = SendWindow::default();
        window.take(WINDOW as usize);
        let mut waiting = pin!(window.open());
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        window.grant(7);
        assert!(woken.0.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(waiting.poll(&mut Context::from_waker(&waker)), Poll::Ready(7));
    }
}
