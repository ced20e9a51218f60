//! SYSTEM VERIFY and RETRY ERRORS behind SQL's seam. Owns the translation only: what is proved and moved is the warehouse's.

use async_trait::async_trait;
use catalog::{PipelineId, TableId};
use warehouse::care::retry::{ErrorRetry, Retried, RetryError, Selection};
use warehouse::care::verify::{Depth, StreamVerdict, Verifier, VerifyError};

use crate::sql::seams::TableCare;

/// What looks after tables in this process.
#[derive(Clone, Debug)]
pub struct LocalCare {
    /// Proves that offsets are covered once.
    pub verifier: Verifier,
    /// Decodes error rows again.
    pub retry: ErrorRetry,
}

#[async_trait]
impl TableCare for LocalCare {
    async fn verify(
        &self,
        table: TableId,
        depth: Depth,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Vec<StreamVerdict>, VerifyError> {
        self.verifier.verify(table, depth, progress).await
    }

    async fn retry_errors(&self, pipeline: PipelineId, selection: &Selection) -> Result<Retried, RetryError> {
        self.retry.run(pipeline, selection).await
    }
}
