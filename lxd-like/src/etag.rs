//! ETags: the fingerprint of what a PUT would replace, and the guard that a client makes of it.
//!
//! A guard is checked where the change is made, one at a time, never before: else two clients that
//! have read the same would both succeed, and one of them in vain.

use sc_api::ErrorKind;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The fingerprint of what a PUT would replace.
pub fn fingerprint<G: Serialize>(guarded: &G) -> String {
    let text = serde_json::to_vec(guarded).expect("API types serialise");
    Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a client wants to find unchanged; nothing, if it does not say.
#[derive(Debug, Clone, Default)]
pub struct IfMatch(Option<String>);

impl IfMatch {
    /// The value of the header `If-Match`, where it was sent.
    pub fn new(header: Option<&str>) -> Self {
        Self(header.map(|text| text.trim_matches('"').to_owned()))
    }

    /// Refuses where something else is found.
    pub fn check<G: Serialize>(&self, guarded: &G) -> Result<()> {
        let Some(sent) = &self.0 else { return Ok(()) };
        let now = fingerprint(guarded);
        if *sent == now || sent == "*" {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Precondition,
            format!("ETag doesn't match: {now} vs {sent}: it was changed meanwhile, try again"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_holds_for_what_it_was_made_of() {
        let guarded = sc_api::ProfilePut::default();
        let guard = IfMatch::new(Some(&format!("\"{}\"", fingerprint(&guarded))));
        assert!(guard.check(&guarded).is_ok());
        let changed = sc_api::ProfilePut { description: "new".into(), ..guarded };
        assert_eq!(guard.check(&changed).unwrap_err().kind(), ErrorKind::Precondition);
    }

    #[test]
    fn a_request_without_a_guard_is_let_through() {
        assert!(IfMatch::new(None).check(&sc_api::ProfilePut::default()).is_ok());
    }
}
