//! The frames: a byte for the kind, four for the payload's length, the payload. Numbers are
//! big-endian.
//!
//! | kind | frame | payload |
//! |---|---|---|
//! | 0, 1, 2 | data of standard input, output, errors | bytes; none is the end of the input |
//! | 3 | credit | the stream (a byte), how many more bytes it may bring (4) |
//! | 4 | the window's size | columns (2), lines (2) |
//! | 5 | a signal | its number (4) |
//! | 6 | the program's end | its exit status (4) |

/// The length of a frame's head.
pub const HEADER: usize = 5;

/// The most that a frame of data carries.
pub const DATA_MAX: usize = 64 << 10;

const CREDIT: u8 = 3;
const RESIZE: u8 = 4;
const SIGNAL: u8 = 5;
const EXIT: u8 = 6;

/// One of a program's streams. With a terminal there are the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecStream {
    /// Standard input.
    Stdin,
    /// Standard output; with a terminal, all output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl ExecStream {
    /// The head of a frame with so many bytes of this stream, which follow it.
    ///
    /// # Panics
    ///
    /// When there are more than [`DATA_MAX`].
    pub fn header(self, length: usize) -> [u8; HEADER] {
        assert!(length <= DATA_MAX, "{length} bytes in a frame");
        let [a, b, c, d] = u32::try_from(length).expect("it is small").to_be_bytes();
        [self.number(), a, b, c, d]
    }

    fn number(self) -> u8 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }

    fn numbered(number: u8) -> Option<Self> {
        [Self::Stdin, Self::Stdout, Self::Stderr].get(usize::from(number)).copied()
    }
}

/// A frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecFrame<'a> {
    /// Bytes of a stream. From the client only of standard input, where none are its end; from the
    /// server only of the others.
    Data(ExecStream, &'a [u8]),
    /// So many more bytes may be sent on a stream.
    Credit(ExecStream, u32),
    /// The client's terminal has another size now.
    Resize {
        /// In columns.
        width: u16,
        /// In lines.
        height: u16,
    },
    /// The program is to get this signal.
    Signal(i32),
    /// The program has ended, and all its output was sent: its exit status, 128 plus the number of
    /// the signal that ended it.
    Exit(i32),
}

/// What came is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no frame of {}: kind {kind}, {length} bytes", super::PROTOCOL)]
pub struct FrameError {
    kind: u8,
    length: u32,
}

impl<'a> ExecFrame<'a> {
    /// The frame as it is sent.
    pub fn encode(&self) -> Vec<u8> {
        let with = |kind: u8, parts: &[&[u8]]| {
            let payload = parts.concat();
            let length = u32::try_from(payload.len()).expect("payloads are small");
            [&[kind], &length.to_be_bytes()[..], &payload].concat()
        };
        match *self {
            Self::Data(stream, bytes) => [&stream.header(bytes.len()), bytes].concat(),
            Self::Credit(stream, bytes) => {
                with(CREDIT, &[&[stream.number()], &bytes.to_be_bytes()])
            }
            Self::Resize { width, height } => {
                with(RESIZE, &[&width.to_be_bytes(), &height.to_be_bytes()])
            }
            Self::Signal(signal) => with(SIGNAL, &[&signal.to_be_bytes()]),
            Self::Exit(status) => with(EXIT, &[&status.to_be_bytes()]),
        }
    }

    /// The first frame in `bytes` and its whole length; `None` where the rest is still to come.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((&[kind, a, b, c, d], rest)) = bytes.split_first_chunk() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]);
        let wrong = FrameError { kind, length };
        let stream = ExecStream::numbered(kind);
        // Looked at before the payload is there: what is too long is not waited for.
        let size = usize::try_from(length).map_err(|_| wrong)?;
        let fits = match (stream, kind) {
            (Some(_), _) => size <= DATA_MAX,
            (None, CREDIT) => size == 5,
            (None, RESIZE | SIGNAL | EXIT) => size == 4,
            (None, _) => false,
        };
        if !fits {
            return Err(wrong);
        }
        let Some(payload) = rest.get(..size) else { return Ok(None) };
        let frame = match stream {
            Some(stream) => Self::Data(stream, payload),
            None => Self::of_numbers(kind, payload).ok_or(wrong)?,
        };
        Ok(Some((frame, HEADER + size)))
    }

    fn of_numbers(kind: u8, payload: &[u8]) -> Option<Self> {
        match (kind, payload) {
            (CREDIT, &[stream, a, b, c, d]) => {
                Some(Self::Credit(ExecStream::numbered(stream)?, u32::from_be_bytes([a, b, c, d])))
            }
            (RESIZE, &[a, b, c, d]) => Some(Self::Resize {
                width: u16::from_be_bytes([a, b]),
                height: u16::from_be_bytes([c, d]),
            }),
            (SIGNAL, &[a, b, c, d]) => Some(Self::Signal(i32::from_be_bytes([a, b, c, d]))),
            (EXIT, &[a, b, c, d]) => Some(Self::Exit(i32::from_be_bytes([a, b, c, d]))),
            _ => None,
        }
    }
}

/// Bytes as they come, and the frames in them.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    /// How many of them belong to frames that were taken out.
    taken: usize,
}

impl FrameBuffer {
    /// How much room there is at least for what comes next.
    const ROOM: usize = HEADER + DATA_MAX;

    /// Where what comes next is to be appended.
    pub fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.reserve(Self::ROOM);
        &mut self.bytes
    }

    /// Takes the next frame out; `None` where more has to come first.
    pub fn take(&mut self) -> Result<Option<ExecFrame<'_>>, FrameError> {
        let found = ExecFrame::decode(&self.bytes[self.taken..])?;
        Ok(found.map(|(frame, length)| {
            self.taken += length;
            frame
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn streams() -> impl Strategy<Value = ExecStream> {
        prop_oneof![Just(ExecStream::Stdin), Just(ExecStream::Stdout), Just(ExecStream::Stderr)]
    }

    /// A frame, its data apart.
    fn frames() -> impl Strategy<Value = (ExecFrame<'static>, Vec<u8>)> {
        prop_oneof![
            (streams(), proptest::collection::vec(any::<u8>(), 0..300))
                .prop_map(|(stream, bytes)| (ExecFrame::Data(stream, &[]), bytes)),
            (streams(), any::<u32>())
                .prop_map(|(stream, bytes)| (ExecFrame::Credit(stream, bytes), Vec::new())),
            any::<(u16, u16)>()
                .prop_map(|(width, height)| { (ExecFrame::Resize { width, height }, Vec::new()) }),
            any::<i32>().prop_map(|signal| (ExecFrame::Signal(signal), Vec::new())),
            any::<i32>().prop_map(|status| (ExecFrame::Exit(status), Vec::new())),
        ]
    }

    fn with_data<'a>((frame, bytes): &'a (ExecFrame<'static>, Vec<u8>)) -> ExecFrame<'a> {
        match frame {
            ExecFrame::Data(stream, _) => ExecFrame::Data(*stream, bytes),
            other => *other,
        }
    }

    proptest! {
        #[test]
        fn frames_are_read_as_they_were_sent_however_they_are_cut(
            sent in proptest::collection::vec(frames(), 0..12),
            piece in 1_usize..200,
        ) {
            let wire: Vec<u8> = sent.iter().flat_map(|frame| with_data(frame).encode()).collect();
            let mut buffer = FrameBuffer::default();
            let mut expected = sent.iter().map(with_data);
            for piece in wire.chunks(piece) {
                buffer.room().extend_from_slice(piece);
                while let Some(frame) = buffer.take().unwrap() {
                    prop_assert_eq!(Some(frame), expected.next());
                }
            }
            prop_assert_eq!(expected.next(), None);
        }

        #[test]
        fn whatever_comes_is_a_frame_or_refused(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..8),
        ) {
            let mut buffer = FrameBuffer::default();
            'all: for piece in pieces {
                buffer.room().extend_from_slice(&piece);
                loop {
                    match buffer.take() {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => break 'all,
                    }
                }
            }
        }
    }

    #[test]
    fn the_form_on_the_wire_is_the_manuals() {
        let data = ExecFrame::Data(ExecStream::Stderr, b"hi");
        assert_eq!(data.encode(), [2, 0, 0, 0, 2, b'h', b'i']);
        let credit = ExecFrame::Credit(ExecStream::Stdout, 70_000);
        assert_eq!(credit.encode(), [3, 0, 0, 0, 5, 1, 0, 1, 0x11, 0x70]);
        let resize = ExecFrame::Resize { width: 132, height: 50 };
        assert_eq!(resize.encode(), [4, 0, 0, 0, 4, 0, 132, 0, 50]);
        assert_eq!(ExecFrame::Signal(15).encode(), [5, 0, 0, 0, 4, 0, 0, 0, 15]);
        assert_eq!(ExecFrame::Exit(137).encode(), [6, 0, 0, 0, 4, 0, 0, 0, 137]);
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_by_its_head() {
        let text = ExecFrame::decode(&[0, 0, 1, 0, 1]).unwrap_err().to_string();
        assert_eq!(text, "no frame of sc-exec/1: kind 0, 65537 bytes");
        for wrong in [[3, 0, 0, 0, 4], [6, 0, 0, 0, 5], [7, 0, 0, 0, 0], [0, 255, 0, 0, 0]] {
            assert!(ExecFrame::decode(&wrong).is_err(), "{wrong:?}");
        }
        assert!(ExecFrame::decode(&[3, 0, 0, 0, 5, 9, 0, 0, 0, 1]).is_err(), "no such stream");
    }
}
