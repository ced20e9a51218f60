//! The judge of histories, which knows nothing of any store.
//!
//! It executes the committed transactions one by one in the order of their stamps on a plain map, and demands
//! 1. that each committed transaction read exactly what stands there at its place (strict serialisability);
//! 2. that every transaction, also one that failed, read one version of the store, not older than what had been answered
//!    before it began;
//! 3. that a stamp is higher than all that were answered before its transaction began.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::store::{KeyRange, RangeOptions, RangePage, Read, Stamp, StoreError};

type Model = BTreeMap<Bytes, Bytes>;

/// One thing that a transaction did, and what it was answered.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Get(Bytes, Read, Option<Bytes>),
    Range(KeyRange, RangeOptions, RangePage),
    Set(Bytes, Bytes),
    Clear(Bytes),
    ClearRange(KeyRange),
    Add(Bytes, i64),
    StampedKey(Bytes, Bytes),
    StampedValue(Bytes, Bytes),
}

/// One transaction as it went.
#[derive(Debug)]
pub(super) struct Observed {
    /// The highest stamp that had been answered to anybody before it began.
    pub(super) answered_before: Stamp,
    /// What it did, in order.
    pub(super) steps: Vec<Step>,
    /// How its commit ended.
    pub(super) outcome: Result<Stamp, StoreError>,
}

impl Observed {
    fn writes(&self) -> bool {
        !self.steps.iter().all(|step| matches!(step, Step::Get(..) | Step::Range(..)))
    }
}

/// Judges a history that began on an empty store; the error says what was wrong.
pub(super) fn judge(history: &[Observed]) -> Result<(), String> {
    let mut committed: Vec<(Stamp, &Observed)> = Vec::new();
    for observed in history {
        if let Ok(stamp) = observed.outcome {
            let late_enough =
                stamp > observed.answered_before || (!observed.writes() && stamp == observed.answered_before);
            if !late_enough {
                return Err(format!("the stamp {stamp} is not above one answered before its begin: {observed:?}"));
            }
            committed.push((stamp, observed));
        }
    }
    committed.sort_by_key(|(stamp, observed)| (*stamp, !observed.writes()));
    let mut states = vec![(Stamp::default(), Model::new())];
    for (stamp, observed) in committed {
        let (last, state) = states.last().expect("the empty store is the first state");
        if observed.writes() && stamp == *last {
            return Err(format!("two commits have the stamp {stamp}"));
        }
        // A transaction that wrote nothing has the stamp of its version, so all that it read must stand there; of another's
        // reads, those that can conflict must still stand where it committed.
        let after = replay(&observed.steps, state, stamp, !observed.writes())
            .map_err(|broken| format!("not serialisable at {stamp}: {broken} in {observed:?}"))?;
        if observed.writes() {
            states.push((stamp, after));
        }
    }
    for observed in history {
        let recent = states.partition_point(|(stamp, _)| *stamp <= observed.answered_before).saturating_sub(1);
        let mut candidates = states[recent..].iter();
        if !candidates.any(|(_, state)| replay(&observed.steps, state, Stamp::default(), true).is_ok()) {
            return Err(format!("did not read one recent version: {observed:?}"));
        }
    }
    Ok(())
}

/// Executes `steps` on `state`; answers the state after them, or which read was answered something else.
fn replay(steps: &[Step], state: &Model, stamp: Stamp, with_snapshot_reads: bool) -> Result<Model, String> {
    let mut state = state.clone();
    let counts = |read: Read| with_snapshot_reads || read == Read::Serializable;
    for step in steps {
        match step {
            Step::Get(key, read, seen) if counts(*read) && state.get(key) != seen.as_ref() => {
                return Err(format!("{key:?} is {:?}, and was read as {seen:?}", state.get(key)));
            }
            Step::Range(range, options, seen)
                if counts(options.read) && !shows(seen, &page(&state, range, *options)) =>
            {
                return Err(format!("{range:?} holds {:?}, and was read as {seen:?}", page(&state, range, *options)));
            }
            Step::Get(..) | Step::Range(..) => {}
            Step::Set(key, value) => drop(state.insert(key.clone(), value.clone())),
            Step::Clear(key) => drop(state.remove(key)),
            Step::ClearRange(range) => state.retain(|key, _| !range.contains(key)),
            Step::Add(key, delta) => {
                let mut number = [0; 8];
                let value = state.get(key).cloned().unwrap_or_default();
                value.iter().zip(&mut number).for_each(|(byte, place)| *place = *byte);
                let sum = i64::from_le_bytes(number).wrapping_add(*delta);
                state.insert(key.clone(), Bytes::copy_from_slice(&sum.to_le_bytes()));
            }
            Step::StampedKey(key, tail) => {
                state.insert([key.as_ref(), stamp.as_ref(), tail].concat().into(), Bytes::new());
            }
            Step::StampedValue(key, tail) => drop(state.insert(key.clone(), [stamp.as_ref(), tail].concat().into())),
        }
    }
    Ok(state)
}

fn page(state: &Model, range: &KeyRange, options: RangeOptions) -> RangePage {
    let inside = state.iter().filter(|(key, _)| range.contains(key)).map(|(key, value)| (key.clone(), value.clone()));
    let mut entries: Vec<(Bytes, Bytes)> = inside.collect();
    if options.reverse {
        entries.reverse();
    }
    let more = entries.len() > options.limit;
    entries.truncate(options.limit);
    RangePage { entries, more }
}

/// Whether a page that was read shows what stood there. It may promise more where nothing follows, never the reverse.
fn shows(seen: &RangePage, stood: &RangePage) -> bool {
    seen.entries == stood.entries && (seen.more || !stood.more)
}
