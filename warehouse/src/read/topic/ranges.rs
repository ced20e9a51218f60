//! From positions to absolute ranges, once a statement: what is produced later is not part of it.

use std::sync::Arc;

use catalog::{KafkaSource, Offset, OffsetRange, StartPosition, Topics};
use futures::{StreamExt, TryStreamExt, stream};

use super::query::{Position, TopicQuery};
use crate::write::source::{SourceConnector, SourceError, TopicRange, TopicsView};

/// How many partitions are asked about at a time.
const QUESTIONS_AT_ONCE: usize = 8;

/// The range of each partition of the query's topics, by topic and partition; also the empty ones.
///
/// # Errors
/// If a topic is not there, or nobody answers.
pub async fn resolve_ranges(
    connector: &dyn SourceConnector,
    query: &TopicQuery,
) -> Result<Vec<TopicRange>, SourceError> {
    let view = connector.topics(&query.kafka).await?.whole(&query.kafka)?;
    let ranges = empty_ranges(&view).into_iter().map(|of| async move {
        let range = range(connector, query, &of.topic, of.partition).await?;
        Ok(TopicRange { range, ..of })
    });
    stream::iter(ranges).buffered(QUESTIONS_AT_ONCE).try_collect().await
}

/// What the broker has of each partition, by topic and partition. A pattern may match nothing, and a topic that goes while it is
/// asked about is left out, unless it is named.
///
/// # Errors
/// If a topic that is named is not there, or nobody answers.
pub(super) async fn extents(
    connector: &dyn SourceConnector,
    kafka: &KafkaSource,
) -> Result<Vec<TopicRange>, SourceError> {
    let is_pattern = matches!(kafka.topics, Topics::Pattern { .. });
    let view = connector.topics(kafka).await?;
    let view = if is_pattern { view } else { view.whole(kafka)? };
    let extents = empty_ranges(&view).into_iter().map(|of| async move {
        match connector.watermarks(kafka, &of.topic, of.partition).await {
            Ok((low, high)) => Ok(Some(TopicRange { range: OffsetRange::new(low, high.max(low)), ..of })),
            Err(SourceError::TopicMissing { .. }) if is_pattern => Ok(None),
            Err(error) => Err(error),
        }
    });
    let found: Vec<Option<TopicRange>> = stream::iter(extents).buffered(QUESTIONS_AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Each partition of the topics, without a range yet.
fn empty_ranges(view: &TopicsView) -> Vec<TopicRange> {
    let mut partitions = Vec::new();
    for (name, topic) in &view.found {
        let (name, incarnation): (Arc<str>, Arc<str>) = (Arc::from(name.as_str()), Arc::from(&*topic.incarnation));
        partitions.extend(topic.partitions.iter().map(|partition| TopicRange {
            topic: Arc::clone(&name),
            incarnation: Arc::clone(&incarnation),
            partition: *partition,
            range: OffsetRange::new(Offset(0), Offset(0)),
        }));
    }
    partitions
}

async fn range(
    connector: &dyn SourceConnector,
    query: &TopicQuery,
    topic: &str,
    partition: i32,
) -> Result<OffsetRange, SourceError> {
    let (low, high) = connector.watermarks(&query.kafka, topic, partition).await?;
    // Beyond this a reader of committed records does not come before a transaction ends, and the query would not either.
    let end = match query.read_committed {
        true => connector.committed_end(&query.kafka, topic, partition).await?,
        false => high,
    };
    let bounds = Bounds { low, end: end.max(low), topic, partition };
    let start = bounds.place(connector, query, &query.from, low).await?;
    let to = bounds.place(connector, query, &query.to, bounds.end).await?;
    Ok(OffsetRange::new(start, to.max(start)))
}

/// What exists of a partition.
struct Bounds<'a> {
    low: Offset,
    end: Offset,
    topic: &'a str,
    partition: i32,
}

impl Bounds<'_> {
    /// The offset of `position`, within the bounds; `otherwise` where a list of partitions does not name this one.
    async fn place(
        &self,
        connector: &dyn SourceConnector,
        query: &TopicQuery,
        position: &Position,
        otherwise: Offset,
    ) -> Result<Offset, SourceError> {
        let found = match position {
            Position::Earliest => self.low,
            Position::Latest => self.end,
            Position::Offset(offset) => Offset(*offset),
            Position::BeforeEnd(count) => Offset(self.end.0.saturating_sub(*count)),
            Position::TimestampMillis(millis) => {
                let start = StartPosition::TimestampMillis(*millis);
                connector.resolve(&query.kafka, self.topic, self.partition, &start).await?
            }
            Position::Partitions(offsets) => offsets.get(&self.partition).map_or(otherwise, |offset| Offset(*offset)),
        };
        Ok(found.clamp(self.low, self.end))
    }
}
