//! Reads from a guest's root what tells its init, before anything of the guest runs.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, OFlags};
use sc_agent_protocol::{BootFailure, InitKind};
use sc_sys::resolve::Root;

use super::{Facts, MARKS, kind_by_name};

/// Where an init is looked for, as the kernel does it; without the shell, which is no system.
const PLACES: [&str; 3] = ["/sbin/init", "/etc/init", "/bin/init"];
/// Links followed to find an init's real name.
const MOST_LINKS: usize = 16;
/// As much of a binary as is searched for marks.
const MOST_READ: u64 = 8 << 20;
/// As much of a binary as tells its processor.
const ELF_HEADER: u64 = 64;
/// Where systemd's shared library lies, by distribution.
const LIBRARY_FOLDERS: [&str; 4] =
    ["/usr/lib/systemd", "/lib/systemd", "/usr/lib64/systemd", "/usr/lib/x86_64-linux-gnu/systemd"];
/// The file name of systemd's shared library around its version.
const LIBRARY: (&str, &str) = ("libsystemd-shared-", ".so");

/// The program that becomes PID 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// Program and arguments; the program is an absolute path.
    pub command: Vec<String>,
    /// What is known of it.
    pub facts: Facts,
    /// The processor it was made for, where that is another than this one.
    pub foreign: Option<&'static str>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.command.join(" "), self.facts.kind())?;
        if let Some(version) = self.facts.systemd_version {
            write!(f, " {version}")?;
        }
        match self.foreign {
            Some(processor) => write!(f, ", made for {processor}"),
            None => Ok(()),
        }
    }
}

/// Finds the init of a root: the command given, or else the first of the usual places.
///
/// # Errors
///
/// Fails where none of them leads to something inside the root.
pub(crate) fn find(root: &Root, wanted: &[String]) -> Result<Program, BootFailure> {
    let command = match wanted {
        [] => {
            let place = PLACES.iter().find(|place| root.exists(place)).ok_or_else(no_init)?;
            vec![(*place).to_owned()]
        }
        [program, ..] if root.exists(program) => wanted.to_vec(),
        [program, ..] => return Err(missing(program)),
    };
    let path = resolve(root, Path::new(&command[0]));
    let foreign = foreign_processor(&read_start(root, &path, ELF_HEADER));
    Ok(Program { command, facts: facts(root, &path), foreign })
}

/// Gathers no more than the judgement needs: this is on the way to every boot.
fn facts(root: &Root, path: &Path) -> Facts {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut facts = Facts { name, ..Facts::default() };
    if kind_by_name(&facts.name).is_none() {
        let bytes = read_start(root, path, MOST_READ);
        facts.marks = MARKS.iter().map(|(mark, _)| *mark).collect();
        facts.marks.retain(|mark| contains(&bytes, mark));
    }
    if facts.kind() == InitKind::Systemd {
        facts.systemd_version = systemd_version(root);
    }
    facts
}

/// Follows the links of the last name by hand, since the kernel does not tell where a path leads.
fn resolve(root: &Root, path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = root.read_link(&path) else { break };
        path = match path.parent() {
            // An absolute target replaces the folder.
            Some(folder) => folder.join(target),
            None => target,
        };
    }
    path
}

fn read_start(root: &Root, path: &Path, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = root.open_file(path) {
        // What cannot be read has no marks; whether it can be run is seen when it is run.
        let _ = file.take(most).read_to_end(&mut bytes);
    }
    bytes
}

fn contains(bytes: &[u8], mark: &str) -> bool {
    let mark = mark.as_bytes();
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == mark[0]) {
        rest = &rest[at..];
        if rest.starts_with(mark) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

fn systemd_version(root: &Root) -> Option<u32> {
    LIBRARY_FOLDERS.iter().find_map(|folder| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK;
        let dir = root.open(folder, flags, 0).ok()?;
        let dir = Dir::read_from(dir).ok()?;
        // A folder of thousands of files is none of systemd's.
        dir.take(4096).flatten().find_map(|entry| library_version(entry.file_name().to_bytes()))
    })
}

/// Reads the version from a name such as `libsystemd-shared-252.so` or `libsystemd-shared-257.9-1.so`.
fn library_version(name: &[u8]) -> Option<u32> {
    let name = std::str::from_utf8(name).ok()?;
    let version = name.strip_prefix(LIBRARY.0)?.strip_suffix(LIBRARY.1)?;
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

/// Names the processor of an ELF file, if this machine's is another.
fn foreign_processor(bytes: &[u8]) -> Option<&'static str> {
    if bytes.len() < 20 || &bytes[..4] != b"\x7fELF" {
        return None;
    }
    let machine = u16::from_le_bytes([bytes[18], bytes[19]]);
    let name = match machine {
        3 => "i386",
        40 => "arm",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        21 | 0x1500 => "ppc64",
        22 | 0x1600 => "s390x",
        _ => "another processor",
    };
    // Each 64-bit processor also runs its 32-bit ancestor's programs, as far as the kernel allows.
    let runs_here = name == std::env::consts::ARCH
        || (std::env::consts::ARCH == "x86_64" && name == "i386")
        || (std::env::consts::ARCH == "aarch64" && name == "arm");
    (!runs_here).then_some(name)
}

fn no_init() -> BootFailure {
    BootFailure {
        step: "find init".into(),
        object: PLACES.join(", "),
        errno: rustix::io::Errno::NOENT.raw_os_error(),
        remedy: Some(
            "the image has no init system: none of these paths leads to a program. Use an image of a \
             whole operating system, or install one in it (such as systemd-sysv)"
                .into(),
        ),
    }
}

fn missing(program: &str) -> BootFailure {
    BootFailure {
        step: "find init".into(),
        object: program.to_owned(),
        errno: rustix::io::Errno::NOENT.raw_os_error(),
        remedy: Some("the configured init does not exist in the instance".into()),
    }
}

/// Returns what a process's program is called, for an init that was not told before it ran.
pub(crate) fn running_name(pid: i32) -> Option<String> {
    let target = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    target.file_name().map(|name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn root(files: &[(&str, &[u8])], links: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["sbin", "etc", "bin", "usr/lib/systemd"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for (name, content) in files {
            fs::write(dir.path().join(name), content).unwrap();
        }
        for (name, target) in links {
            symlink(target, dir.path().join(name)).unwrap();
        }
        let root = Root::open_dir(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn a_link_to_systemd_is_followed_inside_the_root() {
        let (_dir, root) = root(
            &[("usr/lib/systemd/systemd", b""), ("usr/lib/systemd/libsystemd-shared-252.so", b"")],
            &[("lib", "usr/lib"), ("sbin/init", "/lib/systemd/systemd")],
        );
        let program = find(&root, &[]).unwrap();
        assert_eq!(program.command, ["/sbin/init"]);
        assert_eq!(program.facts.kind(), InitKind::Systemd);
        assert_eq!(program.facts.systemd_version, Some(252));
    }

    #[test]
    fn a_binary_without_a_telling_name_is_read() {
        let (_dir, root) = root(&[("sbin/init", b"\x7fELF..INIT: /etc/inittab..")], &[]);
        assert_eq!(find(&root, &[]).unwrap().facts.kind(), InitKind::SysvInit);
    }

    #[test]
    fn an_image_without_init_is_refused_with_the_places_that_were_looked_at() {
        let (_dir, root) = root(&[], &[("sbin/init", "/nowhere")]);
        let failure = find(&root, &[]).unwrap_err();
        assert!(failure.object.contains("/sbin/init, /etc/init"));
        assert!(failure.remedy.is_some());
        let failure = find(&root, &["/opt/none".to_owned()]).unwrap_err();
        assert_eq!(failure.object, "/opt/none");
    }

    #[test]
    fn links_in_a_circle_end() {
        let (_dir, root) = root(&[], &[("sbin/a", "b"), ("sbin/b", "a")]);
        resolve(&root, Path::new("/sbin/a"));
    }

    #[test]
    fn library_names_carry_the_version() {
        assert_eq!(library_version(b"libsystemd-shared-252.so"), Some(252));
        assert_eq!(library_version(b"libsystemd-shared-257.9-1~deb13u1.so"), Some(257));
        assert_eq!(library_version(b"libsystemd-core-257.so"), None);
    }

    #[test]
    fn a_program_of_another_processor_is_named() {
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(64, 0);
        let other = if std::env::consts::ARCH == "aarch64" { 62_u16 } else { 183 };
        elf[18..20].copy_from_slice(&other.to_le_bytes());
        assert!(foreign_processor(&elf).is_some());
        assert_eq!(foreign_processor(b"#!/bin/sh\n"), None);
    }
}
