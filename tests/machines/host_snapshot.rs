//! Prints what the daemon of an `SC_DIR` has on this host, each thing as a line, so that it can be
//! compared with another boot of the host.

use std::path::PathBuf;

use sc_tests::HostSnapshot;

/// What the daemon keeps for one boot lies under the first digits of its id.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

fn main() {
    let dir = std::env::args_os().nth(1).map(PathBuf::from).expect("usage: host-snapshot SC_DIR");
    let boot = std::fs::read_to_string(BOOT_ID).expect("a kernel has the id of its boot");
    for line in HostSnapshot::of(&dir).lines() {
        println!("{}", line.replace(&format!("/run/{}", &boot[..8]), "/run/BOOT"));
    }
}
