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
        progress.step("computing fingerprint");
        let mut hasher = Hasher::default();
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
                "{} is no image fingerprint: 64 hexadecimal digits are needed",
                sc_api::quoted(text)
            )))
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was read so far.
#[derive(Default)]
struct Hasher {
    state: Sha256,
    bytes: u64,
}

impl Hasher {
    fn finish(self) -> Fingerprint {
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
            self.state.update(&buffer[..n]);
            self.bytes += n as u64;
            done(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;

    #[test]
    fn a_fingerprint_is_what_sha256sum_says_of_the_files_joined() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, vec![b'x'; 3 << 20]).unwrap();
        std::fs::write(&b, "rootfs").unwrap();
        let output = std::process::Command::new("sh")
            .args(["-c", "cat \"$0\" \"$1\" | sha256sum"])
            .args([&a, &b])
            .output()
            .unwrap();
        let expected = String::from_utf8(output.stdout).unwrap();
        let found = Fingerprint::of_files(&[&a, &b], &Silent).unwrap();
        assert_eq!(expected.split(' ').next(), Some(found.as_str()));
        assert_eq!(found.as_str().parse::<Fingerprint>().unwrap(), found);
    }

    #[test]
    fn only_64_lower_case_digits_are_a_fingerprint() {
        assert!("abc".parse::<Fingerprint>().is_err());
        assert!("A".repeat(64).parse::<Fingerprint>().is_err());
        assert!("../".repeat(22)[..64].parse::<Fingerprint>().is_err());
    }
}
