//! The table and the pipeline of a test.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{
    Catalog, ColumnType, IntegerWidth, KafkaSource, NewColumn, NewPipeline, NewTable, PartitionTransform, Pipeline,
    PipelineSettings, RecordFormat, StartPosition, Table,
};

use super::TOPIC;

/// What a test's pipeline is like.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// PARTITION BY this column's value.
    pub(crate) partition_by: Option<&'static str>,
    /// WHERE.
    pub(crate) filter: Option<&'static str>,
    /// WITH.
    pub(crate) settings: PipelineSettings,
}

impl Setup {
    /// Flushes after so many milliseconds.
    pub(crate) fn flushing_after(flush_interval_ms: u64) -> Self {
        let settings = PipelineSettings { flush_interval_ms, ..PipelineSettings::default() };
        Self { partition_by: None, filter: None, settings }
    }

    /// Flushes only when it is told to, or when a test lets an hour pass.
    pub(crate) fn unflushed() -> Self {
        Self::flushing_after(3_600_000)
    }

    /// Makes both, or finds them.
    pub(super) async fn make(&self, catalog: &Catalog) -> (Arc<Table>, Arc<Pipeline>) {
        let bigint = ColumnType::Integer { width: IntegerWidth::Big, unsigned: false };
        let table = NewTable {
            database: "default".to_owned(),
            name: "events".to_owned(),
            columns: vec![
                NewColumn::new("seq", bigint, false),
                NewColumn::new("kind", ColumnType::Text { characters_max: None }, true),
            ],
            partition_by: self
                .partition_by
                .map(|name| (name.to_owned(), PartitionTransform::Identity))
                .into_iter()
                .collect(),
            order_by: vec!["seq".to_owned()],
        };
        let table = catalog.create_table(table, true).await.unwrap();
        let source = KafkaSource {
            brokers: "script".to_owned(),
            topics: TOPIC.into(),
            format: RecordFormat::Json,
            start: StartPosition::Earliest,
            properties: BTreeMap::new(),
        };
        let pipeline = NewPipeline {
            database: "default".to_owned(),
            name: "events_in".to_owned(),
            table: table.id,
            source,
            projection: "*".to_owned(),
            filter: self.filter.map(str::to_owned),
            settings: self.settings.clone(),
        };
        (table, catalog.create_pipeline(pipeline, true).await.unwrap())
    }
}
