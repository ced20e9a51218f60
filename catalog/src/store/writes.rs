//! What a transaction has written and not yet committed: buffered, folded per key, laid over its reads, and turned into
//! mutations once its stamp is known. Owns the size limits. Does not know any store.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::mutation::{Mutation, StampedKey, add_to, join};
use super::range::RESERVED;
use super::{KEY_BYTES_LIMIT, KeyRange, Stamp, StoreError, VALUE_BYTES_LIMIT, VersionstampedValue};

/// What the transaction's own writes say about a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// Nothing: the store's value counts.
    Untouched,
    /// This is its value, whatever the store has.
    Known(Option<Bytes>),
    /// The store's value, with this added to it.
    Added(i64),
    /// Its value will hold the commit's stamp, which nobody knows yet.
    Unreadable,
}

#[derive(Debug)]
enum Pending {
    Set(Bytes),
    Clear,
    Add(i64),
    Stamped(VersionstampedValue),
}

/// The writes of one transaction: first its cleared ranges, then its keys, then its stamped keys.
#[derive(Debug, Default)]
pub(super) struct WriteSet {
    cleared: Vec<KeyRange>,
    keys: BTreeMap<Bytes, Pending>,
    stamped_keys: Vec<StampedKey>,
    conflicts: Vec<KeyRange>,
    broken: Option<StoreError>,
}

impl WriteSet {
    /// Whether a commit of it would change nothing and conflict with nobody.
    pub(super) fn is_empty(&self) -> bool {
        self.cleared.is_empty() && self.keys.is_empty() && self.stamped_keys.is_empty() && self.conflicts.is_empty()
    }

    /// The first rule that a write has broken.
    pub(super) fn broken(&self) -> Option<&StoreError> {
        self.broken.as_ref()
    }

    pub(super) fn set(&mut self, key: &[u8], value: &[u8]) {
        if self.admits_key(key) && self.admits_value(value.len()) {
            self.keys.insert(Bytes::copy_from_slice(key), Pending::Set(Bytes::copy_from_slice(value)));
        }
    }

    pub(super) fn clear(&mut self, key: &[u8]) {
        if self.admits_key(key) {
            self.keys.insert(Bytes::copy_from_slice(key), Pending::Clear);
        }
    }

    pub(super) fn clear_range(&mut self, range: KeyRange) {
        if !self.admits_range(&range) || range.is_empty() {
            return;
        }
        let covered: Vec<Bytes> =
            self.keys.range(range.start.clone()..range.end.clone()).map(|(k, _)| k.clone()).collect();
        for key in covered {
            self.keys.remove(&key);
        }
        self.clear_stamped_keys(&range);
        self.cleared.push(range);
    }

    /// A stamped key is cleared by a range that holds all places where it may come to stand. One that holds some of them
    /// would have an outcome that depends on the stamp.
    fn clear_stamped_keys(&mut self, range: &KeyRange) {
        let mut torn = false;
        self.stamped_keys.retain(|stamped| {
            let span = stamped.span(Stamp::default());
            let whole = range.start <= span.start && span.end <= range.end;
            torn |= !whole && span.intersects(range);
            !whole
        });
        if torn {
            self.misuse(
                "a range cleared after a versionstamped key holds only some of the places where the key may stand",
            );
        }
    }

    pub(super) fn add(&mut self, key: &[u8], delta: i64) {
        if !self.admits_key(key) {
            return;
        }
        let next = match self.own(key) {
            Own::Untouched => Pending::Add(delta),
            Own::Added(before) => Pending::Add(before.wrapping_add(delta)),
            Own::Known(value) => Pending::Set(add_to(value.as_deref(), delta)),
            Own::Unreadable => return self.misuse("an add to a key whose value is written with a stamp"),
        };
        self.keys.insert(Bytes::copy_from_slice(key), next);
    }

    pub(super) fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
        let longest = join(prefix, Stamp::default(), suffix);
        if self.admits_key(&longest) && self.admits_value(value.len()) {
            let [prefix, suffix, value] = [prefix, suffix, value].map(Bytes::copy_from_slice);
            self.stamped_keys.push(StampedKey { prefix, suffix, value });
        }
    }

    pub(super) fn set_versionstamped_value(&mut self, key: &[u8], value: VersionstampedValue) {
        if self.admits_key(key) && self.admits_value(value.before.len() + Stamp::BYTES + value.after.len()) {
            self.keys.insert(Bytes::copy_from_slice(key), Pending::Stamped(value));
        }
    }

    pub(super) fn add_conflict(&mut self, range: KeyRange) {
        if self.admits_range(&range) && !range.is_empty() {
            self.conflicts.push(range);
        }
    }

    /// What these writes say about `key`.
    pub(super) fn own(&self, key: &[u8]) -> Own {
        match self.keys.get(key) {
            Some(Pending::Set(value)) => Own::Known(Some(value.clone())),
            Some(Pending::Clear) => Own::Known(None),
            Some(Pending::Stamped(_)) => Own::Unreadable,
            Some(Pending::Add(delta)) => Own::Added(*delta),
            None if self.cleared.iter().any(|range| range.contains(key)) => Own::Known(None),
            None => Own::Untouched,
        }
    }

    /// Whether a scan of `range` can be answered, in a transaction that reads at `read_stamp`: not if it could hold
    /// something that the commit's stamp decides.
    pub(super) fn can_scan(&self, range: &KeyRange, read_stamp: Stamp) -> bool {
        let mut own = self.keys.range(range.start.clone()..range.end.clone().max(range.start.clone()));
        own.all(|(_, pending)| !matches!(pending, Pending::Stamped(_)))
            && !self.stamped_keys.iter().any(|stamped| stamped.span(read_stamp).intersects(range))
    }

    /// Lays these writes over `entries`, which are all that the store has in `range`. Answers in key order.
    pub(super) fn overlay(&self, range: &KeyRange, mut entries: Vec<(Bytes, Bytes)>) -> Vec<(Bytes, Bytes)> {
        if range.is_empty() || (self.cleared.is_empty() && self.keys.is_empty()) {
            return entries;
        }
        entries.retain(|(key, _)| !self.cleared.iter().any(|range| range.contains(key)));
        let mut merged: BTreeMap<Bytes, Bytes> = entries.into_iter().collect();
        for (key, pending) in self.keys.range(range.start.clone()..range.end.clone()) {
            match pending {
                Pending::Set(value) => merged.insert(key.clone(), value.clone()),
                Pending::Clear => merged.remove(key),
                Pending::Add(delta) => {
                    let sum = add_to(merged.get(key).map(AsRef::as_ref), *delta);
                    merged.insert(key.clone(), sum)
                }
                Pending::Stamped(_) => unreachable!("a scan over a stamped value was refused by can_scan"),
            };
        }
        merged.into_iter().collect()
    }

    /// The ranges on which later readers conflict with this commit, if it gets `stamp`.
    pub(super) fn conflict_ranges(&self, stamp: Stamp) -> Vec<KeyRange> {
        let keys = self.keys.keys().map(|key| KeyRange::single(key));
        let stamped = self.stamped_keys.iter().map(|stamped| KeyRange::single(&stamped.at(stamp)));
        self.cleared.iter().chain(&self.conflicts).cloned().chain(keys).chain(stamped).collect()
    }

    /// Its size as FoundationDB counts it: each mutation, and the two ends of each range that it conflicts on.
    pub(super) fn bytes(&self) -> usize {
        let key_conflict = |key_bytes: usize| 2 * key_bytes + 1;
        let keys = self.keys.iter().map(|(key, pending)| {
            let value_bytes = match pending {
                Pending::Set(value) => value.len(),
                Pending::Clear => 0,
                Pending::Add(_) => 8,
                Pending::Stamped(value) => value.before.len() + Stamp::BYTES + value.after.len(),
            };
            key.len() + value_bytes + key_conflict(key.len())
        });
        let stamped = self.stamped_keys.iter().map(|stamped| {
            let key_bytes = stamped.prefix.len() + Stamp::BYTES + stamped.suffix.len();
            key_bytes + stamped.value.len() + key_conflict(key_bytes)
        });
        let cleared = self.cleared.iter().map(|range| 2 * range.bytes());
        keys.chain(stamped).chain(cleared).chain(self.conflicts.iter().map(KeyRange::bytes)).sum()
    }

    /// The changes to apply, in order, under `stamp`.
    pub(super) fn into_mutations(self, stamp: Stamp) -> impl Iterator<Item = Mutation> {
        let cleared = self.cleared.into_iter().map(Mutation::ClearRange);
        let keys = self.keys.into_iter().map(move |(key, pending)| match pending {
            Pending::Set(value) => Mutation::Set(key, value),
            Pending::Clear => Mutation::Clear(key),
            Pending::Add(delta) => Mutation::Add(key, delta),
            Pending::Stamped(value) => Mutation::Set(key, join(&value.before, stamp, &value.after)),
        });
        let stamped = self.stamped_keys.into_iter().map(move |key| Mutation::Set(key.at(stamp), key.value));
        cleared.chain(keys).chain(stamped)
    }

    fn admits_key(&mut self, key: &[u8]) -> bool {
        if key.len() > KEY_BYTES_LIMIT {
            self.breaks(StoreError::TooLarge { what: "key", bytes: key.len(), limit: KEY_BYTES_LIMIT });
            return false;
        }
        if key.first() == Some(&RESERVED) {
            self.misuse("keys that begin with 0xff belong to the store");
            return false;
        }
        true
    }

    fn admits_range(&mut self, range: &KeyRange) -> bool {
        let longest = range.start.len().max(range.end.len());
        // One byte more than a key: the end of the range that holds only the longest key.
        if longest > KEY_BYTES_LIMIT + 1 {
            self.breaks(StoreError::TooLarge { what: "key", bytes: longest, limit: KEY_BYTES_LIMIT });
            return false;
        }
        if range.end.as_ref() > [RESERVED].as_slice() {
            self.misuse("keys that begin with 0xff belong to the store");
            return false;
        }
        true
    }

    fn admits_value(&mut self, bytes: usize) -> bool {
        if bytes > VALUE_BYTES_LIMIT {
            self.breaks(StoreError::TooLarge { what: "value", bytes, limit: VALUE_BYTES_LIMIT });
        }
        bytes <= VALUE_BYTES_LIMIT
    }

    fn misuse(&mut self, what: &str) {
        self.breaks(StoreError::Misuse { what: what.to_owned() });
    }

    fn breaks(&mut self, error: StoreError) {
        self.broken.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use super::super::range::successor;
    use super::*;

    fn entry(key: &'static str, value: &'static str) -> (Bytes, Bytes) {
        (Bytes::from(key), Bytes::from(value))
    }

    #[test]
    fn later_writes_of_a_key_count_and_a_cleared_range_hides_only_what_came_before_it() {
        let mut writes = WriteSet::default();
        writes.set(b"b", b"old");
        writes.clear_range(KeyRange::new(&b"a"[..], &b"c"[..]));
        assert_eq!(writes.own(b"b"), Own::Known(None));
        writes.set(b"b", b"new");
        assert_eq!(writes.own(b"b"), Own::Known(Some(Bytes::from_static(b"new"))));
        let all = KeyRange::prefix(b"");
        assert_eq!(
            writes.overlay(&all, vec![entry("a", "1"), entry("c", "2")]),
            vec![entry("b", "new"), entry("c", "2")]
        );
    }

    #[test]
    fn adds_fold_into_what_is_known_and_wait_for_the_store_otherwise() {
        let mut writes = WriteSet::default();
        writes.add(b"n", 5);
        writes.add(b"n", -7);
        assert_eq!(writes.own(b"n"), Own::Added(-2));
        writes.clear(b"n");
        writes.add(b"n", 3);
        assert_eq!(writes.own(b"n"), Own::Known(Some(add_to(None, 3))));
    }

    #[test]
    fn a_stamped_key_is_cleared_by_a_range_around_it_and_torn_by_one_through_it() {
        let mut writes = WriteSet::default();
        writes.set_versionstamped_key(b"log/", b"", b"v");
        writes.clear_range(KeyRange::prefix(b"log/"));
        assert_eq!(writes.into_mutations(Stamp::default()).count(), 1, "only the clear is left");

        let mut writes = WriteSet::default();
        writes.set_versionstamped_key(b"log/", b"", b"v");
        writes.clear_range(KeyRange::new(&b"log/"[..], &b"log/\x01"[..]));
        assert!(matches!(writes.broken(), Some(StoreError::Misuse { .. })));
    }

    #[test]
    fn a_scan_below_the_read_version_may_pass_a_pending_stamped_key() {
        let mut writes = WriteSet::default();
        writes.set_versionstamped_key(b"log/", b"", b"v");
        let seen = Stamp::from_count(7);
        let below = KeyRange::new(&b"log/"[..], successor(&join(b"log/", seen, b"")));
        assert!(writes.can_scan(&below, seen));
        assert!(!writes.can_scan(&KeyRange::prefix(b"log/"), seen));
    }

    #[test]
    fn keys_of_the_store_itself_are_refused() {
        let mut writes = WriteSet::default();
        writes.set(b"\xff/x", b"");
        assert!(matches!(writes.broken(), Some(StoreError::Misuse { .. })));
        let mut writes = WriteSet::default();
        writes.clear_range(KeyRange::prefix(b""));
        assert_eq!(writes.broken(), None);
    }
}
