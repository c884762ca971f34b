//! `sc query`: any request of the API.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use sc_api::{Envelope, Operation, ResponseType};
use serde_json::Value;

use crate::context::Context;
use crate::usage::wrong;
use crate::verb::{DONE, Verb};
use crate::{output, progress};

/// `sc query`.
#[derive(Debug, Args)]
pub struct Query {
    /// The path, such as /1.0/instances?recursion=1
    #[arg(value_name = "PATH")]
    path: String,
    /// The method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    request: String,
    /// The body, as JSON
    #[arg(short, long, value_name = "JSON")]
    data: Option<String>,
    /// Wait for the operation, and show what it is then
    #[arg(long)]
    wait: bool,
    /// Show the answer as it comes
    #[arg(long)]
    raw: bool,
}

impl Verb for Query {
    const NAME: &'static str = "query";
    const ABOUT: &'static str = "Send a request to the API";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let path = self.path.strip_prefix("local:").unwrap_or(&self.path);
        if !path.starts_with('/') || path.parse::<http::Uri>().is_err() {
            return Err(wrong(format!("{path:?} is no path of the API; one is /1.0/instances")));
        }
        let method = self.request.to_uppercase();
        let method = method.parse().map_err(|_| wrong(format!("{method:?} is no method")))?;
        let body: Option<Value> = self
            .data
            .as_deref()
            .map(|text| {
                serde_json::from_str(text).map_err(|e| wrong(format!("the data is no JSON: {e}")))
            })
            .transpose()?;
        let answer = context.client.raw(method, path, body.as_ref()).await?;
        if self.raw {
            output::print(&answer.body)?;
            return if answer.status < 400 { DONE } else { Ok(ExitCode::FAILURE) };
        }
        let Ok(envelope) = serde_json::from_slice::<Envelope>(&answer.body) else {
            if answer.status >= 400 {
                bail!("the server answered with HTTP status {}", answer.status);
            }
            output::print(&answer.body)?;
            return DONE;
        };
        show(&context, envelope, self.wait).await
    }
}

async fn show(context: &Context, envelope: Envelope, wait: bool) -> Result<ExitCode> {
    let value = match envelope.response_type {
        ResponseType::Error => bail!("{}", envelope.error),
        ResponseType::Async if wait => {
            let operation: Operation =
                serde_json::from_value(envelope.metadata).context("read the operation")?;
            serde_json::to_value(progress::wait(context, "Waiting", operation).await?)?
        }
        ResponseType::Sync | ResponseType::Async => envelope.metadata,
    };
    // An empty answer says that it was done, which the exit code does as well.
    let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    if !empty {
        output::line(serde_json::to_string_pretty(&value)?)?;
    }
    DONE
}
