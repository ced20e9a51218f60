//! `kafka_topics(…)`: the topics of a broker, their partitions, and how much is in each. Owns the columns; what the broker has is
//! asked for in `ranges.rs`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema};
use catalog::{KafkaSource, Offset};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;

use super::ranges::extents;
use super::table::field;
use crate::write::source::{SourceConnector, SourceError, TopicRange};

/// A row for each partition of the topics of `kafka`, as they are now: `topic`, `partition`, its `earliest` and `latest` offset (the
/// one after the last), and how many `records` lie between, at most: compaction and transactions leave holes.
///
/// # Errors
/// If a topic that is named is not there, or nobody answers.
pub async fn topic_list(
    connector: &dyn SourceConnector,
    kafka: &KafkaSource,
) -> Result<Arc<dyn TableProvider>, SourceError> {
    let extents = extents(connector, kafka).await?;
    let count = |of: fn(&TopicRange) -> Offset| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(extents.iter().map(|extent| signed(of(extent).0))))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(extents.iter().map(|extent| &extent.topic))),
        Arc::new(Int32Array::from_iter_values(extents.iter().map(|extent| extent.partition))),
        count(|extent| extent.range.start),
        count(|extent| extent.range.end),
        count(|extent| Offset(extent.range.offsets())),
    ];
    let big = |name| field(name, DataType::Int64, "bigint".to_owned());
    let schema = Arc::new(Schema::new(vec![
        field("topic", DataType::Utf8, "text".to_owned()),
        field("partition", DataType::Int32, "int".to_owned()),
        big("earliest"),
        big("latest"),
        big("records"),
    ]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("each column has a value for each partition");
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]]).expect("the batch has the table's schema")))
}

/// Kafka's offsets are signed 64-bit numbers, never negative.
fn signed(offset: u64) -> i64 {
    i64::try_from(offset).expect("a broker's offsets fit 63 bits")
}
