//! What a session was last answered with, so that it never goes back (I5). Owns the memory of it, not the waiting.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use catalog::{Offset, StreamId};

/// Which rows a session's queries see: `SET freshness = …`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// Committed rows and those in the owners' memory.
    #[default]
    Latest,
    /// Committed rows only: no worker is asked.
    Committed,
}

/// The offset vector that a session has seen, per freshness. Shared by all that runs in the session.
#[derive(Debug, Default)]
pub struct SessionVector {
    seen: Mutex<BTreeMap<(Freshness, StreamId), Offset>>,
}

impl SessionVector {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Freshness, StreamId), Offset>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end up to which the session has seen `stream`.
    pub fn seen(&self, freshness: Freshness, stream: StreamId) -> Option<Offset> {
        self.lock().get(&(freshness, stream)).copied()
    }

    /// All ends that the session has seen at this freshness.
    pub fn ends(&self, freshness: Freshness) -> BTreeMap<StreamId, Offset> {
        let seen = self.lock();
        seen.iter().filter(|((of, _), _)| *of == freshness).map(|((_, stream), end)| (*stream, *end)).collect()
    }

    /// The session was answered with these ends. Never moves one back.
    pub fn answered(&self, freshness: Freshness, ends: &BTreeMap<StreamId, Offset>) {
        let mut seen = self.lock();
        for (stream, end) in ends {
            let known = seen.entry((freshness, *stream)).or_insert(*end);
            *known = (*known).max(*end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_remembers_the_highest_end_of_each_freshness() {
        let session = SessionVector::new();
        let stream = StreamId(7);
        session.answered(Freshness::Latest, &BTreeMap::from([(stream, Offset(9))]));
        session.answered(Freshness::Latest, &BTreeMap::from([(stream, Offset(4))]));
        session.answered(Freshness::Committed, &BTreeMap::from([(stream, Offset(3))]));
        assert_eq!(session.seen(Freshness::Latest, stream), Some(Offset(9)));
        assert_eq!(session.seen(Freshness::Committed, stream), Some(Offset(3)));
        assert_eq!(session.seen(Freshness::Latest, StreamId(8)), None);
    }
}
