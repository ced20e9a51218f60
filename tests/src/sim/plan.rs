//! What a history is like: drawn from its seed before it begins.

use std::collections::BTreeMap;
use std::time::Duration;

use catalog::{
    ColumnType, ErrorPolicy, GapPolicy, IntegerWidth, KafkaSource, NewColumn, NewPipeline, NewTable,
    PartitionTransform, PipelineSettings, RecordFormat, StartPosition, TableId,
};
use wal::WalSettings;
use warehouse::write::insert::InsertSettings;

use super::draw::Draw;
use super::network::Weather;
use super::script::TOPIC;

/// The numbers of one history.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many workers.
    pub workers: usize,
    /// How many managers.
    pub managers: usize,
    /// How many readers.
    pub readers: usize,
    /// How many partitions the topic begins with.
    pub partitions: i32,
    /// Whether the pipeline has a WHERE.
    pub filters: bool,
    /// Whether the table has a PARTITION BY.
    pub partitioned: bool,
    /// The pipeline's settings.
    pub settings: PipelineSettings,
    /// Where its streams begin.
    pub start: StartPosition,
    /// The memory limit of each worker.
    pub memory: u64,
    /// The limit of its log.
    pub wal_bytes_max: u64,
    /// The log's own numbers.
    pub wal: WalSettings,
    /// Most payload bytes of a batch.
    pub batch_bytes: u64,
    /// How old an intent is when the sweeper tries it.
    pub intent_age: Duration,
    /// The longest delay of a message in fair weather, in milliseconds.
    pub latency_ms: u64,
    /// How long the operations take.
    pub duration: Duration,
    /// How servers take INSERTs, if clients insert.
    pub inserts: Option<InsertSettings>,
}

impl Plan {
    /// Draws a history of so many operations and workers.
    pub fn draw(draw: &Draw, operations: usize, workers: usize) -> Self {
        let settings = PipelineSettings {
            tasks: draw.number(1, workers as u64 + 2) as u32,
            flush_bytes: draw.one_of(&[2 << 10, 16 << 10, 1 << 20]),
            flush_interval_ms: draw.one_of(&[400, 1_200, 2_000, 4_000]),
            errors: if draw.happens(850) { ErrorPolicy::Table } else { ErrorPolicy::Pause },
            on_gap: if draw.happens(500) { GapPolicy::Pause } else { GapPolicy::Skip },
            ..PipelineSettings::default()
        };
        Self {
            workers,
            managers: draw.one_of(&[1, 2, 2]),
            readers: draw.one_of(&[2, 3]),
            partitions: draw.number(1, 5) as i32,
            filters: draw.happens(300),
            partitioned: draw.happens(200),
            settings,
            start: if draw.happens(800) { StartPosition::Earliest } else { StartPosition::Latest },
            memory: draw.one_of(&[96 << 10, 256 << 10, 64 << 20]),
            wal_bytes_max: draw.one_of(&[8 << 10, 24 << 10, 4 << 20]),
            wal: WalSettings {
                segment_bytes: draw.one_of(&[1 << 10, 4 << 10, 32 << 10]),
                queue_bytes: 16 << 10,
                disk_reserve_bytes: 0,
            },
            batch_bytes: draw.one_of(&[128, 512, 2 << 10]),
            intent_age: draw.millis(100, 2_500),
            latency_ms: draw.one_of(&[1, 4, 30]),
            duration: Duration::from_millis(40 * operations as u64),
            inserts: None,
        }
    }

    /// The same, with clients that insert.
    pub fn with_inserts(self, draw: &Draw) -> Self {
        let group_bytes = draw.one_of(&[1 << 10, 4 << 10, 8 << 20]);
        let inserts = InsertSettings {
            group_bytes,
            flush_bytes: 2 * group_bytes,
            store_wait: draw.millis(200, 4_000),
            idle: draw.millis(200, 3_000),
            // As in the product: well below the age at which intents are swept.
            renew: self.intent_age / 10,
        };
        Self { inserts: Some(inserts), ..self }
    }

    /// How messages fare when no fault meets them.
    pub fn weather(&self) -> Weather {
        Weather { lost: 0, doubled: 0, delay_ms: self.latency_ms }
    }

    /// The table.
    pub fn table(&self) -> NewTable {
        let column = |name: &str, kind, nullable| NewColumn {
            name: name.to_owned(),
            kind,
            nullable,
            default: None,
            comment: String::new(),
        };
        let bigint = ColumnType::Integer { width: IntegerWidth::Big, unsigned: false };
        let partition_by = self.partitioned.then(|| ("kind".to_owned(), PartitionTransform::Identity));
        NewTable {
            database: "default".to_owned(),
            name: "events".to_owned(),
            columns: vec![
                column("id", bigint, false),
                column("kind", ColumnType::Text { characters_max: Some(8) }, true),
            ],
            partition_by: partition_by.into_iter().collect(),
            order_by: vec!["id".to_owned()],
        }
    }

    /// The pipeline into it.
    pub fn pipeline(&self, table: TableId) -> NewPipeline {
        let source = KafkaSource {
            brokers: "script".to_owned(),
            topics: TOPIC.into(),
            format: RecordFormat::Json,
            start: self.start.clone(),
            properties: BTreeMap::new(),
        };
        NewPipeline {
            database: "default".to_owned(),
            name: PIPELINE.to_owned(),
            table,
            source,
            projection: "*".to_owned(),
            filter: self.filters.then(|| "kind <> 'drop'".to_owned()),
            settings: self.settings.clone(),
        }
    }
}

/// The pipeline's name.
pub const PIPELINE: &str = "events_in";
