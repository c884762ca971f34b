//! Changes, and `edit`: what an object has of its own is read, changed, and put back with its ETag,
//! so that a change that another client makes meanwhile is not lost.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use clap::Args;
use sc_api::{ConfigMap, DeviceMap, ErrorKind};
use sc_client::{Client, Error, Tagged};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::named::{Named, One};
use crate::context::Context;
use crate::editor::{self, Overtaken};
use crate::verb::{DONE, Verb};

/// A kind of object with keys and devices.
pub trait Changeable: Named {
    /// What of it can be changed, as `edit` shows it.
    type Form: Serialize + DeserializeOwned;
    /// What it is called in messages.
    const WORD: &'static str;
    /// What `edit` does.
    const EDIT: &'static str;

    /// What the object of a name has.
    async fn read(client: &Client, name: &str) -> sc_client::Result<Tagged<Self::Form>>;

    /// Puts it back, unless it is no longer what the ETag is of.
    async fn replace(
        context: &Context,
        name: &str,
        form: Self::Form,
        etag: Option<&str>,
    ) -> Result<()>;

    /// Its keys.
    fn config(form: &mut Self::Form) -> &mut ConfigMap;

    /// Its devices.
    fn devices(form: &mut Self::Form) -> &mut DeviceMap;
}

/// How often a change is tried where other clients are faster. One of them gets through each time.
const ATTEMPTS: u32 = 30;

/// Changes what an object has. Where it changes meanwhile, what it has then is changed.
pub async fn change<T: Changeable>(
    context: &Context,
    name: &str,
    change: impl Fn(&mut T::Form) -> Result<()>,
) -> Result<ExitCode> {
    let name = context.remotes.object(name)?;
    for attempt in 1..=ATTEMPTS {
        let Tagged { value: mut form, etag } = T::read(&context.client, &name).await?;
        change(&mut form)?;
        match put::<T>(context, &name, form, etag.as_deref()).await {
            Err(error) if error.is::<Overtaken>() => tokio::time::sleep(pause(attempt)).await,
            outcome => return outcome.and(DONE),
        }
    }
    bail!("{} {name} is changed by other clients all the time: try again later", T::WORD)
}

/// Puts an object back; says in our words that it is another now.
async fn put<T: Changeable>(
    context: &Context,
    name: &str,
    form: T::Form,
    etag: Option<&str>,
) -> Result<()> {
    let put = T::replace(context, name, form, etag).await;
    put.map_err(|error| match error.downcast_ref().map(Error::kind) {
        Some(ErrorKind::Precondition) => Overtaken { word: T::WORD, name: name.to_owned() }.into(),
        _ => error,
    })
}

/// Longer from time to time, and not the same for all who wait.
fn pause(attempt: u32) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let most = attempt * 10;
    Duration::from_millis(u64::from(now.subsec_micros() % most + 1))
}

/// `edit`.
#[derive(Args)]
pub struct Edit<T: Changeable> {
    #[command(flatten)]
    one: One<T>,
}

impl<T: Changeable> Verb for Edit<T> {
    const NAME: &'static str = "edit";
    const ABOUT: &'static str = T::EDIT;

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.object(&self.one.name)?;
        let Tagged { value, etag } = T::read(&context.client, &name).await?;
        editor::edit(&context, &format!("{} {name}", T::WORD), &value, async |form| {
            put::<T>(&context, &name, form, etag.as_deref()).await
        })
        .await?;
        DONE
    }
}
