//! A segment file's name and header. The header is synced before the first frame is written after it, and before any earlier
//! segment is removed, so that removing segments never loses a fence (I2).
//!
//! ```text
//! 0   magic            8   "MILLRWAL"
//! 8   format version   4
//! 12  checksum         4   crc32c of bytes 0..12: these 16 bytes are the same in every version
//! 16  segment number   8
//! 24  checksum         4   crc32c of bytes 16..24 and 28..end
//! 28  bytes before     8   the length of the segment before, all of it durable; 0 if there was none
//! 36  number of fences 4
//! 40  fences               stream 8, epoch 8 each
//! ```
//!
//! Version 1 has no "bytes before": there a segment that was cut between two frames looked like a whole one.

use bytes::{BufMut, Bytes, BytesMut};

use crate::fences::Fences;
use crate::frame::number;
use crate::mark::{put_fences, read_fences};

/// The version of header, frames and marks that this release writes.
pub(crate) const FORMAT_VERSION: u32 = 2;

const MAGIC: [u8; 8] = *b"MILLRWAL";
const PREAMBLE_BYTES: usize = 16;
const CHECKSUM_AT: usize = 24;
const CHECKED_FROM: usize = 28;
/// How many bytes stand before the number of fences, in each version.
const FENCES_AT: [(u32, usize); 2] = [(1, 28), (FORMAT_VERSION, 36)];
const COUNT_BYTES: usize = 4;
const FENCE_BYTES: usize = 16;

/// The file of the segment.
pub(crate) fn file_name(segment: u64) -> String {
    format!("{segment:020}.wal")
}

/// The number of the segment in this file, if it is one.
pub(crate) fn number_of(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(".wal")?;
    let number = digits.parse().ok()?;
    (self::file_name(number) == file_name).then_some(number)
}

/// The header of a segment before which `fences` had been recorded, and whose predecessor ended at `before`.
pub(crate) fn header(segment: u64, before: u64, fences: &Fences) -> Bytes {
    let mut out = BytesMut::with_capacity(40 + fences.len() * FENCE_BYTES);
    out.put_slice(&MAGIC);
    out.put_u32_le(FORMAT_VERSION);
    out.put_u32_le(crc32c::crc32c(&out));
    out.put_u64_le(segment);
    out.put_u32_le(0);
    out.put_u64_le(before);
    put_fences(&mut out, fences);
    let crc = body_crc(&out);
    out[CHECKSUM_AT..CHECKED_FROM].copy_from_slice(&crc.to_le_bytes());
    out.freeze()
}

/// A header that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fences: Fences,
    pub(crate) bytes: u64,
    /// Where the segment before ends; not known to version 1.
    pub(crate) before: Option<u64>,
}

/// Why a header cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Broken(&'static str),
    UnsupportedFormat(u32),
}

impl Header {
    /// The header at the front of `bytes`, the file of `segment`.
    pub(crate) fn parse(segment: u64, bytes: &[u8]) -> Result<Self, HeaderFault> {
        use HeaderFault::{Broken, UnsupportedFormat};
        let preamble = bytes.get(..PREAMBLE_BYTES).ok_or(Broken("its header is cut short"))?;
        if preamble[..8] != MAGIC || number::<4>(preamble, 12) != u64::from(crc32c::crc32c(&preamble[..12])) {
            return Err(Broken("it does not begin as a segment does"));
        }
        let version = u32::try_from(number::<4>(preamble, 8)).expect("four bytes");
        let known = FENCES_AT.into_iter().find(|(known, _)| *known == version);
        let (_, fences_at) = known.ok_or(UnsupportedFormat(version))?;
        let fixed = bytes.get(..fences_at + COUNT_BYTES).ok_or(Broken("its header is cut short"))?;
        let fences = usize::try_from(number::<4>(fixed, fences_at)).expect("four bytes");
        let end = fences.checked_mul(FENCE_BYTES).and_then(|length| length.checked_add(fixed.len()));
        let header = end.and_then(|end| bytes.get(..end)).ok_or(Broken("its header is cut short"))?;
        if number::<4>(header, CHECKSUM_AT) != u64::from(body_crc(header)) {
            return Err(Broken("its header does not match its checksum"));
        }
        if number::<8>(header, PREAMBLE_BYTES) != segment {
            return Err(Broken("its header has another segment's number"));
        }
        let fences = read_fences(&header[fences_at..]).map_err(Broken)?;
        let before = (version > 1).then(|| number::<8>(header, CHECKED_FROM));
        Ok(Self { fences, bytes: header.len() as u64, before })
    }
}

fn body_crc(header: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[PREAMBLE_BYTES..CHECKSUM_AT]), &header[CHECKED_FROM..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fences() -> Fences {
        let mut fences = Fences::default();
        fences.raise(1, 2);
        fences.raise(9, 4);
        fences
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let bytes = header(7, 99, &fences());
        let parsed = Header::parse(7, &bytes).expect("it is whole");
        assert_eq!(parsed, Header { fences: fences(), bytes: bytes.len() as u64, before: Some(99) });
        assert!(Header::parse(8, &bytes).is_err(), "a file under another's name");
    }

    #[test]
    fn a_flip_of_any_bit_and_a_cut_anywhere_are_seen() {
        let whole = header(7, 99, &fences());
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::parse(7, &bytes).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(Header::parse(7, &whole[..length]).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn a_later_version_is_named_and_not_taken_for_damage() {
        let mut bytes = header(7, 99, &fences()).to_vec();
        bytes[8] = 3;
        let crc = crc32c::crc32c(&bytes[..12]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes.truncate(PREAMBLE_BYTES);
        assert_eq!(Header::parse(7, &bytes), Err(HeaderFault::UnsupportedFormat(3)));
    }

    #[test]
    fn file_names_sort_as_their_numbers_and_others_are_none() {
        assert!(file_name(9) < file_name(10));
        assert_eq!(number_of(&file_name(10)), Some(10));
        for other in ["LOCK", "10.wal", "+0000000000000000010.wal", "00000000000000000010.wal.bak"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
