//! Completion by the shell: it runs `sc` with `SC_COMPLETE` set, and `sc` answers from its one
//! definition of the command line, and from the daemon for names.

mod keys;

use std::ffi::OsStr;
use std::time::Duration;

use clap::Command;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use sc_api::Recipe;
use sc_client::{Client, Detail};

use crate::context;
use crate::remote::Protocol;

pub use keys::{
    device_keys, device_settings_of, device_types, drivers, key_names, network_settings,
    pool_settings, settings,
};

/// What may be put in place of a word, and what it is.
pub type Offered = (String, String);

/// The variable by which a shell asks.
pub const VARIABLE: &str = "SC_COMPLETE";

/// How long the daemon is waited for: a shell that completes can do nothing else meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers a shell that asks for completions of a command line, and ends the program then.
pub fn answer_shell(tree: fn() -> Command) {
    if std::env::var_os(VARIABLE).is_some() {
        CompleteEnv::with_factory(tree).var(VARIABLE).complete();
    }
}

/// A word of the command line that is completed, flags not counted; the first is `sc` itself.
pub fn word(place: usize) -> Option<String> {
    // The shell gives it after a word that ends our own.
    let given = std::env::args().skip_while(|word| word != "--").skip(1);
    given.filter(|word| !word.starts_with('-')).nth(place)
}

/// Completes names of instances.
pub fn instance_names() -> ArgValueCompleter {
    completer(async |client| {
        let list = client.instances(Detail::Config).await?;
        Ok(list.into_iter().map(|instance| (instance.name, instance.status)).collect())
    })
}

/// Completes images: local aliases, and those of the remote that builds them, each by its shortest name
/// that begins with what is there.
pub fn image_names() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, image_names_like(current)))
}

/// Asks for the names of images.
fn image_names_like(current: &OsStr) -> impl AsyncFn(&Client) -> sc_client::Result<Vec<Offered>> {
    async |client| {
        let built = built_images_like(current);
        // Where the plain name is another remote's.
        let chosen = context::remotes().is_ok_and(|r| r.default.protocol != Protocol::Api);
        let own = if chosen { "local:" } else { "" };
        let aliases = aliases(client).await?.map(|(name, about)| (format!("{own}{name}"), about));
        Ok(aliases.chain(built).collect())
    }
}

/// Completes images of the remote that builds them.
pub fn built_image_names() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| fitting(current, built_images_like(current)))
}

fn built_images_like(current: &OsStr) -> impl Iterator<Item = Offered> {
    Recipe::all().into_iter().filter_map(|recipe| {
        let mut names = recipe.aliases.into_iter().map(|alias| format!("debian:{alias}"));
        let fits = |name: &String| current.to_str().is_some_and(|c| name.starts_with(c));
        Some((names.find(fits)?, recipe.description))
    })
}

/// Completes local aliases.
pub fn alias_names() -> ArgValueCompleter {
    completer(async |client| Ok(aliases(client).await?.collect()))
}

async fn aliases(client: &Client) -> sc_client::Result<impl Iterator<Item = Offered> + use<>> {
    let list = client.image_aliases().await?;
    Ok(list.into_iter().map(|alias| (alias.name, alias.description)))
}

/// Completes names of profiles.
pub fn profile_names() -> ArgValueCompleter {
    completer(async |client| {
        let list = client.profiles().await?;
        Ok(list.into_iter().map(|profile| (profile.name, profile.description)).collect())
    })
}

/// Completes names of managed networks.
pub fn network_names() -> ArgValueCompleter {
    completer(async |client| {
        let list = client.networks().await?;
        let managed = list.into_iter().filter(|network| network.managed);
        Ok(managed.map(|network| (network.name, network.description)).collect())
    })
}

/// Completes names of storage pools.
pub fn pool_names() -> ArgValueCompleter {
    completer(async |client| {
        let list = client.pools().await?;
        Ok(list.into_iter().map(|pool| (pool.name, pool.driver)).collect())
    })
}

/// A completer of the names that are answered, each with what it is.
pub fn completer(
    ask: impl AsyncFn(&Client) -> sc_client::Result<Vec<Offered>> + Send + Sync + 'static,
) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| candidates(current, &ask))
}

/// A completer of what does not depend on the daemon.
fn fixed(all: impl Fn() -> Vec<Offered> + Send + Sync + 'static) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| fitting(current, all()))
}

/// Names that the daemon is asked for. One that does not answer in time has none.
fn candidates(
    current: &OsStr,
    ask: impl AsyncFn(&Client) -> sc_client::Result<Vec<Offered>>,
) -> Vec<CompletionCandidate> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let client = Client::unix(context::socket());
    let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(&client)).await });
    fitting(current, asked.ok().and_then(Result::ok).unwrap_or_default())
}

/// What begins with what is there.
fn fitting(current: &OsStr, names: impl IntoIterator<Item = Offered>) -> Vec<CompletionCandidate> {
    // A key that has its value has been completed.
    let Some(current) = current.to_str().filter(|current| !current.contains('=')) else {
        return Vec::new();
    };
    names
        .into_iter()
        .filter(|(name, _)| name.starts_with(current))
        .map(|(name, about)| {
            let about = (!about.is_empty()).then(|| about.into());
            CompletionCandidate::new(name).help(about)
        })
        .collect()
}
