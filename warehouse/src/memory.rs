//! The process's memory limit (I8): one account for what ingest holds (memtables, pinned rows, source queues, WAL queues) and for
//! what queries, and statements like them, hold before they spill; and for what is kept because it is likely to be needed again.
//! Intake stops while ingest's room is spent; a query that gets no more spills, or fails.
//!
//! Both sides share one limit, and neither can be starved by the other:
//!
//! ```text
//!   0 ──────────── always ingest's ────────────┬────── whoever asks first ──────┬── always queries' ── limit
//!                                 limit - query_max                         ingest_max
//! ```
//!
//! Ingest may fill 65 % of what it has at the moment: the rest is what a flush needs beside its rows. So the one inequality
//! that holds is `ingest / 0.65 + queries + kept <= limit`. Owns the account; decides nothing about who must give memory back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vfs::planted;

/// Of its room, what ingest fills: the rest is for what is not charged, or only when it is there: a flush's sort keys and row
/// groups (about two fifths of its rows), and what the allocator holds beside what was asked of it.
const FILLED: Share = Share(13);
/// From here on, memtables are flushed before their time.
const PRESSED: Share = Share(9);
/// What queues that are always charged may take: more would leave too little for rows.
const QUEUES: Share = Share(7);

/// A number of twentieths.
#[derive(Clone, Copy)]
struct Share(u64);

impl Share {
    fn of(self, bytes: u64) -> u64 {
        bytes / 20 * self.0
    }

    /// Of how many bytes these are the share.
    fn whole(self, bytes: u64) -> u64 {
        bytes.saturating_mul(20) / self.0
    }
}

/// A process's validated numbers, in bytes. The two maxima together are at least the limit, else some of it is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Ingest and queries together.
    pub total: u64,
    /// Most that ingest may have, flushes included.
    pub ingest_max: u64,
    /// Most that queries may have together.
    pub query_max: u64,
}

impl MemoryLimits {
    /// Of a process that only answers queries.
    pub fn of_queries(limit: u64) -> Self {
        Self { total: limit, ingest_max: 0, query_max: limit }
    }

    /// Of a process that only takes in.
    pub fn of_ingest(limit: u64) -> Self {
        Self { total: limit, ingest_max: limit, query_max: 0 }
    }
}

/// The account.
#[derive(Debug)]
pub struct MemoryBudget {
    limits: MemoryLimits,
    ingest: AtomicU64,
    queries: AtomicU64,
    kept: AtomicU64,
}

impl MemoryBudget {
    /// An account of ingest alone, with room for `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Self::shared(MemoryLimits::of_ingest(limit))
    }

    /// An account of ingest and queries.
    pub fn shared(limits: MemoryLimits) -> Arc<Self> {
        Arc::new(Self { limits, ingest: AtomicU64::new(0), queries: AtomicU64::new(0), kept: AtomicU64::new(0) })
    }

    /// Charges `bytes` to ingest until the charge is dropped. Never refuses: a batch in hand must go somewhere. Whoever takes in
    /// more asks [`MemoryBudget::has_room`] first, so that the limit is passed by at most what is in hand.
    pub fn charge(self: &Arc<Self>, bytes: u64) -> Charge {
        self.ingest.fetch_add(bytes, Ordering::Relaxed);
        Charge { budget: Arc::clone(self), bytes }
    }

    /// Bytes charged to ingest.
    pub fn used(&self) -> u64 {
        self.ingest.load(Ordering::Relaxed)
    }

    /// Bytes that queries hold.
    pub fn query_used(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    /// Bytes that are kept because they are likely to be needed again.
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Most bytes that ingest may have.
    pub fn limit(&self) -> u64 {
        self.limits.ingest_max
    }

    /// The process's numbers.
    pub fn limits(&self) -> MemoryLimits {
        self.limits
    }

    /// What ingest has at the moment, flushes included: what queries hold is not its own.
    fn ingest_room(&self) -> u64 {
        self.limits.ingest_max.min(self.limits.total.saturating_sub(self.query_used() + self.kept()))
    }

    /// Whether more may be taken in.
    pub fn has_room(&self) -> bool {
        self.used() < FILLED.of(self.ingest_room()) || planted::is("memory-limit-ignored")
    }

    /// Whether enough is left for rows if `queues` bytes are always charged, even while queries hold all that they may: else
    /// memtables would be flushed all the time, or nothing would ever be taken in.
    pub fn leaves_room(&self, queues: u64) -> bool {
        queues <= QUEUES.of(self.always_ingest())
    }

    /// What queries can never take, in bytes.
    pub fn always_ingest(&self) -> u64 {
        self.limits.ingest_max.min(self.limits.total - self.limits.query_max)
    }

    /// Whether memtables should be flushed before their time, so that intake need not stop.
    pub fn is_pressed(&self) -> bool {
        self.used() >= PRESSED.of(self.ingest_room())
    }

    /// Takes `bytes` for a query; false, and nothing is taken, where that would pass the limit.
    pub fn try_take_for_query(&self, bytes: u64) -> bool {
        let most = self.query_room();
        let taken = self.queries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= most)
        });
        taken.is_ok()
    }

    /// Charges to queries what is held already: others get the less. The limit is passed by at most what is in hand.
    pub fn hold(self: &Arc<Self>, bytes: u64) -> QueryCharge {
        self.take_for_query(bytes);
        QueryCharge { budget: Arc::clone(self), bytes }
    }

    /// Charges bytes that are kept. Whoever keeps them bounds them by a share of what queries may have.
    pub fn keep(&self, bytes: u64) {
        self.kept.fetch_add(bytes, Ordering::Relaxed);
    }

    /// They are kept no longer.
    pub fn forget(&self, bytes: u64) {
        self.kept.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes `bytes` for a query that holds them already.
    pub fn take_for_query(&self, bytes: u64) {
        self.queries.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what was taken for a query.
    pub fn give_back_from_query(&self, bytes: u64) {
        self.queries.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What queries may hold at the moment: what ingest holds, with what its flushes need, is not theirs, but for what is theirs
    /// always.
    fn query_room(&self) -> u64 {
        let MemoryLimits { total, ingest_max, query_max } = self.limits;
        let ingest = FILLED.whole(self.used()).min(ingest_max);
        query_max.min(total.saturating_sub(ingest)).saturating_sub(self.kept())
    }
}

/// Bytes charged to queries, given back when dropped.
#[derive(Debug)]
pub struct QueryCharge {
    budget: Arc<MemoryBudget>,
    bytes: u64,
}

impl QueryCharge {
    /// Makes it so many bytes; false, and nothing changes, where that would pass the limit.
    pub fn try_resize(&mut self, bytes: u64) -> bool {
        match bytes.checked_sub(self.bytes) {
            None => self.shrink_to(bytes),
            Some(more) if !self.budget.try_take_for_query(more) => return false,
            Some(_) => self.bytes = bytes,
        }
        true
    }

    /// Gives back all but so many bytes.
    pub fn shrink_to(&mut self, bytes: u64) {
        assert!(bytes <= self.bytes, "{bytes} bytes are more than the {} that are held", self.bytes);
        self.budget.give_back_from_query(self.bytes - bytes);
        self.bytes = bytes;
    }

    /// As [`QueryCharge::try_resize`], by so many bytes more.
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        self.try_resize(self.bytes.saturating_add(bytes))
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for QueryCharge {
    fn drop(&mut self) {
        self.budget.give_back_from_query(self.bytes);
    }
}

/// Bytes charged to a [`MemoryBudget`], given back when dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<MemoryBudget>,
    bytes: u64,
}

impl Charge {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.ingest.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: MemoryLimits = MemoryLimits { total: 1_000, ingest_max: 750, query_max: 500 };

    #[test]
    fn a_charge_is_given_back_when_its_last_holder_drops_it() {
        let budget = MemoryBudget::new(100);
        let charge = Arc::new(budget.charge(95));
        let pinned = Arc::clone(&charge);
        drop(charge);
        assert!(!budget.has_room());
        drop(pinned);
        assert_eq!(budget.used(), 0);
        assert!(budget.has_room() && !budget.is_pressed());
        assert!(budget.leaves_room(30) && !budget.leaves_room(40));
    }

    #[test]
    fn whoever_is_alone_has_more_than_its_half() {
        let budget = MemoryBudget::shared(LIMITS);
        let filled = budget.charge(480);
        assert!(budget.has_room(), "65 % of 750 are 481");
        assert!(budget.try_take_for_query(250) && !budget.try_take_for_query(20), "a quarter is always theirs");
        drop(filled);
        assert!(budget.try_take_for_query(250) && !budget.try_take_for_query(1), "and half is the most");
    }

    #[test]
    fn i8_what_queries_hold_makes_ingest_flush_and_stop_earlier() {
        let budget = MemoryBudget::shared(LIMITS);
        let _filled = budget.charge(320);
        assert!(budget.has_room() && !budget.is_pressed());
        assert!(budget.try_take_for_query(500));
        assert!(budget.is_pressed() && budget.has_room());
        let _more = budget.charge(10);
        assert!(!budget.has_room());
        budget.give_back_from_query(500);
        assert!(budget.has_room());
    }

    #[test]
    fn i8_what_is_kept_or_held_beside_queries_is_taken_from_what_they_may_have() {
        let budget = MemoryBudget::shared(LIMITS);
        budget.keep(100);
        let (mut held, mut other) = (budget.hold(0), budget.hold(0));
        assert!(held.try_resize(300));
        assert!(!other.try_resize(101) && !held.try_resize(401), "500 is the most");
        assert!(held.try_grow(100) && held.bytes() == 400);
        let in_hand = budget.hold(50);
        assert_eq!(budget.query_used(), 450, "what is in hand is counted, whatever the limit");
        assert!(held.try_resize(10));
        budget.forget(100);
        drop((held, in_hand));
        assert_eq!((budget.query_used(), budget.kept()), (0, 0));
    }

    proptest! {
        #[test]
        fn i8_the_limit_holds_whoever_asks_and_nobody_is_starved(asks in prop::collection::vec((any::<bool>(), 1_u64..60), 1..200)) {
            let budget = MemoryBudget::shared(LIMITS);
            let mut charges = Vec::new();
            for (ingest, bytes) in asks {
                if ingest && budget.has_room() {
                    charges.push(budget.charge(bytes));
                } else if !ingest {
                    budget.try_take_for_query(bytes);
                }
                // A batch in hand may pass the line by its own size.
                let ingest = budget.used().saturating_sub(60);
                prop_assert!(FILLED.whole(ingest) + budget.query_used() <= LIMITS.total);
                prop_assert!(ingest <= LIMITS.ingest_max && budget.query_used() <= LIMITS.query_max);
            }
            prop_assert!(budget.used() >= FILLED.of(500) || budget.has_room());
            prop_assert!(budget.query_used() >= 250 - 60 || budget.try_take_for_query(60));
        }
    }
}
