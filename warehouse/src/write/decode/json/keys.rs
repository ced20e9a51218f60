//! From an object's keys to fields. Producers write keys in a steady order, so the bytes of the key that followed the last
//! one before are compared first; only where that fails is a key taken apart and a map asked.

use std::collections::BTreeMap;

/// A field that a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The field's index.
    pub(super) field: usize,
    /// Whether the key is the field's name to the letter, and not only without regard to case.
    pub(super) exact: bool,
}

/// A key that was seen or is expected.
#[derive(Debug)]
struct Key {
    /// `"name":`, as producers mostly write it; empty if the name has to be escaped.
    text: Box<[u8]>,
    targets: Box<[Target]>,
    /// The key that followed it last.
    next: usize,
}

/// Which key was found, for asking about it and for finding the one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyId(usize);

/// Beyond so many keys, or bytes of keys, what was learned is forgotten: keys can be data, and memory is bounded (I8).
const LEARNED_KEYS_MAX: usize = 4096;
const LEARNED_BYTES_MAX: usize = 1 << 20;

/// The keys known so far.
#[derive(Debug)]
pub(super) struct KeyIndex {
    /// The fields' names.
    fields: Vec<Box<str>>,
    keys: Vec<Key>,
    by_name: BTreeMap<Box<str>, usize>,
    learned_bytes: usize,
    /// The key that opened the last object.
    first: usize,
}

impl KeyIndex {
    /// The keys of fields with these names. Several fields may have one name.
    pub(super) fn new<'a>(fields: impl Iterator<Item = &'a str>) -> Self {
        Self {
            fields: fields.map(Box::from).collect(),
            keys: Vec::new(),
            by_name: BTreeMap::new(),
            learned_bytes: 0,
            first: 0,
        }
    }

    /// The key that is expected after `previous`, or to open the object, and how it is written with its colon.
    pub(super) fn expected(&self, previous: Option<KeyId>) -> Option<(KeyId, &[u8])> {
        let guess = match previous {
            None => self.first,
            Some(KeyId(previous)) => self.keys[previous].next,
        };
        let key = self.keys.get(guess)?;
        (!key.text.is_empty()).then_some((KeyId(guess), &*key.text))
    }

    /// The key named `name`, which comes after `previous`, or opens the object, and is expected there from now on.
    pub(super) fn find(&mut self, previous: Option<KeyId>, name: &str) -> KeyId {
        let found = match self.by_name.get(name) {
            Some(found) => *found,
            None => self.learn(name),
        };
        match previous {
            None => self.first = found,
            // After everything was forgotten, the previous key is not there any more.
            Some(KeyId(previous)) => {
                if let Some(key) = self.keys.get_mut(previous) {
                    key.next = found;
                }
            }
        }
        KeyId(found)
    }

    fn learn(&mut self, name: &str) -> usize {
        if self.keys.len() >= LEARNED_KEYS_MAX || self.learned_bytes > LEARNED_BYTES_MAX {
            self.keys.clear();
            self.by_name.clear();
            self.learned_bytes = 0;
        }
        let index = self.keys.len();
        self.learned_bytes += name.len();
        self.by_name.insert(Box::from(name), index);
        // A name with a quote in it would make a key of what is none.
        let is_plain = !name.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let text = if is_plain { format!("\"{name}\":").into_bytes() } else { Vec::new() };
        self.keys.push(Key { text: text.into_boxed_slice(), targets: self.targets_of(name), next: index + 1 });
        index
    }

    fn targets_of(&self, name: &str) -> Box<[Target]> {
        let target = |(field, known): (usize, &str)| {
            known.eq_ignore_ascii_case(name).then(|| Target { field, exact: *known == *name })
        };
        self.fields.iter().map(AsRef::as_ref).enumerate().filter_map(target).collect()
    }

    /// The fields that a key belongs to; none for an unknown key.
    pub(super) fn targets(&self, key: KeyId) -> &[Target] {
        &self.keys[key.0].targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(index: &mut KeyIndex, names: &[&str]) -> Vec<Vec<Target>> {
        let mut previous = None;
        let mut found = Vec::new();
        for name in names {
            let key = index.find(previous, name);
            assert_eq!(index.by_name[*name], key.0);
            let expected = index.expected(previous).expect("plain names are expected again");
            assert_eq!(expected, (key, format!("\"{name}\":").as_bytes()));
            found.push(index.targets(key).to_vec());
            previous = Some(key);
        }
        found
    }

    #[test]
    fn keys_are_found_in_any_order_and_case() {
        let mut index = KeyIndex::new(["a", "B", "a"].into_iter());
        let target = |field, exact| Target { field, exact };
        let (a, b) = (vec![target(0, true), target(2, true)], vec![target(1, true)]);
        for _ in 0..3 {
            assert_eq!(walk(&mut index, &["a", "B", "x", ""]), [a.clone(), b.clone(), vec![], vec![]]);
            assert_eq!(walk(&mut index, &["B", "a", "a"]), [b.clone(), a.clone(), a.clone()]);
            assert_eq!(walk(&mut index, &["b"]), [vec![target(1, false)]]);
            assert!(walk(&mut index, &[]).is_empty());
        }
    }

    #[test]
    fn a_name_that_needs_escapes_is_never_expected() {
        let mut index = KeyIndex::new(["a\"b"].into_iter());
        let key = index.find(None, "a\"b");
        assert_eq!((index.targets(key).len(), index.expected(None)), (1, None));
    }

    #[test]
    fn keys_that_are_data_do_not_fill_the_memory() {
        let mut index = KeyIndex::new(["a"].into_iter());
        for number in 0..3 * LEARNED_KEYS_MAX {
            let names = [format!("k{number}"), "a".to_owned()];
            assert_eq!(walk(&mut index, &[&names[0], &names[1]])[1].len(), 1);
            assert!(index.keys.len() <= LEARNED_KEYS_MAX + 1 && index.by_name.len() == index.keys.len());
        }
    }
}
