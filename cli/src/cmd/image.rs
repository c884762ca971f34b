//! `sc image`.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::engine::ArgValueCompleter;
use sc_api::{ByteSize, Image as ApiImage, ImagesPost, NewAlias};

use super::image_alias::Alias;
use super::image_import::Import;
use super::image_remote;
use super::list_columns::moment;
use super::objects::delete::{Delete, Deleted, NoFlags};
use super::objects::named::Named;
use crate::columns::{self, Column};
use crate::complete::{alias_names, built_image_names, image_names};
use crate::context::Context;
use crate::output::{self, Format};
use crate::progress;
use crate::remote::Protocol;
use crate::usage::wrong;
use crate::verb::{DONE, Entry, Group, Verb};

/// The group.
pub struct Image;

impl Group for Image {
    const NAME: &'static str = "image";
    const ABOUT: &'static str = "Manage images";
    const VERBS: &'static [Entry] = &[
        Entry::verb::<List>(),
        Entry::verb::<Info>(),
        Entry::verb::<Import>(),
        Entry::verb::<Copy>(),
        Entry::verb::<Delete<ApiImage>>(),
        Entry::group::<Alias>(),
    ];
}

const COLUMNS: &[Column<ApiImage>] = &[
    Column {
        letter: 'l',
        title: "ALIAS",
        about: "Shortest alias, and how many more",
        value: alias,
    },
    Column { letter: 'L', title: "ALIASES", about: "All aliases", value: aliases },
    Column { letter: 'f', title: "FINGERPRINT", about: "Fingerprint, shortened", value: short },
    Column { letter: 'F', title: "FINGERPRINT", about: "Fingerprint", value: fingerprint },
    Column { letter: 'p', title: "PUBLIC", about: "Whether it is public", value: public },
    Column { letter: 'd', title: "DESCRIPTION", about: "Description", value: description },
    Column { letter: 'a', title: "ARCHITECTURE", about: "Architecture", value: architecture },
    Column { letter: 't', title: "TYPE", about: "Type", value: |i| i.image_type.to_uppercase() },
    Column { letter: 's', title: "SIZE", about: "Size", value: size },
    Column { letter: 'u', title: "UPLOAD DATE", about: "When it came here", value: uploaded },
];

fn alias(image: &ApiImage) -> String {
    let shortest = image.aliases.iter().map(|alias| &alias.name).min_by_key(|name| name.len());
    match (shortest, image.aliases.len()) {
        (None, _) => String::new(),
        (Some(name), 1) => name.clone(),
        (Some(name), count) => format!("{name} ({} more)", count - 1),
    }
}

fn aliases(image: &ApiImage) -> String {
    image.aliases.iter().map(|alias| alias.name.as_str()).collect::<Vec<_>>().join("\n")
}

fn fingerprint(image: &ApiImage) -> String {
    image.fingerprint.clone()
}

fn short(image: &ApiImage) -> String {
    image.fingerprint.chars().take(12).collect()
}

/// Its size, if it has files.
fn size(image: &ApiImage) -> String {
    if image.size == 0 { String::new() } else { ByteSize(image.size).to_string() }
}

fn public(image: &ApiImage) -> String {
    if image.public { "yes" } else { "no" }.to_owned()
}

fn description(image: &ApiImage) -> String {
    image.properties.get("description").cloned().unwrap_or_default()
}

fn architecture(image: &ApiImage) -> String {
    image.architecture.clone()
}

fn uploaded(image: &ApiImage) -> String {
    moment(image.uploaded_at)
}

/// `sc image list`.
#[derive(Debug, Args)]
pub struct List {
    /// A remote, such as debian:, and which to show: beginnings of aliases or fingerprints, or
    /// PROPERTY=VALUE
    #[arg(value_name = "[REMOTE:]FILTER")]
    filters: Vec<String>,
    /// The columns
    #[arg(short, long, value_name = "COLUMNS", default_value = "lfpdatsu")]
    columns: String,
    /// The form of the list
    #[arg(short, long, value_enum, default_value = "table")]
    format: Format,
}

impl Verb for List {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = "List images";
    const ALIASES: &'static [&'static str] = &["ls"];

    fn augment(command: Command) -> Command {
        Self::augment_args(command).after_help(columns::help(COLUMNS))
    }

    async fn run(self, context: Context) -> Result<ExitCode> {
        let shown = columns::choose(COLUMNS, &self.columns)?;
        let mut filters = self.filters;
        if filters.iter().any(String::is_empty) {
            return Err(wrong("a filter is empty"));
        }
        let mut remote = context.remotes.default;
        // A property's value may have a colon.
        if let Some(first) = filters.first_mut().filter(|first| !first.contains('=')) {
            let (named, filter) = context.remotes.split(first)?;
            (remote, *first) = (named, filter.to_owned());
        }
        let mut images = match remote.protocol {
            Protocol::Api => context.client.images().await?,
            Protocol::Packages => image_remote::all(),
        };
        images.retain(|image| filters.iter().all(|filter| accepts(filter, image)));
        images.sort_by_cached_key(|image| (alias(image), image.fingerprint.clone()));
        columns::print(self.format, &shown, &images)?;
        DONE
    }
}

fn accepts(filter: &str, image: &ApiImage) -> bool {
    match filter.split_once('=') {
        Some((key, value)) => image.properties.get(key).is_some_and(|has| has == value),
        None => {
            image.fingerprint.starts_with(filter)
                || image.aliases.iter().any(|alias| alias.name.starts_with(filter))
        }
    }
}

/// `sc image info`.
#[derive(Debug, Args)]
pub struct Info {
    /// The image: an alias or a fingerprint
    #[arg(value_name = "IMAGE", add = image_names())]
    image: String,
}

impl Verb for Info {
    const NAME: &'static str = "info";
    const ABOUT: &'static str = "Show an image";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let name = context.remotes.image(&self.image)?;
        let image = match name.remote.protocol {
            Protocol::Api => context.client.find_image(&name.name).await?.value,
            Protocol::Packages => image_remote::find(&name)?,
        };
        output::print(describe(&image))?;
        DONE
    }
}

/// An image for people. (Writing to text does not fail.)
fn describe(image: &ApiImage) -> String {
    let mut text = String::new();
    if image.fingerprint.is_empty() {
        let _ = writeln!(text, "Fingerprint: none, it is built when it is asked for");
    } else {
        let _ = writeln!(text, "Fingerprint: {}", image.fingerprint);
        let _ = writeln!(text, "Size: {}", ByteSize(image.size));
    }
    let _ = writeln!(text, "Architecture: {}", image.architecture);
    let _ = writeln!(text, "Type: {}", image.image_type);
    let _ = writeln!(text, "Public: {}", public(image));
    let _ = writeln!(text, "Cached: {}", if image.cached { "yes" } else { "no" });
    for (title, time) in [
        ("Created", image.created_at),
        ("Uploaded", image.uploaded_at),
        ("Expires", image.expires_at),
        ("Last used", image.last_used_at),
    ] {
        match moment(time).as_str() {
            "" => {}
            moment => {
                let _ = writeln!(text, "{title}: {moment}");
            }
        }
    }
    if let Some(source) = &image.update_source {
        let _ = writeln!(text, "Source: {} {}", source.protocol, source.alias);
    }
    describe_lists(&mut text, image);
    text
}

fn describe_lists(text: &mut String, image: &ApiImage) {
    for (title, values) in [
        ("Properties", image.properties.iter().map(|(k, v)| format!("{k}: {v}")).collect()),
        ("Aliases", image.aliases.iter().map(|alias| alias.name.clone()).collect()),
        ("Profiles", image.profiles.clone()),
    ] {
        let values: Vec<String> = values;
        if !values.is_empty() {
            let _ = writeln!(text, "{title}:");
            for value in values {
                let _ = writeln!(text, "  {}", output::printable(&value));
            }
        }
    }
}

/// `sc image copy`.
#[derive(Debug, Args)]
pub struct Copy {
    /// The image, such as debian:12
    #[arg(value_name = "IMAGE", add = built_image_names())]
    image: String,
    /// Where to: the daemon
    #[arg(value_name = "REMOTE:", default_value = "local:")]
    to: String,
    /// Give it this alias; may be given again
    #[arg(long, value_name = "ALIAS")]
    alias: Vec<String>,
    /// Mark it as public, as lists then show
    #[arg(long)]
    public: bool,
}

impl Verb for Copy {
    const NAME: &'static str = "copy";
    const ABOUT: &'static str = "Have the daemon fetch or build an image of a remote";
    const ALIASES: &'static [&'static str] = &["cp"];

    async fn run(self, context: Context) -> Result<ExitCode> {
        context.remotes.server(&self.to)?;
        let image = context.remotes.image(&self.image)?;
        if image.remote.protocol == Protocol::Api {
            return Err(wrong(format!(
                "the image {:?} is the daemon's own; name one of a remote, such as debian:12",
                image.name
            )));
        }
        let post = ImagesPost {
            source: image.image_source(),
            aliases: self.alias.into_iter().map(new_alias).collect::<Result<_>>()?,
            public: self.public,
            ..ImagesPost::default()
        };
        let operation = context.client.fetch_image(&post).await?;
        let title = format!("Fetching {}", self.image);
        let operation = progress::wait(&context, &title, operation).await?;
        let metadata = operation.metadata.unwrap_or_default();
        if let Some(fingerprint) = metadata.get("fingerprint").and_then(|text| text.as_str()) {
            output::line(format!("Image copied with fingerprint: {fingerprint}"))?;
        }
        DONE
    }
}

fn new_alias(name: String) -> Result<NewAlias> {
    Ok(NewAlias { name: name.parse()?, description: String::new() })
}

impl Named for ApiImage {
    const VALUE_NAME: &'static str = "IMAGE";
    const ONE: &'static str = "The image: an alias or a fingerprint";
    const SEVERAL: &'static str = "The images: aliases or fingerprints";

    fn names() -> ArgValueCompleter {
        alias_names()
    }
}

impl Deleted for ApiImage {
    const ABOUT: &'static str = "Delete images";
    const TITLE: &'static str = "Image";

    type Flags = NoFlags;

    async fn delete(context: &Context, name: &str, _: &NoFlags) -> sc_client::Result<()> {
        let fingerprint = context.client.find_image(name).await?.value.fingerprint;
        let operation = context.client.delete_image(&fingerprint).await?;
        progress::wait_silently(context, &format!("Deleting image {name}"), operation).await?;
        Ok(())
    }
}
