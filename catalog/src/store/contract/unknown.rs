//! Unknown outcomes: a random history in which commits fail before, fail after, arrive later, or succeed. What was answered as
//! done is there, what was answered as not done is not, and what is unknown is there whole, at one place of the order, or not
//! at all (I6).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use vfs::SeededRandom;

use super::begin;
use super::checker::{Observed, Step, judge};
use super::history::history;
use crate::store::{FaultOdds, FaultyStore, KeyRange, KvStore, Read, Stamp, StoreError, scan};

const ODDS: FaultOdds = FaultOdds { fail_before: 60, fail_after: 80, apply_later: 80 };

/// Runs one such history over `inner`, an empty store, and judges it; the error says what was wrong.
pub(super) async fn check_history(inner: Arc<dyn KvStore>, seed: u64) -> Result<(), String> {
    let store = FaultyStore::new(inner, Arc::new(SeededRandom::new(seed)));
    store.set_odds(ODDS);
    let mut history = history(&store, seed, true).await;
    store.set_odds(FaultOdds::default());
    store.release().await;
    let mut reader = begin(&store).await;
    let marks = scan(reader.as_mut(), KeyRange::prefix(b"marker/"), Read::Snapshot).await.expect("a range is read");
    let marks: BTreeMap<Bytes, Stamp> =
        marks.into_iter().map(|(key, value)| (key, Stamp(value.as_ref().try_into().expect("a stamp")))).collect();
    let (mut landed, mut lost) = (0, 0);
    for observed in &mut history {
        let Some(found) = mark(observed).map(|key| marks.get(key).copied()) else { continue };
        match (&observed.outcome, found) {
            (Err(StoreError::MaybeCommitted { .. }), Some(stamp)) => {
                landed += 1;
                observed.outcome = Ok(stamp);
            }
            (Err(StoreError::MaybeCommitted { .. }), None) => lost += 1,
            (Ok(answered), Some(stamp)) if *answered == stamp => {}
            (Err(_), None) => {}
            (outcome, found) => return Err(format!("answered {outcome:?}, and found {found:?}: {observed:?}")),
        }
    }
    assert!(landed > 0 && lost > 0, "{landed} unknown commits landed and {lost} did not: that shows too little");
    judge(&history)
}

fn mark(observed: &Observed) -> Option<&Bytes> {
    match observed.steps.last() {
        Some(Step::StampedValue(key, _)) if key.starts_with(b"marker/") => Some(key),
        _ => None,
    }
}
