//! Root file systems for guests.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const INITTAB: &str = "\
::sysinit:/bin/sh /etc/rc
console::respawn:-/bin/sh
::ctrlaltdel:/sbin/reboot
::shutdown:/bin/touch /var/stopped
";
const RC: &str = "/bin/hostname > /var/hostname\nexport > /var/environment\n";
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/srv:/bin/sh\n";

/// Makes a root of busybox alone (package busybox-static).
pub fn busybox_root(at: &Path) {
    for folder in ["bin", "sbin", "etc", "proc", "sys", "dev", "tmp", "var", "root", "srv"] {
        fs::create_dir_all(at.join(folder)).unwrap();
    }
    let busybox = at.join("bin/busybox");
    fs::copy("/bin/busybox", &busybox).unwrap();
    let applets = Command::new("/bin/busybox").arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines() {
        let link = at.join("bin").join(applet);
        if !link.exists() {
            symlink("/bin/busybox", link).unwrap();
        }
    }
    for name in ["init", "reboot", "poweroff", "halt", "getty"] {
        symlink("/bin/busybox", at.join("sbin").join(name)).unwrap();
    }
    fs::write(at.join("etc/inittab"), INITTAB).unwrap();
    fs::write(at.join("etc/rc"), RC).unwrap();
    fs::write(at.join("etc/passwd"), PASSWD).unwrap();
    fs::set_permissions(at.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    std::os::unix::fs::chown(at.join("srv"), Some(33), Some(33)).unwrap();
}

/// Returns a root that was made before, named by a variable; tests that take long are given one.
pub fn path_of_cached_root(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable);
    PathBuf::from(path.unwrap_or_else(|| panic!("{variable} names a root made by mmdebstrap")))
}
