//! Answers: the envelope, ETags, and the one place where a failure becomes an HTTP status.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sc_api::exec::SHELL_STATUS;
use sc_api::{Envelope, ErrorKind};
use serde::Serialize;

use crate::error::{Error, printable};
use crate::etag::{self, IfMatch};
use crate::operation::Handle;

/// The result itself.
pub fn sync<T: Serialize>(metadata: T) -> Response {
    json(StatusCode::OK, &Envelope::sync(metadata))
}

/// Nothing but that it was done.
pub fn done() -> Response {
    sync(serde_json::Map::new())
}

/// The result itself, with the ETag of `guarded`: what a PUT would replace.
pub fn sync_with_etag<T: Serialize, G: Serialize>(metadata: T, guarded: &G) -> Response {
    let mut response = sync(metadata);
    let tag = format!("\"{}\"", etag::fingerprint(guarded));
    let tag = HeaderValue::from_str(&tag).expect("hexadecimal digits are a header value");
    response.headers_mut().insert(header::ETAG, tag);
    response
}

/// A list whose items are JSON already.
pub fn sync_list(items: impl IntoIterator<Item = impl AsRef<str>>) -> Response {
    let mut text = String::from(
        r#"{"type":"sync","status":"Success","status_code":200,"operation":"","error_code":0,"error":"","metadata":["#,
    );
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(item.as_ref());
    }
    text.push_str("]}\n");
    with_json_type(StatusCode::OK, text)
}

/// Something was created at `path`.
pub fn created(path: &str) -> Response {
    let mut response = json(StatusCode::CREATED, &Envelope::sync(serde_json::Map::new()));
    set_location(&mut response, path);
    response
}

/// An operation was started.
pub fn operation(handle: &Handle) -> Response {
    let operation = handle.view();
    let path = format!("/1.0/operations/{}", operation.id);
    let mut response = json(StatusCode::ACCEPTED, &Envelope::operation(path.clone(), operation));
    set_location(&mut response, &path);
    response
}

/// The guard that a request carries. One that is no text is a guard all the same, which nothing fits.
pub fn if_match(headers: &HeaderMap) -> IfMatch {
    let value = headers.get(header::IF_MATCH);
    IfMatch::new(value.map(|value| String::from_utf8_lossy(value.as_bytes())).as_deref())
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.kind().http_status();
        let text = self.chain();
        if self.kind() == ErrorKind::Internal {
            tracing::warn!(error = %text, "request failed");
        }
        failure(StatusCode::from_u16(status).expect("kinds map to valid statuses"), text)
    }
}

/// A failure of HTTP's own, for which there is no kind of error.
pub fn failure(status: StatusCode, text: impl Into<String>) -> Response {
    json(status, &Envelope::error(status.as_u16(), printable(text.into())))
}

/// The refusal of a program that could not be started, which was logged with its operation. Its
/// metadata has the status that a shell shows, where it has one for that.
pub fn not_started(kind: ErrorKind, text: &str, shell_status: Option<i32>) -> Response {
    let status = StatusCode::from_u16(kind.http_status()).expect("kinds map to valid statuses");
    let mut envelope = Envelope::error(status.as_u16(), printable(text.to_owned()));
    if let Some(shell_status) = shell_status {
        envelope.metadata = serde_json::json!({ SHELL_STATUS: shell_status });
    }
    json(status, &envelope)
}

/// The connection is `protocol`'s from here on, for the sake of an operation.
pub fn switched(protocol: &'static str, handle: &Handle) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(protocol));
    set_location(&mut response, &format!("/1.0/operations/{}", handle.view().id));
    response
}

fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    let mut text = serde_json::to_string(body).expect("API types serialise");
    // LXD's encoder ends each body with a newline, and some readers go by lines.
    text.push('\n');
    with_json_type(status, text)
}

fn with_json_type(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn set_location(response: &mut Response, path: &str) {
    if let Ok(value) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, value);
    }
}
