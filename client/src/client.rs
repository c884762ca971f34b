//! The client and its three ways to ask: for a value, for an operation, and raw.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, ETAG, HOST, IF_MATCH, LOCATION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::upgrade::Upgraded;
use sc_api::{Envelope, Operation, ResponseType};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::body::RequestBody;
use crate::error::{Error, Result};
use crate::patience::{Patience, takes_its_time};
use crate::resource::Tagged;
use crate::transport::{Answer, Transport, describe};

/// A client of one daemon. Cheap to clone; clones share their connections.
///
/// It must be used within a tokio runtime, of any flavour.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) transport: Arc<Transport>,
    pub(crate) patience: Option<Patience>,
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct RawResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Client {
    /// A client of the daemon that listens on `socket`. It connects with the first request.
    pub fn unix(socket: impl Into<PathBuf>) -> Self {
        Self { transport: Arc::new(Transport::new(socket.into())), patience: None }
    }

    /// The socket of the daemon.
    pub fn socket(&self) -> &Path {
        self.transport.socket()
    }

    /// Asks for the value at `path`, such as `/1.0/instances?recursion=1`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.value(request(Method::GET, path, RequestBody::empty())?).await
    }

    /// Asks for the value at `path` together with its ETag.
    pub async fn get_tagged<T: DeserializeOwned>(&self, path: &str) -> Result<Tagged<T>> {
        let request = request(Method::GET, path, RequestBody::empty())?;
        let described = describe(&request);
        let raw = self.exchange(request).await?;
        let etag = raw.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok(Tagged { value: read_metadata(&described, &raw)?, etag })
    }

    /// Reads a body that is no JSON, such as a log.
    pub async fn get_bytes(&self, path: &str) -> Result<Bytes> {
        Ok(self.exchange(request(Method::GET, path, RequestBody::empty())?).await?.body)
    }

    /// Sends a request that is answered at once; its answer's value, if any, is of no interest.
    pub async fn submit<B: Serialize>(&self, method: Method, path: &str, body: &B) -> Result<()> {
        self.submit_if(method, path, body, None).await
    }

    /// As [`Client::submit`], provided that the object still has this ETag.
    pub async fn submit_if<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: &B,
        etag: Option<&str>,
    ) -> Result<()> {
        let IgnoredAny = self.value(guarded(json_request(method, path, body)?, etag)).await?;
        Ok(())
    }

    /// Deletes what is deleted at once.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let IgnoredAny = self.value(request(Method::DELETE, path, RequestBody::empty())?).await?;
        Ok(())
    }

    /// Sends a request that starts an operation.
    pub async fn start<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<Operation> {
        self.start_if(method, path, body, None).await
    }

    /// As [`Client::start`], provided that the object still has this ETag.
    pub async fn start_if<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: &B,
        etag: Option<&str>,
    ) -> Result<Operation> {
        self.value(guarded(json_request(method, path, body)?, etag)).await
    }

    /// Sends a DELETE that starts an operation.
    pub async fn start_delete(&self, path: &str) -> Result<Operation> {
        self.value(request(Method::DELETE, path, RequestBody::empty())?).await
    }

    /// Sends any request and returns the answer as it came, failures of the server included.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<RawResponse> {
        let request = match body {
            Some(body) => json_request(method, path, body)?,
            None => request(method, path, RequestBody::empty())?,
        };
        self.receive(request).await
    }

    /// Sends a request and reads the value in its answer.
    pub(crate) async fn value<T: DeserializeOwned>(
        &self,
        request: Request<RequestBody>,
    ) -> Result<T> {
        let described = describe(&request);
        let raw = self.exchange(request).await?;
        read_metadata(&described, &raw)
    }

    /// Sends a request and returns a successful answer.
    async fn exchange(&self, request: Request<RequestBody>) -> Result<RawResponse> {
        let raw = self.receive(request).await?;
        match raw.status {
            200..300 => Ok(raw),
            status => Err(Error::Server { status, text: error_text(status, &raw.body) }),
        }
    }

    /// Sends a request that asks for `protocol` on its connection from the answer on (RFC 9110,
    /// section 7.8). A server that does not know it answers as if nothing had been asked for.
    pub(crate) async fn switch<B: Serialize>(
        &self,
        path: &str,
        body: &B,
        protocol: &'static str,
    ) -> Result<Switched> {
        let mut request = json_request(Method::POST, path, body)?;
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(UPGRADE, HeaderValue::from_static(protocol));
        let described = describe(&request);
        let answer = self.patiently(self.transport.send(request)).await?;
        if answer.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.whole(described, answer).await.map(Switched::No);
        }
        let location = answer.response.headers().get(LOCATION);
        let operation = location.and_then(|path| path.to_str().ok()).map(str::to_owned);
        let switched = hyper::upgrade::on(answer.response).await;
        let broken =
            |source: hyper::Error| Error::Broken { request: described, source: source.into() };
        let connection = switched.map_err(broken)?;
        Ok(Switched::Yes { connection, operation })
    }

    async fn receive(&self, request: Request<RequestBody>) -> Result<RawResponse> {
        let (described, late) = (describe(&request), takes_its_time(&request));
        let answered = async {
            let answer = self.transport.send(request).await?;
            self.whole(described, answer).await
        };
        if late { answered.await } else { self.patiently(answered).await }
    }

    /// Reads an answer to its end.
    async fn whole(&self, request: String, answer: Answer) -> Result<RawResponse> {
        let Answer { response, connection } = answer;
        let (head, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|source| Error::Broken { request, source: source.into() })?
            .to_bytes();
        self.transport.keep(connection);
        Ok(RawResponse { status: head.status.as_u16(), headers: head.headers, body })
    }
}

/// What became of a request for another protocol.
#[derive(Debug)]
pub(crate) enum Switched {
    /// The connection, which speaks it now.
    Yes {
        /// The connection.
        connection: Upgraded,
        /// The path of the operation that it serves, where the server has told it.
        operation: Option<String>,
    },
    /// An answer as to any other request.
    No(RawResponse),
}

/// A request for a path of the API.
pub(crate) fn request(
    method: Method,
    path: &str,
    body: RequestBody,
) -> Result<Request<RequestBody>> {
    let uri = path.parse().map_err(|error: http::uri::InvalidUri| Error::Unsendable {
        request: format!("{method} {path}"),
        what: error.to_string(),
    })?;
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    request.headers_mut().insert(HOST, HeaderValue::from_static("unix.socket"));
    Ok(request)
}

fn json_request<B: Serialize>(
    method: Method,
    path: &str,
    body: &B,
) -> Result<Request<RequestBody>> {
    let text = serde_json::to_vec(body).map_err(|error| Error::Unsendable {
        request: format!("{method} {path}"),
        what: error.to_string(),
    })?;
    let mut request = request(method, path, RequestBody::full(text))?;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(request)
}

fn guarded(mut request: Request<RequestBody>, etag: Option<&str>) -> Request<RequestBody> {
    if let Some(value) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
        request.headers_mut().insert(IF_MATCH, value);
    }
    request
}

/// The value in a successful answer. Incus reports some failures in one, so the kind is looked at.
pub(crate) fn read_metadata<T: DeserializeOwned>(request: &str, raw: &RawResponse) -> Result<T> {
    let unexpected = |what: String| Error::Unexpected { request: request.to_owned(), what };
    match serde_json::from_slice::<Envelope<T>>(&raw.body) {
        Ok(envelope) if envelope.response_type != ResponseType::Error => Ok(envelope.metadata),
        other => match serde_json::from_slice::<Envelope<Value>>(&raw.body) {
            Ok(failed) if failed.response_type == ResponseType::Error => {
                Err(Error::Server { status: failed.error_code, text: failed.error })
            }
            _ => Err(unexpected(other.err().map_or_else(String::new, |e| e.to_string()))),
        },
    }
}

/// The text of a failure: the envelope's, or what else the body says.
pub(crate) fn error_text(status: u16, body: &[u8]) -> String {
    if let Ok(envelope) = serde_json::from_slice::<Envelope<IgnoredAny>>(body)
        && !envelope.error.is_empty()
    {
        return envelope.error;
    }
    let text = String::from_utf8_lossy(body);
    match text.trim() {
        "" => format!("the server answered with HTTP status {status}"),
        text => format!("the server answered with HTTP status {status}: {text}"),
    }
}
