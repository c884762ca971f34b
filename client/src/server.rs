//! The server itself.

use http::Method;
use sc_api::{Server, ServerPut};
use serde::Serialize;

use crate::client::Client;
use crate::error::Result;
use crate::resource::Tagged;

#[derive(Serialize)]
struct Shutdown {
    leave: bool,
}

impl Client {
    /// The server.
    pub async fn server(&self) -> Result<Tagged<Server>> {
        self.get_tagged("/1.0").await
    }

    /// Replaces the server's configuration.
    pub async fn replace_server(&self, put: &ServerPut, etag: Option<&str>) -> Result<()> {
        self.submit_if(Method::PUT, "/1.0", put, etag).await
    }

    /// Fails with `Unavailable` until the daemon has started everything it starts by itself.
    pub async fn ready(&self) -> Result<()> {
        let serde::de::IgnoredAny = self.get("/internal/ready").await?;
        Ok(())
    }

    /// Asks the daemon to end. It stops its instances first, unless it is to `leave` them running.
    pub async fn shutdown(&self, leave: bool) -> Result<()> {
        self.submit(Method::PUT, "/internal/shutdown", &Shutdown { leave }).await
    }
}
