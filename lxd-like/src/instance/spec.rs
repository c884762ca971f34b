//! The spec that an agent is started with: everything resolved.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use sc_agent_protocol::{
    BindMount, CgroupSpec, IdRangeSpec, InstanceSpec, RootSpec, SeedFile, Tree,
};
use sc_images::metadata::When;
use sc_images::template;
use sc_profiles::Disk;
use sc_storage::{LayerTree, Root, RootPlan};
use sc_sys::cgroup::InstanceCgroup;
use sc_sys::idmap::RANGE_SIZE;

use super::config::Checked;
use crate::context::Ctx;
use crate::error::{Context, Error, Result};
use crate::host::Launch;
use crate::model::{InstanceRecord, RunPlan};

/// How much of the console's output is kept.
const CONSOLE_LOG_BYTES: u64 = 1024 * 1024;

/// Collects descriptors and numbers them as the spec does.
#[derive(Debug, Default)]
struct Fds(Vec<OwnedFd>);

impl Fds {
    fn add(&mut self, fd: OwnedFd) -> usize {
        self.0.push(fd);
        self.0.len() - 1
    }
}

/// Builds the spec of a run, which shows `disks` inside.
pub(super) fn build(
    ctx: &Ctx,
    record: &InstanceRecord,
    checked: &Checked,
    plan: &RunPlan,
    root: RootPlan,
    disks: &[Disk],
    cgroup: &InstanceCgroup,
) -> Result<Launch> {
    let name = record.name.as_str();
    let logs = ctx.paths.logs(name);
    std::fs::create_dir_all(&logs).context(format!("make the folder {}", logs.display()))?;
    let mut fds = Fds::default();
    let lease = fds.add(root.lease.into());
    let root = root_spec(root.root, &mut fds);
    let seccomp_fd = match &ctx.host.seccomp {
        Some(program) => Some(fds.add(program.try_clone().context("share the seccomp program")?)),
        None => None,
    };
    let spec = InstanceSpec {
        name: name.into(),
        ids: IdRangeSpec { base: plan.id_base, count: RANGE_SIZE },
        root,
        binds: disks.iter().map(bind).collect(),
        init: Vec::new(),
        environment: environment(record, checked),
        cgroup: cgroup_spec(cgroup),
        cgroup_view: None,
        seccomp_fd,
        seed_files: seed_files(record, checked)?,
        console_log: ctx.paths.console_log(name),
        console_log_bytes: CONSOLE_LOG_BYTES,
        exit_record: ctx.paths.exit_record(plan.run),
        agent_log: ctx.paths.agent_log(name),
        held_fds: vec![lease],
    };
    Ok(Launch { spec, fds: fds.0 })
}

fn cgroup_spec(cgroup: &InstanceCgroup) -> CgroupSpec {
    let parent = |procs: PathBuf| procs.parent().map(Path::to_owned);
    CgroupSpec {
        unified: Some(cgroup.directory().to_owned()),
        v1: cgroup.join().v1.into_iter().filter_map(parent).collect(),
    }
}

fn root_spec(root: Root, fds: &mut Fds) -> RootSpec {
    match root {
        Root::Tree { path } => RootSpec::Directory { tree: Tree::Path(path) },
        Root::Overlay { lowers, writable, upper, work, options } => RootSpec::Overlay {
            lowers: lowers
                .into_iter()
                .map(|layer| match layer {
                    LayerTree::Path(path) => Tree::Path(path),
                    LayerTree::Fd(fd) => Tree::Fd(fds.add(fd)),
                })
                .collect(),
            writable,
            upper,
            work,
            options,
        },
    }
}

/// A host path shown inside.
fn bind(disk: &Disk) -> BindMount {
    BindMount {
        device: disk.device.clone(),
        source: Tree::Path(disk.source.clone()),
        target: disk.path.clone(),
        readonly: disk.readonly,
        idmapped: true,
        recursive: false,
    }
}

fn environment(record: &InstanceRecord, checked: &Checked) -> Vec<(String, String)> {
    let mut environment = Vec::new();
    // systemd takes it for the machine-id of a guest that has none.
    if let Some(uuid) = record.config.get("volatile.uuid") {
        environment.push(("container_uuid".into(), uuid.clone()));
    }
    let own = &checked.effective.environment;
    environment.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
    environment
}

/// What is written inside before init runs: the image's templates, and what makes the instance a
/// machine of its own where the image has no template for it.
fn seed_files(record: &InstanceRecord, checked: &Checked) -> Result<Vec<SeedFile>> {
    let mut files = Vec::new();
    if !record.started_before {
        files.extend(identity(record));
        files.extend(rendered(record, checked, When::Create)?);
    }
    files.extend(rendered(record, checked, When::Start)?);
    Ok(files)
}

fn identity(record: &InstanceRecord) -> [SeedFile; 3] {
    let existing = |path: &str, content: Option<String>| SeedFile {
        path: PathBuf::from(path),
        content,
        mode: 0o644,
        uid: 0,
        gid: 0,
        only_existing: true,
        only_missing: false,
    };
    [
        existing("/etc/hostname", Some(format!("{}\n", record.name))),
        // Empty, not absent: absent would mean a first boot to systemd, with its questions.
        existing("/etc/machine-id", Some(String::new())),
        // D-Bus makes it anew, from the one above.
        existing("/var/lib/dbus/machine-id", None),
    ]
}

fn rendered(record: &InstanceRecord, checked: &Checked, when: When) -> Result<Vec<SeedFile>> {
    if record.metadata.templates.is_empty() {
        return Ok(Vec::new());
    }
    let context = template::Context {
        name: record.name.as_str(),
        config: &checked.expanded.config,
        devices: &checked.expanded.devices,
        architecture: &record.architecture,
        privileged: false,
        ephemeral: record.ephemeral,
    };
    let files = template::render(&record.metadata, &record.templates, when, &context)?;
    files.into_iter().map(seed_file).collect()
}

fn seed_file(file: template::RenderedFile) -> Result<SeedFile> {
    let content = String::from_utf8(file.content)
        .map_err(|_| Error::invalid(format!("template for {}: not text", file.path)))?;
    Ok(SeedFile {
        path: Path::new(&file.path).to_owned(),
        content: Some(content),
        mode: file.mode,
        uid: file.uid,
        gid: file.gid,
        only_existing: false,
        only_missing: file.create_only,
    })
}
