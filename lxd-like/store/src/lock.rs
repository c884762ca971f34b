//! The lock on a store's folder: one daemon at a time, and the second is told who the first is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::OpenError;

/// Held for as long as it lives; the kernel gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("store.lock");
        let fail = |step| {
            let path = path.clone();
            move |source| OpenError::Io { step, path, source }
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(fail("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Held { dir: dir.to_owned(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(fail("lock")(source)),
        }
        file.set_len(0).map_err(fail("truncate"))?;
        file.write_all(myself().as_bytes()).map_err(fail("write"))?;
        Ok(Self { _file: file })
    }
}

fn myself() -> String {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
    format!("{}, pid {}\n", name.as_deref().unwrap_or("a process"), std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // Not readable, or taken this moment and not written yet: it is held all the same.
    let _ = file.read_to_string(&mut text);
    match text.trim() {
        "" => "another process".to_owned(),
        holder => holder.to_owned(),
    }
}
