//! The door of the read side: a statement's syntax tree in, a stream of rows out.
//!
//! One context per statement, so that nothing of one query is seen by the next. A query whose rows in memory are lost before
//! its first row is sent is planned again; after that the loss is an error (PROTOCOL, "Snapshots and memtable reads").

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use catalog::{CatalogService, Offset, StreamId};
use chrono::DateTime;
use datafusion::catalog::SchemaProvider;
use datafusion::common::DataFusionError;
use datafusion::common::config::Dialect;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, LogicalPlan, ScalarUDF};
use datafusion::optimizer::{Analyzer, AnalyzerRule};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::Statement;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::ObjectStore;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use vfs::World;

pub use super::depth::STACK_BYTES;
use super::depth::shallow;
use super::errors::ReadError;
use super::interrupt::interruptible;
use super::pin::MemtableReader;
use super::query_pins::QueryPins;
use super::reader::PartReaders;
use super::resolver::TableResolver;
pub use super::runtime::QueryLimits;
use super::runtime::runtime;
use super::schemas::{CATALOG, StatementTables};
use super::session::{Freshness, SessionVector};
use super::snapshot::SnapshotTaker;
use super::statement::{Prepared, Sources, prepare};
use super::threads::run_on;
use crate::memory::{MemoryBudget, MemoryLimits};

/// What statements about the server itself have, beside the process's limit.
const ASIDE_BYTES: u64 = 32 << 20;

/// A process's validated numbers for queries.
#[derive(Clone, Debug)]
pub struct ReadSettings {
    /// What all queries may use together.
    pub limits: QueryLimits,
    /// How many partitions of one query run at a time.
    pub partitions: usize,
    /// Bytes of Parquet footers kept in memory.
    pub footer_bytes: usize,
    /// How long a query waits for its owners, and for rows that its session has seen.
    pub wait_max: Duration,
    /// Where queries run, but for those about the server itself; `None` where they run with everything else.
    pub threads: Option<Handle>,
}

impl Default for ReadSettings {
    fn default() -> Self {
        Self {
            limits: QueryLimits {
                memory: MemoryBudget::shared(MemoryLimits::of_queries(1 << 30)),
                spill_directory: None,
                spill_bytes: 0,
            },
            partitions: 4,
            footer_bytes: 64 << 20,
            wait_max: Duration::from_secs(10),
            threads: None,
        }
    }
}

/// What queries read.
#[derive(Clone, Debug)]
pub struct ReadParts {
    /// Versions.
    pub catalog: Arc<dyn CatalogService>,
    /// Names.
    pub tables: Arc<dyn TableResolver>,
    /// Rows in memory.
    pub memtables: Arc<dyn MemtableReader>,
    /// Parts.
    pub objects: Arc<dyn ObjectStore>,
    /// Clock and randomness.
    pub world: World,
}

/// Functions that the engine does not bring along, and rules for what it does bring and others see otherwise.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    /// Of one row.
    pub scalar: Vec<Arc<ScalarUDF>>,
    /// Of many.
    pub aggregate: Vec<Arc<AggregateUDF>>,
    /// Passes over a plan before the types of its operands are brought together.
    pub before: Vec<Arc<dyn AnalyzerRule + Send + Sync>>,
    /// Passes after that.
    pub after: Vec<Arc<dyn AnalyzerRule + Send + Sync>>,
}

/// One query.
#[derive(Clone, Debug)]
pub struct ReadQuery {
    /// SELECT, or EXPLAIN of one. Its columns are spelled as their tables spell them; tables are found in any case.
    pub statement: Box<Statement>,
    /// The session's database.
    pub database: String,
    /// Which rows.
    pub freshness: Freshness,
    /// What the session has seen.
    pub seen: Arc<SessionVector>,
    /// Databases that are not in the catalog, by name: `system`, `information_schema`.
    pub schemas: BTreeMap<String, Arc<dyn SchemaProvider>>,
    /// Functions of this session: `connection_id()`, `database()`.
    pub functions: Vec<Arc<ScalarUDF>>,
    /// The session's time zone; `None` is UTC.
    pub time_zone: Option<String>,
}

/// A query's answer. Dropping the batches ends the query and lets go of its pins.
pub struct ReadAnswer {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows; after an error nothing more.
    pub batches: BoxStream<'static, Result<RecordBatch, ReadError>>,
}

impl fmt::Debug for ReadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadAnswer").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// A statement whose tables are pinned, ready to be planned.
struct Ready {
    state: SessionState,
    statement: Statement,
    /// Why names were not found.
    missing: BTreeMap<(String, String), ReadError>,
    /// What its session has seen once it is answered.
    ends: BTreeMap<StreamId, Offset>,
    /// Whether it reads nothing but what the server says of itself.
    is_of_the_server: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ReadEngine {
    parts: ReadParts,
    settings: ReadSettings,
    snapshots: SnapshotTaker,
    readers: PartReaders,
    base: Arc<SessionState>,
    /// Where statements run that ask for what the server says of itself: an operator must see who spends the memory while it is
    /// spent.
    aside: Arc<RuntimeEnv>,
}

impl ReadEngine {
    /// An engine over `parts`.
    ///
    /// # Errors
    /// If the spill directory cannot be used.
    pub fn new(parts: ReadParts, settings: ReadSettings, functions: Functions) -> Result<Self, ReadError> {
        let (catalog, memtables) = (Arc::clone(&parts.catalog), Arc::clone(&parts.memtables));
        let snapshots = SnapshotTaker::new(catalog, memtables, parts.world.clone(), settings.wait_max);
        let readers =
            PartReaders::new(Arc::clone(&parts.objects), settings.footer_bytes, Arc::clone(&settings.limits.memory));
        let own = QueryLimits {
            memory: MemoryBudget::shared(MemoryLimits::of_queries(ASIDE_BYTES)),
            ..settings.limits.clone()
        };
        let aside = runtime(&own, Arc::clone(&parts.objects))?;
        let runtime = runtime(&settings.limits, Arc::clone(&parts.objects))?;
        let mut base = SessionStateBuilder::new().with_runtime_env(runtime).with_default_features();
        let scalar = base.scalar_functions().get_or_insert_default();
        // A session takes these over in no order: one that goes by a name of ours as well would stand for ours in some sessions.
        let is_ours = |alias: &String| functions.scalar.iter().any(|function| function.name() == alias);
        scalar.retain(|function| !function.aliases().iter().any(is_ours));
        scalar.extend(functions.scalar);
        base.aggregate_functions().get_or_insert_default().extend(functions.aggregate);
        let rules = functions.before.into_iter().chain(Analyzer::new().rules).chain(functions.after).collect();
        let base = Arc::new(base.with_analyzer_rules(rules).build());
        Ok(Self { parts, settings, snapshots, readers, base, aside })
    }

    /// The names of all functions that a statement may call, sorted.
    pub fn functions(&self) -> Vec<String> {
        let state = &self.base;
        let names = state.scalar_functions().keys().chain(state.aggregate_functions().keys());
        let names: BTreeSet<&String> = names.chain(state.window_functions().keys()).collect();
        names.into_iter().cloned().collect()
    }

    /// Answers `query`: returns once its first rows are there.
    ///
    /// # Errors
    /// See [`ReadError`]; later ones come with the rows.
    pub async fn query(&self, query: ReadQuery) -> Result<ReadAnswer, ReadError> {
        // Before anything is cloned: even that takes stack for each level of the tree.
        let statement = shallow(query.statement).map_err(|too_deep| ReadError::invalid(too_deep.message()))?;
        let query = ReadQuery { statement, ..query };
        let statement = &query.statement;
        only_queries(statement)?;
        let clock = &self.parts.world.clock;
        let deadline = clock.now().after(self.settings.wait_max);
        loop {
            match self.attempt(&query, Statement::clone(statement)).await {
                // Not a row was sent: the next owner, or a newer version, has what was lost.
                Err(ReadError::Lost(lost)) if clock.now() < deadline => {
                    tracing::debug!(%lost, "planning a query again");
                    clock.sleep(Duration::from_millis(20)).await;
                }
                answer => return answer,
            }
        }
    }

    /// The columns that `query` would yield: it is planned and not run.
    ///
    /// # Errors
    /// As [`ReadEngine::query`], as far as they show before the first row.
    pub async fn describe(&self, query: ReadQuery) -> Result<SchemaRef, ReadError> {
        let statement = shallow(query.statement).map_err(|too_deep| ReadError::invalid(too_deep.message()))?;
        let query = ReadQuery { statement, ..query };
        only_queries(&query.statement)?;
        let pins = self.snapshots.begin();
        let Ready { state, statement, missing, is_of_the_server, .. } =
            self.ready(&query, Statement::clone(&query.statement), &pins).await?;
        let planning = async move {
            let plan = planned(&state, statement, missing).await?;
            // Until it is planned.
            drop(pins);
            Ok(ReadAnswer { schema: Arc::clone(plan.schema().inner()), batches: futures::stream::empty().boxed() })
        };
        Ok(self.run(is_of_the_server, CancellationToken::new(), planning).await?.schema)
    }

    async fn attempt(&self, query: &ReadQuery, statement: Statement) -> Result<ReadAnswer, ReadError> {
        let pins = self.snapshots.begin();
        let Ready { state, statement, missing, ends, is_of_the_server } = self.ready(query, statement, &pins).await?;
        let ended = CancellationToken::new();
        let until = ended.clone();
        let running = async move {
            let plan = planned(&state, statement, missing).await?;
            let plan = interruptible(state.create_physical_plan(&plan).await?, &until)?;
            let mut rows = execute_stream(plan, state.task_ctx())?;
            let schema = rows.schema();
            let first = rows.next().await.transpose()?;
            let rest = rows.map(|batch| batch.map_err(ReadError::from));
            let batches = futures::stream::iter(first.map(Ok)).chain(rest).inspect(move |_| _ = &pins);
            Ok(ReadAnswer { schema, batches: until_error(batches.boxed()) })
        };
        let answer = self.run(is_of_the_server, ended, running).await?;
        query.seen.answered(query.freshness, &ends);
        Ok(answer)
    }

    /// Runs what computes where queries run: planning, too, takes a second where joins are many, and makes no pause.
    async fn run(
        &self,
        is_of_the_server: bool,
        ended: CancellationToken,
        running: impl Future<Output = Result<ReadAnswer, ReadError>> + Send + 'static,
    ) -> Result<ReadAnswer, ReadError> {
        match &self.settings.threads {
            Some(threads) if !is_of_the_server => run_on(threads, ended, running).await,
            _ => running.await,
        }
    }

    /// What `statement` reads is pinned.
    async fn ready(&self, query: &ReadQuery, statement: Statement, pins: &Arc<QueryPins>) -> Result<Ready, ReadError> {
        let sources = Sources {
            database: &query.database,
            schemas: &query.schemas,
            resolver: self.parts.tables.as_ref(),
            snapshots: &self.snapshots,
            readers: &self.readers,
        };
        let prepared = prepare(statement, &sources, query.freshness, &query.seen, pins).await?;
        let Prepared { statement, tables, ends, missing, is_of_the_server } = prepared;
        let state = self.state(query, tables, is_of_the_server);
        Ok(Ready { state, statement, missing, ends, is_of_the_server })
    }

    /// The context of one statement.
    fn state(&self, query: &ReadQuery, tables: StatementTables, is_of_the_server: bool) -> SessionState {
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, &query.database)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(false)
            .with_target_partitions(self.settings.partitions);
        let options = config.options_mut();
        options.sql_parser.dialect = Dialect::MySQL;
        options.sql_parser.collect_spans = true;
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.default_null_ordering = "nulls_min".to_owned();
        options.execution.time_zone = query.time_zone.clone();
        // What each sort keeps back for the merge of what it has spilled: within the limit, however small that is.
        let runtime = if is_of_the_server { &self.aside } else { self.base.runtime_env() };
        let most = match runtime.memory_pool.memory_limit() {
            MemoryLimit::Finite(bytes) => bytes,
            MemoryLimit::Infinite | MemoryLimit::Unknown => usize::MAX,
        };
        let share = most / self.settings.partitions.max(1) / 16;
        options.execution.sort_spill_reservation_bytes = options.execution.sort_spill_reservation_bytes.min(share);
        let mut state = SessionStateBuilder::new_from_existing(SessionState::clone(&self.base))
            .with_config(config)
            .with_runtime_env(Arc::clone(runtime))
            .with_catalog_list(Arc::new(tables))
            .build();
        let now = DateTime::from_timestamp_micros(self.parts.world.clock.wall().0);
        state.execution_props_mut().query_execution_start_time = now;
        for function in &query.functions {
            // An earlier function of the same name is replaced: the session's own is meant.
            drop(datafusion::execution::FunctionRegistry::register_udf(&mut state, Arc::clone(function)));
        }
        state
    }
}

/// How `statement` is read.
async fn planned(
    state: &SessionState,
    statement: Statement,
    missing: BTreeMap<(String, String), ReadError>,
) -> Result<LogicalPlan, ReadError> {
    let plan = state
        .statement_to_plan(EngineStatement::Statement(Box::new(statement)))
        .await
        .map_err(|error| not_found(&error, missing).unwrap_or_else(|| error.into()))?;
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false).verify_plan(&plan)?;
    Ok(plan)
}

/// Statements that change something have their own ways.
fn only_queries(statement: &Statement) -> Result<(), ReadError> {
    match statement {
        Statement::Query(_) => Ok(()),
        Statement::Explain { statement, .. } => only_queries(statement),
        _ => Err(ReadError::Unsupported { message: "only SELECT and EXPLAIN SELECT read rows".to_owned() }),
    }
}

/// The engine's "no such table", in our words.
fn not_found(error: &DataFusionError, missing: BTreeMap<(String, String), ReadError>) -> Option<ReadError> {
    let message = error.strip_backtrace().to_ascii_lowercase();
    if !message.contains("not found") {
        return None;
    }
    missing
        .into_iter()
        .find(|((database, name), _)| message.contains(&format!("{database}.{name}")))
        .map(|(_, error)| error)
}

/// Ends the rows behind the first error.
fn until_error(
    batches: BoxStream<'static, Result<RecordBatch, ReadError>>,
) -> BoxStream<'static, Result<RecordBatch, ReadError>> {
    let ended = futures::stream::unfold(Some(batches), |batches| async move {
        let mut batches = batches?;
        let batch = batches.next().await?;
        let rest = batch.is_ok().then_some(batches);
        Some((batch, rest))
    });
    ended.boxed()
}
