//! A table, batches, places in a log, and a catalog that answers as it is told: for the unit tests of the write path.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use arrow::array::{BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use async_trait::async_trait;
use catalog::{
    CatalogError, CatalogService, Column, ColumnId, ColumnType, CommitOutcome, CommitRequest, CommitToken, Fence,
    IntegerWidth, KafkaSource, Ledger, Offset, OffsetRange, PartitionField, PartitionTransform, Pipeline, PipelineId,
    PipelineSettings, PipelineState, RecordFormat, SchemaId, StartPosition, StreamId, Table, TableId, TableSnapshot,
    UploadIntent, Version, VoidOutcome, WriterId,
};
use vfs::{Inline, MemoryDisk, SeededRandom, SystemClock, World};
use wal::{Record, Wal, WalPosition, WalSettings};

use super::batch::Batch;
use super::memtable::Held;
use crate::memory::MemoryBudget;
use crate::schema::{error_schema, storage_schema};

/// 2013-01-01, and what lies between two rows of consecutive offsets.
pub(super) const FIRST_MICROS: i64 = 1_356_998_400_000_000;
pub(super) const HOUR: i64 = 3_600_000_000;

pub(super) fn world() -> World {
    World { clock: Arc::new(SystemClock::new()), random: Arc::new(SeededRandom::new(1)), compute: Arc::new(Inline) }
}

fn column(id: i32, name: &str, kind: ColumnType, nullable: bool) -> Column {
    Column { id: ColumnId(id), name: name.to_owned(), kind, nullable, default: None, comment: String::new() }
}

/// `events (seq, kind, at)` PARTITION BY day(at) ORDER BY (kind, at).
pub(super) fn table() -> Arc<Table> {
    let bigint = ColumnType::Integer { width: IntegerWidth::Big, unsigned: false };
    Arc::new(Table {
        id: TableId(7),
        database: "default".to_owned(),
        name: "events".to_owned(),
        schema: SchemaId(3),
        fence: Fence(1),
        columns: vec![
            column(1, "seq", bigint, false),
            column(4, "kind", ColumnType::Text { characters_max: None }, true),
            column(5, "at", ColumnType::DATETIME, true),
        ],
        partition_by: vec![PartitionField { column: ColumnId(5), transform: PartitionTransform::Day }],
        order_by: vec![ColumnId(4), ColumnId(5)],
        created: 0,
    })
}

pub(super) fn pipeline() -> Arc<Pipeline> {
    let source = KafkaSource {
        brokers: "script".to_owned(),
        topics: "events".into(),
        format: RecordFormat::Json,
        start: StartPosition::Earliest,
        properties: Default::default(),
    };
    Arc::new(Pipeline {
        id: PipelineId(5),
        database: "default".to_owned(),
        name: "events_in".to_owned(),
        table: TableId(7),
        source,
        projection: "*".to_owned(),
        filter: None,
        settings: PipelineSettings::default(),
        state: PipelineState::Running,
        fence: Fence(2),
        created: 0,
    })
}

pub(super) fn range(offsets: Range<u64>) -> OffsetRange {
    OffsetRange::new(Offset(offsets.start), Offset(offsets.end))
}

/// Of ten offsets the ninth is filtered and the tenth an error row.
fn is_row(offset: u64) -> bool {
    offset % 10 < 8
}

fn is_error(offset: u64) -> bool {
    offset % 10 == 9
}

pub(super) fn kind_of(offset: u64) -> Option<&'static str> {
    [Some("b"), None, Some("a")][(offset % 3) as usize]
}

/// A batch of `offsets` of a stream.
pub(super) fn batch(stream: u64, offsets: Range<u64>) -> Batch {
    let rows: Vec<u64> = offsets.clone().filter(|offset| is_row(*offset)).collect();
    let errors: Vec<u64> = offsets.clone().filter(|offset| is_error(*offset)).collect();
    let filtered = offsets.clone().count() - rows.len() - errors.len();
    let ledger =
        Ledger { rows: rows.len() as u64, errors: errors.len() as u64, filtered: filtered as u64, ..Ledger::default() };
    let errors = (!errors.is_empty()).then(|| error_rows(stream, &errors));
    Batch::new(StreamId(stream), range(offsets), rows_of(stream, &rows), errors, ledger, vec![])
}

fn rows_of(stream: u64, offsets: &[u64]) -> RecordBatch {
    let seqs: Int64Array = offsets.iter().map(|offset| *offset as i64).collect();
    let kinds: StringArray = offsets.iter().map(|offset| kind_of(*offset)).collect();
    let times: TimestampMicrosecondArray =
        offsets.iter().map(|offset| Some(FIRST_MICROS + *offset as i64 * HOUR)).collect();
    let streams: Int64Array = offsets.iter().map(|_| stream as i64).collect();
    let places: Int64Array = offsets.iter().map(|offset| *offset as i64).collect();
    let columns = vec![
        Arc::new(seqs) as _,
        Arc::new(kinds) as _,
        Arc::new(times) as _,
        Arc::new(streams) as _,
        Arc::new(places) as _,
    ];
    RecordBatch::try_new(storage_schema(&table()), columns).unwrap()
}

fn error_rows(stream: u64, offsets: &[u64]) -> RecordBatch {
    let text = |value: &str| -> StringArray { offsets.iter().map(|_| Some(value)).collect() };
    let partitions: Int32Array = offsets.iter().map(|_| 0).collect();
    let times: TimestampMicrosecondArray = offsets.iter().map(|_| Some(FIRST_MICROS)).collect();
    let payloads: BinaryArray = offsets.iter().map(|_| Some(b"{".as_slice())).collect();
    let numbers = |of: &dyn Fn(u64) -> i64| -> Int64Array { offsets.iter().map(|offset| of(*offset)).collect() };
    let columns = vec![
        Arc::new(text("events")) as _,
        Arc::new(partitions) as _,
        Arc::new(times.with_timezone("+00:00")) as _,
        Arc::new(text("malformed")) as _,
        Arc::new(text("it ends too early")) as _,
        Arc::new(payloads) as _,
        Arc::new(numbers(&|_| 1)) as _,
        Arc::new(numbers(&|_| stream as i64)) as _,
        Arc::new(numbers(&|offset| offset as i64)) as _,
    ];
    RecordBatch::try_new(error_schema(), columns).unwrap()
}

/// A log on a disk of its own.
pub(super) async fn log() -> Wal {
    Wal::open(Arc::new(MemoryDisk::new()), WalSettings::default(), world()).await.unwrap().0
}

/// The batch, logged.
pub(super) async fn held(log: &Wal, budget: &Arc<MemoryBudget>, batch: Batch) -> Held {
    let payload = batch.encode(Fence(2), SchemaId(3));
    let durable = log.append(Record { stream: batch.stream.0, epoch: 1, payload }).await.unwrap();
    let position: WalPosition = durable.await.unwrap();
    Held { charge: budget.charge(batch.bytes()), batch, position }
}

/// A catalog that answers commits from a script, and with `Committed` after it.
#[derive(Debug, Default)]
pub(super) struct ScriptedCatalog {
    pub(super) answers: Mutex<VecDeque<Result<CommitOutcome, CatalogError>>>,
    pub(super) requests: Mutex<Vec<CommitRequest>>,
    pub(super) staged: Mutex<Vec<UploadIntent>>,
}

#[async_trait]
impl CatalogService for ScriptedCatalog {
    async fn stage(&self, intents: &[UploadIntent]) -> Result<(), CatalogError> {
        self.staged.lock().unwrap().extend(intents.iter().cloned());
        Ok(())
    }

    async fn commit(&self, request: &CommitRequest) -> Result<CommitOutcome, CatalogError> {
        self.requests.lock().unwrap().push(request.clone());
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or(Ok(CommitOutcome::Committed(Version([1; 16]))))
    }

    async fn void(&self, _writer: WriterId, _token: CommitToken) -> Result<VoidOutcome, CatalogError> {
        Ok(VoidOutcome::Voided)
    }

    async fn snapshot(&self, _table: TableId) -> Result<TableSnapshot, CatalogError> {
        Err(CatalogError::Closed)
    }
}
