//! A tar archive read as a stream: header by header, with everything that widens a header (GNU long
//! names, pax records, sparse maps) already taken in.
//!
//! The `tar` crate decodes the header blocks; the walk over them is our own, because its splits pax
//! records at newlines, which binary attribute values may hold, and takes extension headers of any
//! size.

mod pax;
mod sparse;

use std::io::{self, Read};

use tar::{EntryType, Header};

use self::pax::Records;
pub(crate) use self::sparse::Segment;
use crate::wire::{Failure, Inside};

const BLOCK: u64 = 512;
/// How large pax records or a long name may be: the kernel's limit for one attribute, some times.
const MAX_EXTENSION: u64 = 1 << 20;
/// How much may follow the end mark of an archive.
const MAX_TRAILER: u64 = 64 << 20;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Other(u8),
}

/// One entry, its data still to be read.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, u32),
    /// The size of the file, holes included.
    pub(crate) size: u64,
    /// Where the data goes, for a file with holes.
    pub(crate) sparse: Option<Vec<Segment>>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// An archive.
pub(crate) struct Archive<R> {
    inner: R,
    /// Data bytes of the current entry that are not read yet, and the padding behind them.
    data: u64,
    padding: u64,
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, data: 0, padding: 0 }
    }

    /// Returns the next entry, or `None` at the archive's end mark. An archive without one is cut
    /// off.
    pub(crate) fn next(&mut self) -> Inside<Option<Entry>> {
        self.skip_data()?;
        let mut extras = Extras::default();
        loop {
            let Some(header) = self.header()? else {
                if extras.any {
                    return Err(Failure::image("the archive ends between a header and its entry"));
                }
                self.drain()?;
                return Ok(None);
            };
            match header.entry_type() {
                EntryType::GNULongName => extras.path = Some(self.extension(&header)?),
                EntryType::GNULongLink => extras.link = Some(self.extension(&header)?),
                EntryType::XHeader => {
                    let raw = self.extension(&header)?;
                    extras.records = Records::parse(&raw).map_err(Failure::image)?;
                }
                EntryType::XGlobalHeader => {
                    let raw = self.extension(&header)?;
                    Records::parse(&raw).and_then(|r| r.refuse_global()).map_err(Failure::image)?;
                    continue;
                }
                _ => return self.entry(&header, extras).map(Some),
            }
            extras.any = true;
        }
    }

    fn entry(&mut self, header: &Header, extras: Extras) -> Inside<Entry> {
        let Extras { path, link, mut records, .. } = extras;
        let path = records.path.take().or(path).unwrap_or_else(|| header.path_bytes().into_owned());
        let link = records.link.take().or(link).unwrap_or_else(|| {
            header.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default()
        });
        self.decode(header, records, path.clone(), link).map_err(|failure| failure.entry(&path))
    }

    fn decode(
        &mut self,
        header: &Header,
        mut records: Records,
        path: Vec<u8>,
        link: Vec<u8>,
    ) -> Inside<Entry> {
        let bad = |what: &'static str| {
            move |error: io::Error| Failure::image(format!("its {what} cannot be read: {error}"))
        };
        let stored = match records.size {
            Some(size) => size,
            None => header.entry_size().map_err(bad("size"))?,
        };
        let kind = kind(header, &path);
        // Links carry a size in some archives but never data; so do the other kinds without content.
        let stored = if matches!(kind, Kind::File | Kind::Other(_)) { stored } else { 0 };
        self.expect_data(stored)?;
        let (sparse, size) = match sparse::map(self, header, &mut records, stored)? {
            Some((segments, size)) => (Some(segments), size),
            None => (None, stored),
        };
        Ok(Entry {
            path: records.sparse_name.take().unwrap_or(path),
            link,
            kind,
            mode: header.mode().map_err(bad("mode"))? & 0o7777,
            uid: records.uid.map_or_else(|| header.uid(), Ok).map_err(bad("owner"))?,
            gid: records.gid.map_or_else(|| header.gid(), Ok).map_err(bad("group"))?,
            mtime: records.mtime.unwrap_or_else(|| (mtime(header), 0)),
            size,
            sparse,
            xattrs: records.xattrs,
        })
    }

    /// Reads exactly one block of the current entry's data or of the headers.
    fn block(&mut self) -> Inside<[u8; BLOCK as usize]> {
        let mut block = [0; BLOCK as usize];
        self.inner.read_exact(&mut block).map_err(cut_off)?;
        Ok(block)
    }

    /// Reads a header; `None` for a block of zeros, which marks the end.
    fn header(&mut self) -> Inside<Option<Header>> {
        let block = self.block()?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&block);
        let sum: u32 =
            block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum::<u32>()
                + 256;
        if header.cksum().ok() != Some(sum) {
            return Err(Failure::image(
                "a header of the archive has a wrong checksum: it is damaged, fetch it again",
            ));
        }
        Ok(Some(header))
    }

    /// Reads all data of an extension header.
    fn extension(&mut self, header: &Header) -> Inside<Vec<u8>> {
        let size = header.entry_size().map_err(|error| {
            Failure::image(format!("a header of the archive is damaged: {error}"))
        })?;
        if size > MAX_EXTENSION {
            return Err(Failure::image(format!(
                "a header of the archive claims {size} bytes of names or attributes, at most \
                 {MAX_EXTENSION} are allowed"
            )));
        }
        self.expect_data(size)?;
        let mut data = vec![0; size as usize];
        self.read_data(&mut data)?;
        self.skip_data()?;
        if !header.entry_type().is_pax_local_extensions() {
            while data.last() == Some(&0) {
                data.pop();
            }
        }
        Ok(data)
    }

    fn expect_data(&mut self, size: u64) -> Inside<()> {
        let padded = size
            .checked_next_multiple_of(BLOCK)
            .ok_or_else(|| Failure::image("it claims an impossible size"))?;
        (self.data, self.padding) = (size, padded - size);
        Ok(())
    }

    /// Fills the buffer from the current entry's data.
    pub(crate) fn read_data(&mut self, buffer: &mut [u8]) -> Inside<()> {
        let wanted = buffer.len() as u64;
        self.data = self.data.checked_sub(wanted).ok_or_else(|| {
            Failure::image("its sparse map claims more data than the archive has for it")
        })?;
        self.inner.read_exact(buffer).map_err(cut_off)
    }

    /// Reads past what is left of the current entry.
    fn skip_data(&mut self) -> Inside<()> {
        let left = std::mem::take(&mut self.data) + std::mem::take(&mut self.padding);
        let skipped =
            io::copy(&mut (&mut self.inner).take(left), &mut io::sink()).map_err(cut_off)?;
        if skipped < left {
            return Err(cut_off(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }

    /// Reads to the end of the stream, so that the decompressor checks its last sum.
    fn drain(&mut self) -> Inside<()> {
        let mut rest = (&mut self.inner).take(MAX_TRAILER);
        let drained = io::copy(&mut rest, &mut io::sink()).map_err(cut_off)?;
        if drained == MAX_TRAILER {
            return Err(Failure::image(format!(
                "more than {MAX_TRAILER} bytes follow the archive's end mark"
            )));
        }
        Ok(())
    }
}

/// What the extension headers before an entry said.
#[derive(Default)]
struct Extras {
    any: bool,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Records,
}

/// Reads the seconds, which GNU tar writes in binary where they are before 1970; 0 for what is no
/// number, as a wrong time is no reason to refuse a file.
fn mtime(header: &Header) -> i64 {
    let field = header.as_old().mtime;
    if field[0] == 0xff {
        let last: [u8; 8] = field[4..].try_into().expect("the field has twelve bytes");
        return i64::from_be_bytes(last);
    }
    header.mtime().ok().and_then(|seconds| seconds.try_into().ok()).unwrap_or(0)
}

fn kind(header: &Header, path: &[u8]) -> Kind {
    let device = || {
        let number = |n: io::Result<Option<u32>>| n.ok().flatten().unwrap_or(0);
        (number(header.device_major()), number(header.device_minor()))
    };
    match header.entry_type() {
        // Archives older than POSIX know a directory by its name only.
        EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Link => Kind::HardLink,
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char => {
            let (major, minor) = device();
            Kind::CharDevice(major, minor)
        }
        EntryType::Block => {
            let (major, minor) = device();
            Kind::BlockDevice(major, minor)
        }
        other => Kind::Other(other.as_byte()),
    }
}

/// Turns a failed read into what it means.
fn cut_off(error: io::Error) -> Failure {
    use liblzma::stream::Error as Xz;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Xz>());
    if let Some(Xz::Mem | Xz::MemLimit) = inner {
        return Failure::image(
            "decompressing the archive needs more memory than is allowed: compress it with a lower \
             level",
        );
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Failure::image("the archive is cut off: fetch it again, and compare its size")
        }
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            Failure::image(format!("the archive cannot be decompressed, it is damaged: {error}"))
        }
        _ => Failure::machine("read the archive", error),
    }
}
