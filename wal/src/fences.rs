//! The newest epoch of each stream (I2). Pure: who records it, and when, is the writer's business.

use std::collections::BTreeMap;

/// Epochs that only rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fences(BTreeMap<u64, u64>);

impl Fences {
    /// Raises the stream's epoch; false if it already was as new.
    pub(crate) fn raise(&mut self, stream: u64, epoch: u64) -> bool {
        let newest = self.0.get(&stream).copied();
        let rises = newest.is_none_or(|newest| newest < epoch);
        if rises {
            self.0.insert(stream, epoch);
        }
        rises
    }

    pub(crate) fn raise_all(&mut self, others: &Fences) {
        for (stream, epoch) in others.iter() {
            self.raise(stream, epoch);
        }
    }

    pub(crate) fn newest(&self, stream: u64) -> Option<u64> {
        self.0.get(&stream).copied()
    }

    pub(crate) fn forget(&mut self, stream: u64) {
        self.0.remove(&stream);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(stream, epoch)| (*stream, *epoch))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_map(self) -> BTreeMap<u64, u64> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_never_falls() {
        let mut fences = Fences::default();
        assert!(fences.raise(1, 5));
        assert!(!fences.raise(1, 4) && !fences.raise(1, 5));
        assert!(fences.raise(1, 6) && fences.raise(2, 0));
        assert_eq!(fences.iter().collect::<Vec<_>>(), [(1, 6), (2, 0)]);
    }
}
