//! Read-only loop devices, and squashfs images mounted through them.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::new::NewMount;
use super::tree::Attributes;
use crate::Context;
use crate::error::{Result, SysError, check};

const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const ATTEMPTS: u32 = 64;

/// `struct loop_info64` of linux/loop.h.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of linux/loop.h.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

/// A loop device that goes away by itself once neither this nor a mount uses it.
#[derive(Debug)]
pub struct LoopDevice {
    /// Keeps the device while nothing is mounted from it.
    _open: OwnedFd,
    path: PathBuf,
}

impl LoopDevice {
    /// Attaches a file read-only to a free loop device.
    ///
    /// # Errors
    ///
    /// `ENOENT` where the kernel has no loop devices, else what the ioctls say.
    pub fn attach(file: impl AsFd) -> Result<Self> {
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/loop-control")
            .op("open", "/dev/loop-control")?;
        for _ in 0..ATTEMPTS {
            // SAFETY: the request takes no argument.
            let number =
                check(i64::from(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) }))
                    .op("find", "free loop device")?;
            // Between this answer and the next call others may take the same device.
            if let Some(device) = Self::configure(number, &file)? {
                return Ok(device);
            }
        }
        let busy = io::Error::from_raw_os_error(libc::EBUSY);
        Err(SysError::new("attach", "loop device", busy))
    }

    fn configure(number: i64, file: &impl AsFd) -> Result<Option<Self>> {
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = match OpenOptions::new().read(true).custom_flags(libc::O_CLOEXEC).open(&path) {
            Ok(device) => device,
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return Ok(None),
            Err(error) => return Err(SysError::new("open", path.display(), error)),
        };
        let config = config(file.as_fd().as_raw_fd());
        // SAFETY: the request reads a `loop_config`, which is alive and laid out as the kernel's.
        let ret =
            unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, std::ptr::from_ref(&config)) };
        match check(i64::from(ret)) {
            Ok(_) => Ok(Some(Self { _open: device.into(), path })),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(None),
            Err(error) => Err(SysError::new("configure", path.display(), error)),
        }
    }

    /// Mounts the squashfs on the device read-only, detached; mounts of one device share their
    /// superblock and its cache.
    ///
    /// The file must be one that was verified: the kernel parses it.
    ///
    /// # Errors
    ///
    /// `EINVAL` for what is no squashfs; the kernel's log is in the error.
    pub fn mount_squashfs(&self) -> Result<OwnedFd> {
        NewMount::new("squashfs")
            .source(&self.path)
            .flag("ro")
            .attributes(Attributes { read_only: true, no_dev: true, ..Attributes::default() })
            .create()
    }
}

fn config(fd: libc::c_int) -> LoopConfig {
    LoopConfig {
        fd: fd as u32,
        block_size: 0,
        info: LoopInfo64 {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    }
}
