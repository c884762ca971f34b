//! Telling image files apart by their first bytes, never by their names.

use std::fmt;

/// What a file is, as its first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A tar archive, compressed or not.
    Tar(Compression),
    /// A squashfs filesystem.
    Squashfs,
}

/// How a tar archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
    /// bzip2.
    Bzip2,
}

impl Format {
    const ALL: [Self; 6] = [
        Self::Tar(Compression::None),
        Self::Tar(Compression::Gzip),
        Self::Tar(Compression::Xz),
        Self::Tar(Compression::Zstd),
        Self::Tar(Compression::Bzip2),
        Self::Squashfs,
    ];

    /// Returns the usual suffix of such a file's name, without a dot: "tar.xz", "squashfs".
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Tar(Compression::None) => "tar",
            Self::Tar(Compression::Gzip) => "tar.gz",
            Self::Tar(Compression::Xz) => "tar.xz",
            Self::Tar(Compression::Zstd) => "tar.zst",
            Self::Tar(Compression::Bzip2) => "tar.bz2",
            Self::Squashfs => "squashfs",
        }
    }

    pub(crate) fn from_suffix(suffix: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.suffix() == suffix)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.suffix())
    }
}

/// How many first bytes of a file [`detect`] needs: a tar header.
pub const PROBE_LEN: usize = 512;

const KNOWN: [(&[u8], Format); 6] = [
    (b"\x1f\x8b", Format::Tar(Compression::Gzip)),
    (b"\xfd7zXZ\0", Format::Tar(Compression::Xz)),
    (b"\x28\xb5\x2f\xfd", Format::Tar(Compression::Zstd)),
    (b"BZh", Format::Tar(Compression::Bzip2)),
    (b"hsqs", Format::Squashfs),
    (b"sqsh", Format::Squashfs),
];

/// Formats that people try, with what they are called.
const REFUSED: [(&[u8], &str); 8] = [
    (b"QFI\xfb", "a qcow2 disk of a virtual machine"),
    (b"KDMV", "a VMDK disk of a virtual machine"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x5d\x00\x00", "compressed with lzma, the predecessor of xz"),
    (b"\x04\x22\x4d\x18", "compressed with lz4"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"!<arch>\n", "a Debian package or another ar archive"),
    (b"0707", "a cpio archive"),
];

/// Tells what a file is from its first [`PROBE_LEN`] bytes (fewer if it is shorter). `Err` holds what
/// it is instead, or that it is unknown, as a sentence.
pub fn detect(head: &[u8]) -> Result<Format, String> {
    const WANTED: &str = "a tar archive (plain, gzip, xz, zstd or bzip2) or a squashfs is needed";
    if let Some((_, format)) = KNOWN.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Ok(*format);
    }
    if head.is_empty() {
        return Err(format!("the file is empty: {WANTED}"));
    }
    if is_tar_header(head) {
        return Ok(Format::Tar(Compression::None));
    }
    if let Some((_, name)) = REFUSED.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(format!("the file is {name}: {WANTED}"));
    }
    Err(format!("the file's format is not known: {WANTED}"))
}

/// Whether a block is a tar header: by its magic, or, for those older than it, by its checksum.
fn is_tar_header(head: &[u8]) -> bool {
    if head.len() < PROBE_LEN {
        return false;
    }
    if &head[257..262] == b"ustar" {
        return true;
    }
    let stored = std::str::from_utf8(&head[148..156])
        .ok()
        .and_then(|text| u32::from_str_radix(text.trim_matches([' ', '\0']), 8).ok());
    let sum: u32 = head[..148].iter().chain(&head[156..512]).map(|byte| u32::from(*byte)).sum();
    stored == Some(sum + 8 * 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_known_by_its_magic() {
        assert_eq!(detect(b"\x1f\x8b\x08"), Ok(Format::Tar(Compression::Gzip)));
        assert_eq!(detect(b"\xfd7zXZ\0\0"), Ok(Format::Tar(Compression::Xz)));
        assert_eq!(detect(b"\x28\xb5\x2f\xfd"), Ok(Format::Tar(Compression::Zstd)));
        assert_eq!(detect(b"BZh9"), Ok(Format::Tar(Compression::Bzip2)));
        assert_eq!(detect(b"hsqs"), Ok(Format::Squashfs));
    }

    #[test]
    fn a_tar_is_known_by_magic_or_by_checksum() {
        let mut header = tar::Header::new_old();
        header.set_path("x").unwrap();
        header.set_size(0);
        header.set_cksum();
        assert_eq!(detect(header.as_bytes()), Ok(Format::Tar(Compression::None)));
        let header = tar::Header::new_gnu();
        assert_eq!(detect(header.as_bytes()), Ok(Format::Tar(Compression::None)));
        assert!(detect(&[0; 512]).is_err());
    }

    #[test]
    fn what_is_not_supported_is_named() {
        assert!(detect(b"QFI\xfb....").unwrap_err().contains("qcow2"));
        assert!(detect(b"").unwrap_err().contains("empty"));
        assert!(detect(b"hello").unwrap_err().contains("not known"));
    }

    #[test]
    fn suffixes_lead_back() {
        for format in Format::ALL {
            assert_eq!(Format::from_suffix(format.suffix()), Some(format));
        }
    }
}
