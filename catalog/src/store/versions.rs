//! A map that keeps its recent versions, so that readers of an older one are not disturbed. The inside of `memory`.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Included};

use bytes::Bytes;

use super::mutation::{Mutation, add_to};
use super::transaction::PAGE_BYTES;
use super::{KeyRange, RangePage};

/// What a key was, from which version on: oldest first, never empty. `None`: not there.
type History = Vec<(u64, Option<Bytes>)>;

/// Keys with their histories. A version can be read for as long as it is held.
#[derive(Debug, Default)]
pub(super) struct VersionedMap {
    histories: BTreeMap<Bytes, History>,
    /// Which versions are being read, and by how many.
    held: BTreeMap<u64, usize>,
    /// Keys whose history has something to forget, with the version that replaced it.
    replaced: VecDeque<(u64, Bytes)>,
}

impl VersionedMap {
    /// Keeps `version` readable until [`VersionedMap::release`].
    pub(super) fn hold(&mut self, version: u64) {
        *self.held.entry(version).or_default() += 1;
    }

    /// Undoes one [`VersionedMap::hold`].
    pub(super) fn release(&mut self, version: u64) {
        let readers = self.held.get_mut(&version).expect("only held versions are released");
        *readers -= 1;
        if *readers == 0 {
            self.held.remove(&version);
        }
    }

    /// The value of `key` in `version`.
    pub(super) fn get(&self, key: &[u8], version: u64) -> Option<Bytes> {
        self.histories.get(key).and_then(|history| in_version(history, version)).cloned()
    }

    /// A page of `range` in `version`.
    pub(super) fn page(&self, range: &KeyRange, limit: usize, reverse: bool, version: u64) -> RangePage {
        let bounds = (Included(range.start.as_ref()), Excluded(range.end.as_ref()));
        let entries = self.histories.range::<[u8], _>(bounds);
        let present = |(key, history): (&Bytes, &History)| Some((key.clone(), in_version(history, version)?.clone()));
        if reverse { fill(entries.rev().filter_map(present), limit) } else { fill(entries.filter_map(present), limit) }
    }

    /// Applies one commit as `version`.
    pub(super) fn apply(&mut self, mutations: impl Iterator<Item = Mutation>, version: u64) {
        for mutation in mutations {
            match mutation {
                Mutation::Set(key, value) => self.put(key, Some(value), version),
                Mutation::Clear(key) => self.put(key, None, version),
                Mutation::Add(key, delta) => {
                    let sum = add_to(self.get(&key, version).as_deref(), delta);
                    self.put(key, Some(sum), version);
                }
                Mutation::ClearRange(range) => {
                    let bounds = (Included(range.start.as_ref()), Excluded(range.end.as_ref()));
                    let keys: Vec<Bytes> =
                        self.histories.range::<[u8], _>(bounds).map(|(key, _)| key.clone()).collect();
                    keys.into_iter().for_each(|key| self.put(key, None, version));
                }
            }
        }
        self.forget(version);
    }

    /// How many values are kept, of all versions.
    #[cfg(test)]
    pub(super) fn versions(&self) -> usize {
        self.histories.values().map(Vec::len).sum()
    }

    fn put(&mut self, key: Bytes, value: Option<Bytes>, version: u64) {
        let history = self.histories.entry(key.clone()).or_default();
        match history.last_mut() {
            Some((last, current)) if *last == version => *current = value,
            _ => history.push((version, value)),
        }
        self.replaced.push_back((version, key));
    }

    /// Forgets what no reader of `current`, or of a held version, can see.
    fn forget(&mut self, current: u64) {
        let oldest = self.held.keys().next().map_or(current, |held| current.min(*held));
        while self.replaced.front().is_some_and(|(version, _)| *version <= oldest) {
            let (_, key) = self.replaced.pop_front().expect("its front was just seen");
            let Some(history) = self.histories.get_mut(&key) else { continue };
            let seen_by_oldest = history.partition_point(|(version, _)| *version <= oldest).saturating_sub(1);
            history.drain(..seen_by_oldest);
            if matches!(history.as_slice(), [(version, None)] if *version <= oldest) {
                self.histories.remove(&key);
            }
        }
    }
}

fn in_version(history: &History, version: u64) -> Option<&Bytes> {
    let later = history.partition_point(|(from, _)| *from <= version);
    history[..later].last().and_then(|(_, value)| value.as_ref())
}

/// Takes entries until a page is full.
fn fill(entries: impl Iterator<Item = (Bytes, Bytes)>, limit: usize) -> RangePage {
    let mut page = RangePage::default();
    let mut bytes = 0;
    for (key, value) in entries {
        if page.entries.len() == limit || bytes >= PAGE_BYTES {
            page.more = true;
            break;
        }
        bytes += key.len() + value.len();
        page.entries.push((key, value));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &'static str, value: &'static str) -> Mutation {
        Mutation::Set(Bytes::from(key), Bytes::from(value))
    }

    #[test]
    fn a_held_version_stays_as_it_was_and_is_forgotten_after_its_release() {
        let mut map = VersionedMap::default();
        map.apply([set("a", "1"), set("b", "1")].into_iter(), 1);
        map.hold(1);
        map.apply([Mutation::ClearRange(KeyRange::prefix(b"")), set("c", "2")].into_iter(), 2);
        assert_eq!(map.page(&KeyRange::prefix(b""), 10, false, 1).entries.len(), 2);
        assert_eq!(map.get(b"a", 2), None);
        map.release(1);
        map.apply([set("d", "3")].into_iter(), 3);
        assert_eq!(map.histories.len(), 2, "cleared keys leave nothing behind: {map:?}");
        assert!(map.replaced.is_empty());
    }
}
