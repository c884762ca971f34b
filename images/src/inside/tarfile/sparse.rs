//! Where the data of a file with holes goes: GNU's old format and the three that pax headers carry.

use std::io::Read;

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::{Archive, BLOCK, pax::Records};
use crate::wire::{Failure, Inside};

/// How many pieces a file may have.
const MAX_SEGMENTS: usize = 1 << 20;

/// A piece of data and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Returns the map and the full size of a sparse file, `None` for any other. What the map takes of
/// the entry's data has been read.
pub(super) fn map<R: Read>(
    archive: &mut Archive<R>,
    header: &Header,
    records: &mut Records,
    stored: u64,
) -> Inside<Option<(Vec<Segment>, u64)>> {
    let (segments, size) = if header.entry_type().is_gnu_sparse() {
        let gnu = header.as_gnu().ok_or_else(|| damaged("has no GNU header"))?;
        let size = gnu.real_size().map_err(|error| damaged(&error.to_string()))?;
        (old_format(archive, &gnu.sparse, gnu.is_extended(), stored)?, size)
    } else if records.sparse_major == Some(1) {
        let size = records.sparse_size.ok_or_else(|| damaged("has no size"))?;
        (from_data(archive)?, size)
    } else if let Some(size) = records.sparse_size {
        if !records.sparse_map.len().is_multiple_of(2) {
            return Err(damaged("is incomplete"));
        }
        let pairs = records.sparse_map.chunks_exact(2);
        (pairs.map(|p| Segment { offset: p[0], length: p[1] }).collect(), size)
    } else {
        return Ok(None);
    };
    check(&segments, size, archive.data)?;
    Ok(Some((segments, size)))
}

fn damaged(how: &str) -> Failure {
    Failure::image(format!("its sparse map {how}: pack the image anew"))
}

/// The four pieces of the header, then 21 more in each block that follows while the last says so.
fn old_format<R: Read>(
    archive: &mut Archive<R>,
    first: &[GnuSparseHeader],
    mut more: bool,
    stored: u64,
) -> Inside<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut add = |list: &[GnuSparseHeader]| -> Inside<()> {
        for piece in list.iter().filter(|piece| !piece.is_empty()) {
            if segments.len() == MAX_SEGMENTS {
                return Err(damaged("has too many pieces"));
            }
            let read = |number: std::io::Result<u64>| number.map_err(|e| damaged(&e.to_string()));
            segments.push(Segment { offset: read(piece.offset())?, length: read(piece.length())? });
        }
        Ok(())
    };
    add(first)?;
    while more {
        // These blocks stand between header and data and do not count as data.
        let mut extension = GnuExtSparseHeader::new();
        extension.as_mut_bytes().copy_from_slice(&archive.block()?);
        add(&extension.sparse)?;
        more = extension.is_extended();
    }
    archive.expect_data(stored)?;
    Ok(segments)
}

/// Format 1.0: decimal numbers, one a line, at the start of the data, filled up to a block.
fn from_data<R: Read>(archive: &mut Archive<R>) -> Inside<Vec<Segment>> {
    let mut lines = Lines { archive, block: [0; BLOCK as usize], at: BLOCK as usize };
    let count = usize::try_from(lines.number()?).unwrap_or(usize::MAX);
    if count > MAX_SEGMENTS {
        return Err(damaged("has too many pieces"));
    }
    (0..count).map(|_| Ok(Segment { offset: lines.number()?, length: lines.number()? })).collect()
}

struct Lines<'a, R> {
    archive: &'a mut Archive<R>,
    block: [u8; BLOCK as usize],
    at: usize,
}

impl<R: Read> Lines<'_, R> {
    fn number(&mut self) -> Inside<u64> {
        let mut number: u64 = 0;
        loop {
            if self.at == self.block.len() {
                self.archive.read_data(&mut self.block)?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'0'..=b'9' => {
                    number = number
                        .checked_mul(10)
                        .and_then(|n| n.checked_add(u64::from(byte - b'0')))
                        .ok_or_else(|| damaged("has a number that is too large"))?;
                }
                b'\n' => return Ok(number),
                _ => return Err(damaged("is damaged")),
            }
        }
    }
}

/// Pieces in order, without overlap, within the file, and with exactly the data there is.
fn check(segments: &[Segment], size: u64, data: u64) -> Inside<()> {
    let (mut end, mut sum) = (0, 0u64);
    for segment in segments {
        if segment.offset < end {
            return Err(damaged("overlaps itself"));
        }
        end = segment
            .offset
            .checked_add(segment.length)
            .filter(|end| *end <= size)
            .ok_or_else(|| damaged("leads beyond the file's end"))?;
        sum += segment.length;
    }
    if sum != data {
        return Err(damaged("does not fit the data there is"));
    }
    Ok(())
}
