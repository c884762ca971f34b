//! What runs in the sandbox: the only code that reads foreign bytes.
//!
//! ```text
//! image file (open fd) ─ stream ─> tarfile ─> path, budget ─> tree ─> /target        no capability
//!                                       └───> parts: metadata.yaml, templates/
//!        list of owners ─> owners ─> /target        another process, with capabilities
//! squashfs (/in/N) ──── squashfs: unsquashfs -lln, then unsquashfs ─> /target        with them
//! all of it ── reports ─> stdout, one JSON document a line
//! ```

mod acl;
mod budget;
mod device;
mod owners;
mod parts;
mod path;
mod squashfs;
mod stream;
mod tarfile;
mod tree;
mod xattr;

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use sc_api::quoted;
use sc_sys::sandbox;

use self::{
    budget::Budget,
    owners::List,
    parts::{Part, Parts},
    path::EntryPath,
    stream::{Input, Pipe},
    tarfile::{Archive, Entry, Kind},
    tree::Tree,
};
use crate::{
    format::Format,
    wire::{Failure, Inside, Job, Outcome, Report, Role},
};

const NO_ROOTFS: &str = "the image has no root filesystem: a unified image has a folder rootfs/ in its \
                         archive, a split image is given as two files";

/// The sandboxed process's work: reads its job, does it, reports.
pub(crate) fn run(inside: sandbox::Inside) -> u8 {
    let outcome = match serde_json::from_slice::<Job>(&inside.payload) {
        Ok(job) => Work::new(&job).run(&job, inside.inputs),
        Err(error) => Err(Failure::machine("read the job", error)),
    };
    let (report, code) = match outcome {
        Ok(outcome) => (Report::Done(outcome), 0),
        Err(failure) => (Report::Failed(failure), 1),
    };
    tell(&report);
    code
}

/// Writes a line. If nobody listens any more, the sandbox is being ended.
fn tell(report: &Report) {
    let mut line = serde_json::to_vec(report).expect("reports have nothing JSON cannot say");
    line.push(b'\n');
    let _ = io::stdout().lock().write_all(&line);
}

struct Work {
    budget: Budget,
    depth: u32,
    memory: u64,
    owners_bytes: u64,
    /// Where what is put off is written, where a tarball is unpacked.
    list: Option<File>,
    /// Whether something was.
    owners: bool,
}

impl Work {
    fn new(job: &Job) -> Self {
        let budget = Budget::new(job, Box::new(|report| tell(&report)));
        Self {
            budget,
            depth: job.depth,
            memory: job.memory_bytes,
            owners_bytes: job.owners_bytes,
            list: None,
            owners: false,
        }
    }

    fn run(mut self, job: &Job, inputs: Vec<OwnedFd>) -> Inside<Outcome> {
        let mut inputs = inputs.into_iter().map(File::from);
        if matches!(job.role, Role::Unpack | Role::Tree) {
            self.list = inputs.next_back();
        }
        let first = inputs.next().ok_or_else(|| Failure::machine("start", "no file was given"))?;
        let mut outcome = match (job.role, inputs.next()) {
            (Role::Tree, _) => self.tree_only(first),
            (Role::Squashfs, _) => self.squashfs(first),
            (Role::Owners, _) => self.give_owners(first),
            (role, Some(rootfs)) => self.split(role, first, rootfs),
            (role, None) => self.unified(role, first),
        }?;
        outcome.stats = self.budget.stats;
        outcome.owners = self.owners;
        Ok(outcome)
    }

    /// metadata.yaml, templates/ and rootfs/ in one archive.
    fn unified(&mut self, role: Role, file: File) -> Inside<Outcome> {
        let step = if role == Role::Inspect { "read image" } else { "unpack image" };
        self.budget.step(if role == Role::Inspect {
            "reading metadata"
        } else {
            "unpacking image"
        });
        let input = Input::open(file).map_err(|failure| failure.step(step))?;
        let format = input.format;
        if format == Format::Squashfs {
            return Err(Failure::image(
                "the file is a squashfs, which has no metadata: give the metadata tarball first and \
                 this file as the root filesystem",
            )
            .step(step));
        }
        let (parts, complete) =
            self.unified_entries(role, input).map_err(|failure| failure.step(step))?;
        let (metadata, templates) = parts.finish().map_err(|failure| failure.step(step))?;
        Ok(Outcome {
            metadata: Some(metadata),
            templates: complete.then_some(templates),
            formats: vec![format.to_string()],
            ..Outcome::default()
        })
    }

    /// Returns the parts, and whether the archive was read to its end.
    fn unified_entries(&mut self, role: Role, input: Input) -> Inside<(Parts, bool)> {
        let mut archive = self.archive(input)?;
        let mut parts = Parts::default();
        let mut has_rootfs = false;
        let depth = self.depth;
        let target = match role {
            Role::Inspect => None,
            _ => Some(tree::open_target(sandbox::TARGET)?),
        };
        let mut tree = None;
        if let Some(target) = target {
            tree = Some(Tree::new(target, &mut self.budget, List::new(self.owners_bytes))?);
        }
        while let Some(entry) = archive.next()? {
            let shown = entry.path.clone();
            let path = parse(&entry.path, depth)?;
            has_rootfs |= matches!(Part::of(&path), Ok(Part::Rootfs(_)));
            take(&mut parts, tree.as_mut(), path, entry, depth, &mut archive)
                .map_err(|failure| failure.entry(&shown))?;
            if tree.is_none() && has_rootfs && parts.has_metadata() {
                return Ok((parts, false));
            }
        }
        if let Some(tree) = tree {
            let later = tree.finish()?;
            self.note(&later)?;
        }
        if !parts.has_metadata() {
            // Says which of the two is missing.
            return Ok((parts, true));
        }
        if has_rootfs { Ok((parts, true)) } else { Err(Failure::image(NO_ROOTFS)) }
    }

    /// Metadata in one archive, the root filesystem in another or in a squashfs.
    fn split(&mut self, role: Role, metadata: File, rootfs: File) -> Inside<Outcome> {
        self.budget.step("reading metadata");
        let input =
            Input::open(metadata).map_err(|failure| failure.step("read metadata archive"))?;
        let metadata_format = input.format;
        let (metadata, templates) = self
            .metadata_entries(input)
            .map_err(|failure| failure.step("read metadata archive"))?;
        let step = if role == Role::Inspect { "read root filesystem" } else { UNPACK };
        let input = Input::open(rootfs).map_err(|failure| failure.step(step))?;
        let formats = vec![metadata_format.to_string(), input.format.to_string()];
        match role {
            Role::Inspect => self.check_rootfs(&input),
            _ => self.unpack_rootfs(input),
        }
        .map_err(|failure| failure.step(step))?;
        Ok(Outcome {
            metadata: Some(metadata),
            templates: Some(templates),
            formats,
            ..Outcome::default()
        })
    }

    fn metadata_entries(
        &mut self,
        input: Input,
    ) -> Inside<(crate::Metadata, std::collections::BTreeMap<String, String>)> {
        let mut archive = self.archive(input)?;
        let mut parts = Parts::default();
        let mut bytes = 0u64;
        while let Some(entry) = archive.next()? {
            let shown = entry.path.clone();
            let path = parse(&entry.path, self.depth)?;
            if matches!(Part::of(&path), Ok(Part::Rootfs(_))) {
                return Err(Failure::image(
                    "the metadata archive has a root filesystem of its own: give either this file \
                     alone, or a metadata archive without rootfs/",
                )
                .entry(&shown));
            }
            bytes = entry.size.saturating_add(bytes);
            if bytes > MAX_METADATA_ARCHIVE {
                return Err(Failure::image(format!(
                    "the metadata archive has more than {MAX_METADATA_ARCHIVE} bytes: is it the root \
                     filesystem, given first?"
                )));
            }
            take(&mut parts, None, path, entry, self.depth, &mut archive)
                .map_err(|failure| failure.entry(&shown))?;
        }
        parts.finish()
    }

    fn tree_only(&mut self, rootfs: File) -> Inside<Outcome> {
        let input = Input::open(rootfs).map_err(|failure| failure.step(UNPACK))?;
        let formats = vec![input.format.to_string()];
        self.unpack_rootfs(input).map_err(|failure| failure.step(UNPACK))?;
        Ok(Outcome { formats, ..Outcome::default() })
    }

    fn squashfs(&mut self, rootfs: File) -> Inside<Outcome> {
        let unpacked = Input::open(rootfs).and_then(|input| {
            squashfs::check_superblock(input.head(), input.size, self.budget.files())?;
            let image = PathBuf::from(sandbox::input_path(0));
            squashfs::unpack(&image, Path::new(sandbox::TARGET), self.depth, &mut self.budget)?;
            tree::sync(&tree::open_target(sandbox::TARGET)?)
        });
        unpacked.map(|()| Outcome::default()).map_err(|failure| failure.step(UNPACK))
    }

    fn give_owners(&mut self, list: File) -> Inside<Outcome> {
        let given = tree::open_target(sandbox::TARGET)
            .and_then(|root| owners::apply(list, &root, self.depth, &mut self.budget));
        given.map(|()| Outcome::default()).map_err(|failure| failure.step("set owners"))
    }

    /// Writes down what is put off.
    fn note(&mut self, later: &List) -> Inside<()> {
        if later.is_empty() {
            return Ok(());
        }
        let list = self.list.take();
        let list = list.ok_or_else(|| Failure::machine("start", "no list of owners was given"))?;
        self.owners = true;
        later.write(list)
    }

    fn check_rootfs(&self, input: &Input) -> Inside<()> {
        match input.format {
            Format::Squashfs => squashfs::check_superblock(input.head(), input.size, u64::MAX),
            Format::Tar(_) => Ok(()),
        }
    }

    /// Unpacks the archive of a root filesystem.
    fn unpack_rootfs(&mut self, input: Input) -> Inside<()> {
        self.budget.step("unpacking root filesystem");
        let mut archive = self.archive(input)?;
        let depth = self.depth;
        let target = tree::open_target(sandbox::TARGET)?;
        let mut tree = Tree::new(target, &mut self.budget, List::new(self.owners_bytes))?;
        let mut empty = true;
        while let Some(entry) = archive.next()? {
            let shown = entry.path.clone();
            let path = parse(&entry.path, depth)?;
            let link = link(&entry, depth).map_err(|failure| failure.entry(&shown))?;
            empty &= path.is_root();
            tree.add(path, link, entry, &mut archive).map_err(|failure| failure.entry(&shown))?;
        }
        let later = tree.finish()?;
        self.note(&later)?;
        if empty { Err(Failure::image("the root filesystem's archive is empty")) } else { Ok(()) }
    }

    fn archive(&mut self, input: Input) -> Inside<Archive<Pipe>> {
        self.budget.follow(std::sync::Arc::clone(&input.position), input.size);
        Ok(Archive::new(input.into_tar(self.memory)?))
    }
}

/// How many bytes the files in a metadata archive may have: far more than its parts are read for.
const MAX_METADATA_ARCHIVE: u64 = 64 << 20;

const UNPACK: &str = "unpack root filesystem";

fn parse(raw: &[u8], depth: u32) -> Inside<EntryPath> {
    EntryPath::parse(raw, depth).map_err(|reason| Failure::image(reason).entry(raw))
}

/// Reads the path that a hard link names.
fn link(entry: &Entry, depth: u32) -> Inside<Option<EntryPath>> {
    if entry.kind != Kind::HardLink {
        return Ok(None);
    }
    let shown = quoted(&String::from_utf8_lossy(&entry.link));
    EntryPath::parse(&entry.link, depth)
        .map(Some)
        .map_err(|reason| Failure::image(format!("it is a hard link to {shown}: {reason}")))
}

/// Takes one entry of a unified or metadata archive to where it belongs.
fn take<R: Read>(
    parts: &mut Parts,
    tree: Option<&mut Tree<'_>>,
    path: EntryPath,
    entry: Entry,
    depth: u32,
    archive: &mut Archive<R>,
) -> Inside<()> {
    match (Part::of(&path)?, tree) {
        (Part::Metadata, _) => parts.take_metadata(&entry, archive),
        (Part::Template(_), _) if entry.kind == Kind::Directory => Ok(()),
        (Part::Template(name), _) => parts.take_template(name, &entry, archive),
        (Part::Rootfs(path), Some(tree)) => {
            let link = match link(&entry, depth)? {
                None => None,
                Some(link) => Some(link.below(b"rootfs").ok_or_else(|| {
                    Failure::image(format!(
                        "it is a hard link to {}, which leads out of the root filesystem",
                        quoted(&String::from_utf8_lossy(&entry.link))
                    ))
                })?),
            };
            tree.add(path, link, entry, archive)
        }
        (Part::Rootfs(_) | Part::Other, _) => Ok(()),
    }
}
