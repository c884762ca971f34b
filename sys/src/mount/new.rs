//! New file systems through the kernel's mount API, with the kernel's own words in the error.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::tree::Attributes;
use crate::Context;
use crate::error::{Result, SysError};

/// One parameter, in the order in which it is handed to the kernel.
enum Parameter<'a> {
    Flag(String),
    Text(String, String),
    Path(String, PathBuf),
    Fd(String, BorrowedFd<'a>),
}

/// A file system to be mounted: fsopen(2), fsconfig(2), fsmount(2).
///
/// ```no_run
/// use sc_sys::mount::{Attributes, NewMount};
///
/// let shm = NewMount::new("tmpfs").option("size", "64m").option("mode", "1777").create()?;
/// let proc = NewMount::new("proc").attributes(Attributes::NO_SUID_DEV_EXEC).create()?;
/// # Ok::<(), sc_sys::SysError>(())
/// ```
pub struct NewMount<'a> {
    kind: String,
    parameters: Vec<Parameter<'a>>,
    attributes: Attributes,
}

impl<'a> NewMount<'a> {
    /// Starts a mount of the given file system type.
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), parameters: Vec::new(), attributes: Attributes::default() }
    }

    /// Adds `key=value`.
    #[must_use]
    pub fn option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push(Parameter::Text(key.into(), value.into()));
        self
    }

    /// Adds a key without value.
    #[must_use]
    pub fn flag(mut self, key: impl Into<String>) -> Self {
        self.parameters.push(Parameter::Flag(key.into()));
        self
    }

    /// Adds a key whose value is a path, of any bytes.
    #[must_use]
    pub fn path(mut self, key: impl Into<String>, path: impl AsRef<Path>) -> Self {
        self.parameters.push(Parameter::Path(key.into(), path.as_ref().to_owned()));
        self
    }

    /// Adds a key whose value is a descriptor.
    #[must_use]
    pub fn fd(mut self, key: impl Into<String>, fd: BorrowedFd<'a>) -> Self {
        self.parameters.push(Parameter::Fd(key.into(), fd));
        self
    }

    /// Sets the device or name that the mount table shows, or that is mounted.
    #[must_use]
    pub fn source(self, source: impl AsRef<Path>) -> Self {
        self.path("source", source)
    }

    /// Sets the attributes of the mount (not of the file system).
    #[must_use]
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// Makes the file system and returns its detached mount.
    ///
    /// # Errors
    ///
    /// Whatever the kernel says; its log of the attempt is part of the error's cause.
    pub fn create(&self) -> Result<OwnedFd> {
        let fs = rustix::mount::fsopen(self.kind.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)
            .op("open file system type", &self.kind)?;
        for parameter in &self.parameters {
            let (key, outcome) = set(&fs, parameter);
            outcome.map_err(|errno| {
                self.failure("set mount option", &format!("{} of {}", key, self.kind), errno, &fs)
            })?;
        }
        rustix::mount::fsconfig_create(&fs)
            .map_err(|errno| self.failure("create file system", &self.kind, errno, &fs))?;
        // The values of MOUNT_ATTR_* all lie in the low 32 bits but for the idmap one, unused here.
        let attributes = MountAttrFlags::from_bits_retain(self.attributes.bits() as u32);
        rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(|errno| self.failure("mount file system", &self.kind, errno, &fs))
    }

    fn failure(&self, op: &'static str, object: &str, errno: Errno, fs: &OwnedFd) -> SysError {
        let log = read_log(fs);
        let error = io::Error::from(errno);
        if log.is_empty() {
            return SysError::new(op, object, error);
        }
        SysError::new(op, format_args!("{object} ({log})"), error)
    }
}

fn set<'p>(fs: &OwnedFd, parameter: &'p Parameter<'_>) -> (&'p str, Result<(), Errno>) {
    match parameter {
        Parameter::Flag(key) => (key, rustix::mount::fsconfig_set_flag(fs, key.as_str())),
        Parameter::Text(key, value) => {
            (key, rustix::mount::fsconfig_set_string(fs, key.as_str(), value.as_str()))
        }
        Parameter::Path(key, path) => {
            (key, rustix::mount::fsconfig_set_string(fs, key.as_str(), path.as_path()))
        }
        Parameter::Fd(key, fd) => {
            (key, rustix::mount::fsconfig_set_fd(fs, key.as_str(), fd.as_fd()))
        }
    }
}

/// Reads what the kernel logged on this attempt: one message a read, ENODATA at the end.
fn read_log(fs: &OwnedFd) -> String {
    let mut lines = Vec::new();
    let mut buffer = [0_u8; 1024];
    while let Ok(length @ 1..) = rustix::io::read(fs, &mut buffer) {
        let line = String::from_utf8_lossy(&buffer[..length]);
        // Messages come as "e text", "w text" or "i text".
        let line = line.trim();
        lines.push(line.get(2..).unwrap_or(line).to_owned());
    }
    lines.join("; ")
}
