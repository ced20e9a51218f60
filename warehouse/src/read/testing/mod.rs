//! A shop with one table of flights, for the tests of the read side: real memtables, real pins, real flushes and parts, under
//! a catalog and workers that do what a test says.

mod catalog;
mod clock;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::catalog::{
    Column, ColumnId, ColumnType, CommitToken, Epoch, Fence, IntegerWidth, Ledger, Offset, OffsetRange, Part,
    PartitionField, PartitionTransform, PipelineId, SchemaId, StreamId, Table, TableId, TaskIndex, WriterId,
};
use arrow::array::{Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::sql::sqlparser::dialect::MySqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use vfs::{Inline, SeededRandom, World};
use wal::WalPosition;

pub(super) use catalog::FakeCatalog;
pub(super) use clock::TestClock;
pub(super) use workers::FakeWorkers;

use super::engine::{Functions, ReadAnswer, ReadEngine, ReadParts, ReadQuery, ReadSettings};
use super::errors::ReadError;
use super::session::{Freshness, SessionVector};
use crate::memory::MemoryBudget;
use crate::schema::{error_schema, storage_schema};
use crate::write::batch::Batch;
use crate::write::flush::Flusher;
use crate::write::memtable::{Frozen, Held};

/// One offset in this many is an error row.
pub(super) const ERROR_EVERY: u64 = 10;
/// Rows of consecutive offsets are an hour apart, from this moment on: 2013-01-01.
pub(super) const FIRST_MICROS: i64 = 1_356_998_400_000_000;

/// The shop.
pub(super) struct Shop {
    pub(super) clock: Arc<TestClock>,
    pub(super) catalog: Arc<FakeCatalog>,
    pub(super) workers: Arc<FakeWorkers>,
    pub(super) objects: Arc<InMemory>,
    pub(super) table: Arc<Table>,
    pub(super) engine: ReadEngine,
    pub(super) session: Arc<SessionVector>,
    flusher: Flusher,
    budget: Arc<MemoryBudget>,
    position: WalPosition,
}

fn column(id: i32, name: &str, kind: ColumnType, nullable: bool) -> Column {
    Column { id: ColumnId(id), name: name.to_owned(), kind, nullable, default: None, comment: String::new() }
}

/// `Flights`, by day of departure, ordered by origin and departure.
pub(super) fn flights() -> Table {
    let bigint = ColumnType::Integer { width: IntegerWidth::Big, unsigned: false };
    Table {
        id: TableId(1),
        database: "shop".to_owned(),
        name: "Flights".to_owned(),
        schema: SchemaId(1),
        fence: Fence(1),
        columns: vec![
            column(1, "id", bigint, false),
            column(2, "origin", ColumnType::Text { characters_max: None }, true),
            column(3, "departs", ColumnType::DATETIME, true),
            column(4, "fare", ColumnType::Double, true),
        ],
        partition_by: vec![PartitionField { column: ColumnId(3), transform: PartitionTransform::Day }],
        order_by: vec![ColumnId(2), ColumnId(3)],
        created: 0,
    }
}

async fn a_position() -> WalPosition {
    let (wal, _) =
        wal::Wal::open(Arc::new(vfs::MemoryDisk::new()), wal::WalSettings::default(), World::system()).await.unwrap();
    let durable = wal.append(wal::Record { stream: 1, epoch: 1, payload: "rows".into() }).await.unwrap();
    durable.await.unwrap()
}

impl Shop {
    /// A shop without rows: streams 1 and 2 at worker `w1`, stream 3 at worker `w2`, all under epoch 1.
    pub(super) async fn open() -> Self {
        Self::open_with(ReadSettings::default()).await
    }

    /// The same, with other settings.
    pub(super) async fn open_with(settings: ReadSettings) -> Self {
        let clock = TestClock::new();
        let world = World { clock: clock.clone(), random: Arc::new(SeededRandom::new(1)), compute: Arc::new(Inline) };
        let table = Arc::new(flights());
        let catalog = FakeCatalog::new(Arc::clone(&table));
        let workers = FakeWorkers::new(clock.clone());
        let objects = Arc::new(InMemory::new());
        let parts = ReadParts {
            catalog: catalog.clone(),
            tables: catalog.clone(),
            memtables: workers.clone(),
            objects: objects.clone(),
            world: world.clone(),
        };
        let engine = ReadEngine::new(parts, settings, Functions::default()).unwrap();
        let flusher = Flusher {
            table: Arc::clone(&table),
            writer: WriterId::Task(PipelineId(1), TaskIndex(0)),
            objects: objects.clone(),
            catalog: catalog.clone(),
            world,
        };
        let budget = MemoryBudget::new(1 << 30);
        let position = a_position().await;
        let session = Arc::new(SessionVector::new());
        let shop = Self { clock, catalog, workers, objects, table, engine, session, flusher, budget, position };
        for (stream, address) in [(1, "w1"), (2, "w1"), (3, "w2")] {
            shop.grant(stream, address, 1);
        }
        shop
    }

    /// Grants a stream to a worker, which takes it up at once.
    pub(super) fn grant(&self, stream: u64, address: &str, epoch: u64) {
        let committed = self.catalog.grant(StreamId(stream), address, Epoch(epoch));
        self.workers.take_up(StreamId(stream), address, Epoch(epoch), committed);
    }

    /// Logs and shows `offsets` more offsets of a stream.
    pub(super) fn publish(&self, stream: u64, offsets: u64) {
        self.publish_at(stream, offsets, |offset| offset as f64 / 2.0);
    }

    /// The same, at fares of the test's choice.
    pub(super) fn publish_at(&self, stream: u64, offsets: u64, fare: impl Fn(u64) -> f64) {
        let stream = StreamId(stream);
        let (address, epoch, end) = self.workers.held(stream);
        let range = OffsetRange::new(end, Offset(end.0 + offsets));
        let batch = self.batch(stream, range, fare);
        let held = Held { charge: self.budget.charge(batch.bytes()), batch, position: self.position };
        assert!(self.workers.memtable(&address).publish(epoch, held, vfs::Moment::default()));
    }

    fn batch(&self, stream: StreamId, range: OffsetRange, fare: impl Fn(u64) -> f64) -> Batch {
        let (errors, rows): (Vec<u64>, Vec<u64>) = (range.start.0..range.end.0).partition(|offset| is_error(*offset));
        let ledger = Ledger { rows: rows.len() as u64, errors: errors.len() as u64, ..Ledger::default() };
        let errors = (!errors.is_empty()).then(|| error_rows(stream, &errors));
        Batch::new(stream, range, self.rows(stream, &rows, fare), errors, ledger, vec![])
    }

    fn rows(&self, stream: StreamId, offsets: &[u64], fare: impl Fn(u64) -> f64) -> RecordBatch {
        let ids: Int64Array = offsets.iter().map(|offset| id(stream.0, *offset)).collect();
        let origins: StringArray = offsets.iter().map(|offset| origin(*offset)).collect();
        let departs: TimestampMicrosecondArray = offsets.iter().map(|offset| Some(departs(*offset))).collect();
        let fares: Float64Array = offsets.iter().map(|offset| Some(fare(*offset))).collect();
        let streams: Int64Array = offsets.iter().map(|_| stream.0 as i64).collect();
        let positions: Int64Array = offsets.iter().map(|offset| *offset as i64).collect();
        RecordBatch::try_new(
            storage_schema(&self.table),
            vec![
                Arc::new(ids),
                Arc::new(origins),
                Arc::new(departs),
                Arc::new(fares),
                Arc::new(streams),
                Arc::new(positions),
            ],
        )
        .unwrap()
    }

    /// Freezes what a worker holds and makes its parts durable: invisible still.
    pub(super) async fn flush(&self, address: &str) -> Option<(Frozen, Vec<Part>)> {
        let frozen = self.workers.memtable(address).freeze()?;
        let parts = self.flusher.flush(&frozen).await.unwrap();
        Some((frozen, parts))
    }

    /// Commits a flush: in the catalog first, and then the worker learns of it.
    pub(super) fn commit(&self, address: &str, flushed: (Frozen, Vec<Part>)) {
        self.commit_in_catalog(&flushed);
        self.workers.memtable(address).committed(&flushed.0, vfs::Moment::default());
    }

    /// The first half of a commit.
    pub(super) fn commit_in_catalog(&self, (frozen, parts): &(Frozen, Vec<Part>)) {
        let ends: BTreeMap<StreamId, Offset> =
            frozen.streams.iter().map(|(stream, of)| (*stream, of.range.end)).collect();
        self.catalog.commit_parts(parts, &ends, CommitToken(1));
    }

    /// Flush and commit of everything at both workers.
    pub(super) async fn commit_all(&self) {
        for address in ["w1", "w2"] {
            if let Some(flushed) = self.flush(address).await {
                self.commit(address, flushed);
            }
        }
    }

    /// Drops committed rows from a worker's memory.
    pub(super) fn retire(&self, address: &str) {
        self.workers.memtable(address).retire(vfs::Moment::new(Duration::from_secs(1 << 20)), true);
    }

    /// A query of the shop's session.
    pub(super) fn query(&self, sql: &str) -> ReadQuery {
        self.query_with(sql, Freshness::Latest, &self.session)
    }

    pub(super) fn query_with(&self, sql: &str, freshness: Freshness, session: &Arc<SessionVector>) -> ReadQuery {
        let statement = Parser::parse_sql(&MySqlDialect {}, sql).unwrap().remove(0);
        ReadQuery {
            statement: Box::new(statement),
            database: "shop".to_owned(),
            freshness,
            seen: Arc::clone(session),
            schemas: BTreeMap::new(),
            functions: vec![],
            time_zone: None,
        }
    }

    /// The rows of `sql`, all in one batch.
    pub(super) async fn rows_of(&self, sql: &str) -> Result<RecordBatch, ReadError> {
        gathered(self.engine.query(self.query(sql)).await?).await
    }

    /// The rows of `sql`, as lines of text.
    pub(super) async fn answer(&self, sql: &str) -> Vec<String> {
        lines(&self.rows_of(sql).await.unwrap())
    }

    /// One number.
    pub(super) async fn number(&self, sql: &str) -> i64 {
        let lines = self.answer(sql).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].parse().unwrap()
    }
}

/// All rows of an answer.
pub(super) async fn gathered(answer: ReadAnswer) -> Result<RecordBatch, ReadError> {
    let schema = answer.schema;
    let batches: Vec<RecordBatch> = answer.batches.try_collect().await?;
    Ok(arrow::compute::concat_batches(&schema, &batches).unwrap())
}

/// A line a row, its values separated by `|`.
pub(super) fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = arrow::util::display::FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| arrow::util::display::ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let line = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(line).collect()
}

pub(super) fn is_error(offset: u64) -> bool {
    offset % ERROR_EVERY == ERROR_EVERY - 1
}

/// How many of the first `offsets` offsets are rows.
pub(super) fn rows_among(offsets: u64) -> i64 {
    (0..offsets).filter(|offset| !is_error(*offset)).count() as i64
}

pub(super) fn id(stream: u64, offset: u64) -> i64 {
    (stream * 1_000_000 + offset) as i64
}

pub(super) fn origin(offset: u64) -> Option<&'static str> {
    [Some("EWR"), Some("JFK"), Some("LGA"), None][(offset % 4) as usize]
}

pub(super) fn departs(offset: u64) -> i64 {
    FIRST_MICROS + offset as i64 * 3_600_000_000
}

fn error_rows(stream: StreamId, offsets: &[u64]) -> RecordBatch {
    let text = |value: &str| -> StringArray { offsets.iter().map(|_| Some(value)).collect() };
    let partitions: Int32Array = offsets.iter().map(|_| stream.0 as i32 - 1).collect();
    let times: TimestampMicrosecondArray = offsets.iter().map(|offset| Some(departs(*offset))).collect();
    let payloads: arrow::array::BinaryArray = offsets.iter().map(|_| Some(b"{".as_slice())).collect();
    let numbers =
        |of: fn(StreamId, u64) -> i64| -> Int64Array { offsets.iter().map(|offset| of(stream, *offset)).collect() };
    RecordBatch::try_new(
        error_schema(),
        vec![
            Arc::new(text("flights")),
            Arc::new(partitions),
            Arc::new(times.with_timezone("+00:00")),
            Arc::new(text("malformed")),
            Arc::new(text("it ends too early")),
            Arc::new(payloads),
            Arc::new(numbers(|_, _| 1)),
            Arc::new(numbers(|stream, _| stream.0 as i64)),
            Arc::new(numbers(|_, offset| offset as i64)),
        ],
    )
    .unwrap()
}
