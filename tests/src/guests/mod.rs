//! Images for the tests.
//!
//! Busybox is made on the spot, in a second. Debian is built once by the product itself and kept
//! under `${XDG_CACHE_HOME:-~/.cache}/sc-tests`; later runs import what was built.

pub mod archive;
mod busybox;
mod debian;

pub(crate) use busybox::run;
pub use busybox::{BUSYBOX, Busybox};
pub use debian::{Debian, stock_tar};

use std::fs::File;
use std::path::PathBuf;

/// The folder of what is kept from run to run.
pub(crate) fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
        home.join(".cache")
    });
    let folder = base.join("sc-tests");
    std::fs::create_dir_all(&folder).expect("the cache folder can be made");
    folder
}

/// Holds what is kept under `name`, so that of several tests one makes it and the others wait.
pub(crate) fn lock(name: &str) -> File {
    let path = cache().join(format!("{name}.lock"));
    let file = File::options().create(true).append(true).open(&path).expect("a lock can be made");
    file.lock().expect("a lock can be taken");
    file
}
