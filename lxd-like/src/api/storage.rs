//! `/1.0/storage-pools`.

use axum::extract::State;
use axum::response::Response;
use sc_api::{PoolResources, PoolSpace, StoragePool, StoragePoolsPost};
use serde::{Deserialize, Deserializer};

use super::extract::{Json, ListQuery, Path, Query};
use super::respond;
use crate::context::Ctx;
use crate::error::Result;
use crate::model::PoolRecord;

/// Lists pools.
pub async fn list(State(ctx): State<Ctx>, Query(query): Query<ListQuery>) -> Result<Response> {
    let all = ctx.store.list_docs::<PoolRecord>(&[])?;
    Ok(match query.depth {
        0 => {
            let path = |pool: &PoolRecord| format!("/1.0/storage-pools/{}", pool.name);
            respond::sync(all.iter().map(|doc| path(&doc.value)).collect::<Vec<_>>())
        }
        _ => {
            // Side by side: a pool that does not answer takes its time.
            let views = all.iter().map(|doc| view(&ctx, &doc.value));
            respond::sync(futures::future::try_join_all(views).await?)
        }
    })
}

/// Creates a pool.
pub async fn create(
    State(ctx): State<Ctx>,
    Json(post): Json<StoragePoolsPost>,
) -> Result<Response> {
    let path = format!("/1.0/storage-pools/{}", post.name);
    let StoragePoolsPost { name, driver, description, config } = post;
    ctx.pools.create(name, &driver, description, config).await?;
    ctx.events.lifecycle("storage-pool-created", path.clone());
    Ok(respond::created(&path))
}

/// One pool.
pub async fn get(State(ctx): State<Ctx>, Path(name): Path<String>) -> Result<Response> {
    let record = ctx.pools.record(&name)?;
    Ok(respond::sync_with_etag(view(&ctx, &record).await?, &record.config))
}

/// The parameters that a deletion takes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeleteQuery {
    /// Whether a pool that is lost is forgotten.
    #[serde(deserialize_with = "truth")]
    pub force: bool,
}

fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || serde::de::Error::custom(format!("{text:?} is neither true nor false"));
    if text.is_empty() { Ok(false) } else { sc_profiles::parse_bool(&text).ok_or_else(wrong) }
}

/// Deletes a pool.
pub async fn delete(
    State(ctx): State<Ctx>,
    Path(name): Path<String>,
    Query(query): Query<DeleteQuery>,
) -> Result<Response> {
    ctx.pools.delete(&name, query.force).await?;
    ctx.events.lifecycle("storage-pool-deleted", format!("/1.0/storage-pools/{name}"));
    Ok(respond::done())
}

/// What a pool has and uses.
pub async fn resources(State(ctx): State<Ctx>, Path(name): Path<String>) -> Result<Response> {
    ctx.pools.record(&name)?;
    let found = ctx.pools.get(&name)?.work(|pool| pool.resources()).await?;
    Ok(respond::sync(PoolResources {
        space: PoolSpace { used: found.used_bytes, total: found.total_bytes },
        inodes: PoolSpace { used: found.used_inodes, total: found.total_inodes },
    }))
}

async fn view(ctx: &Ctx, record: &PoolRecord) -> Result<StoragePool> {
    let open = match ctx.pools.get(record.name.as_str()) {
        Ok(pool) => pool.work(|pool| pool.check_in_place()).await.is_ok(),
        Err(_) => false,
    };
    Ok(StoragePool {
        name: record.name.to_string(),
        description: record.description.clone(),
        driver: record.driver.clone(),
        config: record.config.clone(),
        status: if open { "Created" } else { "Unavailable" }.into(),
        locations: vec!["none".into()],
        used_by: ctx.pools.used_by(record.name.as_str())?,
    })
}
