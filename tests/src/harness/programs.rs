//! Where the programs under test are.

use std::path::{Path, PathBuf};

/// The path of `scd` or `sc`: in `SC_TEST_BIN_DIR`, else beside the tests' own executable, where
/// cargo puts it.
pub fn program(name: &str) -> PathBuf {
    let dir = std::env::var_os("SC_TEST_BIN_DIR").map_or_else(target_dir, PathBuf::from);
    let path = dir.join(name);
    assert!(path.exists(), "{} is missing: build it first, as scripts/test does", path.display());
    path
}

fn target_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("the test is an executable");
    let deps = exe.parent().expect("an executable lies in a folder");
    deps.parent().map(Path::to_path_buf).expect("cargo's folder deps/ has a parent")
}
