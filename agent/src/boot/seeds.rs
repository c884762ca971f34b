//! Files that the daemon wants in the guest before its init runs.

use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, Uid};
use sc_agent_protocol::{BootFailure, SeedFile};
use sc_sys::SysError;
use sc_sys::resolve::Root;

use crate::failure::Step;

/// Writes them, as the guest's root and without leaving its root.
pub(super) fn write(root: &Root, files: &[SeedFile]) -> Result<(), BootFailure> {
    for file in files {
        write_one(root, file).step("write seed file")?;
    }
    Ok(())
}

fn write_one(root: &Root, file: &SeedFile) -> sc_sys::Result<()> {
    let is_there = root.exists(&file.path);
    if (file.only_existing && !is_there) || (file.only_missing && is_there) {
        return Ok(());
    }
    let Some(content) = &file.content else { return root.remove(&file.path) };
    if let Some(folder) = file.path.parent().filter(|folder| *folder != Path::new("")) {
        root.make_dirs(folder, 0o755)?;
    }
    root.write(&file.path, content.as_bytes(), file.mode)?;
    if (file.uid, file.gid) != (0, 0) {
        give(root, file)?;
    }
    Ok(())
}

fn give(root: &Root, file: &SeedFile) -> sc_sys::Result<()> {
    let (folder, name) = root.parent(&file.path)?;
    let (uid, gid) = (Uid::from_raw(file.uid), Gid::from_raw(file.gid));
    let error = |error| SysError::new("change owner of", file.path.display(), error);
    rustix::fs::chownat(&folder, &name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(error)?;
    // A change of owner takes setuid bits away.
    rustix::fs::chmodat(&folder, &name, Mode::from_raw_mode(file.mode), AtFlags::empty())
        .map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(path: &str, content: Option<&str>) -> SeedFile {
        SeedFile {
            path: path.into(),
            content: content.map(str::to_owned),
            mode: 0o644,
            uid: 0,
            gid: 0,
            only_existing: false,
            only_missing: false,
        }
    }

    #[test]
    fn files_are_written_removed_or_left_as_their_conditions_say() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open_dir(dir.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).ok();
        write(&root, &[seed("/etc/a", Some("1")), seed("/etc/b", Some("1"))]).unwrap();
        let missing = SeedFile { only_existing: true, ..seed("/etc/machine-id", Some("x")) };
        let present = SeedFile { only_missing: true, ..seed("/etc/a", Some("2")) };
        write(&root, &[missing, present, seed("/etc/b", None)]).unwrap();
        assert_eq!(read("etc/a").as_deref(), Some("1"));
        assert_eq!((read("etc/b"), read("etc/machine-id")), (None, None));
    }
}
