//! Reading what a program writes, without letting it fill the memory.

use std::collections::VecDeque;
use std::io::{self, Read};

/// Hears each line, without its end.
pub(super) type LineSink = Box<dyn FnMut(&str) + Send>;

/// Lines longer than this are handed on in pieces.
const LINE_MAX: usize = 16 * 1024;

/// Which part of a long output is kept.
#[derive(Clone, Copy)]
pub(super) enum Keep {
    /// The first bytes; more than that is an error.
    All(usize),
    /// The last bytes.
    Tail(usize),
}

/// Reads to the end and returns what was to be kept.
pub(super) fn drain(
    mut source: impl Read,
    keep: Keep,
    mut sink: Option<LineSink>,
) -> io::Result<Vec<u8>> {
    let mut kept = VecDeque::new();
    let mut line = Vec::new();
    let mut buffer = vec![0_u8; 16 * 1024];
    loop {
        let length = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let chunk = &buffer[..length];
        retain(&mut kept, chunk, keep)?;
        if let Some(sink) = &mut sink {
            split(&mut line, chunk, sink);
        }
    }
    if let Some(sink) = &mut sink {
        emit(&mut line, sink);
    }
    Ok(kept.into())
}

fn retain(kept: &mut VecDeque<u8>, chunk: &[u8], keep: Keep) -> io::Result<()> {
    match keep {
        Keep::All(limit) if kept.len() + chunk.len() > limit => {
            let text = format!("more than {limit} bytes of output");
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        }
        Keep::All(_) => {
            kept.extend(chunk);
            Ok(())
        }
        Keep::Tail(limit) => {
            kept.extend(chunk);
            kept.drain(..kept.len().saturating_sub(limit));
            Ok(())
        }
    }
}

/// Progress meters end their lines with a carriage return.
fn split(line: &mut Vec<u8>, chunk: &[u8], sink: &mut LineSink) {
    for byte in chunk {
        if matches!(byte, b'\n' | b'\r') || line.len() >= LINE_MAX {
            emit(line, sink);
        }
        if !matches!(byte, b'\n' | b'\r') {
            line.push(*byte);
        }
    }
}

fn emit(line: &mut Vec<u8>, sink: &mut LineSink) {
    if !line.is_empty() {
        sink(&String::from_utf8_lossy(line));
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn lines_end_with_newline_or_carriage_return() {
        let (tell, told) = mpsc::channel();
        let sink: LineSink = Box::new(move |line| tell.send(line.to_owned()).unwrap());
        drain(&b"one\r20%\r30%\r\n\nlast"[..], Keep::Tail(4), Some(sink)).unwrap();
        assert_eq!(told.iter().collect::<Vec<_>>(), ["one", "20%", "30%", "last"]);
    }

    #[test]
    fn a_tail_keeps_the_end_and_a_full_output_is_bounded() {
        assert_eq!(drain(&b"abcdef"[..], Keep::Tail(2), None).unwrap(), b"ef");
        assert!(drain(&b"abcdef"[..], Keep::All(5), None).is_err());
    }
}
