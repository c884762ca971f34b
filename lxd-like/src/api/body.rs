//! The bodies of requests. One must go on arriving; and what a handler leaves of it unread is read
//! and thrown away for a while, as many clients read no answer before they have sent everything.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;
use tokio::time::Sleep;

use super::respond;

/// The largest body of a request that is not an upload.
pub const BODY_MAX: usize = 8 * 1024 * 1024;

/// How long a body may bring nothing.
const IDLE_PATIENCE: Duration = Duration::from_secs(60);

/// How long a body that is not an upload may take in all.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// How much of an unwanted body is read.
const UNWANTED_MAX: usize = 64 * 1024 * 1024;

/// How long an unwanted body is read.
const UNWANTED_PATIENCE: Duration = Duration::from_secs(10);

/// Reads a body that is not an upload; the refusal of one that cannot be had.
pub async fn read(body: axum::body::Body) -> Result<Bytes, Response> {
    let too_large = || {
        let mebibytes = BODY_MAX / 1024 / 1024;
        let text = format!("the request's body is too large: {mebibytes} MiB are the most");
        respond::failure(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    // Looked at first, so that nothing of it is kept.
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(too_large());
    }
    let reading = Limited::new(body, BODY_MAX).collect();
    match tokio::time::timeout(BODY_PATIENCE, reading).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            let text = format!("read the request's body: {error}");
            Err(respond::failure(StatusCode::BAD_REQUEST, text))
        }
        Err(_) => {
            let seconds = BODY_PATIENCE.as_secs();
            let text = format!("the request's body was not there within {seconds} seconds");
            Err(respond::failure(StatusCode::REQUEST_TIMEOUT, text))
        }
    }
}

/// The body of a request on its way to a handler.
pub struct RequestBody {
    /// `None` when there is nothing more to be had of it.
    inner: Option<Incoming>,
    idle: Option<Pin<Box<Sleep>>>,
    /// Whether the client sends it unasked. (With `Expect: 100-continue` it waits until it is
    /// read.)
    unasked: bool,
}

impl RequestBody {
    /// The body of a request as it came.
    pub fn new(inner: Incoming, unasked: bool) -> Self {
        Self { inner: Some(inner), idle: None, unasked }
    }

    fn stalled(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let sleep = || Box::pin(tokio::time::sleep(IDLE_PATIENCE));
        self.idle.get_or_insert_with(sleep).as_mut().poll(context)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.unasked = true;
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let polled = match Pin::new(inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle = None;
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => Some(Err(error.into())),
            Poll::Ready(None) => None,
            Poll::Pending => match self.stalled(context) {
                Poll::Ready(()) => {
                    let seconds = IDLE_PATIENCE.as_secs();
                    Some(Err(format!("nothing of it came for {seconds} seconds").into()))
                }
                Poll::Pending => return Poll::Pending,
            },
        };
        self.inner = None;
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take()
            && self.unasked
            && !inner.is_end_stream()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(tokio::time::timeout(UNWANTED_PATIENCE, throw_away(inner)));
        }
    }
}

async fn throw_away(mut body: Incoming) {
    let mut left = UNWANTED_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
