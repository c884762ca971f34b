//! Sees to it that libseccomp (feature `seccomp`) is linked static, so that a host without it still starts
//! the daemon.
//!
//! The wrapper crate asks the linker for the library by name. The linker takes the first folder that has it in
//! any form; so this adds a folder which holds nothing but the static form. Where it lies is asked of the C
//! compiler, which knows the distribution's layout.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LIBRARY: &str = "libseccomp.a";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CC");
    if env::var_os("CARGO_FEATURE_SECCOMP").is_none() {
        return;
    }
    let library = find().unwrap_or_else(|| panic!("{LIBRARY} not found: install libseccomp-dev"));
    println!("cargo:rerun-if-changed={}", library.display());
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::copy(&library, folder.join(LIBRARY)).expect("the build's own folder can be written");
    println!("cargo:rustc-link-search=native={}", folder.display());
}

fn find() -> Option<PathBuf> {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let output = Command::new(compiler).arg(format!("-print-file-name={LIBRARY}")).output().ok()?;
    let answer = String::from_utf8(output.stdout).ok()?;
    // A compiler that does not find it answers with the bare name.
    let path = Path::new(answer.trim());
    path.is_absolute().then(|| path.canonicalize().ok())?
}
