//! Archives made to measure, hostile ones among them.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use tar::{EntryType, Header};

pub(crate) const METADATA: &str = "architecture: x86_64\ncreation_date: 1\nproperties: {os: Test}\n\
                                   templates:\n  /etc/hostname: {when: [create], template: h.tpl}\n";

/// An archive under construction, block by block, so that anything can be put in.
#[derive(Clone, Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    /// With the metadata and templates of a unified image.
    pub(crate) fn unified() -> Self {
        Self::default()
            .file("metadata.yaml", METADATA.as_bytes())
            .file("templates/h.tpl", b"{{ container.name }}\n")
            .folder("rootfs/")
    }

    pub(crate) fn header(kind: EntryType, name: &str, link: &str, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header
    }

    /// Adds an entry as it is, with a right checksum.
    pub(crate) fn raw(mut self, mut header: Header, data: &[u8]) -> Self {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, data: &[u8]) -> Self {
        self.raw(Self::header(EntryType::Regular, name, "", data.len() as u64), data)
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        self.raw(Self::header(EntryType::Directory, name, "", 0), b"")
    }

    pub(crate) fn symlink(self, name: &str, to: &str) -> Self {
        self.raw(Self::header(EntryType::Symlink, name, to, 0), b"")
    }

    pub(crate) fn hard_link(self, name: &str, to: &str) -> Self {
        self.raw(Self::header(EntryType::Link, name, to, 0), b"")
    }

    pub(crate) fn device(self, kind: EntryType, name: &str, major: u32, minor: u32) -> Self {
        let mut header = Self::header(kind, name, "", 0);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        self.raw(header, b"")
    }

    /// Adds pax records for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            let mut length = body + 1;
            while length != body + length.to_string().len() {
                length = body + length.to_string().len();
            }
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.raw(Self::header(EntryType::XHeader, "pax", "", data.len() as u64), &data)
    }

    /// The archive with its end mark.
    pub(crate) fn done(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    /// The archive without its end mark.
    pub(crate) fn open_end(self) -> Vec<u8> {
        self.0
    }
}

/// Pipes bytes through a program, such as a compressor.
pub(crate) fn through(program: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    output.stdout
}
