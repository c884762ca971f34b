//! Reading foreign archives in a process that is nobody on the host.
//!
//! This side opens files, starts the sandbox ([`sc_sys::sandbox`]) and listens; it parses nothing but
//! the sandbox's own reports, which it checks again. What happens inside is in `inside`.

mod job;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use self::job::{is_squashfs, open_input, open_target, outcome_metadata};
use crate::{
    Metadata, Progress, Result,
    format::Format,
    inside,
    wire::{Outcome, Role},
};

pub use crate::wire::Stats;

/// The first argument with which a program is executed anew to become the unpacker: its main
/// function calls [`sandbox_main`] with the arguments after it, before it starts any thread.
pub const SANDBOX_ROLE: &str = "sandbox-unpack";

/// The files of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFiles {
    /// The unified tarball, or the metadata tarball of a split image.
    pub metadata: PathBuf,
    /// The root filesystem of a split image: squashfs or tarball.
    pub rootfs: Option<PathBuf>,
}

impl ImageFiles {
    /// Both, or the one, in the order of the fingerprint.
    pub fn paths(&self) -> Vec<&Path> {
        std::iter::once(&self.metadata).chain(&self.rootfs).map(PathBuf::as_path).collect()
    }
}

/// How to start the process that handles foreign bytes.
#[derive(Debug, Clone)]
pub struct Sandboxing {
    /// The program, executed anew with [`SANDBOX_ROLE`].
    pub exe: PathBuf,
    /// The first of 65,536 host ids that belong to nobody else while it runs.
    pub base_id: u32,
}

/// What an image may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together, holes counted as bytes.
    pub total_bytes: u64,
    /// Bytes of one file, holes counted as bytes.
    pub file_bytes: u64,
    /// Files, directories, links together.
    pub files: u64,
    /// Components of a path.
    pub depth: u32,
    /// What is put off for files that are not root's, or that have capabilities: their paths and
    /// some more bytes for each.
    pub owners_bytes: u64,
    /// Address space of the unpacking process, in bytes.
    pub memory_bytes: u64,
    /// Processor time.
    pub cpu: Duration,
    /// Time on the clock.
    pub wall: Duration,
}

impl Default for Limits {
    /// Far above any distribution's image, far below what fills a machine unseen.
    fn default() -> Self {
        Self {
            total_bytes: 64 << 30,
            file_bytes: 32 << 30,
            files: 4_000_000,
            depth: 128,
            owners_bytes: 256 << 20,
            memory_bytes: 1 << 30,
            cpu: Duration::from_secs(3600),
            wall: Duration::from_secs(2 * 3600),
        }
    }
}

/// An image whose root filesystem was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedImage {
    /// The image's metadata.
    pub metadata: Metadata,
    /// The files of its `templates/` folder by name.
    pub templates: BTreeMap<String, String>,
    /// What was done.
    pub stats: Stats,
}

/// What an image says of itself, read without unpacking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The image's metadata.
    pub metadata: Metadata,
    /// The files of its `templates/` folder by name; `None` for a unified image, where they may come
    /// after all else: [`unpack`] returns them.
    pub templates: Option<BTreeMap<String, String>>,
    /// The format of the unified or metadata file.
    pub metadata_format: Format,
    /// The format of the root filesystem file of a split image.
    pub rootfs_format: Option<Format>,
}

/// Reads an image's metadata, in the sandbox. Refuses an image that has no root filesystem (the first
/// entry of `rootfs/` in a unified tarball; the file of a split image, told by its first bytes).
pub fn inspect(
    files: &ImageFiles,
    limits: &Limits,
    sandboxing: &Sandboxing,
    progress: &dyn Progress,
) -> Result<Inspected> {
    let outcome = sandboxing.run(Role::Inspect, &files.open()?, None, limits, progress)?;
    let mut formats = outcome.formats.iter().map(|suffix| Format::from_suffix(suffix));
    let metadata_format = formats.next().flatten().unwrap_or(Format::Squashfs);
    Ok(Inspected {
        metadata_format,
        rootfs_format: formats.next().flatten(),
        templates: outcome.templates.clone(),
        metadata: outcome_metadata(outcome)?,
    })
}

/// Unpacks an image's root filesystem into `target`, an empty directory of root's, in the sandbox. The
/// directory becomes the root directory itself: it has the owner, mode and content that the image's
/// `rootfs/` has, ownership unshifted, all on disk. On failure `target` may hold a part: the caller
/// removes it. No process is left behind in any case.
pub fn unpack(
    files: &ImageFiles,
    target: &Path,
    limits: &Limits,
    sandboxing: &Sandboxing,
    progress: &dyn Progress,
) -> Result<UnpackedImage> {
    let target = open_target(target)?;
    let files = files.open()?;
    let mut outcome = match &files[..] {
        [_, rootfs] if is_squashfs(rootfs) => {
            // The archive of the metadata is read without capabilities.
            let told = sandboxing.run(Role::Inspect, &files, None, limits, progress)?;
            let stats = sandboxing.squashfs(rootfs, &target, limits, progress)?.stats;
            Outcome { stats, ..told }
        }
        _ => sandboxing.tar(Role::Unpack, files, &target, limits, progress)?,
    };
    Ok(UnpackedImage {
        stats: outcome.stats,
        templates: outcome.templates.take().unwrap_or_default(),
        metadata: outcome_metadata(outcome)?,
    })
}

/// Unpacks a bare root filesystem (squashfs, or tarball) into `target`, as [`unpack`] does: the
/// conversion of an image that is launched from its squashfs mount to what reads faster.
pub fn unpack_rootfs(
    rootfs: &Path,
    target: &Path,
    limits: &Limits,
    sandboxing: &Sandboxing,
    progress: &dyn Progress,
) -> Result<Stats> {
    let target = open_target(target)?;
    let rootfs = open_input(rootfs)?;
    let outcome = if is_squashfs(&rootfs) {
        sandboxing.squashfs(&rootfs, &target, limits, progress)
    } else {
        sandboxing.tar(Role::Tree, vec![rootfs], &target, limits, progress)
    };
    Ok(outcome?.stats)
}

/// The unpacker's main function; `args` are the arguments after [`SANDBOX_ROLE`], of which there are
/// none. Call it before any thread is started.
pub fn sandbox_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    if args.into_iter().next().is_some() {
        eprintln!("{SANDBOX_ROLE} takes no arguments: it is started by the daemon, not by hand");
        return ExitCode::from(2);
    }
    ExitCode::from(sc_sys::sandbox::enter(inside::run))
}
