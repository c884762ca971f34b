//! Anonymous files that nobody can change any more.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, SeekFrom};

use crate::Context;
use crate::error::Result;

/// What a sealed file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Data; it cannot be executed.
    Data,
    /// A program, to be started by descriptor.
    Program,
}

/// Makes an anonymous file of the given bytes, sealed against every change.
///
/// The name shows in `/proc/PID/fd` only. The file's offset is at its start.
pub fn sealed(name: &str, bytes: &[u8], content: Content) -> Result<OwnedFd> {
    let mut file = File::from(create(name, content)?);
    file.write_all(bytes).op("write memory file", name)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals).op("seal memory file", name)?;
    rustix::fs::seek(&file, SeekFrom::Start(0)).op("rewind memory file", name)?;
    Ok(file.into())
}

/// Makes an anonymous file of so many zeros for somebody else to write in, who can make it neither
/// longer nor shorter. What is not written takes no memory.
pub fn bounded(name: &str, size: u64) -> Result<OwnedFd> {
    let fd = create(name, Content::Data)?;
    rustix::fs::ftruncate(&fd, size).op("size memory file", name)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW;
    rustix::fs::fcntl_add_seals(&fd, seals).op("seal memory file", name)?;
    Ok(fd)
}

fn create(name: &str, content: Content) -> Result<OwnedFd> {
    let c_name = CString::new(name).map_err(io::Error::from).op("create memory file", name)?;
    let common = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let wanted = common
        | match content {
            Content::Data => MemfdFlags::NOEXEC_SEAL,
            Content::Program => MemfdFlags::EXEC,
        };
    match rustix::fs::memfd_create(&c_name, wanted) {
        // Kernels before 6.3 know no such flags.
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create(&c_name, common),
        outcome => outcome,
    }
    .op("create memory file", name)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_sealed_file_reads_back_and_takes_no_write() {
        let fd = sealed("x", b"hello", Content::Data).unwrap();
        let mut file = File::from(fd);
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        assert_eq!(file.write(b"x").unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert!(file.set_len(0).is_err() && file.set_len(10).is_err());
    }

    #[test]
    fn a_bounded_file_takes_so_much_and_no_more() {
        let mut file = File::from(bounded("x", 4096).unwrap());
        file.write_all(&[7; 4096]).unwrap();
        assert!(file.write(b"x").is_err());
        assert!(file.set_len(1 << 20).is_err());
    }
}
