//! A range of keys: what a scan reads, what a clear removes, what a conflict is judged on.

use bytes::Bytes;

/// Keys `start..end`: start inclusive, end exclusive, compared as bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRange {
    /// The first key in the range.
    pub start: Bytes,
    /// The first key after the range.
    pub end: Bytes,
}

/// The first byte of keys that belong to the store itself, as in FoundationDB: callers' keys lie below it.
pub(super) const RESERVED: u8 = 0xff;

impl KeyRange {
    /// The keys `start..end`; none if `end` is not above `start`.
    pub fn new(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: end.into() }
    }

    /// The one key `key`.
    pub fn single(key: &[u8]) -> Self {
        Self { start: Bytes::copy_from_slice(key), end: successor(key) }
    }

    /// All keys that begin with `prefix`, itself included; with an empty prefix, all keys that a caller may write.
    pub fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        match end.last_mut() {
            Some(last) => *last += 1,
            None => end.push(RESERVED),
        }
        Self { start: Bytes::copy_from_slice(prefix), end: end.into() }
    }

    /// Whether no key lies in it.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether `key` lies in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_ref() <= key && key < self.end.as_ref()
    }

    /// Whether some key lies in both.
    pub fn intersects(&self, other: &KeyRange) -> bool {
        !self.is_empty() && !other.is_empty() && self.start < other.end && other.start < self.end
    }

    /// The bytes of its two ends, which is what it adds to a transaction's size.
    pub(super) fn bytes(&self) -> usize {
        self.start.len() + self.end.len()
    }
}

/// The first key after `key`.
pub(super) fn successor(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_exactly_the_keys_that_begin_with_it() {
        let range = KeyRange::prefix(b"log/");
        for inside in [&b"log/"[..], b"log/\0", b"log/\xff\xff\xff"] {
            assert!(range.contains(inside));
        }
        for outside in [&b"log"[..], b"log.", b"log0"] {
            assert!(!range.contains(outside));
        }
        assert_eq!(KeyRange::prefix(b"a\xff\xff").end, Bytes::from_static(b"b"));
        assert_eq!(KeyRange::prefix(b"").end, Bytes::from_static(b"\xff"));
    }

    #[test]
    fn a_single_key_ends_before_its_successor() {
        let range = KeyRange::single(b"k");
        assert!(range.contains(b"k") && !range.contains(b"k\0") && !range.contains(b"j"));
    }

    #[test]
    fn ranges_that_only_touch_do_not_intersect() {
        let left = KeyRange::new(&b"a"[..], &b"b"[..]);
        assert!(!left.intersects(&KeyRange::new(&b"b"[..], &b"c"[..])));
        assert!(left.intersects(&KeyRange::single(b"a")));
        assert!(!left.intersects(&KeyRange::new(&b"ab"[..], &b"aa"[..])), "an empty range intersects nothing");
    }
}
