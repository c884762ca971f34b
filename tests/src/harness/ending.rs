//! How a daemon ends: in order, killed, by a fault that it runs into, without power.

use super::clean::{kill_all, remove_cgroups};
use super::daemon::{Daemon, READY, answers};
use super::wait::eventually;

impl Daemon {
    /// Starts `scd` again after it was killed, into a fault.
    #[track_caller]
    pub fn run_into(&mut self, fault: &str) {
        self.options.fault = Some(fault.to_owned());
        self.run();
    }

    /// Starts `scd` again into a fault that it may run into at its start; tells whether it lives. It
    /// answers only when it has recovered everything: one that does is past all of that.
    #[track_caller]
    pub fn outlives(&mut self, fault: &str) -> bool {
        self.options.fault = Some(fault.to_owned());
        self.spawn();
        let socket = self.dir().join("unix.socket");
        let child = self.child.as_mut().expect("the daemon was just started");
        let lives = eventually("the daemon answers or dies", READY, || {
            if child.try_wait().expect("our own child").is_some() {
                return Some(false);
            }
            answers(&socket).then_some(true)
        });
        if !lives {
            self.child = None;
        }
        lives
    }

    /// Starts `scd` again into a fault that it runs into by itself, and waits until it has died.
    #[track_caller]
    pub fn dies_of(&mut self, fault: &str) {
        self.options.fault = Some(fault.to_owned());
        self.spawn();
        self.wait_died();
    }

    /// Kills `scd` as a crash would.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("the daemon runs");
        child.kill().expect("our own child can be killed");
        // An injector's tracer, a thread of ours, may have been faster.
        let _ = child.wait();
    }

    /// Cuts the power of the daemon's own disk and of the host: what was not synced is lost.
    #[track_caller]
    pub fn cut_power(&mut self) {
        self.disk.as_mut().expect("the daemon has a disk of its own").cut_power();
        self.lose_host();
        self.disk.as_mut().expect("as before").power_on();
    }

    /// Ends `scd`, if it still runs, and all that is the daemon's, as a host that goes down would; the next
    /// one finds another boot id. Nothing is lost of what was written.
    #[track_caller]
    pub fn lose_host(&mut self) {
        if self.child.is_some() {
            self.kill9();
        }
        let mut left = Vec::new();
        kill_all(&self.dir(), &mut left);
        remove_cgroups(&self.dir(), &mut left);
        assert!(left.is_empty(), "cannot be taken away: {left:?}");
        self.boots.count();
    }

    /// Waits until `scd` has died of its fault.
    #[track_caller]
    pub fn wait_died(&mut self) {
        let mut child = self.child.take().expect("the daemon runs");
        eventually("the daemon dies of its fault", READY, || child.try_wait().expect("our child"));
    }

    /// Ends `scd`, and starts it into a fault that kills it when it is asked this.
    #[track_caller]
    pub fn killed_when_asked(&mut self, args: &[&str], fault: &str) {
        self.end();
        self.run_into(fault);
        let ran = self.sc(args);
        assert_ne!(ran.code, 0, "{fault}: {ran:?}");
        self.wait_died();
    }

    /// Ends `scd` in order; guests go on.
    #[track_caller]
    pub fn end(&mut self) {
        let mut child = self.child.take().expect("the daemon runs");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("our child");
        let status =
            eventually("the daemon ends", READY, || child.try_wait().expect("our own child"));
        assert!(status.success(), "the daemon ended with {status}");
    }

    /// Ends `scd` in order and starts it again.
    #[track_caller]
    pub fn restart(&mut self) {
        self.end();
        self.run_again();
    }
}
