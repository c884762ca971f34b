//! What an allowed configuration comes to, typed.

use std::collections::BTreeMap;
use std::collections::HashSet;

use sc_api::{ConfigMap, quoted};

use crate::boot::Boot;
use crate::device::{Device, interface_name};
use crate::value::{MOST_PROCESSES, parse_cpus, parse_integer, parse_mac, parse_memory};
use crate::{CpuSet, Disk, Error, Nic, RootDisk, Settings};

/// An allowed, expanded configuration: everything that a start needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Limits on what the instance may use.
    pub limits: Limits,
    /// When it starts and stops by itself.
    pub boot: Boot,
    /// `environment.*`, names without the prefix.
    pub environment: BTreeMap<String, String>,
    /// Network interfaces, in the order of their devices' names.
    pub nics: Vec<Nic>,
    /// Host paths shown inside, outer paths before inner ones.
    pub disks: Vec<Disk>,
    /// The root disk.
    pub root: RootDisk,
    /// `user.*` and `image.*`, which change nothing by themselves.
    pub notes: BTreeMap<String, String>,
}

/// Limits; `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// `limits.memory`.
    pub memory: Option<MemoryLimit>,
    /// `limits.cpu`.
    pub cpu: Option<CpuLimit>,
    /// `limits.processes`.
    pub processes: Option<u64>,
}

/// A limit on memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// In bytes, at least 1.
    Bytes(u64),
    /// In percent of the host's memory, 1 to 100.
    Percent(u8),
}

/// A limit on processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CpuLimit {
    /// So many, whichever; at least 1.
    Count(u32),
    /// These; never empty.
    Set(CpuSet),
}

impl MemoryLimit {
    /// The limit in bytes on a host with this much memory.
    pub fn bytes(self, host_total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => {
                // In 128 bits: the product of a large host's memory must not overflow.
                let share = u128::from(host_total) * u128::from(percent) / 100;
                u64::try_from(share).expect("a share of 64 bits fits them")
            }
        }
    }
}

impl Effective {
    /// Reads an expanded configuration whose keys have been checked.
    pub(crate) fn read(expanded: &Settings) -> Result<Self, Error> {
        let config = &expanded.config;
        let mut devices = Devices::default();
        for (name, keys) in &expanded.devices {
            devices.add(Device::parse(name, keys)?)?;
        }
        devices.finish(config)?;
        Ok(Self {
            limits: Limits {
                memory: value(config, "limits.memory", parse_memory)?,
                cpu: value(config, "limits.cpu", parse_cpus)?,
                processes: value(config, "limits.processes", processes)?,
            },
            boot: Boot::read(config)?,
            environment: environment(config)?,
            nics: devices.nics,
            disks: devices.disks,
            root: devices.root.ok_or(Error::NoRoot)?,
            notes: notes(config),
        })
    }
}

fn processes(text: &str) -> Result<u64, String> {
    parse_integer(text, 1, MOST_PROCESSES).map(i64::unsigned_abs)
}

/// The value of a key, where it has one.
pub(crate) fn value<T>(
    config: &ConfigMap,
    key: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, Error> {
    let Some(value) = config.get(key).filter(|value| !value.is_empty()) else { return Ok(None) };
    parse(value).map(Some).map_err(|reason| Error::Value {
        key: key.to_owned(),
        value: value.clone(),
        reason,
    })
}

/// The most bytes of `NAME=value` and its zero byte that a program can be started with: `MAX_ARG_STRLEN` of
/// execve(2).
const LONGEST_VARIABLE: usize = 128 << 10;

/// The most bytes of all of them: a quarter of the usual limit of the stack is there for them and the arguments.
const ALL_VARIABLES: usize = 1 << 20;

fn environment(config: &ConfigMap) -> Result<BTreeMap<String, String>, Error> {
    let (mut environment, mut all) = (BTreeMap::new(), 0);
    for (key, value) in config {
        let Some(name) = key.strip_prefix("environment.") else { continue };
        if name.contains(['=', '\0']) {
            return Err(Error::Value {
                key: key.clone(),
                value: value.clone(),
                reason: "a variable's name must not hold = or a zero byte".into(),
            });
        }
        let size = name.len() + value.len() + 2;
        all += size;
        if size > LONGEST_VARIABLE || all > ALL_VARIABLES {
            let reason = "no program could be started with it: a variable has 128 KiB at most, and all \
                          of them have 1 MiB";
            return Err(Error::Value {
                key: key.clone(),
                value: format!("{}...", value.chars().take(20).collect::<String>()),
                reason: reason.into(),
            });
        }
        environment.insert(name.to_owned(), value.clone());
    }
    Ok(environment)
}

fn notes(config: &ConfigMap) -> BTreeMap<String, String> {
    let note = |key: &str| key.starts_with("user.") || key.starts_with("image.");
    let notes = config.iter().filter(|(key, _)| note(key));
    notes.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Devices being gathered, with what must be unique among them.
#[derive(Default)]
struct Devices {
    nics: Vec<Nic>,
    disks: Vec<Disk>,
    root: Option<RootDisk>,
}

impl Devices {
    fn add(&mut self, device: Device) -> Result<(), Error> {
        match device {
            Device::None => {}
            Device::Nic(nic) => self.nics.push(nic),
            Device::Disk(disk) => {
                if let Some(other) = self.disks.iter().find(|other| other.path == disk.path) {
                    let reason = format!(
                        "device {} is at {} already",
                        quoted(&other.device),
                        quoted(&disk.path.to_string_lossy())
                    );
                    return Err(Error::Device { device: disk.device, reason });
                }
                self.disks.push(disk);
            }
            Device::Root(root) => {
                if let Some(other) = &self.root {
                    let reason =
                        format!("device {} is the root disk already", quoted(&other.device));
                    return Err(Error::Device { device: root.device, reason });
                }
                self.root = Some(root);
            }
        }
        Ok(())
    }

    /// Orders the disks, and gives every NIC its name and the address kept for it.
    fn finish(&mut self, config: &ConfigMap) -> Result<(), Error> {
        self.disks.sort_by(|a, b| a.path.cmp(&b.path));
        for nic in &mut self.nics {
            let kept = |what: &str| format!("volatile.{}.{what}", nic.device);
            let (name, hwaddr) = (kept("name"), kept("hwaddr"));
            if nic.name.is_empty() {
                nic.name = value(config, &name, interface_name)?.unwrap_or_default();
            }
            if nic.hwaddr.is_none() {
                nic.hwaddr = value(config, &hwaddr, parse_mac)?;
            }
        }
        self.name_nics();
        self.check_unique()
    }

    fn name_nics(&mut self) {
        let mut taken: HashSet<String> = self.nics.iter().map(|nic| nic.name.clone()).collect();
        for nic in self.nics.iter_mut().filter(|nic| nic.name.is_empty()) {
            let free = (0..).map(|number| format!("eth{number}")).find(|n| !taken.contains(n));
            nic.name = free.expect("there are more names than NICs");
            taken.insert(nic.name.clone());
        }
    }

    fn check_unique(&self) -> Result<(), Error> {
        let mut seen: HashSet<&str> = HashSet::new();
        for nic in &self.nics {
            for (what, text) in [("name", Some(&nic.name)), ("hwaddr", nic.hwaddr.as_ref())] {
                let Some(text) = text else { continue };
                if !seen.insert(text) {
                    let reason =
                        format!("another NIC of the instance has the {what} {}", quoted(text));
                    return Err(Error::Device { device: nic.device.clone(), reason });
                }
            }
        }
        Ok(())
    }
}
