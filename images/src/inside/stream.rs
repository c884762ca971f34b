//! An image file as a stream: told apart by its first bytes, decompressed on a thread of its own.

use std::{
    fs::File,
    io::{self, BufReader, Cursor, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use liblzma::stream::MtStreamBuilder;

use crate::format::{Compression, Format, PROBE_LEN, detect};
use crate::wire::{Failure, Inside};

const BUFFER: usize = 256 << 10;
const BUFFERS: usize = 16;

/// A file whose format is known and whose bytes are all still to be read.
pub(crate) struct Input {
    pub(crate) format: Format,
    /// Bytes read of the file so far.
    pub(crate) position: Arc<AtomicU64>,
    /// The file's size, where it is a regular file.
    pub(crate) size: Option<u64>,
    head: Vec<u8>,
    file: File,
}

impl Input {
    /// Reads the first bytes of a file and tells what it is.
    pub(crate) fn open(mut file: File) -> Inside<Self> {
        let failed = |error| Failure::machine("read image file", error);
        let metadata = file.metadata().map_err(failed)?;
        let mut head = vec![0; PROBE_LEN];
        let mut filled = 0;
        while filled < head.len() {
            match file.read(&mut head[filled..]).map_err(failed)? {
                0 => break,
                n => filled += n,
            }
        }
        head.truncate(filled);
        let format = detect(&head).map_err(Failure::image)?;
        let size = metadata.is_file().then_some(metadata.len());
        Ok(Self { format, position: Arc::default(), size, head, file })
    }

    /// Returns the file's first bytes, at most [`PROBE_LEN`].
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Starts decompressing a tar archive; `memory` bounds what xz may take.
    pub(crate) fn into_tar(self, memory: u64) -> Inside<Pipe> {
        let Format::Tar(compression) = self.format else {
            return Err(Failure::image(format!(
                "the file is {}, where a tar archive is needed",
                self.format
            )));
        };
        let raw = Counted {
            inner: Cursor::new(self.head).chain(self.file),
            position: Arc::clone(&self.position),
        };
        let raw = BufReader::with_capacity(BUFFER, raw);
        let decoder: Box<dyn Read + Send> = match compression {
            Compression::None => Box::new(raw),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
            Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(raw)),
            Compression::Xz => Box::new(xz(raw, memory)?),
            Compression::Zstd => Box::new(
                zstd::stream::read::Decoder::with_buffer(raw)
                    .map_err(|error| Failure::machine("start decompression", error))?,
            ),
        };
        Ok(Pipe::start(decoder))
    }
}

/// xz, on all processors where the file has several blocks and memory allows.
fn xz<R: io::BufRead>(raw: R, memory: u64) -> Inside<liblzma::bufread::XzDecoder<R>> {
    let threads = thread::available_parallelism().map_or(1, |n| n.get().min(16)) as u32;
    let stream = MtStreamBuilder::new()
        .threads(threads)
        .memlimit_threading(memory / 4)
        .memlimit_stop(memory / 2)
        .decoder()
        .map_err(|error| Failure::machine("start decompression", error))?;
    Ok(liblzma::bufread::XzDecoder::new_stream(raw, stream))
}

struct Counted<R> {
    inner: R,
    position: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.position.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// The end of a stream that is produced on another thread, so that decompressing and writing files
/// overlap.
pub(crate) struct Pipe {
    buffers: Receiver<io::Result<Vec<u8>>>,
    current: Cursor<Vec<u8>>,
}

impl Pipe {
    fn start(mut from: Box<dyn Read + Send>) -> Self {
        let (sender, buffers) = sync_channel(BUFFERS);
        thread::spawn(move || pump(&mut *from, &sender));
        Self { buffers, current: Cursor::default() }
    }
}

/// Reads to the end, or until nobody listens any more.
fn pump(from: &mut dyn Read, to: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut buffer = Vec::with_capacity(BUFFER);
        match from.take(BUFFER as u64).read_to_end(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {
                if to.send(Ok(buffer)).is_err() {
                    return;
                }
            }
            Err(error) => {
                // What came before the error is dropped with it: the archive is refused anyway.
                let _ = to.send(Err(error));
                return;
            }
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.current.read(into)? {
                0 if into.is_empty() => return Ok(0),
                0 => match self.buffers.recv() {
                    Ok(next) => self.current = Cursor::new(next?),
                    // The other side is through.
                    Err(_) => return Ok(0),
                },
                n => return Ok(n),
            }
        }
    }
}
