//! Archives made to measure, entry by entry, so that anything can be put in.

use tar::{EntryType, Header};

/// An archive under construction.
#[derive(Debug, Clone, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// With the metadata of a unified image, and the folder of its root.
    pub fn unified() -> Self {
        let metadata = format!("architecture: {}\ncreation_date: 1\n", std::env::consts::ARCH);
        Self::default().file("metadata.yaml", metadata.as_bytes()).folder("rootfs/")
    }

    /// A header with plain values.
    pub fn header(kind: EntryType, name: &str, link: &str, size: u64) -> Header {
        let mut header = Header::new_gnu();
        let gnu = header.as_gnu_mut().expect("a new GNU header is one");
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header
    }

    /// Adds an entry as it is, with a right checksum.
    pub fn raw(mut self, mut header: Header, data: &[u8]) -> Self {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Adds a file.
    pub fn file(self, name: &str, data: &[u8]) -> Self {
        self.raw(Self::header(EntryType::Regular, name, "", data.len() as u64), data)
    }

    /// Adds a folder.
    pub fn folder(self, name: &str) -> Self {
        self.raw(Self::header(EntryType::Directory, name, "", 0), b"")
    }

    /// Adds a symbolic link.
    pub fn symlink(self, name: &str, to: &str) -> Self {
        self.raw(Self::header(EntryType::Symlink, name, to, 0), b"")
    }

    /// Adds a hard link.
    pub fn hard_link(self, name: &str, to: &str) -> Self {
        self.raw(Self::header(EntryType::Link, name, to, 0), b"")
    }

    /// Adds a device node.
    pub fn device(self, kind: EntryType, name: &str, (major, minor): (u32, u32)) -> Self {
        let mut header = Self::header(kind, name, "", 0);
        header.set_device_major(major).expect("a GNU header takes devices");
        header.set_device_minor(minor).expect("a GNU header takes devices");
        self.raw(header, b"")
    }

    /// Adds a pax record for the next entry.
    pub fn pax(self, key: &str, value: &str) -> Self {
        let body = key.len() + value.len() + 3;
        let mut length = body + 1;
        while length != body + length.to_string().len() {
            length = body + length.to_string().len();
        }
        let data = format!("{length} {key}={value}\n");
        let header = Self::header(EntryType::XHeader, "pax", "", data.len() as u64);
        self.raw(header, data.as_bytes())
    }

    /// The archive without its end mark.
    pub fn open_end(self) -> Vec<u8> {
        self.0
    }

    /// The archive with its end mark.
    pub fn done(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}
