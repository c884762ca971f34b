//! What handlers take out of a request. A refusal comes in the API's envelope and names the field
//! or parameter.

use std::convert::Infallible;

use axum::extract::{FromRequest, FromRequestParts, Request, WebSocketUpgrade, ws::WebSocket};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use sc_api::exec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::body;
use crate::error::Error;

/// A JSON body. That of a POST may be empty, which is read as `{}`: what a PUT replaces by it would be lost.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let method = request.method().clone();
        let bytes = body::read(request.into_body()).await?;
        if bytes.is_empty() && method != Method::POST {
            let text =
                format!("Invalid request: a {method} without a body: send what is to be set");
            return Err(Error::invalid(text).into_response());
        }
        parse(&bytes).map(Self).map_err(IntoResponse::into_response)
    }
}

/// What JSON is that is no object, by its beginning. A structure would be read from a list of its fields as well,
/// even from none, and refuse the others by a name of ours.
fn no_object(json: &[u8]) -> Option<&'static str> {
    match json {
        [b'[', ..] => Some("a list"),
        [b'"', ..] => Some("a text"),
        [b'-' | b'0'..=b'9', ..] => Some("a number"),
        b"true" | b"false" => Some("a boolean"),
        b"null" => Some("null"),
        _ => None,
    }
}

/// Reads a JSON body; the error says where in it the trouble is.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    if let Some(other) = no_object(bytes.trim_ascii()) {
        let text = format!("Invalid request: {other} where an object is expected");
        return Err(Error::invalid(text));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner();
        match path.as_str() {
            "." | "?" => Error::invalid(format!("Invalid request: {reason}")),
            path => Error::invalid(format!("Invalid request: field {path:?}: {reason}")),
        }
    })?;
    let rest = deserializer.end();
    rest.map_err(|error| Error::invalid(format!("Invalid request: after the JSON: {error}")))?;
    Ok(value)
}

/// The parameters of a request.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let found = axum::extract::Query::try_from_uri(&parts.uri);
        let found = found.map_err(|rejection| {
            let reason = std::error::Error::source(&rejection).map(ToString::to_string);
            let reason = reason.unwrap_or_else(|| rejection.body_text());
            Error::invalid(format!("Invalid request: parameter {reason}"))
        })?;
        Ok(Self(found.0))
    }
}

/// The names in a request's path.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let found = axum::extract::Path::from_request_parts(parts, state).await;
        let found = found.map_err(|rejection| {
            Error::invalid(format!("Invalid request: path: {}", rejection.body_text()))
        })?;
        Ok(Self(found.0))
    }
}

/// What each websocket takes of memory for as long as it is open. An exec has four of them, most of which
/// say little.
const READ_BUFFER: usize = 8 << 10;

/// A request to turn the connection into a websocket.
pub struct Upgrade(WebSocketUpgrade);

impl Upgrade {
    /// Turns it, and hands the websocket to `work`.
    pub fn then<F: Future<Output = ()> + Send + 'static>(
        self,
        work: impl FnOnce(WebSocket) -> F + Send + 'static,
    ) -> Response {
        self.0.read_buffer_size(READ_BUFFER).on_upgrade(work)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
        Ok(Self(upgrade.map_err(|rejection| {
            Error::invalid(format!("this path wants a websocket: {}", rejection.body_text()))
        })?))
    }
}

/// The connection itself, where the request asks for [`exec::PROTOCOL`] on it. Other protocols that
/// it may ask for are passed over, and so is an `Upgrade` that `Connection` does not name, which may be
/// another hop's (RFC 9110, sections 7.6.1 and 7.8).
pub struct ExecConnection(pub Option<OnUpgrade>);

impl<S: Send + Sync> FromRequestParts<S> for ExecConnection {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let asked = asks_for_exec(&parts.headers);
        // HTTP/1.0 has no upgrades, and hyper gives none.
        Ok(Self(parts.extensions.remove::<OnUpgrade>().filter(|_| asked)))
    }
}

fn asks_for_exec(headers: &HeaderMap) -> bool {
    let options = headers.get_all(header::CONNECTION).into_iter();
    let mut options = options.filter_map(|value| value.to_str().ok()).flat_map(|it| it.split(','));
    options.any(|option| option.trim().eq_ignore_ascii_case("upgrade"))
        && headers.get(header::UPGRADE).is_some_and(|asked| asked == exec::PROTOCOL)
}

/// The parameters that lists take.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListQuery {
    /// How deep the list goes. 0: paths; 1: objects; 2: objects with their state.
    #[serde(rename = "recursion", deserialize_with = "depth")]
    pub depth: u8,
    /// LXD's filter language.
    pub filter: Option<String>,
    /// Of instances with their state: what is filled in; all without it.
    pub parts: Option<sc_api::InstanceParts>,
}

fn depth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" | "0" => Ok(0),
        "1" => Ok(1),
        "2" => Ok(2),
        other => Err(serde::de::Error::custom(format!("{other:?} is none of 0, 1 and 2"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_field() {
        let body = br#"{"command":["true"],"width":"wide"}"#;
        let error = parse::<sc_api::InstanceExecPost>(body).unwrap_err();
        assert!(error.chain().contains("\"width\""), "{}", error.chain());
    }

    #[test]
    fn more_than_one_value_is_refused() {
        assert!(parse::<sc_api::ServerPut>(b"{} {}").is_err());
        assert!(parse::<sc_api::ServerPut>(b" \n").is_err());
        assert!(parse::<sc_api::ServerPut>(b"{}\n").is_ok());
    }

    #[test]
    fn a_list_is_no_request() {
        assert!(parse::<sc_api::InstancesPost>(b" []").is_err());
    }

    #[test]
    fn a_protocol_is_asked_for_only_where_the_connection_is_to_be_upgraded() {
        let asks = |lines: &[(&'static str, &'static str)]| {
            let lines = lines.iter().map(|(name, value)| {
                (name.parse().unwrap(), axum::http::HeaderValue::from_static(value))
            });
            asks_for_exec(&lines.collect())
        };
        let exec = ("upgrade", "sc-exec/1");
        assert!(asks(&[("connection", "Upgrade"), exec]));
        assert!(asks(&[("connection", "close"), ("connection", "keep-alive , upgrade"), exec]));
        assert!(!asks(&[exec]));
        assert!(!asks(&[("connection", "keep-alive, upgrades"), exec]));
        assert!(!asks(&[("connection", "upgrade"), ("upgrade", "websocket")]));
    }

    #[test]
    fn a_bad_parameter_is_named() {
        let read = |query: &str| {
            let uri = format!("/1.0/instances?{query}").parse().unwrap();
            axum::extract::Query::<ListQuery>::try_from_uri(&uri).map(|query| query.0.depth)
        };
        assert_eq!(read("recursion=2").unwrap(), 2);
        assert_eq!(read("recursion=").unwrap(), 0);
        for bad in
            ["recursion=-1", "recursion=3", "recursion=x", "recursion=1&recursion=1", "parts=x"]
        {
            let error = read(bad).unwrap_err();
            let name = bad.split('=').next().unwrap();
            assert!(error.body_text().contains(name), "{}", error.body_text());
        }
    }
}
