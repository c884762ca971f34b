//! The line that a console has not finished yet.

use std::collections::VecDeque;

/// As much of the unfinished line as a client sees when it attaches.
const LINE_BYTES: usize = 4 * 1024;

/// What was written since the last end of a line; of a long one its end.
#[derive(Debug, Default)]
pub(super) struct UnfinishedLine {
    bytes: VecDeque<u8>,
}

impl UnfinishedLine {
    /// Returns it.
    pub(super) fn bytes(&self) -> &VecDeque<u8> {
        &self.bytes
    }

    /// Adds what was written.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            self.bytes.clear();
            bytes = &bytes[end + 1..];
        }
        self.bytes.extend(bytes);
        let surplus = self.bytes.len().saturating_sub(LINE_BYTES);
        self.bytes.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_line_without_end_only_so_much_is_kept() {
        let mut line = UnfinishedLine::default();
        line.push(b"old\r\nnew");
        assert_eq!(line.bytes, b"new");
        line.push(&[b'x'; 3 * LINE_BYTES]);
        assert_eq!(line.bytes.len(), LINE_BYTES);
        line.push(b"\n");
        assert!(line.bytes.is_empty());
    }
}
