//! The map between a guest's ids and the host's.

use std::io;
use std::process::{Command, Stdio};

use super::range::IdRange;
use crate::Context;
use crate::error::{Result, SysError};

/// Maps the ids from 0 on, in the user namespace of a process, to a range of the host's, uids and gids
/// alike: directly, or through `newuidmap` and `newgidmap` where the kernel denies it.
///
/// # Errors
///
/// What the kernel says; for the wrappers their words, and "not found" when they are not installed
/// (package `uidmap`).
pub fn write_id_maps(pid: i32, range: IdRange) -> Result<()> {
    write_one(pid, "uid_map", "newuidmap", range)?;
    write_one(pid, "gid_map", "newgidmap", range)
}

fn write_one(pid: i32, file: &str, wrapper: &'static str, range: IdRange) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    match std::fs::write(&path, format!("0 {} {}\n", range.start(), range.count())) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => run_wrapper(wrapper, pid, range),
        outcome => outcome.op("write id map", path),
    }
}

fn run_wrapper(wrapper: &'static str, pid: i32, range: IdRange) -> Result<()> {
    let mut command = Command::new(wrapper);
    command.args([pid.to_string(), "0".to_owned()]).stdin(Stdio::null());
    command.args([range.start().to_string(), range.count().to_string()]);
    let output = command.output().op("run", wrapper)?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(SysError::message("run", wrapper, io::ErrorKind::PermissionDenied, words))
}
