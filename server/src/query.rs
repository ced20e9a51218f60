//! SQL's queries, handed to the warehouse's read side; and its errors, told with MySQL's numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use catalog::Catalog;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use object_store::ObjectStore;
use vfs::World;
use warehouse::read::engine::{Functions, QueryLimits, ReadEngine, ReadParts, ReadQuery, ReadSettings};
use warehouse::read::errors::ReadError;
use warehouse::read::pin::MemtableReader;
use warehouse::read::session::{self, SessionVector};

use crate::mysql::SqlError;
use crate::sql::seams::{Freshness, QueryAnswer, QueryEngine, QueryError, QueryRequest, SystemTables};

/// The schemas whose tables are not the catalog's.
const SYSTEM_SCHEMAS: [&str; 2] = ["system", "information_schema"];

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
            spill_bytes: 64 << 30,
        };
        let partitions = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let settings = ReadSettings { limits, partitions, ..ReadSettings::default() };
        Ok(Arc::new(Self(ReadEngine::new(parts, settings, Functions::default())?)))
    }
}

/// One system schema, as the engine looks tables up.
struct SystemSchema {
    name: &'static str,
    tables: Arc<dyn SystemTables>,
}

impl fmt::Debug for SystemSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemSchema").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        Ok(self.tables.table(self.name, &name.to_ascii_lowercase()))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.table(self.name, &name.to_ascii_lowercase()).is_some()
    }
}

#[async_trait]
impl QueryEngine for Queries {
    async fn query(&self, request: QueryRequest) -> Result<QueryAnswer, QueryError> {
        let freshness = match request.freshness {
            Freshness::Latest => session::Freshness::Latest,
            Freshness::Committed => session::Freshness::Committed,
        };
        let seen = Arc::new(SessionVector::new());
        seen.answered(freshness, &request.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let schema = |name: &'static str| {
            let schema: Arc<dyn SchemaProvider> = Arc::new(SystemSchema { name, tables: Arc::clone(&request.system) });
            (name.to_owned(), schema)
        };
        let query = ReadQuery {
            statement: Box::new(request.statement),
            database: request.database.unwrap_or_default(),
            freshness,
            seen: Arc::clone(&seen),
            schemas: SYSTEM_SCHEMAS.into_iter().map(schema).collect::<BTreeMap<_, _>>(),
            functions: Vec::new(),
            time_zone: None,
        };
        let answer = self.0.query(query).await.map_err(|error| QueryError::Engine(engine_error(&error)))?;
        *request.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen.ends(freshness);
        let rows = answer.batches.map(|batch| batch.map_err(|error| engine_error(&error)));
        Ok(QueryAnswer { stream: Box::pin(RecordBatchStreamAdapter::new(answer.schema, rows)) })
    }
}

fn engine_error(error: &ReadError) -> DataFusionError {
    DataFusionError::External(Box::new(sql_error(error)))
}

/// MySQL's number for each kind of error.
fn sql_error(error: &ReadError) -> SqlError {
    let code = match error {
        ReadError::UnknownTable { .. } => 1146,
        ReadError::UnknownColumn { .. } => 1054,
        ReadError::Function { .. } => 1305,
        ReadError::Syntax { .. } => 1064,
        ReadError::Unsupported { .. } => 1235,
        ReadError::Resources { .. } => 1038,
        ReadError::Invalid { .. }
        | ReadError::Value { .. }
        | ReadError::Part(_)
        | ReadError::Snapshot(_)
        | ReadError::Lost(_)
        | ReadError::Catalog(_)
        | ReadError::Defect { .. } => 1105,
    };
    SqlError::new(code, error.to_string())
}
