//! The files of a network's dnsmasq, all in the network's own folder.
//!
//! | path | what |
//! |---|---|
//! | `dnsmasq.pid` | its process id, written by itself |
//! | `dnsmasq.leases` | its leases, written by itself |
//! | `dnsmasq.log`, `.log.old` | what it said since its start, and before |
//! | `dnsmasq.hosts/<instance>.<device>` | a reservation: `mac,ipv4,[ipv6]` |
//! | `dnsmasq.names/<instance>.<device>` | names: a line `address name.domain name` for each address |
//! | `bridge.hwaddr` | the hardware address by which the bridge is known as ours |

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::arguments::Account;
use super::lease::{self, FileLease};
use crate::{Mac, NetworkError, Port, Reservation, Result};

/// How the name of a file begins that is not written to its end.
const UNFINISHED: &str = ".new-";

/// What the kernel takes for an interface's alias, in bytes.
const LONGEST_ALIAS: usize = 255;

/// The network's folder.
#[derive(Debug, Clone)]
pub(crate) struct Files(PathBuf);

impl Files {
    pub fn new(state_dir: &Path) -> Self {
        Self(state_dir.to_owned())
    }

    pub fn pid(&self) -> PathBuf {
        self.0.join("dnsmasq.pid")
    }

    pub fn leases(&self) -> PathBuf {
        self.0.join("dnsmasq.leases")
    }

    pub fn log(&self) -> PathBuf {
        self.0.join("dnsmasq.log")
    }

    pub fn old_log(&self) -> PathBuf {
        self.0.join("dnsmasq.log.old")
    }

    pub fn hosts(&self) -> PathBuf {
        self.0.join("dnsmasq.hosts")
    }

    pub fn names(&self) -> PathBuf {
        self.0.join("dnsmasq.names")
    }

    fn hwaddr(&self) -> PathBuf {
        self.0.join("bridge.hwaddr")
    }

    /// Makes the network's folder, or removes what an earlier process left half written in it: to be
    /// called before anything writes there. Only root enters it until dnsmasq has to.
    pub fn create(&self) -> Result<()> {
        if self.0.is_dir() { self.remove_unfinished() } else { make_folder(&self.0, 0o700) }
    }

    /// Whether the network's folder is there, which goes last when the network is deleted.
    pub fn exist(&self) -> bool {
        self.0.is_dir()
    }

    /// Makes the folders that dnsmasq watches, and checks that its user reaches them. Nobody but root and
    /// dnsmasq's group enters the network's folder: it tells who has which address.
    pub fn prepare(&self, account: &Account) -> Result<()> {
        make_folder(&self.hosts(), 0o755)?;
        make_folder(&self.names(), 0o755)?;
        for folder in self.0.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            let mode = fs::metadata(folder).map_err(NetworkError::file("look at", folder))?.mode();
            if mode & 0o001 == 0 {
                return Err(NetworkError::ClosedFolder {
                    path: folder.to_owned(),
                    user: account.user.clone(),
                });
            }
        }
        // A host without the group leaves only everyone's way in.
        let mode = if account.gid.is_some() { 0o710 } else { 0o711 };
        chown(&self.0, None, account.gid)
            .and_then(|()| fs::set_permissions(&self.0, fs::Permissions::from_mode(mode)))
            .map_err(NetworkError::file("open to dnsmasq", &self.0))
    }

    /// Writes a device's reservation; tells whether anything changed.
    pub fn write_host(&self, reservation: &Reservation) -> Result<bool> {
        let Some(text) = host_line(reservation) else {
            return self.remove(&self.hosts().join(file_name(reservation)));
        };
        self.write(&self.hosts().join(file_name(reservation)), &text)
    }

    /// Removes a device's reservation; tells whether there was one.
    pub fn remove_host(&self, instance: &str, device: &str) -> Result<bool> {
        self.remove(&self.hosts().join(format!("{instance}.{device}")))
    }

    /// Writes a device's names.
    pub fn write_names(
        &self,
        reservation: &Reservation,
        domain: &str,
        addresses: &[IpAddr],
    ) -> Result<()> {
        let name = &reservation.hostname;
        // The first name is the one that a look-up of the address finds.
        let line = |address: &IpAddr| format!("{address} {name}.{domain} {name}\n");
        let text: String = addresses.iter().map(line).collect();
        let file = self.names().join(file_name(reservation));
        if text.is_empty() {
            self.remove(&file)?
        } else {
            self.write(&file, &text)?
        };
        Ok(())
    }

    /// Removes a device's names.
    pub fn remove_names(&self, instance: &str, device: &str) -> Result<()> {
        self.remove(&self.names().join(format!("{instance}.{device}"))).map(drop)
    }

    /// Makes the folders agree with what is reserved and with what runs; tells whether a reservation went
    /// or changed. Names are not made here, only those of devices that do not run are removed.
    pub fn agree(&self, reservations: &[Reservation], running: &[Port]) -> Result<bool> {
        let known = reservations.iter().map(file_name).collect();
        let mut changed = self.keep_only(&self.hosts(), &known)?;
        let running = running.iter().map(|port| format!("{}.{}", port.instance, port.device));
        self.keep_only(&self.names(), &running.collect())?;
        for reservation in reservations {
            changed |= self.write_host(reservation)?;
        }
        Ok(changed)
    }

    /// What dnsmasq has given out, as far as its file says.
    pub fn read_leases(&self) -> Result<Vec<FileLease>> {
        match fs::read_to_string(self.leases()) {
            Ok(text) => Ok(lease::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(NetworkError::file("read", self.leases())(error)),
        }
    }

    /// Takes an address out of the lease file; dnsmasq must not be running.
    pub fn drop_lease(&self, address: IpAddr) -> Result<()> {
        let path = self.leases();
        let text = fs::read_to_string(&path).map_err(NetworkError::file("read", &path))?;
        let other =
            |line: &&str| lease::parse(line).first().is_none_or(|lease| lease.address != address);
        let kept: String = text.lines().filter(other).map(|line| format!("{line}\n")).collect();
        self.write(&path, &kept).map(drop)
    }

    /// The hardware address by which a bridge is known as ours.
    pub fn own_mac(&self) -> Option<Mac> {
        fs::read_to_string(self.hwaddr()).ok()?.trim().parse().ok()
    }

    /// Notes it, before the bridge has it.
    pub fn note_mac(&self, mac: Mac) -> Result<()> {
        self.write(&self.hwaddr(), &format!("{mac}\n")).map(drop)
    }

    /// The mark that the bridge bears as well: the folder's path, by which it is known as ours where the folder was
    /// lost. `None` for a path that is too long for one.
    pub fn mark(&self) -> Option<String> {
        let (parent, name) = (self.0.parent()?, self.0.file_name()?);
        let path = fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned()).join(name);
        let mark = format!("sc {}", path.to_str()?);
        (mark.len() <= LONGEST_ALIAS).then_some(mark)
    }

    /// Removes the network's folder and everything in it.
    pub fn remove_all(&self) -> Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(NetworkError::file("remove", &self.0)),
        }
    }

    /// Removes the files whose names are not among these; tells whether there were any.
    fn keep_only(&self, folder: &Path, known: &BTreeSet<String>) -> Result<bool> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(NetworkError::file("list", folder))?,
        };
        let mut removed = false;
        for entry in entries {
            let entry = entry.map_err(NetworkError::file("list", folder))?;
            if !entry.file_name().to_str().is_some_and(|name| known.contains(name)) {
                removed |= self.remove(&entry.path())?;
            }
        }
        Ok(removed)
    }

    /// Removes what a process was writing when it was killed.
    fn remove_unfinished(&self) -> Result<()> {
        let entries = fs::read_dir(&self.0).map_err(NetworkError::file("list", &self.0))?;
        for entry in entries {
            let entry = entry.map_err(NetworkError::file("list", &self.0))?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED)) {
                self.remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Writes a file whole or not at all; tells whether it changed. It comes by a rename from beside
    /// the folders, so that dnsmasq never reads half of it.
    fn write(&self, path: &Path, text: &str) -> Result<bool> {
        if fs::read_to_string(path).is_ok_and(|now| now == text) {
            return Ok(false);
        }
        let new = self.0.join(format!("{UNFINISHED}{:08x}", rand::random::<u32>()));
        let written = fs::write(&new, text)
            .and_then(|()| fs::set_permissions(&new, fs::Permissions::from_mode(0o644)))
            .and_then(|()| fs::rename(&new, path));
        written.map_err(|error| {
            let _ = fs::remove_file(&new);
            NetworkError::file("write", path)(error)
        })?;
        Ok(true)
    }

    fn remove(&self, path: &Path) -> Result<bool> {
        match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(NetworkError::file("remove", path)(error)),
        }
    }
}

fn make_folder(path: &Path, mode: u32) -> Result<()> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(NetworkError::file("make folder", path))
}

fn file_name(reservation: &Reservation) -> String {
    format!("{}.{}", reservation.instance, reservation.device)
}

/// A reservation as dnsmasq reads it. It has no name in it: dnsmasq would answer with it for as long
/// as the lease lasts, whatever becomes of the instance.
fn host_line(reservation: &Reservation) -> Option<String> {
    let ipv4 = reservation.ipv4.map(|address| format!(",{address}"));
    let ipv6 = reservation.ipv6.map(|address| format!(",[{address}]"));
    if ipv4.is_none() && ipv6.is_none() {
        return None;
    }
    let (ipv4, ipv6) = (ipv4.unwrap_or_default(), ipv6.unwrap_or_default());
    Some(format!("{}{ipv4}{ipv6}\n", reservation.mac))
}

/// Checks that names can be part of these files and of their names.
pub(crate) fn check_host(instance: &str, device: &str, hostname: &str) -> Result<()> {
    let plain = |text: &str, also: &[char]| {
        (1..=100).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(&c))
    };
    let wrong =
        |name: &str, reason| Err(NetworkError::InvalidHost { name: name.to_owned(), reason });
    for name in [instance, device] {
        if !plain(name, &['-', '_', '.']) {
            return wrong(
                name,
                "it must begin with a letter or digit and have letters, digits, -, _ and . only",
            );
        }
    }
    if !plain(hostname, &['-']) || hostname.len() > 63 {
        return wrong(hostname, "it must be a host name of up to 63 letters, digits and dashes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reservation(instance: &str) -> Reservation {
        Reservation {
            instance: instance.to_owned(),
            device: "eth0".to_owned(),
            hostname: instance.to_owned(),
            mac: "00:16:3e:00:00:01".parse().unwrap(),
            ipv4: Some("10.0.0.2".parse().unwrap()),
            ipv6: Some("fd42::2".parse().unwrap()),
        }
    }

    #[test]
    fn files_follow_the_reservations() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        fs::create_dir(files.hosts()).unwrap();
        fs::create_dir(files.names()).unwrap();
        let both = [reservation("one"), reservation("two")];
        assert!(files.agree(&both, &[]).unwrap());
        assert!(!files.agree(&both, &[]).unwrap());
        let text = fs::read_to_string(files.hosts().join("one.eth0")).unwrap();
        assert_eq!(text, "00:16:3e:00:00:01,10.0.0.2,[fd42::2]\n");
        for reservation in &both {
            files.write_names(reservation, "lxd", &["10.0.0.2".parse().unwrap()]).unwrap();
        }
        let text = fs::read_to_string(files.names().join("two.eth0")).unwrap();
        assert_eq!(text, "10.0.0.2 two.lxd two\n");
        let [instance, device, host_name] = ["two", "eth0", "veth0"].map(str::to_owned);
        assert!(files.agree(&both[1..], &[Port { instance, device, host_name }]).unwrap());
        for folder in [files.hosts(), files.names()] {
            let left = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            assert_eq!(left.collect::<Vec<_>>(), ["two.eth0"]);
        }
    }

    #[test]
    fn names_that_would_leave_the_folder_or_break_a_line_are_refused() {
        assert!(check_host("web-1", "eth0", "web-1").is_ok());
        for name in ["../x", "", ".x", "a/b", "a\nb", "#x", "x~", "a b"] {
            assert!(check_host(name, "eth0", "x").is_err(), "{name:?}");
            assert!(check_host("x", name, "x").is_err(), "{name:?}");
            assert!(check_host("x", "eth0", name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_folder_that_its_user_cannot_enter_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let files = Files::new(&dir.path().join("net"));
        files.create().unwrap();
        let (user, group) = ("nobody".to_owned(), "nogroup".to_owned());
        let account = Account { user, group, gid: None };
        let error = files.prepare(&account).unwrap_err();
        assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    }

    #[test]
    fn what_a_crash_left_half_written_goes() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        let left = dir.path().join(".new-0123abcd");
        fs::write(&left, "half").unwrap();
        files.note_mac(Mac::random()).unwrap();
        files.create().unwrap();
        assert!(!left.exists());
        assert!(files.own_mac().is_some());
    }
}
