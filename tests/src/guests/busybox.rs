//! An image of busybox alone (package busybox-static): an init, DHCP, a login on the console.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Daemon;

/// The alias that [`Busybox::import`] gives.
pub const BUSYBOX: &str = "busybox";

const INITTAB: &str = "\
::sysinit:/etc/rc
console::respawn:/sbin/getty -L 115200 console vt100
::ctrlaltdel:/sbin/reboot
::shutdown:/etc/down
";

/// Up means that all of it ran: the mark is its last line.
const RC: &str = "\
#!/bin/sh
ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
    ip link set eth0 up
    udhcpc -i eth0 -b -S -t 10 -T 1 -A 2 -s /etc/udhcpc -x hostname:$(hostname) </dev/null >/dev/null 2>&1
fi
touch /run/up
";

/// The mark goes with the boot that it is of; another says that the end was in order.
const DOWN: &str = "#!/bin/sh\nrm -f /run/up\ntouch /var/stopped\n";

const UDHCPC: &str = "\
#!/bin/sh
case $1 in
bound|renew)
    ip address flush dev $interface scope global
    ip address add $ip/$mask dev $interface
    for gateway in $router; do ip route replace default via $gateway dev $interface; break; done
    { echo \"search $domain\"; for server in $dns; do echo \"nameserver $server\"; done; } >/etc/resolv.conf
    ;;
esac
";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/srv:/bin/sh\n";
const GROUP: &str = "root:x:0:\nweb:x:33:\nmail:x:8:\n";

/// The files of a busybox image, in a folder of their own.
pub struct Busybox {
    folder: tempfile::TempDir,
}

impl Busybox {
    /// Makes the root filesystem.
    #[track_caller]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder can be made");
        make_root(&folder.path().join("rootfs"));
        let busybox = Self { folder };
        busybox.write_metadata(std::env::consts::ARCH);
        busybox
    }

    /// One whose init hears no signal that asks it to stop.
    #[track_caller]
    pub fn deaf() -> Self {
        let busybox = Self::new();
        let init = busybox.root().join("sbin/init");
        fs::remove_file(&init).expect("it was just made");
        let script = "#!/bin/sh\ntrap '' PWR USR1 USR2 TERM INT\nwhile :; do sleep 1; done\n";
        fs::write(&init, script).expect("a scratch file");
        let runs = PermissionsExt::from_mode(0o755);
        fs::set_permissions(&init, runs).expect("our own file");
        busybox
    }

    /// The root filesystem, to change before it is packed.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("rootfs")
    }

    /// Writes the metadata, for a processor.
    pub fn write_metadata(&self, architecture: &str) {
        let text = format!(
            "architecture: {architecture}\ncreation_date: 1700000000\nproperties:\n  os: Busybox\n  \
             release: \"1\"\n  description: Busybox alone\n"
        );
        fs::write(self.folder.path().join("metadata.yaml"), text).expect("a scratch file");
    }

    /// Packs it as LXD's unified tarball.
    #[track_caller]
    pub fn unified(&self) -> PathBuf {
        let path = self.folder.path().join("unified.tar.gz");
        run(Command::new("tar")
            .args(["--create", "--gzip", "--numeric-owner", "--file"])
            .arg(&path)
            .arg("--directory")
            .arg(self.folder.path())
            .args(["metadata.yaml", "rootfs"]));
        path
    }

    /// Packs the root filesystem alone, as Docker imports it.
    #[track_caller]
    pub fn root_tar(&self) -> PathBuf {
        let path = self.folder.path().join("rootfs.tar");
        run(Command::new("tar")
            .args(["--create", "--numeric-owner", "--file"])
            .arg(&path)
            .arg("--directory")
            .arg(self.root())
            .arg("."));
        path
    }

    /// Packs it as LXD's split image: a tarball of the metadata and a squashfs.
    #[track_caller]
    pub fn split(&self) -> (PathBuf, PathBuf) {
        let metadata = self.folder.path().join("meta.tar.xz");
        let squashfs = self.folder.path().join("rootfs.squashfs");
        run(Command::new("tar")
            .args(["--create", "--xz", "--numeric-owner", "--file"])
            .arg(&metadata)
            .arg("--directory")
            .arg(self.folder.path())
            .arg("metadata.yaml"));
        run(Command::new("mksquashfs").arg(self.root()).arg(&squashfs).args([
            "-noappend",
            "-quiet",
            "-no-progress",
            "-comp",
            "zstd",
        ]));
        (metadata, squashfs)
    }

    /// A daemon that has it, under the alias [`BUSYBOX`].
    #[track_caller]
    pub fn daemon() -> Daemon {
        let daemon = Daemon::start();
        Self::import(&daemon);
        daemon
    }

    /// A daemon in which a guest of it runs, by the name of `c1`.
    #[track_caller]
    pub fn running() -> Daemon {
        let daemon = Self::daemon();
        daemon.sc(&["launch", BUSYBOX, "c1"]).ok();
        daemon
    }

    /// Imports it under the alias [`BUSYBOX`].
    #[track_caller]
    pub fn import(daemon: &Daemon) {
        Self::new().import_as(daemon, BUSYBOX);
    }

    /// Imports it under another alias.
    #[track_caller]
    pub fn import_as(&self, daemon: &Daemon, alias: &str) {
        let tarball = self.unified();
        daemon.sc(&["image", "import", &tarball.to_string_lossy(), "--alias", alias]).ok();
    }
}

impl Default for Busybox {
    fn default() -> Self {
        Self::new()
    }
}

fn make_root(at: &Path) {
    let folders = ["bin", "sbin", "etc", "proc", "sys", "dev", "tmp", "run", "var", "root", "srv"];
    for folder in folders {
        fs::create_dir_all(at.join(folder)).expect("a scratch folder");
    }
    let program = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists());
    let program = program.expect("busybox is missing: install the package busybox-static");
    fs::copy(program, at.join("bin/busybox")).expect("busybox can be copied");
    let applets = Command::new(program).arg("--list").output().expect("busybox runs").stdout;
    for applet in String::from_utf8_lossy(&applets).lines().filter(|name| *name != "busybox") {
        symlink("/bin/busybox", at.join("bin").join(applet)).expect("a scratch link");
    }
    for name in ["init", "reboot", "poweroff", "halt", "getty"] {
        symlink("/bin/busybox", at.join("sbin").join(name)).expect("a scratch link");
    }
    let files = [
        ("etc/inittab", INITTAB, 0o644),
        ("etc/rc", RC, 0o755),
        ("etc/down", DOWN, 0o755),
        ("etc/udhcpc", UDHCPC, 0o755),
        ("etc/passwd", PASSWD, 0o644),
        ("etc/group", GROUP, 0o644),
    ];
    for (name, text, mode) in files {
        fs::write(at.join(name), text).expect("a scratch file");
        set_mode(&at.join(name), mode);
    }
    set_mode(&at.join("tmp"), 0o1777);
    std::os::unix::fs::chown(at.join("srv"), Some(33), Some(33)).expect("root may give away");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a scratch file");
}

#[track_caller]
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {text}", output.status);
}
