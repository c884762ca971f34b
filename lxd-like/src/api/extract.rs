//! What handlers take out of a request: bodies whose refusal names the field.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// A JSON body. An empty one is read as `{}`.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            Error::invalid(format!("read the request's body: {rejection}")).into_response()
        })?;
        parse(&bytes).map(Self).map_err(IntoResponse::into_response)
    }
}

/// Reads a JSON body; the error says where in it the trouble is.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner();
        match path.as_str() {
            "." | "?" => Error::invalid(format!("Invalid request: {reason}")),
            path => Error::invalid(format!("Invalid request: field {path:?}: {reason}")),
        }
    })
}

/// The parameters that lists take.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListQuery {
    /// 0: paths; 1: objects; 2: objects with their state.
    recursion: Option<String>,
    /// LXD's filter language.
    pub filter: Option<String>,
    /// The project; only `default` is there.
    pub project: Option<String>,
}

impl ListQuery {
    /// How deep the list goes. What is not a number counts as 0, as with LXD.
    pub fn depth(&self) -> u8 {
        self.recursion.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
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
}
