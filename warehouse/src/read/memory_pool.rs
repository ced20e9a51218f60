//! The engine's memory pool over the process's one account: what a sort, join or aggregate reserves is charged where ingest
//! charges its rows, so that both together stay within one limit (I8).
//!
//! Fairness among the consumers of all queries is DataFusion's `FairSpillPool`; whether there is any at all is the account's.

use std::fmt;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, resources_datafusion_err};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

use crate::memory::MemoryBudget;

/// See the module.
#[derive(Debug)]
pub(super) struct SharedPool {
    fair: FairSpillPool,
    account: Arc<MemoryBudget>,
}

impl SharedPool {
    pub(super) fn new(account: Arc<MemoryBudget>) -> Self {
        let most = usize::try_from(account.limits().query_max).unwrap_or(usize::MAX);
        Self { fair: FairSpillPool::new(most), account }
    }

    fn refusal(&self, reservation: &MemoryReservation, additional: usize) -> DataFusionError {
        resources_datafusion_err!(
            "{} of a query asked for {additional} bytes more than its {}; queries hold {} bytes, ingest {}, and the process may \
             hold {}",
            reservation.consumer().name(),
            reservation.size(),
            self.account.query_used(),
            self.account.used(),
            self.account.limits().total
        )
    }
}

impl fmt::Display for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(limit: {})", self.name(), self.account.limits().query_max)
    }
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.fair.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.fair.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.account.take_for_query(additional as u64);
        self.fair.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.fair.shrink(reservation, shrink);
        self.account.give_back_from_query(shrink as u64);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if !self.account.try_take_for_query(additional as u64) {
            return Err(self.refusal(reservation, additional));
        }
        let grown = self.fair.try_grow(reservation, additional);
        if grown.is_err() {
            self.account.give_back_from_query(additional as u64);
        }
        grown
    }

    fn reserved(&self) -> usize {
        self.fair.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.fair.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryLimits;

    #[test]
    fn i8_what_queries_reserve_and_what_ingest_holds_are_one_account() {
        let account = MemoryBudget::shared(MemoryLimits { total: 1_000, ingest_max: 750, query_max: 500 });
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(Arc::clone(&account)));
        let one = MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
        let ingest = account.charge(480);
        one.try_grow(250).unwrap();
        let refused = one.try_grow(100).unwrap_err().to_string();
        assert!(refused.contains("sort") && refused.contains("100 bytes") && refused.contains("480"), "{refused}");
        drop(ingest);
        one.try_grow(100).unwrap();
        // Another consumer is entitled to half: the pool of the engine refuses, and the account is as it was.
        let other = MemoryConsumer::new("join").with_can_spill(true).register(&pool);
        assert!(one.try_grow(50).is_err());
        assert_eq!((account.query_used(), pool.reserved()), (350, 350));
        drop((one, other));
        assert_eq!((account.query_used(), pool.reserved()), (0, 0));
    }
}
