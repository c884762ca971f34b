//! Completion by the shell: it runs `sc` with `SC_COMPLETE` set, and `sc` answers from its one
//! definition of the command line, and from the daemon for names.

use std::ffi::OsStr;
use std::time::Duration;

use clap::Command;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use sc_api::Recipe;
use sc_client::{Client, Detail};
use sc_profiles::{DeviceKind, Status};

use crate::context;
use crate::remote::Protocol;

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

/// Completes names of configuration keys.
pub fn key_names() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| keys(current, ""))
}

/// Completes names of configuration keys, with the `=` before their values.
pub fn settings() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| keys(current, "="))
}

/// The beginning of a key; a value has none to offer.
fn beginning(current: &OsStr) -> Option<&str> {
    current.to_str().filter(|current| !current.contains('='))
}

/// The keys that are honoured and begin so. Of a family it is the part that is sure.
fn keys(current: &OsStr, end: &str) -> Vec<CompletionCandidate> {
    let Some(current) = beginning(current) else { return Vec::new() };
    let honoured = sc_profiles::keys().iter().filter(|key| key.status == Status::Honoured);
    honoured
        .map(|key| match key.name.split_once('*') {
            Some((head, _)) => (head.to_owned(), key.text),
            None => (format!("{}{end}", key.name), key.text),
        })
        .filter(|(name, _)| name.starts_with(current))
        .map(|(name, text)| CompletionCandidate::new(name).help(Some(text.into())))
        .collect()
}

/// Completes names of devices' keys.
pub fn device_key_names() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| device_keys(current, ""))
}

/// Completes names of devices' keys, with the `=` before their values.
pub fn device_settings() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| device_keys(current, "="))
}

/// As [`device_settings`], of devices of the type that stands at this place in the command line.
pub fn device_settings_of(place: usize) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let of = word(place);
        let kinds =
            sc_profiles::device_kinds().iter().filter(|kind| of.as_deref() == Some(kind.name));
        keys_of(kinds, current, "=")
    })
}

/// The keys that devices of some type have and that begin so.
fn device_keys(current: &OsStr, end: &str) -> Vec<CompletionCandidate> {
    keys_of(sc_profiles::device_kinds().iter(), current, end)
}

fn keys_of(
    kinds: impl Iterator<Item = &'static DeviceKind>,
    current: &OsStr,
    end: &str,
) -> Vec<CompletionCandidate> {
    let Some(current) = beginning(current) else { return Vec::new() };
    kinds
        .flat_map(|kind| kind.keys)
        .filter(|key| key.honoured && key.name.starts_with(current))
        .map(|key| {
            CompletionCandidate::new(format!("{}{end}", key.name)).help(Some(key.text.into()))
        })
        .collect()
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
fn image_names_like(
    current: &OsStr,
) -> impl AsyncFn(&Client) -> sc_client::Result<Vec<(String, String)>> {
    async |client| {
        let built = Recipe::all().into_iter().filter_map(|recipe| {
            let names = recipe.aliases.into_iter().map(|alias| format!("debian:{alias}"));
            let fitting = |name: &String| current.to_str().is_some_and(|c| name.starts_with(c));
            Some((names.into_iter().find(fitting)?, recipe.description))
        });
        // Where the plain name is another remote's.
        let chosen = context::remotes().is_ok_and(|r| r.default.protocol != Protocol::Api);
        let own = if chosen { "local:" } else { "" };
        let aliases = aliases(client).await?.map(|(name, about)| (format!("{own}{name}"), about));
        Ok(aliases.chain(built).collect())
    }
}

/// Completes local aliases.
pub fn alias_names() -> ArgValueCompleter {
    completer(async |client| Ok(aliases(client).await?.collect()))
}

async fn aliases(
    client: &Client,
) -> sc_client::Result<impl Iterator<Item = (String, String)> + use<>> {
    let list = client.image_aliases().await?;
    Ok(list.into_iter().map(|alias| (alias.name, alias.description)))
}

/// Completes types of devices.
pub fn device_types() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let Some(current) = current.to_str() else { return Vec::new() };
        let kinds = sc_profiles::device_kinds().iter();
        kinds
            .filter(|kind| kind.honoured && kind.name.starts_with(current))
            .map(|kind| CompletionCandidate::new(kind.name).help(Some(kind.text.into())))
            .collect()
    })
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
    ask: impl AsyncFn(&Client) -> sc_client::Result<Vec<(String, String)>> + Send + Sync + 'static,
) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| candidates(current, &ask))
}

/// Names, each with what it is, as far as they begin with what is there. A daemon that does not
/// answer in time has none.
fn candidates(
    current: &OsStr,
    ask: impl AsyncFn(&Client) -> sc_client::Result<Vec<(String, String)>>,
) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let client = Client::unix(context::socket());
    let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(&client)).await });
    let names = asked.ok().and_then(Result::ok).unwrap_or_default();
    names
        .into_iter()
        .filter(|(name, _)| name.starts_with(current))
        .map(|(name, about)| {
            let about = (!about.is_empty()).then(|| about.into());
            CompletionCandidate::new(name).help(about)
        })
        .collect()
}
