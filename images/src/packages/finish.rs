//! What is done to a freshly installed root filesystem, so that every instance made from it is a machine
//! of its own that finds its network.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::apt_conf::Settings;
use crate::{Error, Result};

/// The network of an instance: one interface, if it has one.
///
/// The slash lets a guest without it boot unharmed: it matches only interfaces that are there. Waiting
/// for the end of duplicate address detection would add seconds to every boot.
const INTERFACES: &str = "\
# The network of this container; see interfaces(5).

source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback

auto /eth0
iface eth0 inet dhcp
iface eth0 inet6 auto
    dad-attempts 0
";

/// Lets ordinary users ping, where ping has no capability of its own. The distribution's own setting
/// names more groups than a guest has, which the kernel refuses.
const PING: &str = "-net.ipv4.ping_group_range = 0 65535\n";

/// What belongs to the machine that built it, or to nobody.
const REMOVED: [&str; 9] = [
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/log/alternatives.log",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
];

/// Folders that are left empty: devices come from the instance, the rest is made anew.
const EMPTIED: [&str; 8] = [
    "dev",
    "run",
    "tmp",
    "etc/apt/sources.list.d",
    "var/tmp",
    "var/log/apt",
    "var/lib/apt/lists",
    "var/cache/apt",
];

/// Finishes the root filesystem at `rootfs`. `sources` and `settings` are apt's in guests.
pub(super) fn finish(rootfs: &Path, sources: &str, settings: &Settings) -> Result<()> {
    for path in REMOVED {
        remove(&rootfs.join(path))?;
    }
    for folder in EMPTIED {
        empty(&rootfs.join(folder))?;
    }
    write(rootfs, "etc/apt/sources.list.d/debian.sources", sources)?;
    let settings = settings.to_text();
    if !settings.is_empty() {
        write(rootfs, "etc/apt/apt.conf.d/90mirror", &settings)?;
    }
    write(rootfs, "etc/network/interfaces", INTERFACES)?;
    write(rootfs, "etc/sysctl.d/90-ping.conf", PING)?;
    let inittab = rootfs.join("etc/inittab");
    if inittab.symlink_metadata().is_ok_and(|found| found.is_file()) {
        let text = fs::read_to_string(&inittab).map_err(Error::io("read", &inittab))?;
        write(rootfs, "etc/inittab", &with_present_terminals(&text))?;
    }
    // The DHCP client writes it.
    write(rootfs, "etc/resolv.conf", "")?;
    // Of the instance's own, from a template and at its first boot.
    write(rootfs, "etc/hostname", "debian\n")?;
    write(rootfs, "etc/machine-id", "")
}

/// Comments the gettys out of SysV init's table whose virtual terminals no guest has: they would end and be
/// started again for ever. The first one is a guest's console.
fn with_present_terminals(inittab: &str) -> String {
    let is_absent = |line: &str| {
        let terminal =
            line.split_whitespace().next_back().and_then(|word| word.strip_prefix("tty"));
        let number = terminal.and_then(|number| number.parse::<u32>().ok());
        !line.starts_with('#') && line.contains("getty") && number.is_some_and(|number| number > 1)
    };
    let comment = |line: &str| if is_absent(line) { "#" } else { "" };
    inittab
        .split_inclusive('\n')
        .map(|line| format!("{}{line}", comment(line.trim_end())))
        .collect()
}

/// Writes a file anew, so that a link is replaced and never followed.
fn write(rootfs: &Path, path: &str, text: &str) -> Result<()> {
    let path = rootfs.join(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    remove(&path)?;
    fs::write(&path, text).map_err(Error::io("write", &path))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
        .map_err(Error::io("set the mode of", &path))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn empty(folder: &Path) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("list", folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("list", folder))?;
        let path: PathBuf = entry.path();
        let kind = entry.file_type().map_err(Error::io("query", &path))?;
        let removed =
            if kind.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(Error::io("remove", &path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gettys_are_left_to_the_terminals_that_a_guest_has() {
        let inittab = "\
# Format: <id>:<runlevels>:<action>:<process>
l2:2:wait:/etc/init.d/rc 2
1:2345:respawn:/sbin/getty --noclear 38400 tty1
2:23:respawn:/sbin/getty 38400 tty2
#3:23:respawn:/sbin/getty 38400 tty3
#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100
";
        let wanted = inittab.replace("\n2:23", "\n#2:23");
        assert_eq!(with_present_terminals(inittab), wanted);
    }

    #[test]
    fn nothing_of_the_builder_stays_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let rootfs = folder.path().join("rootfs");
        for path in [
            "etc/network",
            "etc/apt/apt.conf.d",
            "etc/apt/sources.list.d",
            "dev/pts",
            "var/lib/dbus",
        ] {
            fs::create_dir_all(rootfs.join(path)).unwrap();
        }
        let outside = folder.path().join("outside");
        fs::write(&outside, "nameserver 192.0.2.1\n").unwrap();
        std::os::unix::fs::symlink(&outside, rootfs.join("etc/resolv.conf")).unwrap();
        fs::write(rootfs.join("etc/machine-id"), "0123\n").unwrap();
        fs::write(rootfs.join("var/lib/dbus/machine-id"), "0123\n").unwrap();
        fs::write(rootfs.join("etc/apt/sources.list.d/0000x.sources"), "Types: deb\n").unwrap();
        finish(&rootfs, "Types: deb\n", &Settings::default()).unwrap();
        let read = |path: &str| fs::read_to_string(rootfs.join(path)).unwrap();
        assert_eq!(read("etc/resolv.conf"), "");
        assert_eq!(read("etc/machine-id"), "");
        assert_eq!(read("etc/apt/sources.list.d/debian.sources"), "Types: deb\n");
        assert_eq!(fs::read_dir(rootfs.join("etc/apt/sources.list.d")).unwrap().count(), 1);
        assert!(!rootfs.join("var/lib/dbus/machine-id").exists());
        assert_eq!(fs::read_dir(rootfs.join("dev")).unwrap().count(), 0);
        assert!(!rootfs.join("etc/apt/apt.conf.d/90mirror").exists());
        assert_eq!(fs::read_to_string(outside).unwrap(), "nameserver 192.0.2.1\n");
    }
}
