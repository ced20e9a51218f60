//! The process's memory limit (I8): what holds rows charges it, and intake stops while it is spent.
//!
//! Owns the account; decides nothing about who must give memory back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vfs::planted;

/// One account of bytes for the whole process: memtables, pinned rows, source queues and WAL queues.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: u64,
    used: AtomicU64,
}

impl MemoryBudget {
    /// An account with room for `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// Charges `bytes` until the charge is dropped. Never refuses: a batch in hand must go somewhere. Whoever takes in more
    /// asks [`MemoryBudget::has_room`] first, so that the limit is passed by at most what is in hand.
    pub fn charge(self: &Arc<Self>, bytes: u64) -> Charge {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Charge { budget: Arc::clone(self), bytes }
    }

    /// Bytes charged.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether more may be taken in. The rest of the limit is for what is not charged, or only when it is there: a flush's sort
    /// keys and row groups (about two fifths of its rows), and what the allocator holds beside what was asked of it.
    pub fn has_room(&self) -> bool {
        self.used() < self.limit / 20 * 13 || planted::is("memory-limit-ignored")
    }

    /// Whether enough is left for rows if `queues` bytes are always charged: else memtables would be flushed all the time, or
    /// nothing would ever be taken in.
    pub fn leaves_room(&self, queues: u64) -> bool {
        queues <= self.limit / 20 * 7
    }

    /// Whether memtables should be flushed before their time, so that intake need not stop.
    pub fn is_pressed(&self) -> bool {
        self.used() >= self.limit / 20 * 9
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
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
