//! `/1.0/instances`, and its alias `/1.0/containers`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use sc_api::{ConfigMap, InstanceParts, InstancePatch, InstancePut, InstancesPost};

use super::extract::{Json, ListQuery, Path, Query};
use super::filter::Filter;
use super::nics::put_on_networks;
use super::respond;
use crate::app::App;
use crate::error::{Error, Result};
use crate::instance::{self, Instances, Update, refuse_stateful};
use crate::operation::{NewOperation, ProgressReporter};

/// Lists instances.
pub async fn list(
    State(instances): State<Instances>,
    Query(query): Query<ListQuery>,
) -> Result<Response> {
    let filter = Filter::parse(query.filter.as_deref())?;
    let parts = query.parts.unwrap_or(InstanceParts::ALL);
    let mut items = Vec::new();
    for handle in instances.list() {
        let view = handle.view();
        if !filter.is_empty() && !filter.accepts(&view.instance()) {
            continue;
        }
        items.push(match query.depth {
            0 => format!("\"/1.0/instances/{}\"", handle.name()),
            1 => json_text(&view.instance()),
            _ => json_text(&view.full(parts)),
        });
    }
    Ok(respond::sync_list(items))
}

/// Creates an instance, and starts it where that was asked for.
pub async fn create(
    State(App { ctx, instances, operations, .. }): State<App>,
    Json(mut post): Json<InstancesPost>,
) -> Result<Response> {
    drop_unset(&mut post.put.config);
    sc_profiles::drop_records(&mut post.put.config);
    put_on_networks(&ctx, &mut post.put.devices);
    if post.name.is_empty() {
        post.name = instances.free_name();
    }
    let name = instance::precheck(&ctx, &post)?;
    instances.check_free(&name)?;
    let new = NewOperation::on_instance("Creating instance", name.as_str()).cancellable();
    let handle = operations.start(new, |operation| async move {
        let key = "create_instance_from_image_unpack_progress";
        let progress = ProgressReporter::new(operation, key);
        instances.create(name, post, &progress).await?;
        Ok(None)
    });
    Ok(respond::operation(&handle))
}

/// One instance.
pub async fn get(
    State(instances): State<Instances>,
    Path(name): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Response> {
    let view = instances.get(&name)?.view();
    let guarded = view.record.guarded();
    Ok(match query.depth {
        0 => respond::sync_with_etag(view.instance(), &guarded),
        _ => respond::sync_with_etag(view.full_now().await, &guarded),
    })
}

/// Replaces an instance's configuration.
pub async fn replace(
    State(App { ctx, instances, operations, .. }): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(mut put): Json<InstancePut>,
) -> Result<Response> {
    let instance = instances.get(&name)?;
    if !put.restore.is_empty() {
        return Err(Error::invalid("field \"restore\": snapshots are not supported"));
    }
    drop_unset(&mut put.config);
    put_on_networks(&ctx, &mut put.devices);
    refuse_stateful(put.stateful)?;
    refuse_architecture(&put.architecture, &instance.view().record.architecture)?;
    let guard = respond::if_match(&headers);
    // Refused at once where it is plain, and checked again where the change is made.
    guard.check(&instance.view().record.guarded())?;
    let new = NewOperation::on_instance("Updating instance", &name);
    let handle = operations.start(new, |_| async move {
        instance.update(Update::Put(put), guard).await?;
        Ok(None)
    });
    Ok(respond::operation(&handle))
}

/// Changes some of an instance's configuration.
pub async fn patch(
    State(App { ctx, instances, .. }): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(mut patch): Json<InstancePatch>,
) -> Result<Response> {
    let instance = instances.get(&name)?;
    refuse_unset_of_records(&patch.config)?;
    put_on_networks(&ctx, &mut patch.devices);
    refuse_stateful(patch.stateful.unwrap_or_default())?;
    let architecture = patch.architecture.as_deref().unwrap_or_default();
    refuse_architecture(architecture, &instance.view().record.architecture)?;
    instance.update(Update::Patch(patch), respond::if_match(&headers)).await?;
    Ok(respond::done())
}

/// Renaming and moving: known, and refused by name until they are built.
pub async fn rename(
    State(instances): State<Instances>,
    Path(name): Path<String>,
) -> Result<Response> {
    instances.get(&name)?;
    Err(Error::invalid("renaming, moving and copying instances are not supported"))
}

/// Deletes an instance.
pub async fn delete(
    State(App { instances, operations, .. }): State<App>,
    Path(name): Path<String>,
) -> Result<Response> {
    let instance = instances.get(&name)?;
    if instance.view().phase.has_guest() {
        return Err(Error::invalid(format!("Instance {name:?} is running: stop it first")));
    }
    let new = NewOperation::on_instance("Deleting instance", &name);
    let handle = operations.start(new, |_| async move {
        instance.delete().await?;
        Ok(None)
    });
    Ok(respond::operation(&handle))
}

/// Drops keys with an empty value, which LXD takes as not set. Those that would be refused with any
/// value stay, to be refused.
pub fn drop_unset(config: &mut ConfigMap) {
    let refused = |key: &str| key.starts_with("volatile.") || sc_profiles::known(key).is_err();
    config.retain(|key, value| !value.is_empty() || refused(key));
}

/// An instance is of its image's architecture for good.
fn refuse_architecture(asked: &str, kept: &str) -> Result<()> {
    let asked_as_kept = sc_images::metadata::normalise_architecture(asked);
    if asked.is_empty() || asked_as_kept == sc_images::metadata::normalise_architecture(kept) {
        return Ok(());
    }
    let text = format!("field \"architecture\" cannot be changed: the instance is {kept}");
    Err(Error::invalid(text))
}

/// The daemon's own records stay where a client leaves them out; asked by name, it says so.
fn refuse_unset_of_records(config: &ConfigMap) -> Result<()> {
    let record =
        config.iter().find(|(key, value)| key.starts_with("volatile.") && value.is_empty());
    match record {
        None => Ok(()),
        Some((key, _)) => {
            Err(Error::invalid(format!("{key} is the daemon's own record: it cannot be unset")))
        }
    }
}

fn json_text<T: serde::Serialize>(item: &T) -> String {
    serde_json::to_string(item).expect("API types serialise")
}
