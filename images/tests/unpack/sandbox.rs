//! What the sandbox is, seen from the host while it works.

use std::{
    fs,
    io::Write,
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use sc_images::{Error, ImageFiles, Limits, Progress, SANDBOX_ROLE, Sandboxing, Silent};

use crate::{
    Room, Test,
    archive::{Tar, through},
    sandboxing, unpack_with,
};

pub(crate) const TESTS: &[Test] = &[
    ("sandbox::the_unpacker_is_nobody_on_the_host_and_has_no_capability", nobody),
    ("sandbox::who_gives_files_their_owners_has_no_archive", owners),
    ("sandbox::cancelling_leaves_no_process", cancelled),
    ("sandbox::a_stalled_archive_is_ended_by_the_time_limit", stalled),
    ("sandbox::too_little_memory_is_said_to_be_so", too_little_memory),
    ("sandbox::a_program_without_the_role_is_an_error", wrong_program),
    ("sandbox::a_filesystem_that_cannot_be_idmapped_is_named_with_the_remedy", not_idmapped),
    ("sandbox::nothing_is_left_in_the_hosts_mount_table", mounts),
];

/// An archive that comes through a pipe and stops in the middle of a file.
fn stall(room: &Room) -> (PathBuf, thread::JoinHandle<fs::File>) {
    let pipe = room.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let part = Tar::unified().file("rootfs/big", &[7; 600_000]).open_end();
    let writer = pipe.clone();
    let writer = thread::spawn(move || {
        let mut file = fs::OpenOptions::new().write(true).open(writer).unwrap();
        // Nobody may be reading any more.
        let _ = file.write_all(&part[..part.len() - 70_000]);
        file
    });
    (pipe, writer)
}

/// This program under a name of its own, by which its processes are found.
fn named(room: &Room) -> (Sandboxing, PathBuf) {
    let mut sandboxing = sandboxing();
    let name = room.path("unpacker");
    std::os::unix::fs::symlink(&sandboxing.exe, &name).unwrap();
    sandboxing.exe.clone_from(&name);
    (sandboxing, name)
}

/// All processes executed under a name.
fn processes(name: &Path) -> Vec<u32> {
    let of = |entry: fs::DirEntry| {
        let number = entry.file_name().into_string().ok()?.parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let mut words = command.split(|byte| *byte == 0);
        let is_it = words.next() == Some(name.as_os_str().as_bytes())
            && words.next() == Some(SANDBOX_ROLE.as_bytes());
        is_it.then_some(number)
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(of).collect()
}

fn unpack(
    sandboxing: &Sandboxing,
    room: &Room,
    path: &Path,
    limits: &Limits,
    progress: &dyn Progress,
) -> sc_images::Result<sc_images::UnpackedImage> {
    let files = ImageFiles { metadata: path.to_owned(), rootfs: None };
    sc_images::unpack(&files, &room.target(), limits, sandboxing, progress)
}

struct Stop(AtomicBool);

impl Progress for Stop {
    fn step(&self, _: &str) {}
    fn bytes(&self, _: u64, _: Option<u64>) {}
    fn cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it did not come");
        thread::sleep(Duration::from_millis(10));
    }
}

const CAPABILITIES: [&str; 5] = ["CapEff:", "CapPrm:", "CapInh:", "CapBnd:", "CapAmb:"];

/// A field of a process's status; empty when the process has ended.
fn status(pid: u32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or(key);
    line[key.len()..].trim().to_owned()
}

/// Whether a process is in another user namespace.
fn is_inside(pid: &u32) -> bool {
    let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
    of(&pid.to_string()).is_some_and(|namespace| of("self") != Some(namespace))
}

/// Looks at all workers from their first moment inside to the last, where it is known what they read.
fn owners() {
    let room = Room::new();
    let entry = |n: u32| {
        let mut header = Tar::header(tar::EntryType::Regular, &format!("rootfs/{n}"), "", 0);
        header.set_uid((1 + n % 9).into());
        header
    };
    let archive = (0..5000).fold(Tar::unified(), |tar, n| tar.raw(entry(n), b""));
    let path = room.file("image", &archive.done());
    let (sandboxing, name) = named(&room);
    let mut seen = [0, 0];
    thread::scope(|scope| {
        let unpacking =
            scope.spawn(|| unpack(&sandboxing, &room, &path, &Limits::default(), &Silent));
        while !unpacking.is_finished() {
            for pid in processes(&name).into_iter().filter(is_inside) {
                // Set up, which is when it has let go of this.
                if status(pid, "NoNewPrivs:") != "1" || status(pid, "Seccomp:") != "2" {
                    continue;
                }
                let held = status(pid, "CapBnd:");
                let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
                let open: Vec<_> = open.filter_map(|fd| fs::read_link(fd.path()).ok()).collect();
                match u64::from_str_radix(&held, 16) {
                    Ok(0) => seen[0] += 1,
                    Ok(held) => {
                        seen[1] += 1;
                        // CHOWN, DAC_READ_SEARCH, FOWNER, FSETID and SETFCAP.
                        assert_eq!(held, 0x8000_001d);
                        assert!(!open.contains(&path), "{open:?}");
                    }
                    // It has ended.
                    Err(_) => {}
                }
            }
        }
        unpacking.join().unwrap().unwrap();
    });
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    let owner = |n: u32| {
        std::os::unix::fs::MetadataExt::uid(
            &fs::metadata(room.target().join(n.to_string())).unwrap(),
        )
    };
    assert!((0..5000).all(|n| owner(n) == 1 + n % 9));
}

fn nobody() {
    let room = Room::new();
    let (pipe, writer) = stall(&room);
    let stop = Stop(AtomicBool::new(false));
    let (sandboxing, name) = named(&room);
    let base = sandboxing.base_id.to_string();
    thread::scope(|scope| {
        let unpacking =
            scope.spawn(|| unpack(&sandboxing, &room, &pipe, &Limits::default(), &stop));
        let big = room.target().join("big");
        wait_for(|| fs::metadata(&big).ok().filter(|big| big.len() > 0));
        let all = processes(&name);
        assert_eq!(all.len(), 2, "the one that watches and the one that works");
        for pid in &all {
            // Ids, as the host sees them.
            for key in ["Uid:", "Gid:"] {
                let ids = status(*pid, key);
                assert!(ids.split_whitespace().all(|id| id == base), "{ids}");
            }
            assert_eq!(status(*pid, "Groups:"), "");
            for key in CAPABILITIES {
                assert_eq!(status(*pid, key), "0000000000000000", "{key}");
            }
            assert_eq!(status(*pid, "NoNewPrivs:"), "1");
        }
        let pid = all.into_iter().find(is_inside).expect("one of them works");
        let proc = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
        for map in ["uid_map", "gid_map"] {
            let map = proc(map);
            let fields: Vec<_> = map.split_whitespace().collect();
            assert_eq!(fields, ["0", &base, "65536"]);
        }
        // Namespaces: none is shared with the host.
        for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
            let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
            assert_ne!(of(&pid.to_string()), of("self"), "{kind}");
        }
        // Its root: the host's /usr read-only, and the target.
        let mounts = proc("mountinfo");
        for line in mounts.lines() {
            let fields: Vec<_> = line.split(' ').collect();
            let (place, options) = (fields[4], fields[5]);
            assert!(
                ["/", "/target"].contains(&place) || place.starts_with("/usr"),
                "{place} is there"
            );
            assert_eq!(options.starts_with("ro"), place != "/target", "{line}");
            assert!(options.contains("nosuid") && options.contains("nodev"), "{line}");
        }
        let listed = fs::read_dir(format!("/proc/{pid}/root/")).unwrap().flatten();
        let names: Vec<_> = listed.map(|entry| entry.file_name().into_string().unwrap()).collect();
        assert!(!names.iter().any(|name| ["etc", "proc", "root", "var"].contains(&&**name)));
        // No network but a loopback that is down, and descriptors that lead nowhere else.
        assert!(proc("net/route").lines().count() <= 1);
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
            let to = fs::read_link(entry.path()).unwrap().to_string_lossy().into_owned();
            let room = room.path("").to_string_lossy().into_owned();
            let fine = to.starts_with("pipe:")
                || to.ends_with("/null")
                || to.starts_with("/memfd:owners ")
                || to.starts_with(&room)
                || to == "/"
                || to.starts_with("/target");
            assert!(fine, "it has {to} open");
        }
        stop.0.store(true, Ordering::Relaxed);
        let error = unpacking.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error}");
        assert_eq!(processes(&name), [0u32; 0]);
    });
    drop(writer.join().unwrap());
}

fn cancelled() {
    let room = Room::new();
    let (pipe, writer) = stall(&room);
    let stop = Stop(AtomicBool::new(true));
    // The first look finds it cancelled, before the child has got anywhere.
    let (sandboxing, name) = named(&room);
    let error = unpack(&sandboxing, &room, &pipe, &Limits::default(), &stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert_eq!(processes(&name), [0u32; 0]);
    drop(writer.join().unwrap());
}

fn stalled() {
    let room = Room::new();
    let (pipe, writer) = stall(&room);
    let limits = Limits { wall: Duration::from_millis(700), ..Limits::default() };
    let (sandboxing, name) = named(&room);
    let error = unpack(&sandboxing, &room, &pipe, &limits, &Silent).unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
    assert_eq!(processes(&name), [0u32; 0]);
    drop(writer.join().unwrap());
}

fn too_little_memory() {
    let room = Room::new();
    // Level 9 has a dictionary of 64 MB.
    let path = room.file("image", &through(&["xz", "-9", "-c"], &Tar::unified().done()));
    let limits = Limits { memory_bytes: 48 << 20, ..Limits::default() };
    let error = unpack_with(&room, &path, &limits, &Silent).unwrap_err();
    assert!(error.to_string().contains("more memory than is allowed"), "{error}");
    unpack_with(&room, &path, &Limits::default(), &Silent).unwrap();
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let room = Room::new();
    let path = room.file("image", &Tar::unified().done());
    let error = unpack_with(&room, &path, &limits, &Silent).unwrap_err();
    println!("{error}");
    assert!(matches!(error, Error::Unpacker { .. }), "{error}");
}

fn wrong_program() {
    let room = Room::new();
    let path = room.file("image", &Tar::unified().done());
    let files = ImageFiles { metadata: path, rootfs: None };
    for exe in ["/bin/true", "/nowhere/scd"] {
        let mut sandboxing = sandboxing();
        sandboxing.exe = exe.into();
        let unpacked =
            sc_images::unpack(&files, &room.target(), &Limits::default(), &sandboxing, &Silent);
        println!("{}", unpacked.unwrap_err());
    }
}

fn mounts() {
    let room = Room::new();
    // A mode that nobody but root may read.
    let path = room.path("image");
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
    file.write_all(&Tar::unified().file("rootfs/x", b"").done()).unwrap();
    unpack_with(&room, &path, &Limits::default(), &Silent).unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("/target"), "{mounts}");
}

fn not_idmapped() {
    let room = Room::new();
    let path = room.file("image", &Tar::unified().done());
    // No kernel idmaps proc and sysfs; one of their mount points is mostly free.
    let places = ["/proc/sys/fs/binfmt_misc", "/sys/kernel/debug", "/sys/kernel/security"];
    let is_empty = |place: &&&str| fs::read_dir(place).is_ok_and(|mut all| all.next().is_none());
    let target = Path::new(places.iter().find(is_empty).unwrap());
    let files = ImageFiles { metadata: path, rootfs: None };
    let error =
        sc_images::unpack(&files, target, &Limits::default(), &sandboxing(), &Silent).unwrap_err();
    assert_eq!(error.kind(), sc_images::ErrorKind::Unavailable);
    assert!(error.to_string().contains("ext4, xfs or btrfs"), "{error}");
}
