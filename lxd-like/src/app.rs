//! The daemon as its API sees it.

use axum::extract::FromRef;
use tokio_util::task::TaskTracker;

use crate::context::Ctx;
use crate::instance::Instances;
use crate::operation::Operations;

/// What requests are answered from; a handler takes the part of it that it needs.
#[derive(Clone)]
pub struct App {
    pub ctx: Ctx,
    pub instances: Instances,
    pub operations: Operations,
    /// The requests under way that may change something.
    pub requests: TaskTracker,
}

impl FromRef<App> for Ctx {
    fn from_ref(app: &App) -> Self {
        app.ctx.clone()
    }
}

impl FromRef<App> for Instances {
    fn from_ref(app: &App) -> Self {
        app.instances.clone()
    }
}

impl FromRef<App> for Operations {
    fn from_ref(app: &App) -> Self {
        app.operations.clone()
    }
}
