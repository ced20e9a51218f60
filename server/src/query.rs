//! The read side of this process: its limits, and where it reads from. How a statement gets there is SQL's.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::Catalog;
use object_store::ObjectStore;
use vfs::World;
use warehouse::read::engine::{Functions, QueryLimits, ReadAnswer, ReadEngine, ReadParts, ReadQuery, ReadSettings};
use warehouse::read::errors::ReadError;
use warehouse::read::pin::MemtableReader;

use crate::sql::seams::QueryEngine;

/// What queries may spill to disk together.
const SPILL_BYTES: u64 = 64 << 30;

/// The read side, as SQL asks it.
#[derive(Debug)]
pub struct Queries(ReadEngine);

impl Queries {
    /// A read side over these stores; queries together may use `memory_bytes`, and spill to `spill`.
    ///
    /// # Errors
    /// If the spill directory cannot be used.
    pub fn new(
        catalog: &Catalog,
        memtables: Arc<dyn MemtableReader>,
        objects: &Arc<dyn ObjectStore>,
        world: &World,
        memory_bytes: u64,
        spill: &Path,
    ) -> anyhow::Result<Arc<Self>> {
        let parts = ReadParts {
            catalog: Arc::new(catalog.clone()),
            tables: Arc::new(catalog.clone()),
            memtables,
            objects: Arc::clone(objects),
            world: world.clone(),
        };
        let limits = QueryLimits {
            memory_bytes: usize::try_from(memory_bytes)?,
            spill_directory: Some(spill.to_owned()),
            spill_bytes: SPILL_BYTES,
        };
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

    fn functions(&self) -> Vec<String> {
        self.0.functions()
    }
}
