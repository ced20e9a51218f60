//! What stands behind the seams in tests: the read side over empty tables, a manager that only changes the catalog, a broker
//! with one topic, and a process with one task.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::util::display::array_value_to_string;
use async_trait::async_trait;
use catalog::store::MemoryStore;
use catalog::{
    Catalog, ChangeKind, KafkaSource, NodeId, Offset, PipelineDefinition, PipelineId, PipelineState, StreamId, TableId,
    TaskIndex, TruncateRequest,
};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use vfs::World;
use warehouse::care::retry::ErrorRetry;
use warehouse::care::verify::Verifier;
use warehouse::memory::{MemoryBudget, MemoryLimits};
use warehouse::read::engine::{ReadAnswer, ReadEngine, ReadParts, ReadQuery, ReadSettings};
use warehouse::read::errors::ReadError;
use warehouse::read::pin::{MemtableReader, MemtableScan, PinError, PinOutcome, PinRequest, QueryId};
use warehouse::read::session::Freshness;
use warehouse::write::insert::{InsertParts, InsertSettings, Inserts};
use warehouse::write::source::{MemoryBroker, MemoryConnector};

use super::functions::functions;
use super::seams::{
    PartitionCut, PartitionSeek, PipelineControl, PipelineHealth, PipelineProbe, QueryEngine, Resume, Runtime, SeekTo,
    SettingRow, StreamPosition, TableControl, TaskRow, WorkerRow,
};
use super::{Components, Engine, SqlSettings};
use crate::care::LocalCare;
use crate::mysql::{Answer, Login, Parameter, SessionFactory, SqlError, SqlSession};

/// The read side over tables without a row, and at which freshness it was asked.
#[derive(Debug)]
pub(crate) struct RecordedQueries {
    engine: ReadEngine,
    objects: Arc<dyn ObjectStore>,
    pub(crate) asked: Mutex<Vec<Freshness>>,
}

impl RecordedQueries {
    fn new(catalog: &Catalog, world: &World) -> Self {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let parts = ReadParts {
            catalog: Arc::new(catalog.clone()),
            tables: Arc::new(catalog.clone()),
            memtables: Arc::new(NoMemtables),
            objects: Arc::clone(&objects),
            world: world.clone(),
        };
        let engine = ReadEngine::new(parts, ReadSettings::default(), functions()).unwrap();
        Self { engine, objects, asked: Mutex::default() }
    }
}

#[async_trait]
impl QueryEngine for RecordedQueries {
    async fn query(&self, query: ReadQuery) -> Result<ReadAnswer, ReadError> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(query.freshness);
        self.engine.query(query).await
    }

    async fn describe(&self, query: ReadQuery) -> Result<SchemaRef, ReadError> {
        self.engine.describe(query).await
    }

    fn functions(&self) -> Vec<String> {
        self.engine.functions()
    }
}

/// The memory of no worker: no stream is owned here.
#[derive(Debug)]
struct NoMemtables;

impl NoMemtables {
    fn nobody(address: &str) -> PinError {
        PinError::Unreachable { address: address.to_owned(), cause: "there is no worker".to_owned() }
    }
}

#[async_trait]
impl MemtableReader for NoMemtables {
    async fn pin(&self, address: &str, _request: PinRequest) -> Result<PinOutcome, PinError> {
        Err(Self::nobody(address))
    }

    async fn scan(
        &self,
        address: &str,
        _schema: SchemaRef,
        _scan: MemtableScan,
    ) -> Result<SendableRecordBatchStream, PinError> {
        Err(Self::nobody(address))
    }

    fn unpin(&self, _address: &str, _query: QueryId) {}
}

/// Empties tables into which nothing is under way.
#[derive(Debug)]
struct FakeTables(Catalog);

#[async_trait]
impl TableControl for FakeTables {
    async fn truncate(&self, table: TableId) -> Result<(), String> {
        let request = TruncateRequest { table, streams: BTreeMap::new() };
        self.0.truncate_table(&request).await.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// A manager that does what the catalog shows, and remembers what it was asked.
#[derive(Debug)]
pub(crate) struct FakeControl {
    catalog: Catalog,
    pub(crate) asked: Mutex<Vec<&'static str>>,
}

impl FakeControl {
    async fn set(&self, pipeline: PipelineId, asked: &'static str, state: PipelineState) -> Result<(), String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        let found = self.catalog.pipeline_by_id(pipeline).await.map_err(|error| error.to_string())?;
        let set = self.catalog.set_pipeline_state(&found.database, &found.name, state).await;
        set.map(|_| ()).map_err(|error| error.to_string())
    }
}

#[async_trait]
impl PipelineControl for FakeControl {
    async fn is_changing(&self, _pipeline: PipelineId) -> Result<bool, String> {
        Ok(false)
    }

    async fn preview_seek(&self, _pipeline: PipelineId, to: &SeekTo) -> Result<Vec<PartitionSeek>, String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push("preview");
        let then = match to {
            SeekTo::Earliest => 0,
            SeekTo::Latest => 50,
            SeekTo::Timestamp(_) => 30,
            SeekTo::Offsets(offsets) => offsets[&None][&3],
        };
        Ok(vec![PartitionSeek { topic: "t".into(), partition: 3, now: Offset(40), then: Offset(then) }])
    }

    async fn seek(&self, pipeline: PipelineId, to: &SeekTo) -> Result<Vec<PartitionSeek>, String> {
        let rows = self.preview_seek(pipeline, to).await;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push("seek");
        rows
    }

    async fn alter(&self, pipeline: PipelineId, definition: PipelineDefinition) -> Result<Vec<PartitionCut>, String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push("alter");
        let change = self.catalog.begin_change(pipeline, ChangeKind::Alter(Box::new(definition))).await;
        change.map_err(|error| error.to_string())?;
        let (topic, partition) = ("t".into(), 3);
        Ok(vec![PartitionCut { stream: StreamId(9), topic, partition, cut_over: Offset(40) }])
    }

    async fn pause(&self, pipeline: PipelineId) -> Result<(), String> {
        self.set(pipeline, "pause", PipelineState::Paused).await
    }

    async fn resume(&self, pipeline: PipelineId, _how: Resume) -> Result<(), String> {
        self.set(pipeline, "resume", PipelineState::Running).await
    }

    async fn remove(&self, pipeline: PipelineId) -> Result<(), String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push("drop");
        let found = self.catalog.pipeline_by_id(pipeline).await.map_err(|error| error.to_string())?;
        self.catalog.drop_pipeline(&found.database, &found.name, false).await.map_err(|error| error.to_string())
    }
}

/// A broker that has every topic but `missing`.
#[derive(Debug)]
pub(crate) struct FakeProbe;

#[async_trait]
impl PipelineProbe for FakeProbe {
    async fn check(&self, source: &KafkaSource) -> Result<(), String> {
        match source.topics.to_string().as_str() {
            "missing" => Err(format!("topic \"missing\" does not exist at {}: create it", source.brokers)),
            _ => Ok(()),
        }
    }
}

/// A process with one task, one worker and one stream.
#[derive(Debug)]
pub(crate) struct FakeRuntime;

#[async_trait]
impl Runtime for FakeRuntime {
    async fn tasks(&self) -> Vec<TaskRow> {
        vec![TaskRow {
            pipeline: PipelineId(1),
            task: TaskIndex(0),
            worker: "node-a".into(),
            state: "running".into(),
            streams: 4,
            memtable_bytes: 10,
            uncommitted_offsets: 2,
            lag_records: Some(3),
            lag_seconds: Some(0.5),
            rows_per_second: 1.5,
            bytes_per_second: 150.0,
            last_error: None,
            next_retry: None,
            hint: None,
        }]
    }

    async fn workers(&self) -> Vec<WorkerRow> {
        vec![WorkerRow {
            node: "node-a".into(),
            address: "127.0.0.1:1".into(),
            state: "live".into(),
            tasks: 1,
            memory_bytes: 10,
            memory_limit_bytes: 20,
            wal_bytes: 30,
            heartbeat: Some(1_000_000),
        }]
    }

    async fn streams(&self) -> BTreeMap<StreamId, StreamPosition> {
        let position = StreamPosition { visible: Some(Offset(7)), ..StreamPosition::default() };
        BTreeMap::from([(StreamId(1), position)])
    }

    async fn pipelines(&self) -> BTreeMap<PipelineId, PipelineHealth> {
        let health = PipelineHealth { state: Some("starting".into()), ..PipelineHealth::default() };
        BTreeMap::from([(PipelineId(1), health)])
    }

    fn settings(&self) -> Vec<SettingRow> {
        vec![SettingRow {
            name: "data_dir".into(),
            value: "/data".into(),
            origin: "flag".into(),
            description: "where everything is kept".into(),
        }]
    }
}

/// A statement front with all of these behind it.
pub(crate) struct Front {
    pub(crate) engine: Engine,
    pub(crate) catalog: Catalog,
    pub(crate) control: Arc<FakeControl>,
    pub(crate) queries: Arc<RecordedQueries>,
    /// What topics are read from.
    pub(crate) broker: MemoryBroker,
}

impl Front {
    pub(crate) async fn new() -> Self {
        let world = World::system();
        let catalog = Catalog::open(Arc::new(MemoryStore::new(world.clock.clone())), world.clone()).await.unwrap();
        let control = Arc::new(FakeControl { catalog: catalog.clone(), asked: Mutex::default() });
        let queries = Arc::new(RecordedQueries::new(&catalog, &world));
        let objects = Arc::clone(&queries.objects);
        let parts = InsertParts {
            world: world.clone(),
            catalog: Arc::new(catalog.clone()),
            objects: Arc::clone(&queries.objects),
            budget: MemoryBudget::new(1 << 30),
            node: NodeId("node-a".into()),
        };
        let broker = MemoryBroker::new();
        let memory = MemoryBudget::shared(MemoryLimits::of_queries(1 << 30));
        let components = Components {
            catalog: catalog.clone(),
            queries: queries.clone(),
            inserts: Inserts::new(parts, InsertSettings::default()),
            tables: Arc::new(FakeTables(catalog.clone())),
            control: control.clone(),
            care: Arc::new(LocalCare {
                verifier: Verifier {
                    catalog: catalog.clone(),
                    objects: objects.clone(),
                    world: world.clone(),
                    memory: Arc::clone(&memory),
                },
                retry: ErrorRetry { catalog: catalog.clone(), objects, world: world.clone(), memory },
            }),
            probe: Arc::new(FakeProbe),
            sources: Arc::new(MemoryConnector::new(broker.clone(), Arc::clone(&world.clock))),
            runtime: Arc::new(FakeRuntime),
            world,
        };
        Self { engine: Engine::new(components, SqlSettings::default()), catalog, control, queries, broker }
    }

    pub(crate) async fn session(&self, connection_id: u32, database: Option<&str>) -> Client {
        let login = Login {
            user: "root".into(),
            database: database.map(str::to_owned),
            connection_id,
            peer: "127.0.0.1:50123".into(),
            attributes: BTreeMap::new(),
        };
        Client { session: self.engine.open(login).await.unwrap() }
    }
}

/// A client of one session.
pub(crate) struct Client {
    pub(crate) session: Box<dyn SqlSession>,
}

/// What a statement answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) headings: Vec<String>,
    /// NULL as `NULL`.
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) warnings: u16,
}

impl Client {
    pub(crate) async fn try_ask(&mut self, sql: &str) -> Result<Table, SqlError> {
        let answer = self.session.execute(sql).await?;
        Self::table(answer).await
    }

    /// Prepares a statement and executes it.
    pub(crate) async fn execute(&mut self, sql: &str, parameters: Vec<Parameter>) -> Result<Table, SqlError> {
        let id = self.session.prepare(sql).await?.id;
        self.execute_id(id, parameters).await
    }

    /// Executes a prepared statement.
    pub(crate) async fn execute_id(&mut self, id: u32, parameters: Vec<Parameter>) -> Result<Table, SqlError> {
        let answer = self.session.execute_prepared(id, parameters).await?;
        Self::table(answer).await
    }

    async fn table(answer: Answer) -> Result<Table, SqlError> {
        match answer {
            Answer::Done { warnings, .. } => Ok(Table { warnings, ..Table::default() }),
            Answer::Rows { schema, mut stream } => {
                let headings = schema.fields().iter().map(|field| field.name().clone()).collect();
                let mut rows = Vec::new();
                while let Some(batch) = stream.next().await {
                    let batch = batch?;
                    rows.extend((0..batch.num_rows()).map(|row| cells(&batch, row)));
                }
                Ok(Table { headings, rows, warnings: 0 })
            }
        }
    }

    pub(crate) async fn ask(&mut self, sql: &str) -> Table {
        self.try_ask(sql).await.unwrap_or_else(|error| panic!("{sql}: {} {}", error.code, error.message))
    }

    /// The only row.
    pub(crate) async fn row(&mut self, sql: &str) -> Vec<String> {
        let mut rows = self.ask(sql).await.rows;
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows.remove(0)
    }

    /// The first column.
    pub(crate) async fn column(&mut self, sql: &str) -> Vec<String> {
        self.ask(sql).await.rows.into_iter().map(|row| row[0].clone()).collect()
    }

    pub(crate) async fn fail(&mut self, sql: &str) -> (u16, String) {
        match self.try_ask(sql).await {
            Ok(table) => panic!("{sql} was answered: {table:?}"),
            Err(error) => (error.code, error.message),
        }
    }
}

fn cells(batch: &RecordBatch, row: usize) -> Vec<String> {
    // A column of nothing but NULL has no list of its NULLs.
    let is_null = |column: &ArrayRef| column.logical_nulls().is_some_and(|nulls| nulls.is_null(row));
    let cell = |column: &ArrayRef| match is_null(column) {
        true => "NULL".to_owned(),
        false => array_value_to_string(column, row).unwrap(),
    };
    batch.columns().iter().map(cell).collect()
}
