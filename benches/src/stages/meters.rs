//! Seams that keep count: heavy computing and catalog requests, each passed on and its CPU time noted.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use catalog::{
    Catalog, CatalogError, CatalogService, CommitOutcome, CommitRequest, CommitToken, TableId, TableSnapshot,
    UploadIntent, VoidOutcome, WriterId,
};
use cpu_time::{ProcessTime, ThreadTime};
use vfs::Compute;

/// Computes in the caller's own thread, and notes what each closure took.
#[derive(Debug, Default)]
pub(super) struct NotingCompute(Mutex<Vec<Duration>>);

impl NotingCompute {
    /// What the closures took since the last call, in their order.
    pub(super) fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Compute for NotingCompute {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) {
        let start = ThreadTime::now();
        work();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(start.elapsed());
    }
}

/// The catalog, and what its requests took of the process.
#[derive(Debug)]
pub(super) struct NotingCatalog {
    catalog: Catalog,
    spent: Mutex<Duration>,
}

impl NotingCatalog {
    pub(super) fn new(catalog: Catalog) -> Self {
        Self { catalog, spent: Mutex::default() }
    }

    /// What requests took since the last call.
    pub(super) fn take(&self) -> Duration {
        std::mem::take(&mut *self.spent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn noted<T>(&self, request: impl Future<Output = T>) -> T {
        let start = ProcessTime::now();
        let answer = request.await;
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) += start.elapsed();
        answer
    }
}

#[async_trait]
impl CatalogService for NotingCatalog {
    async fn stage(&self, intents: &[UploadIntent]) -> Result<(), CatalogError> {
        self.noted(self.catalog.stage(intents)).await
    }

    async fn commit(&self, request: &CommitRequest) -> Result<CommitOutcome, CatalogError> {
        self.noted(self.catalog.commit(request)).await
    }

    async fn void(&self, writer: WriterId, token: CommitToken) -> Result<VoidOutcome, CatalogError> {
        self.noted(self.catalog.void(writer, token)).await
    }

    async fn snapshot(&self, table: TableId) -> Result<TableSnapshot, CatalogError> {
        self.noted(self.catalog.snapshot(table)).await
    }
}
