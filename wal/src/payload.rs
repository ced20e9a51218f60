//! A payload as it is stored: LZ4 where that shrinks it. Runs in the appender, so that the one writer only copies.

use bytes::Bytes;
use vfs::Compute;

/// The largest payload of one record.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 30;

/// From this length on, compressing takes longer than moving it to another thread.
const COMPUTE_FROM_BYTES: usize = 64 << 10;

/// LZ4's best: a byte of a block yields at most so many.
const MAX_EXPANSION: usize = 255;

/// A payload ready to be framed.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) stored: Bytes,
    /// Of `stored`.
    pub(crate) crc: u32,
    pub(crate) raw_bytes: u32,
    pub(crate) compressed: bool,
}

impl Packed {
    /// Packs `payload`, which must not exceed [`MAX_PAYLOAD_BYTES`], elsewhere if it is large.
    pub(crate) async fn pack(payload: Bytes, pool: &dyn Compute) -> Self {
        if payload.len() < COMPUTE_FROM_BYTES {
            return Self::pack_here(payload);
        }
        vfs::compute(pool, || Self::pack_here(payload)).await
    }

    pub(crate) fn pack_here(payload: Bytes) -> Self {
        let mut shrunk = lz4_flex::block::compress(&payload);
        let raw_bytes = length(&payload);
        if shrunk.len() >= payload.len() {
            return Self { crc: crc32c::crc32c(&payload), stored: payload, raw_bytes, compressed: false };
        }
        // What waits in the queue is counted by its length, so it must not hold on to more (I8).
        shrunk.shrink_to_fit();
        Self { crc: crc32c::crc32c(&shrunk), stored: shrunk.into(), raw_bytes, compressed: true }
    }

    /// Stores `payload` as it is.
    pub(crate) fn plain(payload: Bytes) -> Self {
        Self { crc: crc32c::crc32c(&payload), raw_bytes: length(&payload), stored: payload, compressed: false }
    }
}

/// The payload that was stored as `stored`; an error where that cannot be. Nothing is allocated before the lengths agree.
pub(crate) fn unpack(stored: &[u8], raw_bytes: u32, compressed: bool) -> Result<Bytes, &'static str> {
    let raw_bytes = raw_bytes as usize;
    if !compressed {
        return if raw_bytes == stored.len() {
            Ok(Bytes::copy_from_slice(stored))
        } else {
            Err("its lengths disagree")
        };
    }
    if raw_bytes > MAX_PAYLOAD_BYTES || raw_bytes / MAX_EXPANSION > stored.len() {
        return Err("its uncompressed length is impossible");
    }
    match lz4_flex::block::decompress(stored, raw_bytes) {
        Ok(payload) if payload.len() == raw_bytes => Ok(payload.into()),
        Ok(_) | Err(_) => Err("its payload cannot be decompressed"),
    }
}

fn length(payload: &Bytes) -> u32 {
    u32::try_from(payload.len()).expect("Wal::append refuses payloads above MAX_PAYLOAD_BYTES")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_does_not_shrink_is_stored_as_it_is() {
        for payload in [Bytes::new(), Bytes::from_static(b"abc"), Bytes::from_static(b"0123456789")] {
            let packed = Packed::pack_here(payload.clone());
            assert!(!packed.compressed && packed.stored == payload);
        }
        assert!(Packed::pack_here(vec![7; 1000].into()).compressed);
    }

    #[test]
    fn an_impossible_length_is_refused_before_anything_is_allocated() {
        let packed = Packed::pack_here(vec![7; 100_000].into());
        assert_eq!(unpack(&packed.stored, packed.raw_bytes, true).expect("it is whole").len(), 100_000);
        assert!(unpack(&packed.stored, u32::MAX, true).is_err());
        assert!(unpack(&packed.stored, packed.raw_bytes - 1, true).is_err());
        assert!(unpack(&packed.stored, packed.raw_bytes + 1, true).is_err());
        assert!(unpack(b"abc", 2, false).is_err());
    }
}
