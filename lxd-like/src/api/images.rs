//! `/1.0/images`.

use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use sc_api::{Image, ImagePut, ImagesPost, NewAlias};
use serde_json::Map;

use super::extract::{Json, ListQuery, Path, Query};
use super::filter::Filter;
use super::{image_upload, respond};
use crate::app::App;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::manager;
use crate::model::{AliasRecord, ImageRecord};
use crate::operation::{NewOperation, Output, ProgressReporter};

/// Lists images.
pub async fn list(State(ctx): State<Ctx>, Query(query): Query<ListQuery>) -> Result<Response> {
    let filter = Filter::parse(query.filter.as_deref())?;
    let mut views = Vec::new();
    for doc in ctx.store.list_docs::<ImageRecord>(&[])? {
        let view = ctx.images.view(&doc.value)?;
        if filter.accepts(&view) {
            views.push(view);
        }
    }
    Ok(match query.depth {
        0 => {
            let path = |image: &Image| format!("/1.0/images/{}", image.fingerprint);
            respond::sync(views.iter().map(path).collect::<Vec<_>>())
        }
        _ => respond::sync(views),
    })
}

/// Takes an image in: from the request's body, or from a remote that a JSON body names.
pub async fn create(State(app): State<App>, request: Request) -> Response {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let started = if content_type.starts_with("application/json") {
        match Json::from_request(request, &()).await {
            Ok(Json(post)) => fetch(app, post),
            Err(refusal) => return refusal,
        }
    } else {
        upload(app, request).await
    };
    started.into_response()
}

/// One image.
pub async fn get(State(ctx): State<Ctx>, Path(reference): Path<String>) -> Result<Response> {
    let record = found(&ctx, &reference)?;
    Ok(respond::sync_with_etag(ctx.images.view(&record)?, &record.put()))
}

/// Replaces what may be changed of an image.
pub async fn replace(
    State(ctx): State<Ctx>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    Json(put): Json<ImagePut>,
) -> Result<Response> {
    let fingerprint = found(&ctx, &reference)?.fingerprint;
    let guard = respond::if_match(&headers);
    refuse_auto_update(put.auto_update)?;
    let replaced = |record: ImageRecord| {
        guard.check(&record.put())?;
        if put.expires_at.is_some_and(|at| at != record.expires_at()) {
            let text = "field \"expires_at\" cannot be changed: leave it as it is, or out";
            return Err(Error::invalid(text));
        }
        Ok(ImageRecord { public: put.public, properties: put.properties.clone(), ..record })
    };
    ctx.images.change(&fingerprint, replaced).await?;
    Ok(respond::done())
}

/// Deletes an image.
pub async fn delete(
    State(App { ctx, operations, .. }): State<App>,
    Path(reference): Path<String>,
) -> Result<Response> {
    let fingerprint = found(&ctx, &reference)?.fingerprint;
    let path = format!("/1.0/images/{fingerprint}");
    let new = NewOperation::on("Deleting image", "images", path);
    let handle = operations.start(new, |_| async move {
        ctx.images.delete(&fingerprint).await?;
        Ok(None)
    });
    Ok(respond::operation(&handle))
}

/// The image that a path names, by fingerprint or a unique beginning of one. An alias is none.
fn found(ctx: &Ctx, reference: &str) -> Result<ImageRecord> {
    if ctx.images.alias(reference).is_ok() {
        return Err(Error::no_such("Image", reference, "sc image list"));
    }
    ctx.images.resolve(reference)
}

async fn upload(App { ctx, operations, .. }: App, request: Request) -> Result<Response> {
    let incoming = image_upload::receive(&ctx, request).await?;
    let new = NewOperation::on("Importing image", "images", "/1.0/images".into()).cancellable();
    let handle = operations.start(new, |operation| async move {
        let progress = ProgressReporter::new(operation, "import_image_progress");
        let pool = ctx.profiles.default_pool()?;
        let record = ctx.images.import(incoming.describe(), &progress).await?;
        let record = ctx.images.prove(record, pool, &progress).await?;
        Ok(Some(output(&record)))
    });
    Ok(respond::operation(&handle))
}

fn fetch(App { ctx, operations, .. }: App, post: ImagesPost) -> Result<Response> {
    manager::check_source(&post.source)?;
    refuse_auto_update(post.auto_update)?;
    ctx.images.check_free(post.aliases.iter().map(|alias| alias.name.as_str()))?;
    let new = NewOperation::on("Building image", "images", "/1.0/images".into()).cancellable();
    let handle = operations.start(new, |operation| async move {
        let progress = ProgressReporter::new(operation, "download_progress");
        let fetched = ctx.images.fetch(&post.source.alias, &progress).await?;
        let described = |mut record: ImageRecord| {
            record.properties.extend(post.properties.clone());
            record.public |= post.public;
            Ok(record)
        };
        let record = ctx.images.change(&fetched.fingerprint, described).await?;
        for NewAlias { name, description } in post.aliases {
            let target = record.fingerprint.clone();
            let alias = AliasRecord { name: name.to_string(), description, target };
            let named = ctx.images.create_alias(alias).await;
            named.map_err(|error| error.within(format!("name image {}", record.fingerprint)))?;
        }
        Ok(Some(output(&record)))
    });
    Ok(respond::operation(&handle))
}

fn refuse_auto_update(asked: bool) -> Result<()> {
    match asked {
        false => Ok(()),
        true => Err(Error::invalid("field \"auto_update\" is not supported: leave it out")),
    }
}

fn output(record: &ImageRecord) -> Output {
    Map::from_iter([
        ("fingerprint".to_owned(), record.fingerprint.clone().into()),
        ("size".to_owned(), record.size.to_string().into()),
    ])
}
