//! Uploads of image files, streamed from disk.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use sc_api::{ConfigMap, Operation};
use tokio::sync::mpsc;

use crate::body::RequestBody;
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
        let failure = Failure::default();
        let body = stream(upload.files.parts()?, Arc::clone(&failure), sent);
        let mut request = request(Method::POST, "/1.0/images", body)?;
        for (name, value) in upload.headers() {
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

impl ImageUpload {
    /// What is said of it before its bytes.
    fn headers(&self) -> [(HeaderName, String); 4] {
        let pair = |(key, value): (&String, &String)| format!("{}={}", encode(key), encode(value));
        let properties: Vec<String> = self.properties.iter().map(pair).collect();
        [
            (CONTENT_TYPE, self.files.content_type()),
            (FILENAME, encode_filename(&name_of(self.files.first()))),
            (PUBLIC, self.public.to_string()),
            (PROPERTIES, properties.join("&")),
        ]
    }
}

impl ImageFiles {
    /// The file by whose name the image is known.
    fn first(&self) -> &Path {
        match self {
            Self::Unified(file) | Self::Split { metadata: file, .. } => file,
        }
    }

    fn content_type(&self) -> String {
        match self {
            Self::Unified(_) => "application/octet-stream".into(),
            Self::Split { .. } => format!("multipart/form-data; boundary={BOUNDARY}"),
        }
    }

    fn parts(&self) -> Result<Vec<Part>> {
        match self {
            Self::Unified(file) => Ok(vec![Part::file(file)?]),
            Self::Split { metadata, rootfs } => multipart(metadata, rootfs),
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
        // Asked before it is opened: opening a pipe would wait for whoever writes to it.
        let meta = std::fs::metadata(path).map_err(refused)?;
        if !meta.is_file() {
            return Err(refused(std::io::Error::other("it is no regular file")));
        }
        let file = File::open(path).map_err(refused)?;
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

type Failure = Arc<Mutex<Option<Error>>>;

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
    RequestBody::stream(receiver, total)
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
