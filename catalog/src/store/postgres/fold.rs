//! What a group of commits does to the entries, in one: each key once, so that it is written by a few statements. Pure.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::super::KeyRange;
use super::super::mutation::{Mutation, add_to};

/// What becomes of a key, after the cleared ranges.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Set(Bytes),
    Clear,
    /// Added to what is there before the group.
    Add(i64),
}

/// The changes of several commits, applied in order: first the ranges are cleared, then each key meets its fate.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// Ranges whose keys go.
    pub(super) cleared: Vec<KeyRange>,
    keys: BTreeMap<Bytes, Fate>,
}

impl Folded {
    /// Adds one change, which comes after all before.
    pub(super) fn push(&mut self, mutation: Mutation) {
        match mutation {
            Mutation::Set(key, value) => drop(self.keys.insert(key, Fate::Set(value))),
            Mutation::Clear(key) => drop(self.keys.insert(key, Fate::Clear)),
            Mutation::ClearRange(range) if range.is_empty() => {}
            Mutation::ClearRange(range) => {
                let inside = self.keys.range(range.start.clone()..range.end.clone());
                let inside: Vec<Bytes> = inside.map(|(key, _)| key.clone()).collect();
                inside.iter().for_each(|key| drop(self.keys.remove(key)));
                self.cleared.push(range);
            }
            Mutation::Add(key, delta) => {
                let next = match self.keys.get(&key) {
                    Some(Fate::Set(value)) => Fate::Set(add_to(Some(value), delta)),
                    Some(Fate::Clear) => Fate::Set(add_to(None, delta)),
                    Some(Fate::Add(before)) => Fate::Add(before.wrapping_add(delta)),
                    None if self.cleared.iter().any(|range| range.contains(&key)) => Fate::Set(add_to(None, delta)),
                    None => Fate::Add(delta),
                };
                self.keys.insert(key, next);
            }
        }
    }

    /// The keys whose value before the group is needed.
    pub(super) fn added_to(&self) -> Vec<Bytes> {
        self.keys.iter().filter(|(_, fate)| matches!(fate, Fate::Add(_))).map(|(key, _)| key.clone()).collect()
    }

    /// The keys that go, and the keys and values that are written, once it is known what stood under [`Folded::added_to`].
    pub(super) fn finish(self, stood: &BTreeMap<Bytes, Bytes>) -> (Vec<Bytes>, Vec<Bytes>, Vec<Bytes>) {
        let (mut gone, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let cleared: BTreeSet<KeyRange> = self.cleared.into_iter().collect();
        for (key, fate) in self.keys {
            let value = match fate {
                Fate::Set(value) => value,
                Fate::Add(delta) => add_to(stood.get(&key).map(AsRef::as_ref), delta),
                Fate::Clear => {
                    if !cleared.iter().any(|range| range.contains(&key)) {
                        gone.push(key);
                    }
                    continue;
                }
            };
            keys.push(key);
            values.push(value);
        }
        (gone, keys, values)
    }
}

#[cfg(test)]
mod tests {
    use vfs::{Random, SeededRandom};

    use super::*;

    /// Applied one by one, or folded and then applied: the same entries.
    #[test]
    fn folded_changes_leave_what_the_changes_one_by_one_leave() {
        for seed in 0..200 {
            let random = SeededRandom::new(seed);
            let below = |limit: u64| random.next_u64() % limit;
            let key = || Bytes::from(vec![b'a' + u8::try_from(below(6)).unwrap()]);
            let before: BTreeMap<Bytes, Bytes> = (0..3).map(|_| (key(), add_to(None, 5))).collect();
            let (mut one_by_one, mut folded) = (before.clone(), Folded::default());
            for _ in 0..below(12) {
                let mutation = match below(4) {
                    0 => Mutation::Set(key(), add_to(None, 7)),
                    1 => Mutation::Clear(key()),
                    2 => Mutation::Add(key(), 3),
                    _ => Mutation::ClearRange(KeyRange { start: key(), end: key() }),
                };
                match &mutation {
                    Mutation::Set(key, value) => drop(one_by_one.insert(key.clone(), value.clone())),
                    Mutation::Clear(key) => drop(one_by_one.remove(key)),
                    Mutation::Add(key, delta) => {
                        let sum = add_to(one_by_one.get(key).map(AsRef::as_ref), *delta);
                        one_by_one.insert(key.clone(), sum);
                    }
                    Mutation::ClearRange(range) => one_by_one.retain(|key, _| !range.contains(key)),
                }
                folded.push(mutation);
            }
            let added_to = folded.added_to();
            let stood = before.iter().filter(|(key, _)| added_to.contains(key));
            let stood = stood.map(|(key, value)| (key.clone(), value.clone())).collect();
            let mut after = before.clone();
            after.retain(|key, _| !folded.cleared.iter().any(|range| range.contains(key)));
            let (gone, keys, values) = folded.finish(&stood);
            gone.iter().for_each(|key| drop(after.remove(key)));
            after.extend(keys.into_iter().zip(values));
            assert_eq!(after, one_by_one, "seed {seed}");
        }
    }
}
