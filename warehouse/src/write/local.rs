//! Workers of this very process, behind the same seams that a wire would serve: commands, heartbeats, memtable reads.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::messages::{Heartbeat, LinkError, WorkerCommand, WorkerLink};
use super::worker::Worker;
use crate::read::pin::{MemtableReader, MemtableScan, PinError, PinOutcome, PinRequest, QueryId};

/// The workers of this process, by address.
#[derive(Debug, Default)]
pub struct LocalWorkers {
    workers: RwLock<BTreeMap<String, Arc<Worker>>>,
}

impl LocalWorkers {
    /// None yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Adds a worker, in place of one that was at its address before.
    pub fn add(&self, address: &str, worker: Arc<Worker>) {
        self.workers.write().unwrap_or_else(PoisonError::into_inner).insert(address.to_owned(), worker);
    }

    fn at(&self, address: &str) -> Option<Arc<Worker>> {
        self.workers.read().unwrap_or_else(PoisonError::into_inner).get(address).cloned()
    }
}

#[async_trait]
impl WorkerLink for LocalWorkers {
    fn addresses(&self) -> Vec<String> {
        self.workers.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    async fn command(&self, address: &str, command: WorkerCommand) -> Result<(), LinkError> {
        let worker = self.at(address).ok_or_else(|| LinkError::Unreachable {
            address: address.to_owned(),
            cause: "there is no such worker in this process".to_owned(),
        })?;
        let refused = |cause: String| LinkError::Refused { address: address.to_owned(), cause };
        worker.command(command).await.map_err(|error| refused(error.to_string()))
    }

    async fn heartbeat(&self, address: &str) -> Result<Heartbeat, LinkError> {
        let worker = self.at(address).ok_or_else(|| LinkError::Unreachable {
            address: address.to_owned(),
            cause: "there is no such worker in this process".to_owned(),
        })?;
        Ok(worker.heartbeat())
    }
}

#[async_trait]
impl MemtableReader for LocalWorkers {
    async fn pin(&self, address: &str, request: PinRequest) -> Result<PinOutcome, PinError> {
        Ok(self.reached(address)?.pin(&request))
    }

    async fn scan(
        &self,
        address: &str,
        schema: SchemaRef,
        scan: MemtableScan,
    ) -> Result<SendableRecordBatchStream, PinError> {
        let rows = self.reached(address)?.scan(&scan)?;
        let rows = futures::stream::iter(rows.into_iter().map(Ok));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn unpin(&self, address: &str, query: QueryId) {
        if let Some(worker) = self.at(address) {
            worker.unpin(query);
        }
    }
}

impl LocalWorkers {
    fn reached(&self, address: &str) -> Result<Arc<Worker>, PinError> {
        self.at(address).ok_or_else(|| PinError::Unreachable {
            address: address.to_owned(),
            cause: "there is no such worker in this process".to_owned(),
        })
    }
}
