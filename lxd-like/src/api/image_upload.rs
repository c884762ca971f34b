//! The bodies of image uploads: one file as it is, or metadata and root file system as two parts
//! of a form.
//!
//! Bytes go straight to files in the image store's folder; nothing looks into them here.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, header};
use futures::{Stream, StreamExt};
use sc_images::ImageFiles;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use crate::context::Ctx;
use crate::error::{Context, Error, Result};
use crate::manager::Incoming;

/// An upload that has arrived. Its files are removed when it is dropped, unless they were taken.
#[derive(Debug)]
pub struct Upload {
    metadata: NamedTempFile,
    rootfs: Option<NamedTempFile>,
    filename: String,
    public: bool,
    properties: BTreeMap<String, String>,
}

impl Upload {
    /// What the image manager needs of it. The upload must live until that is done.
    pub fn describe(&self) -> Incoming {
        Incoming {
            files: ImageFiles {
                metadata: self.metadata.path().to_owned(),
                rootfs: self.rootfs.as_ref().map(|file| file.path().to_owned()),
            },
            filename: self.filename.clone(),
            properties: self.properties.clone(),
            public: self.public,
            cached: false,
            verified: false,
            source: None,
        }
    }
}

/// Receives an upload.
pub async fn receive(ctx: &Ctx, request: Request) -> Result<Upload> {
    let headers = request.headers().clone();
    let described = describe(&headers)?;
    let form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"multipart/form-data"));
    let (metadata, rootfs) = match form {
        true => receive_form(ctx, request).await?,
        false => (receive_body(ctx, request.into_body()).await?, None),
    };
    let Described { filename, public, properties } = described;
    Ok(Upload { metadata, rootfs, filename, public, properties })
}

/// What the headers say of an upload.
#[derive(Debug, Default)]
struct Described {
    filename: String,
    public: bool,
    properties: BTreeMap<String, String>,
}

/// Reads the headers that LXD's clients call `X-LXD-...` and Incus's `X-Incus-...`. Looked at
/// before the body is received.
fn describe(headers: &HeaderMap) -> Result<Described> {
    let mut described = Described::default();
    for (header, value) in headers {
        let known = ["x-lxd-", "x-incus-"];
        let Some(name) = known.iter().find_map(|prefix| header.as_str().strip_prefix(prefix))
        else {
            continue;
        };
        let bad = |why: &str| Error::invalid(format!("header {header}: {why}"));
        let text = value.to_str().map_err(|_| bad("it is not plain ASCII"))?;
        match name {
            _ if text.is_empty() => {}
            "filename" => described.filename = text.to_owned(),
            "public" => {
                let parsed = sc_profiles::parse_bool(text);
                described.public = parsed.ok_or_else(|| bad("it must be true or false"))?;
            }
            "properties" => described.properties = form_pairs(text),
            _ => return Err(bad("it is not supported: leave it out")),
        }
    }
    Ok(described)
}

async fn receive_form(
    ctx: &Ctx,
    request: Request,
) -> Result<(NamedTempFile, Option<NamedTempFile>)> {
    let bad = |error: &dyn std::fmt::Display| Error::invalid(format!("read the upload: {error}"));
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| bad(&error))?;
    let (mut metadata, mut rootfs) = (None, None);
    while let Some(part) = form.next_field().await.map_err(|error| bad(&error))? {
        let name = part.name().unwrap_or_default().to_owned();
        let place = match name.as_str() {
            "metadata" => &mut metadata,
            "rootfs" => &mut rootfs,
            "rootfs.img" => {
                return Err(Error::invalid("this is a virtual machine's image: only containers'"));
            }
            other => return Err(Error::invalid(format!("unknown part {other:?} in the upload"))),
        };
        if place.is_some() {
            return Err(Error::invalid(format!("part {name:?} is there twice in the upload")));
        }
        *place = Some(write(ctx, part.map(|chunk| chunk.map_err(|error| bad(&error)))).await?);
    }
    let metadata = metadata.ok_or_else(|| Error::invalid("the upload has no part metadata"))?;
    let rootfs = rootfs.ok_or_else(|| Error::invalid("the upload has no part rootfs"))?;
    Ok((metadata, Some(rootfs)))
}

async fn receive_body(ctx: &Ctx, body: Body) -> Result<NamedTempFile> {
    let chunks = body.into_data_stream();
    let bad = |error: axum::Error| Error::invalid(format!("read the upload: {error}"));
    write(ctx, chunks.map(|chunk| chunk.map_err(bad))).await
}

async fn write(
    ctx: &Ctx,
    chunks: impl Stream<Item = Result<bytes::Bytes>>,
) -> Result<NamedTempFile> {
    let file = ctx.images.incoming()?;
    let handle = file.reopen().context("open the upload's file")?;
    let mut writer =
        tokio::io::BufWriter::with_capacity(1 << 20, tokio::fs::File::from_std(handle));
    let mut chunks = std::pin::pin!(chunks);
    while let Some(chunk) = chunks.next().await {
        writer.write_all(&chunk?).await.context("write the upload's file")?;
    }
    writer.flush().await.context("write the upload's file")?;
    Ok(file)
}

/// Reads `key=value&key=value`, percent-encoded.
fn form_pairs(text: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_describe_an_upload_or_are_refused_by_name() {
        let read = |name: &'static str, value: &'static str| {
            describe(&HeaderMap::from_iter([(
                header::HeaderName::from_static(name),
                header::HeaderValue::from_static(value),
            )]))
        };
        assert!(read("x-lxd-public", "1").unwrap().public);
        assert!(!read("x-incus-public", "false").unwrap().public);
        assert_eq!(read("x-lxd-filename", "a.tar").unwrap().filename, "a.tar");
        assert!(read("x-other", "1").is_ok());
        for (name, value) in [("x-lxd-public", "perhaps"), ("x-lxd-secret", "s")] {
            let refused = read(name, value).unwrap_err().chain();
            assert!(refused.contains(name), "{refused}");
        }
    }

    #[test]
    fn properties_are_percent_encoded_pairs() {
        let pairs = form_pairs("os=Debian+12&note=a%26b%3Dc");
        assert_eq!(pairs["os"], "Debian 12");
        assert_eq!(pairs["note"], "a&b=c");
    }
}
