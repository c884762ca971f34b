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

    /// The daemon's process, where it can be seen from here.
    pub async fn daemon_pid(&self) -> Result<Option<i32>> {
        let connection = self.transport.connect().await?;
        // A process of a namespace that is not ours is 0.
        Ok(connection.peer_cred().ok().and_then(|peer| peer.pid()).filter(|pid| *pid > 0))
    }

    /// Asks the daemon to end. It stops its instances first, unless it is to `leave` them running.
    pub async fn shutdown(&self, leave: bool) -> Result<()> {
        self.submit(Method::PUT, "/internal/shutdown", &Shutdown { leave }).await
    }
}
