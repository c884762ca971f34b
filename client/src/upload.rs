//! Uploads of image files, streamed from disk.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use hyper::body::{Body, Frame, SizeHint};
use sc_api::{ConfigMap, Operation};
use tokio::sync::mpsc;

use crate::client::{Client, request};
use crate::error::{Error, Result};
use crate::resource::encode;

/// How much of a file is read at once.
const CHUNK: usize = 256 << 10;

/// How many chunks wait for the connection at most.
const CHUNKS_AHEAD: usize = 4;

/// Separates the parts of a split image: no file holds it, as it would have to guess.
const BOUNDARY: &str = "sc-b7e151628aed2a6abf7158809cf4f3c75cf5a1d2";

const FILENAME: HeaderName = HeaderName::from_static("x-lxd-filename");
const PUBLIC: HeaderName = HeaderName::from_static("x-lxd-public");
const PROPERTIES: HeaderName = HeaderName::from_static("x-lxd-properties");

/// The files of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageFiles {
    /// One tarball with metadata and root filesystem.
    Unified(PathBuf),
    /// A tarball with the metadata, and the root filesystem as a squashfs or tarball.
    Split {
        /// The metadata.
        metadata: PathBuf,
        /// The root filesystem.
        rootfs: PathBuf,
    },
}

/// An image to upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUpload {
    /// Its files.
    pub files: ImageFiles,
    /// Whether anyone may fetch it.
    pub public: bool,
    /// Properties over those of its metadata.
    pub properties: ConfigMap,
}

impl Client {
    /// Uploads an image. `sent` is told how many bytes are on their way, out of how many. The
    /// operation's result has the `fingerprint` in its metadata.
    pub async fn upload_image(
        &self,
        upload: &ImageUpload,
        sent: impl Fn(u64, u64) + Send + 'static,
    ) -> Result<Operation> {
        let (parts, content_type, filename) = match &upload.files {
            ImageFiles::Unified(file) => {
                (vec![Part::file(file)?], "application/octet-stream".to_owned(), name_of(file))
            }
            ImageFiles::Split { metadata, rootfs } => (
                multipart(metadata, rootfs)?,
                format!("multipart/form-data; boundary={BOUNDARY}"),
                name_of(metadata),
            ),
        };
        let failure = Arc::new(std::sync::Mutex::new(None));
        let body = stream(parts, Arc::clone(&failure), sent);
        let mut request = request(Method::POST, "/1.0/images", body)?;
        let properties: Vec<String> = upload
            .properties
            .iter()
            .map(|(key, value)| format!("{}={}", encode(key), encode(value)))
            .collect();
        let headers = [
            (CONTENT_TYPE, content_type),
            (FILENAME, encode_filename(&filename)),
            (PUBLIC, upload.public.to_string()),
            (PROPERTIES, properties.join("&")),
        ];
        for (name, value) in headers {
            let value = HeaderValue::from_str(&value).expect("encoded text is a header value");
            request.headers_mut().insert(name, value);
        }
        let outcome = self.value(request).await;
        // A file that could not be read is the cause; the broken connection only its effect.
        match failure.lock().expect("no panic while it is locked").take() {
            Some(error) => Err(error),
            None => outcome,
        }
    }
}

/// A piece of a body.
enum Part {
    Text(String),
    File { path: PathBuf, file: File, length: u64 },
}

impl Part {
    fn file(path: &Path) -> Result<Self> {
        let refused = |source| Error::ReadFile { path: path.to_owned(), source };
        let file = File::open(path).map_err(refused)?;
        let meta = file.metadata().map_err(refused)?;
        if !meta.is_file() {
            return Err(refused(std::io::Error::other("it is no regular file")));
        }
        Ok(Self::File { path: path.to_owned(), file, length: meta.len() })
    }

    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::File { length, .. } => *length,
        }
    }
}

fn multipart(metadata: &Path, rootfs: &Path) -> Result<Vec<Part>> {
    let head = |name: &str, file: &Path| {
        Part::Text(format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            encode_filename(&name_of(file))
        ))
    };
    Ok(vec![
        head("metadata", metadata),
        Part::file(metadata)?,
        Part::Text("\r\n".into()),
        head("rootfs", rootfs),
        Part::file(rootfs)?,
        Part::Text(format!("\r\n--{BOUNDARY}--\r\n")),
    ])
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file name that can stand in a header: odd characters give way.
fn encode_filename(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { '_' })
        .collect()
}

type Failure = Arc<std::sync::Mutex<Option<Error>>>;

/// A body of these parts. They are read by a thread that keeps a few chunks ahead.
fn stream(
    parts: Vec<Part>,
    failure: Failure,
    sent: impl Fn(u64, u64) + Send + 'static,
) -> RequestBody {
    let total = parts.iter().map(Part::length).sum();
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut done = 0;
        for part in parts {
            let forwarded = forward(part, &sender, &mut |bytes| {
                done += bytes;
                sent(done, total);
            });
            if let Err(error) = forwarded {
                *failure.lock().expect("no panic while it is locked") = Some(error);
                return;
            }
        }
    });
    RequestBody(Kind::Stream { chunks: receiver, remaining: total })
}

/// Sends a part to the connection; one that is gone ends it without an error of its own.
fn forward(part: Part, to: &mpsc::Sender<Bytes>, sent: &mut dyn FnMut(u64)) -> Result<()> {
    match part {
        Part::Text(text) => {
            let length = text.len() as u64;
            if to.blocking_send(text.into()).is_ok() {
                sent(length);
            }
            Ok(())
        }
        Part::File { path, file, length } => {
            let refused = |source| Error::ReadFile { path: path.clone(), source };
            let mut file = file.take(length);
            let mut left = length;
            while left > 0 {
                let mut chunk = vec![0; CHUNK];
                let read = file.read(&mut chunk).map_err(refused)?;
                if read == 0 {
                    return Err(refused(std::io::Error::other("it became shorter meanwhile")));
                }
                chunk.truncate(read);
                left -= read as u64;
                if to.blocking_send(chunk.into()).is_err() {
                    return Ok(());
                }
                sent(read as u64);
            }
            Ok(())
        }
    }
}

/// The body of a request.
#[derive(Debug)]
pub(crate) struct RequestBody(Kind);

#[derive(Debug)]
enum Kind {
    /// Text that is there, until it was taken.
    Full(Option<Bytes>),
    /// Chunks to come.
    Stream { chunks: mpsc::Receiver<Bytes>, remaining: u64 },
}

/// The source of a streamed body ended too early.
#[derive(Debug, thiserror::Error)]
#[error("the file could not be read to its end")]
pub(crate) struct CutShort;

impl RequestBody {
    pub(crate) fn empty() -> Self {
        Self(Kind::Full(None))
    }

    pub(crate) fn full(text: Vec<u8>) -> Self {
        Self(Kind::Full(Some(text.into())))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        match &mut self.0 {
            Kind::Full(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Kind::Stream { chunks, remaining } => {
                chunks.poll_recv(context).map(|chunk| match chunk {
                    Some(chunk) => {
                        *remaining = remaining.saturating_sub(chunk.len() as u64);
                        Some(Ok(Frame::data(chunk)))
                    }
                    None if *remaining > 0 => Some(Err(CutShort)),
                    None => None,
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(text) => text.is_none(),
            Kind::Stream { remaining, .. } => *remaining == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            Kind::Full(text) => text.as_ref().map_or(0, |text| text.len() as u64),
            Kind::Stream { remaining, .. } => *remaining,
        })
    }
}
