//! The API's connections: how many there may be at once, and how long one may say nothing.
//!
//! ```text
//! accepted ──> silent ──(a request's whole head)──> speaking ──> closed
//!                └─ HEAD_PATIENCE is over, or it is the oldest of too many ──> closed
//! ```
//!
//! A silent connection costs a descriptor and asks for nothing, so it makes room for a new one. One
//! that speaks keeps its place to its end, websockets included; when all places are taken the
//! request is refused with a sentence. Both numbers follow from the process's limit of descriptors:
//! what instances need is left.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::body::RequestBody;
use super::held::Held;
use super::respond;
use crate::error::chain;

/// How long the head of a request may take, and how long a kept connection may wait for its next.
const HEAD_PATIENCE: Duration = Duration::from_secs(20);

/// The most that a head may have, and the most that is read ahead of a body.
const BUFFER: usize = 64 * 1024;

/// How long to wait when a connection cannot be accepted, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    silent: usize,
    speaking: usize,
}

impl Limits {
    /// What a process with this limit of descriptors can bear.
    fn for_descriptors(descriptors: Option<u64>) -> Self {
        let descriptors = descriptors.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        Self {
            silent: (descriptors / 16).clamp(16, 1024),
            speaking: (descriptors / 4).clamp(32, 8192),
        }
    }
}

/// Serves the API until `leave`; what is under way then is finished behind it.
pub async fn serve(listener: UnixListener, router: Router, leave: CancellationToken) {
    let descriptors = sc_sys::process::limits(rustix::process::Resource::Nofile).soft;
    let limits = Limits::for_descriptors(descriptors);
    let server = Arc::new(Server {
        router: TowerToHyperService::new(router),
        limits,
        silent: Mutex::default(),
        speaking: Arc::new(Semaphore::new(limits.speaking)),
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = leave.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(converse(server.clone(), stream, leave.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Everything that connections share.
struct Server {
    router: TowerToHyperService<Router>,
    limits: Limits,
    /// Oldest first; cancelling one closes it.
    silent: Mutex<BTreeMap<u64, CancellationToken>>,
    speaking: Arc<Semaphore>,
}

impl Server {
    /// Takes a new connection in among the silent ones.
    fn enter(self: &Arc<Self>) -> (Place, CancellationToken) {
        let evicted = CancellationToken::new();
        let mut silent = self.lock_silent();
        while silent.len() >= self.limits.silent
            && let Some((_, oldest)) = silent.pop_first()
        {
            oldest.cancel();
        }
        let id = silent.last_key_value().map_or(0, |(last, _)| last + 1);
        silent.insert(id, evicted.clone());
        (Place { server: self.clone(), id, speaking: OnceLock::new() }, evicted)
    }

    fn lock_silent(&self) -> MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        self.silent.lock().expect("no panic while the silent connections are locked")
    }
}

/// What a connection takes up, for as long as its stream lives.
struct Place {
    server: Arc<Server>,
    id: u64,
    /// Set by its first request: `None` inside where there was no place left.
    speaking: OnceLock<Option<OwnedSemaphorePermit>>,
}

impl Place {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response, Infallible> {
        if self.speaking.get_or_init(|| self.speak()).is_none() {
            return Ok(self.refuse());
        }
        let unasked = !request.headers().contains_key(header::EXPECT);
        let request = request.map(|body| RequestBody::new(body, unasked));
        self.server.router.call(request).await
    }

    fn speak(&self) -> Option<OwnedSemaphorePermit> {
        self.server.lock_silent().remove(&self.id);
        self.server.speaking.clone().try_acquire_owned().ok()
    }

    fn refuse(&self) -> Response {
        let most = self.server.limits.speaking;
        let text = format!("the daemon has {most} connections open, its most: close some");
        let mut response = respond::failure(StatusCode::SERVICE_UNAVAILABLE, text);
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.speaking.get().is_none() {
            self.server.lock_silent().remove(&self.id);
        }
    }
}

async fn converse(server: Arc<Server>, stream: UnixStream, leave: CancellationToken) {
    let (place, evicted) = server.enter();
    let place = Arc::new(place);
    let stream = TokioIo::new(Held::new(stream, place.clone()));
    let service = service_fn(move |request| place.clone().answer(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(BUFFER)
        .serve_connection(stream, service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = evicted.cancelled() => return,
        () = leave.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = chain(&error), "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_instances() {
        for descriptors in [256, 1024, 20_000, 1 << 20] {
            let limits = Limits::for_descriptors(Some(descriptors));
            let most = (limits.silent + limits.speaking) as u64;
            assert!(most <= descriptors / 2, "{descriptors}: {limits:?}");
        }
        assert_eq!(Limits::for_descriptors(None), Limits { silent: 1024, speaking: 8192 });
    }
}
