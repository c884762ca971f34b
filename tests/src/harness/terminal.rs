//! The command line under a terminal, as a person has it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::termios::Winsize;
use sc_sys::pty::Pty;

use super::daemon::Daemon;
use super::programs::program;
use super::wait::{eventually, patient};

/// How long an expected text may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// `sc` in a terminal of its own.
pub struct Terminal {
    master: File,
    child: Child,
    arriving: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// Runs `sc` with these arguments in a terminal of this size, columns and lines.
    #[track_caller]
    pub fn run(daemon: &Daemon, args: &[&str], size: (u16, u16)) -> Self {
        let pty = Pty::open().expect("a terminal can be had");
        let (master, terminal) = (File::from(pty.master), File::from(pty.terminal));
        set_size(&master, size);
        // setsid(1) makes the terminal the controlling one, so that window changes are signalled.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(program("sc")).args(args);
        command.env("SC_DIR", daemon.dir()).env("TERM", "xterm").env_remove("SC_SOCKET");
        let shared = || terminal.try_clone().expect("a file can be shared");
        command.stdin(shared()).stdout(shared()).stderr(terminal);
        let child = command.spawn().expect("setsid of util-linux is there");
        // The command holds the terminal's end as well: only without it does the master's reader
        // see the end.
        drop(command);
        let (arrive, arriving) = channel();
        let mut reader = master.try_clone().expect("a file can be shared");
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO is how a terminal ends.
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if arrive.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { master, child, arriving, seen: String::new() }
    }

    /// Types.
    #[track_caller]
    pub fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("the terminal takes what is typed");
    }

    /// Gives the window another size, columns and lines.
    pub fn resize(&self, size: (u16, u16)) {
        set_size(&self.master, size);
    }

    /// Waits until `text` is shown; what comes before it counts as seen.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let patience = patient(PATIENCE);
        let end = Instant::now() + patience;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.arriving.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{text:?} is not shown within {patience:?}, but {:?}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the terminal ended without {text:?}, with {:?}", self.seen)
                }
            }
        }
    }

    /// Waits for the program's end.
    #[track_caller]
    pub fn ended(mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the program in the terminal ends", PATIENCE, || {
            child.try_wait().expect("our own child")
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(master: &File, (columns, lines): (u16, u16)) {
    let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(master, size).expect("a terminal takes a size");
}
