//! What a commit does to a store, one change at a time, once its stamp is known.

use bytes::{Bytes, BytesMut};

use super::range::successor;
use super::{KeyRange, Stamp};

/// One change, as a store applies it. They are applied in order.
#[derive(Debug)]
pub(super) enum Mutation {
    /// Removes the keys of a range.
    ClearRange(KeyRange),
    /// Removes a key.
    Clear(Bytes),
    /// Writes a value.
    Set(Bytes, Bytes),
    /// Adds to what is there, by [`add_to`].
    Add(Bytes, i64),
}

/// A key that is complete once its commit has a stamp.
#[derive(Debug)]
pub(super) struct StampedKey {
    /// Before the stamp.
    pub(super) prefix: Bytes,
    /// After the stamp.
    pub(super) suffix: Bytes,
    /// What is written under it.
    pub(super) value: Bytes,
}

impl StampedKey {
    /// The key under `stamp`.
    pub(super) fn at(&self, stamp: Stamp) -> Bytes {
        join(&self.prefix, stamp, &self.suffix)
    }

    /// Where the key can come to stand, if its stamp is above `floor`.
    pub(super) fn span(&self, floor: Stamp) -> KeyRange {
        KeyRange { start: successor(&self.at(floor)), end: successor(&self.at(Stamp([u8::MAX; Stamp::BYTES]))) }
    }
}

/// `value` as a little-endian 64-bit integer, plus `delta`, wrapping. Missing bytes count as zero, further ones are cut.
pub(super) fn add_to(value: Option<&[u8]>, delta: i64) -> Bytes {
    let mut number = [0; 8];
    let value = value.unwrap_or_default();
    let taken = value.len().min(number.len());
    number[..taken].copy_from_slice(&value[..taken]);
    Bytes::copy_from_slice(&i64::from_le_bytes(number).wrapping_add(delta).to_le_bytes())
}

/// `before`, `stamp` and `after` in one.
pub(super) fn join(before: &[u8], stamp: Stamp, after: &[u8]) -> Bytes {
    let mut joined = BytesMut::with_capacity(before.len() + Stamp::BYTES + after.len());
    joined.extend_from_slice(before);
    joined.extend_from_slice(stamp.as_ref());
    joined.extend_from_slice(after);
    joined.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_add_cuts_or_fills_a_value_of_another_length_and_wraps() {
        assert_eq!(add_to(Some(&[1]), 1).as_ref(), 2_i64.to_le_bytes());
        assert_eq!(add_to(Some(&[255; 12]), 1).as_ref(), 0_i64.to_le_bytes());
        assert_eq!(add_to(Some(&i64::MAX.to_le_bytes()), 1).as_ref(), i64::MIN.to_le_bytes());
    }
}
