//! The frame: how one record, or one mark, stands in a segment. Owns the layout and its checks, not what stands around it.
//!
//! ```text
//! 0   magic            4
//! 4   header checksum  4   crc32c of bytes 8..40, the segment's number and the frame's offset
//! 8   stored length    4
//! 12  payload checksum 4   crc32c of the stored payload
//! 16  raw length       4
//! 20  kind             1   1 record, 2 mark
//! 21  flags            1   bit 0: the payload is one LZ4 block
//! 22  reserved         2   zero
//! 24  stream           8
//! 32  epoch            8
//! 40  stored payload
//! ```
//!
//! All numbers are little-endian. The header's checksum covers the place, so that a block written to the wrong place, or a
//! payload that holds the image of a log, is never taken for a frame; and it is checked before any length is believed.

use bytes::{BufMut, Bytes, BytesMut};

use crate::WalPosition;
use crate::payload::{Packed, unpack};

/// The length of a frame without its payload.
pub(crate) const HEADER_BYTES: usize = 40;

pub(crate) const MAGIC: [u8; 4] = [0xA5, b'M', b'R', 0x5A];

const CHECKED_FROM: usize = 8;
const LZ4: u8 = 1;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A stream's record.
    Record = 1,
    /// What each write begins with: see [`crate::mark`].
    Mark = 2,
}

/// Adds a frame to `out`, which will stand in the log so that the frame is at `position`.
pub(crate) fn write(
    out: &mut BytesMut,
    position: WalPosition,
    kind: Kind,
    (stream, epoch): (u64, u64),
    packed: &Packed,
) {
    let stored_bytes = u32::try_from(packed.stored.len()).expect("a payload within MAX_PAYLOAD_BYTES");
    let start = out.len();
    out.put_slice(&MAGIC);
    out.put_u32_le(0);
    out.put_u32_le(stored_bytes);
    out.put_u32_le(packed.crc);
    out.put_u32_le(packed.raw_bytes);
    out.put_u8(kind as u8);
    out.put_u8(if packed.compressed { LZ4 } else { 0 });
    out.put_u16_le(0);
    out.put_u64_le(stream);
    out.put_u64_le(epoch);
    let crc = header_crc(position, &out[start + CHECKED_FROM..]);
    out[start + 4..][..4].copy_from_slice(&crc.to_le_bytes());
    out.put_slice(&packed.stored);
}

/// A whole frame whose checksums are right.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    pub(crate) stream: u64,
    pub(crate) epoch: u64,
    /// The offset after it.
    pub(crate) end: u64,
    stored: &'a [u8],
    raw_bytes: u32,
    compressed: bool,
}

impl<'a> Frame<'a> {
    /// The frame at `position` of its segment, whose bytes are `segment`; or what is wrong there.
    pub(crate) fn parse(segment: &'a [u8], position: WalPosition) -> Result<Self, &'static str> {
        let start = usize::try_from(position.offset).map_err(|_| "it lies beyond the file")?;
        let bytes = segment.get(start..).ok_or("it lies beyond the file")?;
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or("a frame's header is cut short")?;
        if header[..4] != MAGIC {
            return Err("no frame begins here");
        }
        if number::<4>(header, 4) != u64::from(header_crc(position, &header[CHECKED_FROM..])) {
            return Err("a frame's header does not match its checksum");
        }
        let stored_bytes = number::<4>(header, 8);
        let stored = usize::try_from(stored_bytes).ok().and_then(|length| rest.get(..length));
        let stored = stored.ok_or("a frame's payload is cut short")?;
        if number::<4>(header, 12) != u64::from(crc32c::crc32c(stored)) {
            return Err("a frame's payload does not match its checksum");
        }
        let kind = match header[20] {
            1 => Kind::Record,
            2 => Kind::Mark,
            _ => return Err("a frame is of an unknown kind"),
        };
        if header[21] & !LZ4 != 0 {
            return Err("a frame has unknown flags");
        }
        Ok(Self {
            kind,
            stream: number::<8>(header, 24),
            epoch: number::<8>(header, 32),
            end: position.offset + HEADER_BYTES as u64 + stored_bytes,
            stored,
            raw_bytes: u32::try_from(number::<4>(header, 16)).expect("four bytes"),
            compressed: header[21] & LZ4 != 0,
        })
    }

    /// The payload as it was appended.
    pub(crate) fn payload(&self) -> Result<Bytes, &'static str> {
        unpack(self.stored, self.raw_bytes, self.compressed)
    }
}

fn header_crc(position: WalPosition, checked: &[u8]) -> u32 {
    // The place comes last: a mark's own checksum, of a payload that often holds the same offset, would else cancel it.
    let crc = crc32c::crc32c(checked);
    let crc = crc32c::crc32c_append(crc, &position.segment.to_le_bytes());
    crc32c::crc32c_append(crc, &position.offset.to_le_bytes())
}

/// The little-endian number of `N` bytes at `at`.
pub(crate) fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(&bytes[at..at + N]);
    u64::from_le_bytes(wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: WalPosition = WalPosition { segment: 3, offset: 5 };

    fn framed() -> Vec<u8> {
        let mut out = BytesMut::from(&b"front"[..]);
        write(&mut out, AT, Kind::Record, (7, 9), &Packed::pack_here(vec![b'x'; 300].into()));
        out.to_vec()
    }

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let bytes = framed();
        let frame = Frame::parse(&bytes, AT).expect("it is whole");
        assert_eq!((frame.kind, frame.stream, frame.epoch, frame.end), (Kind::Record, 7, 9, bytes.len() as u64));
        assert_eq!(frame.payload().expect("it is whole"), vec![b'x'; 300]);
    }

    #[test]
    fn a_flip_of_any_bit_and_a_cut_anywhere_are_seen() {
        let whole = framed();
        for bit in 5 * 8..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::parse(&bytes, AT).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(Frame::parse(&whole[..length], AT).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn a_frame_in_the_wrong_place_is_none() {
        let bytes = framed();
        assert!(Frame::parse(&bytes, WalPosition { segment: 4, ..AT }).is_err());
        assert!(Frame::parse(&[b"*", &bytes[..]].concat(), WalPosition { offset: 6, ..AT }).is_err());
    }
}
