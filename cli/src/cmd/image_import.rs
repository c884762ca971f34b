//! `sc image import`: images from files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use sc_api::{AliasName, ConfigMap, ErrorKind, ImageAliasesPost};
use sc_client::{ImageFiles, ImageUpload};

use crate::context::Context;
use crate::progress::{self, Progress};
use crate::usage::wrong;
use crate::verb::{DONE, Verb};
use crate::{keyvalue, output};

/// `sc image import`.
#[derive(Debug, Args)]
pub struct Import {
    /// A tarball with metadata and root filesystem, or with the metadata alone
    #[arg(value_name = "TARBALL")]
    metadata: PathBuf,
    /// The root filesystem, a squashfs or tarball, and properties of the image
    #[arg(value_name = "ROOTFS|KEY=VALUE")]
    rest: Vec<String>,
    /// Give the image this alias; may be given again
    #[arg(long, value_name = "ALIAS")]
    alias: Vec<String>,
    /// Mark it as public, as lists then show
    #[arg(long)]
    public: bool,
}

impl Verb for Import {
    const NAME: &'static str = "import";
    const ABOUT: &'static str = "Import an image from files";

    async fn run(self, context: Context) -> Result<ExitCode> {
        let (files, properties) = sort_out(&context, &self.metadata, &self.rest)?;
        // Looked at first: not after an upload that takes minutes.
        let aliases = free_aliases(&context, &self.alias).await?;
        let upload = ImageUpload { files, public: self.public, properties };
        let sending = Arc::new(Mutex::new(Progress::new("Importing", context.quiet)));
        let shown = Arc::clone(&sending);
        let operation = context
            .client
            .upload_image(&upload, move |done, total| {
                let mut shown = shown.lock().expect("no panic while progress is shown");
                shown.bytes("Sending", done, total);
            })
            .await?;
        drop(sending);
        let operation = progress::wait(&context, "Importing", operation).await?;
        let metadata = operation.metadata.unwrap_or_default();
        let fingerprint = metadata
            .get("fingerprint")
            .and_then(|text| text.as_str())
            .context("the daemon did not tell the image's fingerprint")?;
        // Whatever becomes of its aliases, the image is there.
        output::line(format!("Image imported with fingerprint: {fingerprint}"))?;
        for name in aliases {
            let failed = format!("give the image the alias {:?}", name.as_str());
            let post = ImageAliasesPost {
                name,
                description: String::new(),
                target: fingerprint.to_owned(),
            };
            context.client.create_image_alias(&post).await.context(failed)?;
        }
        DONE
    }
}

/// The names that `--alias` gives, which no image has.
async fn free_aliases(context: &Context, names: &[String]) -> Result<Vec<AliasName>> {
    let mut free: Vec<AliasName> = Vec::new();
    for name in names {
        let name: AliasName = context.remotes.object(name)?.parse()?;
        if free.contains(&name) {
            return Err(wrong(format!("the alias {:?} is given twice", name.as_str())));
        }
        match context.client.image_alias(name.as_str()).await {
            Ok(alias) => bail!(
                "the alias {:?} already exists, of image {}; `sc image alias delete` frees it",
                name.as_str(),
                alias.target
            ),
            Err(error) if error.kind() == ErrorKind::NotFound => free.push(name),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(free)
}

/// Tells the root filesystem's file from properties and a remote. What is a file is one, even
/// with `=` in its name.
fn sort_out(
    context: &Context,
    metadata: &Path,
    words: &[String],
) -> Result<(ImageFiles, ConfigMap)> {
    let mut rootfs = None;
    let mut properties = ConfigMap::new();
    for word in words {
        match keyvalue::parse(word) {
            Ok((key, value)) if !Path::new(word).exists() => {
                properties.insert(key, value);
            }
            _ if word.ends_with(':') && !Path::new(word).exists() => {
                context.remotes.server(word)?
            }
            _ if rootfs.is_none() => rootfs = Some(PathBuf::from(word)),
            _ => {
                let text = format!("{word:?} is a third file; an image has one or two");
                return Err(wrong(text));
            }
        }
    }
    let metadata = metadata.to_owned();
    let files = match rootfs {
        Some(rootfs) => ImageFiles::Split { metadata, rootfs },
        None => ImageFiles::Unified(metadata),
    };
    Ok((files, properties))
}
