//! Rows to parts that are durable and invisible: plan, intents, encode, upload. Waits for a store that is away, but not for ever: a
//! client waits too, and nothing is visible yet.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use catalog::Part;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;
use vfs::World;

use super::error::InsertError;
use crate::memory::MemoryBudget;
use crate::write::flush::{FlushError, Flusher, PartPlan};

/// The first wait after a store refused, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Parts that are encoded and uploaded at a time: each is in memory while it is.
const UPLOADS: usize = 4;

/// Writes the parts of one channel.
#[derive(Debug)]
pub(super) struct Uploads {
    pub(super) flusher: Flusher,
    pub(super) budget: Arc<MemoryBudget>,
    pub(super) world: World,
    /// How long a store may be away.
    pub(super) wait: Duration,
}

impl Uploads {
    /// The parts of `rows`, which are placed in the channel.
    pub(super) async fn write(&self, rows: Vec<RecordBatch>) -> Result<Vec<Part>, InsertError> {
        let plans = self.flusher.plan_rows(Arc::new(rows), Arc::default(), 1, 0).await.map_err(refused)?;
        let _working = self.budget.charge(plans.iter().map(PartPlan::bytes).sum());
        let plans = Mutex::new(plans);
        self.patiently(|| async { self.flusher.stage(&mut plans.lock().await).await }).await?;
        let parts = stream::iter(plans.into_inner()).map(|plan| self.write_one(plan).boxed()).buffered(UPLOADS);
        parts.try_collect().await
    }

    async fn write_one(&self, plan: PartPlan) -> Result<Part, InsertError> {
        let encoded = self.flusher.encode(plan).await.map_err(refused)?;
        let _working = self.budget.charge(encoded.part.bytes);
        self.patiently(|| self.flusher.upload(&encoded)).await?;
        Ok(encoded.part)
    }

    async fn patiently<F: Future<Output = Result<(), FlushError>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<(), InsertError> {
        let (mut wait, longest) = RETRY;
        let until = self.world.clock.now().after(self.wait);
        loop {
            let error = match attempt().await {
                Ok(()) => return Ok(()),
                Err(error) if error.passes() && self.world.clock.now() < until => error,
                Err(error) => return Err(refused(error)),
            };
            tracing::warn!(%error, "an INSERT's part could not be written, trying again");
            self.world.clock.sleep(wait).await;
            wait = (wait * 2).min(longest);
        }
    }
}

fn refused(error: FlushError) -> InsertError {
    match error {
        FlushError::TooManyParts { parts } => InsertError::TooManyParts { parts },
        error if error.passes() => InsertError::try_again(error),
        FlushError::Catalog(error) => error.into(),
        error => InsertError::Failed { cause: error.to_string() },
    }
}
