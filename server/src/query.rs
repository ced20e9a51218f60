//! The read side of this process: its limits, and where it reads from. How a statement gets there is SQL's.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::Catalog;
use object_store::ObjectStore;
use vfs::World;
use warehouse::memory::MemoryBudget;
use warehouse::read::engine::{Functions, QueryLimits, ReadAnswer, ReadEngine, ReadParts, ReadQuery, ReadSettings};
use warehouse::read::errors::ReadError;
use warehouse::read::pin::MemtableReader;

use crate::sql::seams::QueryEngine;

/// The read side, as SQL asks it.
#[derive(Debug)]
pub struct Queries(ReadEngine);

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
        let settings = ReadSettings { limits, partitions, ..ReadSettings::default() };
        Ok(Arc::new(Self(ReadEngine::new(parts, settings, Functions::default())?)))
    }
}

#[async_trait]
impl QueryEngine for Queries {
    async fn query(&self, query: ReadQuery) -> Result<ReadAnswer, ReadError> {
        self.0.query(query).await
    }

    async fn describe(&self, query: ReadQuery) -> Result<SchemaRef, ReadError> {
        self.0.describe(query).await
    }

    fn functions(&self) -> Vec<String> {
        self.0.functions()
    }
}
