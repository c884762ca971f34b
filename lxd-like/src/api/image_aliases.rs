//! `/1.0/images/aliases`.

use axum::extract::State;
use axum::response::Response;
use sc_api::{ImageAlias, ImageAliasPut, ImageAliasesPost};

use super::extract::{Json, ListQuery, Path, Query};
use super::respond;
use crate::context::Ctx;
use crate::error::Result;
use crate::model::AliasRecord;

/// Lists aliases.
pub async fn list(State(ctx): State<Ctx>, Query(query): Query<ListQuery>) -> Result<Response> {
    let all = ctx.store.list_docs::<AliasRecord>(&[])?;
    let all = all.into_iter().map(|doc| doc.value);
    Ok(match query.depth {
        0 => respond::sync(all.map(|alias| path(&alias.name)).collect::<Vec<_>>()),
        _ => respond::sync(all.map(view).collect::<Vec<_>>()),
    })
}

/// Creates an alias.
pub async fn create(
    State(ctx): State<Ctx>,
    Json(post): Json<ImageAliasesPost>,
) -> Result<Response> {
    let path = path(post.name.as_str());
    let ImageAliasesPost { name, description, target } = post;
    ctx.images.create_alias(AliasRecord { name: name.to_string(), description, target }).await?;
    Ok(respond::created(&path))
}

/// One alias.
pub async fn get(State(ctx): State<Ctx>, Path(name): Path<String>) -> Result<Response> {
    let alias = ctx.images.alias(&name)?;
    Ok(respond::sync_with_etag(view(alias.clone()), &alias))
}

/// Points an alias at another image.
pub async fn replace(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
    Json(put): Json<ImageAliasPut>,
) -> Result<Response> {
    ctx.images.replace_alias(&name, put).await?;
    Ok(respond::done())
}

/// Deletes an alias.
pub async fn delete(State(ctx): State<Ctx>, Path(name): Path<String>) -> Result<Response> {
    ctx.images.delete_alias(&name).await?;
    Ok(respond::done())
}

fn path(name: &str) -> String {
    format!("/1.0/images/aliases/{}", name.replace('/', "%2F"))
}

fn view(alias: AliasRecord) -> ImageAlias {
    ImageAlias {
        name: alias.name,
        description: alias.description,
        target: alias.target,
        alias_type: "container".into(),
    }
}
