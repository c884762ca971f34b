//! The lock on a store's folder: one daemon at a time, and the second is told who the first is.
//!
//! It ends with the last copy of its descriptor, and a process that a daemon was just starting when
//! it was killed has one until it executes its program. So a lock that is held is tried again for a
//! little while before somebody else counts as its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use crate::error::OpenError;

/// The pauses between attempts: a second in all.
const PAUSES_MS: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

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
        match try_for_a_while(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Held { dir: dir.to_owned(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(fail("lock")(source)),
        }
        // In place, since a full disk may not give back the block of a file that was emptied. Without room for
        // it the lock holds as well.
        let text = myself();
        let _ = file.write_all(text.as_bytes()).and_then(|()| file.set_len(text.len() as u64));
        Ok(Self { _file: file })
    }
}

fn try_for_a_while(file: &File) -> Result<(), TryLockError> {
    for pause in PAUSES_MS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(pause)),
            outcome => return outcome,
        }
    }
    file.try_lock()
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
