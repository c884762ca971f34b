//! Fingerprints as LXD computes them: the SHA-256 of the image's files, one after the other.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    str::FromStr,
};

use sha2::{Digest, Sha256};

use crate::{Error, Progress, Result};

/// The name of an image: SHA-256 over its unified file, or over its metadata file followed by its
/// root filesystem file, as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Returns the 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Computes the fingerprint of `files` (one or two), in this order.
    pub fn of_files(files: &[&Path], progress: &dyn Progress) -> Result<Self> {
        let mut hasher = Hasher::new();
        let mut total = 0;
        for path in files {
            total += std::fs::metadata(path).map_err(Error::io("look at image file", *path))?.len();
        }
        for path in files {
            let file = File::open(path).map_err(Error::io("open image file", *path))?;
            hasher
                .read_all(file, |done| progress.bytes(done, Some(total)), &|| progress.cancelled())
                .map_err(|source| match source.kind() {
                    io::ErrorKind::Interrupted => Error::Cancelled,
                    _ => Error::io("read image file", *path)(source),
                })?;
        }
        Ok(hasher.finish())
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.len() == 64
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Invalid(format!(
                "{text:?} is no image fingerprint: 64 hexadecimal digits are needed"
            )))
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Computes a fingerprint while bytes pass by, as in an upload.
#[derive(Default)]
pub struct Hasher {
    state: Sha256,
    bytes: u64,
}

impl Hasher {
    /// Returns a hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Returns the fingerprint of everything seen.
    pub fn finish(self) -> Fingerprint {
        let digest = self.state.finalize();
        Fingerprint(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn read_all(
        &mut self,
        mut from: impl Read,
        mut done: impl FnMut(u64),
        cancelled: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        loop {
            let n = from.read(&mut buffer)?;
            if n == 0 {
                return Ok(());
            }
            if cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.update(&buffer[..n]);
            done(self.bytes);
        }
    }
}
