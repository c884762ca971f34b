//! Boots of the host, as far as a daemon can see them.

use std::path::Path;
use std::process::Command;

/// How often the host has booted since the test began.
#[derive(Debug, Default)]
pub struct Boots(u32);

impl Boots {
    /// The host boots once more.
    pub(super) fn count(&mut self) {
        self.0 += 1;
    }

    /// What starts `scd`: itself, or in a later boot a shell that puts another boot id into its place, in a
    /// mount namespace of its own.
    pub(super) fn starter(&self, scd: &Path, scratch: &Path) -> Command {
        if self.0 == 0 {
            return Command::new(scd);
        }
        let id = scratch.join("boot_id");
        let text = format!("{:08x}-0000-4000-8000-000000000000\n", self.0);
        std::fs::write(&id, text).expect("a scratch file");
        let script = r#"mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", script]).arg(id).arg(scd);
        command
    }
}
