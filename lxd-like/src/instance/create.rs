//! Creating an instance.
//!
//! ```text
//! checked ──> claimed: record and intent in one commit ──> volume made ──(started)──> intent cleared
//! ```
//!
//! From the commit on the instance is in every list. A failure after it takes back what was made.

use std::collections::BTreeMap;
use std::sync::Arc;

use sc_api::{
    ErrorKind, InstanceName, InstanceType, InstancesPost, PoolName, ProfileName, Timestamp,
};
use sc_profiles::{Effective, Origin};
use sc_storage::VolumeName;
use sc_store::{Change, CommitError, Draft, IntentId};

use super::command::Creation;
use super::config::{self, Checked};
use super::handle::InstanceHandle;
use super::name::{name_taken, refuse_localhost};
use super::owner::{self, Leftover, State};
use super::registry::Instances;
use super::start::{Begun, Wanted};
use super::{delete, fit, nics, update, volume};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::manager::{AskedImage, Claim, Root, RootSource};
use crate::model::{ImageUse, InstanceRecord, Intent};
use crate::operation::ProgressReporter;

/// Checks what can be checked before an operation is begun: so that a plain mistake is refused at
/// once.
pub fn precheck(ctx: &Ctx, post: &InstancesPost) -> Result<InstanceName> {
    if post.instance_type == InstanceType::VirtualMachine {
        return Err(Error::invalid("virtual machines are not supported: leave type out"));
    }
    if !post.flavour.is_empty() {
        return Err(Error::invalid(
            "field \"instance_type\" is not supported: set limits.* instead",
        ));
    }
    refuse_stateful(post.put.stateful)?;
    let name: InstanceName = post.name.parse()?;
    refuse_localhost(&name)?;
    RootSource::of(&post.source)?;
    if !post.put.architecture.is_empty() {
        let host = sc_images::metadata::host_architecture();
        let asked = sc_images::metadata::normalise_architecture(&post.put.architecture);
        if asked != Some(host.as_str()) {
            return Err(Error::invalid(format!(
                "architecture {:?} does not run here: this host is {host}",
                post.put.architecture
            )));
        }
    }
    let profiles = update::profile_names(post.put.profiles.clone())?;
    ctx.profiles.get_all(&profiles)?;
    Ok(name)
}

/// Refuses to restore processes.
pub fn refuse_stateful(asked: bool) -> Result<()> {
    match asked {
        true => Err(Error::invalid("field \"stateful\" is not supported: leave it out")),
        false => Ok(()),
    }
}

/// What an instance is to be made with, while nobody else is given its name.
struct Found {
    profiles: Vec<ProfileName>,
    pool: PoolName,
    root: Root,
    _named: Claim,
}

/// An instance whose name is taken and whose volume is to be made.
type Named = (Arc<InstanceHandle>, InstanceRecord, Option<sc_storage::Fingerprint>, Claimed);

impl Instances {
    /// Creates an instance, and starts it where that was asked for.
    #[tracing::instrument(level = "debug", name = "create", skip_all)]
    pub async fn create(
        &self,
        name: InstanceName,
        post: InstancesPost,
        progress: &ProgressReporter,
    ) -> Result<()> {
        let found = self.find(&name, &post, progress).await.map_err(|e| of_ours(e, &name))?;
        let image = AskedImage::of(&post.source, &found.root);
        let made = async {
            let named = self.take_name(name.clone(), post, found, progress).await;
            let (handle, record, layer, claimed) = named.map_err(|e| of_ours(e, &name))?;
            self.make(&handle, record, layer, claimed, progress).await
        };
        made.await.map_err(|error| match &image {
            Some(image) => self.ctx().images.of_deleted(image, &name, error),
            None => error,
        })
    }

    /// Checks what is asked for, and finds or fetches its image.
    async fn find(
        &self,
        name: &InstanceName,
        post: &InstancesPost,
        progress: &ProgressReporter,
    ) -> Result<Found> {
        let ctx = self.ctx();
        let profiles = update::profile_names(post.put.profiles.clone())?;
        // What is wrong with the configuration is said before an image is fetched for minutes.
        let before = check(ctx, &profiles, post)?;
        let pool: PoolName = before.effective.root.pool.parse()?;
        fit::check(ctx, None, &before.effective).await?;
        // Before anything is fetched, or held under its name, which may be another instance's.
        let _named = self.claim_name(name)?;
        let root = ctx.images.root(&post.source, progress).await?;
        Ok(Found { profiles, pool, root, _named })
    }

    /// What comes before the commit, and the commit.
    async fn take_name(
        &self,
        name: InstanceName,
        post: InstancesPost,
        Found { profiles, pool, root, _named }: Found,
        progress: &ProgressReporter,
    ) -> Result<Named> {
        let ctx = self.ctx();
        let launch = post.start;
        let (root, layer) = ctx.images.ensure_layer(root, &pool, progress).await?;
        let mut record = new_record(name, post, profiles, pool, &root);
        refuse_foreign_volume(ctx, &record).await?;
        // Until it is in the registry: a change of a profile concerns it, or comes before it. Nothing that
        // may hang comes in between: others' creations would wait for it.
        let _following = ctx.profiles.following().await;
        let _held = ctx.references.hold().await;
        // A profile may have changed while the image was fetched, and the pool may have been deleted; the
        // hardware addresses that are held belong to what the instance is checked with below.
        ctx.pools.get(record.pool.as_str())?;
        let now = config::of_record(ctx, &record)?;
        refuse_other_pool(&record, &now.effective)?;
        nics::hold(ctx, &mut record, &now.effective)?;
        let claimed = async {
            let checked = config::of_record(ctx, &record)?;
            let to_start = launch.then_some(&checked.effective);
            let claimed = claim(ctx, &record, to_start).await?;
            Ok::<_, Error>((checked, claimed))
        };
        let claimed = claimed.await;
        match claimed {
            Ok((checked, claimed)) => Ok((spawn(self, &record, checked), record, layer, claimed)),
            Err(error) => {
                nics::release(ctx, &record).await;
                Err(error)
            }
        }
    }

    /// What comes after the commit.
    async fn make(
        &self,
        handle: &InstanceHandle,
        record: InstanceRecord,
        layer: Option<sc_storage::Fingerprint>,
        (creation, mut begun): Claimed,
        progress: &ProgressReporter,
    ) -> Result<()> {
        let ctx = self.ctx();
        let made = match &mut begun {
            Some(begun) => {
                // Both to their end: what one of them makes after the other has failed would stay.
                let volume = volume::make(self, &record, layer, progress);
                let (volume, cgroup) = tokio::join!(volume, begun.make_cgroup(ctx));
                volume.and(cgroup)
            }
            None => make_stopped(self, &record, layer, creation, progress).await,
        };
        match (made, begun) {
            // The creation is pending over the start as well: a crash takes back the whole launch.
            (Ok(()), begun @ Some(_)) => {
                let creation = Some(creation);
                start(handle, Wanted { creation, begun }).await
            }
            (Ok(()), None) => handle.created(Creation::Made).await,
            (Err(error), begun) => {
                handle.created(undo(ctx, &record, creation, begun).await).await?;
                Err(error.within(format!("create instance {}", record.name)))
            }
        }
    }
}

/// Says of which creation a failure is that is not the request's fault; a refusal says that itself.
fn of_ours(error: Error, name: &InstanceName) -> Error {
    match error.kind() {
        ErrorKind::Internal | ErrorKind::Unavailable => {
            error.within(format!("create instance {name}"))
        }
        _ => error,
    }
}

/// The configuration that is asked for, with everything it refers to there.
fn check(ctx: &Ctx, profiles: &[ProfileName], post: &InstancesPost) -> Result<Checked> {
    let origin = Origin::Client { before: &BTreeMap::new() };
    let checked = config::check(ctx, profiles, &post.put.config, &post.put.devices, origin)?;
    let Effective { root, nics, .. } = &checked.effective;
    ctx.pools.of_device(&root.device, &root.pool)?;
    for nic in nics {
        ctx.networks.of_device(&nic.device, &nic.network)?;
    }
    Ok(checked)
}

/// What a failed creation takes back must be its own: a volume of that name that is there before, and
/// is no instance's, was put there by somebody.
async fn refuse_foreign_volume(ctx: &Ctx, record: &InstanceRecord) -> Result<()> {
    let pool = ctx.pools.get(record.pool.as_str())?;
    let volume = VolumeName::new(record.name.as_str())?;
    match pool.work(move |pool| pool.has_volume(&volume)).await? {
        false => Ok(()),
        true => Err(Error::conflict(format!(
            "storage pool {} has a volume {} already, which is no instance's: move it away, or \
             choose another name",
            record.pool, record.name
        ))),
    }
}

/// A change of a profile that came while the image was fetched or the pool looked at may have changed the
/// pool as well.
fn refuse_other_pool(record: &InstanceRecord, now: &Effective) -> Result<()> {
    if now.root.pool == record.pool.as_str() {
        return Ok(());
    }
    let pool = &now.root.pool;
    Err(Error::conflict(format!("its pool was changed to {pool} meanwhile: try again")))
}

/// Puts an owner in charge of what is being created.
fn spawn(instances: &Instances, record: &InstanceRecord, checked: Checked) -> Arc<InstanceHandle> {
    let (record, expanded) = (Arc::new(record.clone()), Arc::new(checked.expanded));
    owner::spawn(instances, record, expanded, State::Creating, Leftover::default())
}

/// Starts what was just created. What does not start is not left behind: the request was for a
/// running instance.
async fn start(handle: &InstanceHandle, wanted: Wanted) -> Result<()> {
    let outcome = handle.created(Creation::ToStart(Box::new(wanted))).await;
    let Err(error) = outcome else { return Ok(()) };
    match handle.delete().await {
        Ok(()) => Err(error),
        Err(also) => {
            let text =
                format!("{}; and it could not be deleted again: {}", error.chain(), also.chain());
            Err(Error::new(error.kind(), text))
        }
    }
}

fn new_record(
    name: InstanceName,
    post: InstancesPost,
    profiles: Vec<ProfileName>,
    pool: PoolName,
    root: &Root,
) -> InstanceRecord {
    let mut config = post.put.config;
    for (key, value) in root.properties() {
        config.entry(format!("image.{key}")).or_insert_with(|| value.clone());
    }
    if let Some(fingerprint) = root.fingerprint() {
        config.insert("volatile.base_image".into(), fingerprint.into());
    }
    config.insert("volatile.uuid".into(), uuid::Uuid::new_v4().to_string());
    InstanceRecord {
        name,
        description: post.put.description,
        architecture: root.architecture(),
        ephemeral: post.put.ephemeral,
        profiles,
        config,
        devices: post.put.devices,
        created_at: Timestamp::now(),
        last_used_at: None,
        pool,
        image: root.fingerprint().map(str::to_owned),
        metadata: root.metadata().clone(),
        templates: root.templates().clone(),
        nics: BTreeMap::new(),
        started_before: false,
    }
}

/// The journal's entry of a creation, and the run that it ends with, if any.
type Claimed = (IntentId, Option<Begun>);

/// The commit from which on the name is taken, and the run begun where there is `to_start` what.
#[tracing::instrument(level = "debug", name = "create: commit", skip_all)]
async fn claim(
    ctx: &Ctx,
    record: &InstanceRecord,
    to_start: Option<&Effective>,
) -> Result<Claimed> {
    let Some(effective) = to_start else {
        return Ok((commit(ctx, record, None).await?, None));
    };
    let (begun, change) = Begun::new(ctx, record, effective)
        .map_err(|error| error.within(format!("start instance {}", record.name)))?;
    match commit(ctx, &begun.starting, Some(change)).await {
        Ok(creation) => Ok((creation, Some(begun))),
        Err(error) => {
            begun.forget(ctx);
            Err(error)
        }
    }
}

async fn commit(ctx: &Ctx, record: &InstanceRecord, run: Option<Change>) -> Result<IntentId> {
    let intent = Intent::Create { instance: record.name.clone(), pool: record.pool.clone() };
    let (intent, change) = ctx.journal.begin_change(&intent)?;
    let mut draft = Draft::new();
    draft.change(change).create(record)?;
    if let Some(run) = run {
        draft.change(run);
    }
    if let Some(image) = &record.image {
        // It may have been deleted since its layer was made.
        let fingerprint = ctx.images.get(image)?.fingerprint;
        draft.put(&ImageUse { fingerprint, at: record.created_at })?;
    }
    match ctx.journal.apply(draft).await {
        Ok(_) => Ok(intent),
        Err(CommitError::Conflict { .. }) => Err(name_taken(&record.name)),
        Err(error) => Err(error.into()),
    }
}

/// Makes what is not started now; with that its creation is done.
async fn make_stopped(
    instances: &Instances,
    record: &InstanceRecord,
    layer: Option<sc_storage::Fingerprint>,
    creation: IntentId,
    progress: &ProgressReporter,
) -> Result<()> {
    volume::make(instances, record, layer, progress).await?;
    Ok(instances.ctx().journal.clear(creation).await?)
}

/// Takes back what a creation has made.
async fn undo(
    ctx: &Ctx,
    record: &InstanceRecord,
    intent: IntentId,
    begun: Option<Begun>,
) -> Creation {
    if let Some(begun) = begun
        && let Some(left) = begun.take_back(ctx).await
    {
        return Creation::Remains(intent, Some(left));
    }
    match delete::erase(ctx, record, intent).await {
        Ok(()) => Creation::TakenBack,
        Err(error) => {
            tracing::error!(instance = %record.name, error = %error.chain(), "take back a creation");
            Creation::Remains(intent, None)
        }
    }
}
