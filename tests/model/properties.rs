//! What must hold in every state, by the ids of DESIGN's invariants, and what must be reachable so that the first means
//! something. Looks at the log, the store and what tasks were told; knows no rule.

use stateright::Property;

use crate::catalog::{Logged, Offset, PartId};
use crate::protocol::{BATCHES, Late, Protocol, State};
use crate::task::{Flush, Step, Task};

/// Each offset below the committed one is accounted for.
pub const NOT_LOST: &str = "I1: no offset lost";
/// No offset is accounted for twice.
pub const NOT_TWICE: &str = "I1: no offset twice";
/// Each commit begins where the one before ended.
pub const ORDER: &str = "I3: in order, without holes";
/// No commit under an epoch older than the newest granted.
pub const FENCED: &str = "I2: no commit under an older epoch than the newest granted";
/// The owner of a newer epoch that has committed is never followed by an older one.
pub const STALE: &str = "I2: no stale commit after the newer owner's first";
/// No commit is applied twice.
pub const ONCE: &str = "I6: a commit is applied once";
/// A commit that a task was told of is there.
pub const TOLD: &str = "I6: what a task was told of has happened";
/// A commit that a task has forgotten is not.
pub const FORGOTTEN: &str = "I6: what a task has forgotten never happens";
/// A visible part was uploaded.
pub const DANGLING: &str = "I7: no dangling reference";
/// A visible part was not deleted.
pub const DELETED: &str = "I7: no early delete";

type Promise = Property<Protocol>;

/// All properties.
pub fn all() -> Vec<Promise> {
    vec![
        Promise::always(NOT_LOST, |_, state| offsets().take(state.catalog.next.into()).all(|at| covers(state, at) > 0)),
        Promise::always(NOT_TWICE, |_, state| offsets().all(|at| covers(state, at) < 2)),
        Promise::always(ORDER, |_, state| {
            let starts = state.catalog.log.iter().map(|logged| logged.request.start);
            let ends = state.catalog.log.iter().map(|logged| logged.request.end);
            starts.eq(std::iter::once(0).chain(ends).take(state.catalog.log.len()))
        }),
        Promise::always(FENCED, |_, state| state.catalog.log.iter().all(|logged| !is_stale(logged))),
        Promise::always(STALE, |_, state| state.catalog.log.is_sorted_by_key(|logged| logged.request.epoch)),
        Promise::always(ONCE, |_, state| state.catalog.log.len() == state.catalog.committed().iter().count()),
        Promise::always(TOLD, |_, state| !state.was_lied_to),
        Promise::always(FORGOTTEN, |_, state| !state.has_risen),
        Promise::always(DANGLING, |_, state| {
            state.catalog.visible().iter().all(|part| state.objects.contains(part) || state.deleted.contains(part))
        }),
        Promise::always(DELETED, |_, state| {
            state.catalog.visible().iter().all(|part| state.objects.contains(part) || !state.deleted.contains(part))
        }),
        Promise::sometimes("all is committed, by both owners", |_, state| {
            let epochs = || state.catalog.log.iter().map(|logged| logged.request.epoch);
            state.catalog.next == BATCHES && epochs().any(|epoch| epoch == 1) && epochs().any(|epoch| epoch == 2)
        }),
        Promise::sometimes("a commit has happened, and its task does not know", |_, state| {
            flushes(state)
                .any(|flush| flush.step == Step::Unknown && state.catalog.committed().contains(flush.request.part))
        }),
        Promise::sometimes("a commit is on its way, and its task is dead or has forgotten it", |_, state| {
            let of_nobody = |late: &Late| flushes(state).all(|flush| flush.request.part != late.part());
            state.late.as_ref().is_some_and(of_nobody)
        }),
        Promise::sometimes("a commit is voided before it arrives, and all is committed without it", |_, state| {
            let is_void = |late: &Late| state.catalog.voids.contains(late.part());
            state.late.as_ref().is_some_and(is_void) && state.catalog.next == BATCHES
        }),
        Promise::sometimes("a zombie is about to commit after the newer owner has", |_, state| {
            flushes(state).any(|flush| flush.step == Step::Uploaded && flush.request.epoch == 1)
                && state.catalog.log.iter().any(|logged| logged.request.epoch == 2)
        }),
        Promise::sometimes("the sweeper was first", |_, state| flushes(state).any(|flush| is_swept(state, &flush))),
        Promise::sometimes("the sweeper has an intent in hand that a commit has taken", |_, state| {
            state.sweeper.is_some_and(|(part, was_visible)| !was_visible && is_visible(state, part))
        }),
        Promise::sometimes("a task holds the stream anew, beside a flush of its older grant", |_, state| {
            let is_older =
                |task: &Task| task.held.zip(task.flush).is_some_and(|(held, flush)| flush.request.epoch < held.epoch);
            state.tasks.iter().any(is_older)
        }),
    ]
}

fn offsets() -> impl Iterator<Item = Offset> {
    0..BATCHES
}

/// How many commits account for an offset.
fn covers(state: &State, offset: Offset) -> usize {
    let has = |logged: &&Logged| (logged.request.start..logged.request.end).contains(&offset);
    state.catalog.log.iter().filter(has).count()
}

fn is_stale(logged: &Logged) -> bool {
    logged.request.epoch != logged.newest
}

fn flushes(state: &State) -> impl Iterator<Item = Flush> {
    state.tasks.iter().filter_map(|task| task.flush)
}

fn is_visible(state: &State, part: PartId) -> bool {
    state.catalog.visible().contains(part)
}

/// Whether the part is there, and its intent is gone without its commit.
fn is_swept(state: &State, flush: &Flush) -> bool {
    let part = flush.request.part;
    flush.step == Step::Uploaded
        && flush.request.has_part()
        && !state.catalog.intents.contains(part)
        && !is_visible(state, part)
}
