//! Owners, modes, times and extended attributes, ACLs among them.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown, fgetxattr,
    flistxattr, fsetxattr, fstat, futimens, lgetxattr, llistxattr, lsetxattr,
};
use rustix::io::Errno;

/// The most that the kernel gives for a value or a list.
const XATTR_MAX: usize = 65_536;

/// Gives one open file or directory all attributes of another.
///
/// The order matters: a change of owner clears setuid bits and capabilities, an ACL changes the
/// mode, and anything changes the times.
pub(crate) fn copy_attributes<S: AsFd, T: AsFd>(source: S, target: T) -> Result<(), Errno> {
    let stat = fstat(&source)?;
    fchown(&target, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    copy_xattrs(&source, &target)?;
    fchmod(&target, Mode::from_raw_mode(stat.st_mode))?;
    futimens(&target, &times(&stat))
}

/// Gives an entry that cannot be opened (link, pipe, socket) all attributes of another.
pub(super) fn copy_entry_attributes(
    (source, target): (BorrowedFd<'_>, BorrowedFd<'_>),
    name: &CStr,
    stat: &Stat,
    has_mode: bool,
) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(target, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    copy_entry_xattrs(&by_descriptor(source, name), &by_descriptor(target, name))?;
    if has_mode {
        rustix::fs::chmodat(target, name, Mode::from_raw_mode(stat.st_mode), AtFlags::empty())?;
    }
    rustix::fs::utimensat(target, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

/// A path to an entry of an open directory, for the calls that take no descriptor; they do not
/// follow its last part.
fn by_descriptor(folder: BorrowedFd<'_>, name: &CStr) -> CString {
    let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    CString::new(path).expect("neither part has a zero byte")
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanos: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanos).expect("nanoseconds are below 10^9"),
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

fn copy_xattrs<S: AsFd, T: AsFd>(source: S, target: T) -> Result<(), Errno> {
    // Nearly every file has none: asking for the length alone costs no buffer.
    match rustix::fs::flistxattr_query(&source) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(()),
        Ok(_) => {}
        Err(err) => return Err(err),
    }
    let mut list = vec![0; XATTR_MAX];
    let length = flistxattr(&source, &mut list[..])?;
    let mut value = vec![0; XATTR_MAX];
    for name in names(&list[..length]) {
        let length = fgetxattr(&source, name, &mut value[..])?;
        fsetxattr(&target, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

fn copy_entry_xattrs(source: &CStr, target: &CStr) -> Result<(), Errno> {
    match rustix::fs::llistxattr_query(source) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(()),
        Ok(_) => {}
        Err(err) => return Err(err),
    }
    let mut list = vec![0; XATTR_MAX];
    let length = llistxattr(source, &mut list[..])?;
    let mut value = vec![0; XATTR_MAX];
    for name in names(&list[..length]) {
        let length = lgetxattr(source, name, &mut value[..])?;
        lsetxattr(target, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

/// The names in a list as the kernel writes it, each ended by a zero byte.
fn names(list: &[u8]) -> impl Iterator<Item = &CStr> {
    list.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok())
}
