//! `/1.0/profiles`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use sc_api::{ProfilePatch, ProfilePut, ProfilesPost};

use super::extract::{Json, ListQuery, Path, Query};
use super::instances::drop_unset;
use super::nics::put_on_networks;
use super::respond;
use crate::app::App;
use crate::error::Result;

/// Lists profiles.
pub async fn list(
    State(App { ctx, instances, .. }): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Response> {
    let all = ctx.profiles.list()?;
    Ok(match query.depth {
        0 => {
            let path =
                |profile: &crate::model::ProfileRecord| format!("/1.0/profiles/{}", profile.name);
            respond::sync(all.iter().map(path).collect::<Vec<_>>())
        }
        _ => {
            let view = |profile| instances.view_of_profile(profile);
            respond::sync(all.iter().map(view).collect::<Vec<_>>())
        }
    })
}

/// Creates a profile.
pub async fn create(
    State(App { ctx, instances, .. }): State<App>,
    Json(mut post): Json<ProfilesPost>,
) -> Result<Response> {
    drop_unset(&mut post.put.config);
    put_on_networks(&ctx, &mut post.put.devices);
    let path = format!("/1.0/profiles/{}", post.name);
    instances.create_profile(post.name, post.put).await?;
    ctx.events.lifecycle("profile-created", path.clone());
    Ok(respond::created(&path))
}

/// One profile.
pub async fn get(
    State(App { ctx, instances, .. }): State<App>,
    Path(name): Path<String>,
) -> Result<Response> {
    let found = ctx.profiles.get(&name)?.value;
    Ok(respond::sync_with_etag(instances.view_of_profile(&found), &found.put()))
}

/// Replaces a profile.
pub async fn replace(
    State(App { ctx, instances, .. }): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(mut put): Json<ProfilePut>,
) -> Result<Response> {
    drop_unset(&mut put.config);
    put_on_networks(&ctx, &mut put.devices);
    instances.change_profile(&name, &respond::if_match(&headers), |_| put).await?;
    ctx.events.lifecycle("profile-updated", format!("/1.0/profiles/{name}"));
    Ok(respond::done())
}

/// Changes some of a profile.
pub async fn patch(
    State(App { ctx, instances, .. }): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(mut patch): Json<ProfilePatch>,
) -> Result<Response> {
    put_on_networks(&ctx, &mut patch.devices);
    let merge = |mut put: ProfilePut| {
        put.config.extend(patch.config);
        drop_unset(&mut put.config);
        put.devices.extend(patch.devices);
        put.description = patch.description.unwrap_or(put.description);
        put
    };
    instances.change_profile(&name, &respond::if_match(&headers), merge).await?;
    ctx.events.lifecycle("profile-updated", format!("/1.0/profiles/{name}"));
    Ok(respond::done())
}

/// Deletes a profile.
pub async fn delete(
    State(App { ctx, instances, .. }): State<App>,
    Path(name): Path<String>,
) -> Result<Response> {
    instances.delete_profile(&name).await?;
    ctx.events.lifecycle("profile-deleted", format!("/1.0/profiles/{name}"));
    Ok(respond::done())
}
