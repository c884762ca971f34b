//! The REST API: LXD's `/1.0`.
//!
//! One file a resource, each with the same function names (`list`, `create`, `get`, `replace`,
//! `patch`, `delete`). Handlers are thin: parse, convert, hand on, convert back.

mod body;
mod connections;
mod console;
mod events;
mod exec;
mod extract;
mod filter;
mod finish;
mod held;
mod image_aliases;
mod image_upload;
mod images;
mod instances;
mod internal;
mod logs;
mod networks;
mod nics;
mod operations;
mod profiles;
mod project;
mod respond;
mod server;
mod state;
mod storage;
mod unbuilt;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use axum::response::Response;
use axum::routing::{any, get, post};

use crate::app::App;
use crate::error::Error;

pub use connections::serve;

/// The whole API.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/", get(server::versions))
        .route("/1.0", get(server::get).put(server::replace).patch(server::patch))
        .merge(instance_routes("/1.0/instances"))
        .merge(instance_routes("/1.0/containers"))
        .merge(image_routes())
        .merge(object_routes())
        .route("/1.0/events", get(events::listen))
        .route("/1.0/operations", get(operations::list))
        .route("/1.0/operations/{id}", get(operations::get).delete(operations::delete))
        .route("/1.0/operations/{id}/wait", get(operations::wait))
        .route("/1.0/operations/{id}/websocket", get(operations::websocket))
        .route("/internal/ready", get(internal::ready))
        .route("/internal/shutdown", get(internal::shutdown).put(internal::shutdown))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(project::only_default))
        .layer(middleware::from_fn_with_state(app.requests.clone(), finish::to_the_end))
        .with_state(app)
}

fn instance_routes(base: &str) -> Router<App> {
    let at = |rest: &str| format!("{base}{rest}");
    Router::new()
        .route(base, get(instances::list).post(instances::create))
        .route(
            &at("/{name}"),
            get(instances::get)
                .put(instances::replace)
                .patch(instances::patch)
                .post(instances::rename)
                .delete(instances::delete),
        )
        .route(&at("/{name}/state"), get(state::get).put(state::replace))
        .route(&at("/{name}/exec"), post(exec::create))
        .route(&at("/{name}/console"), get(console::log).post(console::create))
        .route(&at("/{name}/logs"), get(logs::list))
        .route(&at("/{name}/logs/{file}"), get(logs::get))
        .route(&at("/{name}/snapshots"), get(unbuilt::list).post(unbuilt::create_snapshot))
        .route(&at("/{name}/snapshots/{snapshot}"), any(unbuilt::get))
        .route(&at("/{name}/backups"), get(unbuilt::list).post(unbuilt::create_backup))
        .route(&at("/{name}/backups/{backup}"), any(unbuilt::get))
        .route(&at("/{name}/files"), any(unbuilt::files))
}

fn image_routes() -> Router<App> {
    Router::new()
        .route(
            "/1.0/images",
            // An image is as large as it is; it goes to a file as it comes.
            get(images::list).post(images::create).layer(DefaultBodyLimit::disable()),
        )
        .route("/1.0/images/aliases", get(image_aliases::list).post(image_aliases::create))
        .route(
            "/1.0/images/aliases/{name}",
            get(image_aliases::get).put(image_aliases::replace).delete(image_aliases::delete),
        )
        .route(
            "/1.0/images/{fingerprint}",
            get(images::get).put(images::replace).delete(images::delete),
        )
}

fn object_routes() -> Router<App> {
    Router::new()
        .route("/1.0/profiles", get(profiles::list).post(profiles::create))
        .route(
            "/1.0/profiles/{name}",
            get(profiles::get)
                .put(profiles::replace)
                .patch(profiles::patch)
                .delete(profiles::delete),
        )
        .route("/1.0/networks", get(networks::list).post(networks::create))
        .route("/1.0/networks/{name}", get(networks::get).delete(networks::delete))
        .route("/1.0/networks/{name}/state", get(networks::state))
        .route("/1.0/networks/{name}/leases", get(networks::leases))
        .route("/1.0/storage-pools", get(storage::list).post(storage::create))
        .route("/1.0/storage-pools/{name}", get(storage::get).delete(storage::delete))
        .route("/1.0/storage-pools/{name}/resources", get(storage::resources))
        .route("/1.0/projects", get(project::list))
        .route("/1.0/projects/{name}", get(project::get))
}

async fn no_such_path(uri: Uri) -> Error {
    Error::not_found(format!("{} is no path of this API", uri.path()))
}

async fn no_such_method(method: Method, uri: Uri) -> Response {
    let text = format!("{method} is not supported on {}", uri.path());
    respond::failure(StatusCode::METHOD_NOT_ALLOWED, text)
}
