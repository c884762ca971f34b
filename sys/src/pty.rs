//! Terminals: a pair in a guest's own devpts, its size, and raw mode for the one in front of the user.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Termios, Winsize};

use crate::Context;
use crate::error::{Result, SysError};

/// The device number of `/dev/ptmx`.
const PTMX: (u32, u32) = (5, 2);

/// Both ends of a terminal.
#[derive(Debug)]
pub struct Pty {
    /// The end of who shows it.
    pub master: OwnedFd,
    /// The end of the programs in it.
    pub terminal: OwnedFd,
    /// Its number: `/dev/pts/N`.
    pub number: u32,
}

/// Rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Lines of text.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

impl Pty {
    /// Opens a terminal in the devpts whose root directory is given.
    ///
    /// The terminal's end comes from the master's (TIOCGPTPEER), never through a path that a guest may
    /// have put something else at.
    pub fn open_in(devpts: impl AsFd) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let master =
            rustix::fs::openat(devpts.as_fd(), c"ptmx", flags, Mode::empty()).op("open", "ptmx")?;
        Self::from_master(master)
    }

    /// Opens a terminal of the caller's own `/dev/ptmx`.
    pub fn open() -> Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        Self::from_master(rustix::pty::openpt(flags).op("open", "/dev/ptmx")?)
    }

    fn from_master(master: OwnedFd) -> Result<Self> {
        let stat = rustix::fs::fstat(&master).op("query", "ptmx")?;
        let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::CharacterDevice || device != PTMX {
            let text = "not the terminal multiplexer";
            return Err(SysError::message("use", "ptmx", std::io::ErrorKind::InvalidData, text));
        }
        rustix::pty::unlockpt(&master).op("unlock", "terminal")?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal =
            rustix::pty::ioctl_tiocgptpeer(&master, flags).op("open peer of", "terminal")?;
        let name = rustix::pty::ptsname(&master, Vec::new()).op("name", "terminal")?;
        let number = name.to_string_lossy().rsplit('/').next().and_then(|n| n.parse().ok());
        let number = number.ok_or_else(|| {
            let text = format!("unexpected name {}", name.to_string_lossy());
            SysError::message("name", "terminal", std::io::ErrorKind::InvalidData, text)
        })?;
        Ok(Self { master, terminal, number })
    }
}

/// Sets a terminal's size; the programs in it get SIGWINCH.
pub fn set_size(terminal: impl AsFd, size: Size) -> Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size).op("set size of", "terminal")
}

/// Returns a terminal's size.
pub fn size(terminal: impl AsFd) -> Result<Size> {
    let size = rustix::termios::tcgetwinsize(terminal).op("query size of", "terminal")?;
    Ok(Size { rows: size.ws_row, columns: size.ws_col })
}

/// Whether a descriptor is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    rustix::termios::isatty(fd)
}

/// Keeps a terminal raw (every key goes through as it is) until dropped.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Makes a terminal raw.
    pub fn enter(terminal: impl AsFd) -> Result<Self> {
        let terminal = terminal.as_fd().try_clone_to_owned().op("duplicate", "terminal")?;
        let before = rustix::termios::tcgetattr(&terminal).op("query", "terminal")?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &raw)
            .op("make raw", "terminal")?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // The terminal may be gone, and then there is nothing to put back.
        let _ = rustix::termios::tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_talk_and_agree_on_the_size() {
        let pty = Pty::open().unwrap();
        let wanted = Size { rows: 40, columns: 132 };
        set_size(&pty.master, wanted).unwrap();
        assert_eq!(size(&pty.terminal).unwrap(), wanted);
        assert!(is_terminal(&pty.terminal));
        rustix::io::write(&pty.terminal, b"hello\n").unwrap();
        let mut buffer = [0; 16];
        let length = rustix::io::read(&pty.master, &mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"hello\r\n");
    }

    #[test]
    fn raw_mode_ends_with_its_guard() {
        let pty = Pty::open().unwrap();
        let echo = || {
            let modes = rustix::termios::tcgetattr(&pty.terminal).unwrap().local_modes;
            modes.contains(rustix::termios::LocalModes::ECHO)
        };
        assert!(echo());
        let raw = RawMode::enter(&pty.terminal).unwrap();
        assert!(!echo());
        // Draining waits for what was written, of which there is nothing.
        drop(raw);
        assert!(echo());
    }
}
