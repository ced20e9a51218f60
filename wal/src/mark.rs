//! The mark: the frame that each write to the log begins with. It says how much of its segment was durable by then, which is
//! what tells damage from a torn tail; and it records the fences that were raised since the write before (I2).
//!
//! Payload: durable bytes of this segment (8), number of fences (4), and for each its stream (8) and epoch (8).

use bytes::{BufMut, BytesMut};

use crate::WalPosition;
use crate::fences::Fences;
use crate::frame::{self, Frame, Kind, number};
use crate::payload::Packed;

const FENCES_AT: usize = 12;
const FENCE_BYTES: usize = 16;

/// What a mark says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The segment's bytes before this offset had been synced when the mark was written.
    pub(crate) durable: u64,
    pub(crate) fences: Fences,
}

impl Mark {
    /// Adds the mark's frame to `out`, to stand at `position`.
    pub(crate) fn write(&self, out: &mut BytesMut, position: WalPosition) {
        let mut payload = BytesMut::with_capacity(FENCES_AT + self.fences.len() * FENCE_BYTES);
        payload.put_u64_le(self.durable);
        put_fences(&mut payload, &self.fences);
        frame::write(out, position, Kind::Mark, (0, 0), &Packed::plain(payload.freeze()));
    }

    /// The mark in `frame`, which must be one.
    pub(crate) fn read(frame: &Frame<'_>) -> Result<Self, &'static str> {
        let payload = frame.payload()?;
        let durable = payload.first_chunk().ok_or("a mark is cut short")?;
        let fences = read_fences(&payload[8..])?;
        Ok(Self { durable: u64::from_le_bytes(*durable), fences })
    }
}

/// Adds a counted list of fences.
pub(crate) fn put_fences(out: &mut BytesMut, fences: &Fences) {
    out.put_u32_le(u32::try_from(fences.len()).expect("fewer streams than fit in memory"));
    for (stream, epoch) in fences.iter() {
        out.put_u64_le(stream);
        out.put_u64_le(epoch);
    }
}

/// Reads a counted list of fences that fills `bytes`.
pub(crate) fn read_fences(bytes: &[u8]) -> Result<Fences, &'static str> {
    let count = bytes.first_chunk::<4>().ok_or("a list of fences is cut short")?;
    let entries = &bytes[4..];
    if Some(entries.len()) != (u32::from_le_bytes(*count) as usize).checked_mul(FENCE_BYTES) {
        return Err("a list of fences is not as long as it says");
    }
    let mut fences = Fences::default();
    for entry in entries.chunks_exact(FENCE_BYTES) {
        fences.raise(number::<8>(entry, 0), number::<8>(entry, 8));
    }
    Ok(fences)
}
