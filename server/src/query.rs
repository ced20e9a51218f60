//! The read side of this process: its limits, and where it reads from. How a statement gets there is SQL's.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::Catalog;
use object_store::ObjectStore;
use tokio::runtime::{Builder, Handle, Runtime};
use vfs::World;
use warehouse::memory::MemoryBudget;
use warehouse::read::engine::{QueryLimits, ReadAnswer, ReadEngine, ReadParts, ReadQuery, ReadSettings, STACK_BYTES};
use warehouse::read::errors::ReadError;
use warehouse::read::pin::MemtableReader;

use crate::sql::functions::functions;
use crate::sql::seams::QueryEngine;

/// The threads that queries run on; taken out when dropped.
#[derive(Debug)]
struct Threads(Option<Runtime>);

impl Threads {
    fn start(count: usize) -> anyhow::Result<Self> {
        let threads = Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name("millrace-query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build();
        threads.map(|threads| Self(Some(threads))).context("cannot start threads for queries")
    }

    fn handle(&self) -> Option<Handle> {
        self.0.as_ref().map(|threads| threads.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Queries that still run are nobody's any more: the process does not wait for them.
        if let Some(threads) = self.0.take() {
            threads.shutdown_background();
        }
    }
}

/// The read side, as SQL asks it.
#[derive(Debug)]
pub struct Queries {
    engine: ReadEngine,
    _threads: Threads,
}

impl Queries {
    /// A read side over these stores; queries charge `memory`, and spill up to `spill_bytes` to `spill`.
    ///
    /// # Errors
    /// If the spill directory cannot be used.
    pub fn new(
        catalog: &Catalog,
        memtables: Arc<dyn MemtableReader>,
        objects: &Arc<dyn ObjectStore>,
        world: &World,
        memory: Arc<MemoryBudget>,
        spill: &Path,
        spill_bytes: u64,
    ) -> anyhow::Result<Arc<Self>> {
        let parts = ReadParts {
            catalog: Arc::new(catalog.clone()),
            tables: Arc::new(catalog.clone()),
            memtables,
            objects: Arc::clone(objects),
            world: world.clone(),
        };
        let limits = QueryLimits { memory, spill_directory: Some(spill.to_owned()), spill_bytes };
        let partitions = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let threads = Threads::start(partitions)?;
        let settings = ReadSettings { limits, partitions, threads: threads.handle(), ..ReadSettings::default() };
        let engine = ReadEngine::new(parts, settings, functions())?;
        Ok(Arc::new(Self { engine, _threads: threads }))
    }
}

#[async_trait]
impl QueryEngine for Queries {
    async fn query(&self, query: ReadQuery) -> Result<ReadAnswer, ReadError> {
        self.engine.query(query).await
    }

    async fn describe(&self, query: ReadQuery) -> Result<SchemaRef, ReadError> {
        self.engine.describe(query).await
    }

    fn functions(&self) -> Vec<String> {
        self.engine.functions()
    }
}
