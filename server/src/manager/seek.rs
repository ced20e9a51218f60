//! What a SEEK would do: each partition's place now and then, resolved once to absolute offsets. The switch itself is the catalog's;
//! when it happens is decided in `change.rs`.

use std::collections::{BTreeMap, BTreeSet};

use catalog::{Catalog, Offset, Pipeline, SeekTarget, StartPosition, StreamId, StreamState, StreamView};
use warehouse::write::source::SourceConnector;

/// Where a SEEK goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// The first offset that the broker has, in every partition.
    Earliest,
    /// The end, in every partition.
    Latest,
    /// The first record at or after so many milliseconds since 1970 UTC, in every partition.
    Timestamp(i64),
    /// These offsets of these partitions; the others stay where they are.
    Offsets(BTreeMap<i32, u64>),
}

/// One partition of a SEEK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSeek {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset that no query sees yet.
    pub now: Offset,
    /// Where it goes on.
    pub then: Offset,
}

impl PartitionSeek {
    /// Offsets that are passed over.
    pub fn skipped(&self) -> u64 {
        self.then.0.saturating_sub(self.now.0)
    }

    /// Offsets that are read a second time, into a stream of their own.
    pub fn repeated(&self) -> u64 {
        self.now.0.saturating_sub(self.then.0)
    }
}

/// The newest stream of each partition.
pub fn newest_streams(streams: &[StreamView]) -> BTreeMap<(String, i32), &StreamView> {
    let mut newest: BTreeMap<(String, i32), &StreamView> = BTreeMap::new();
    let rank = |view: &StreamView| (view.stream.state == StreamState::Open, view.stream.id);
    for view in streams {
        let key = (view.stream.partition().topic.clone(), view.stream.partition().partition);
        let known = newest.entry(key).or_insert(view);
        if rank(view) > rank(known) {
            *known = view;
        }
    }
    newest
}

/// Resolves a SEEK. `visible` tells how far streams are shown beyond what is committed.
///
/// # Errors
/// A sentence: what is not there, what is, and the next step.
pub async fn resolve(
    catalog: &Catalog,
    connector: &dyn SourceConnector,
    pipeline: &Pipeline,
    to: &SeekTo,
    visible: &BTreeMap<StreamId, Offset>,
) -> Result<Vec<(PartitionSeek, SeekTarget)>, String> {
    let streams = catalog.streams(pipeline.id).await.map_err(|error| error.to_string())?;
    let newest = newest_streams(&streams);
    if newest.is_empty() {
        return Err(format!(
            "pipeline {}.{} has not seen its topic yet, so there is nothing to seek in: SHOW PIPELINES tells what it waits for",
            pipeline.database, pipeline.name
        ));
    }
    if let SeekTo::Offsets(offsets) = to {
        let unknown = offsets.keys().find(|partition| !newest.keys().any(|(_, known)| known == *partition));
        if let Some(partition) = unknown {
            let known: BTreeSet<i32> = newest.keys().map(|(_, partition)| *partition).collect();
            let known: Vec<String> = known.iter().map(i32::to_string).collect();
            return Err(format!(
                "SEEK: there is no partition {partition}; the pipeline reads partitions {}",
                known.join(", ")
            ));
        }
    }
    let mut seeks = Vec::new();
    for ((topic, partition), view) in newest {
        let Some(then) = offset(connector, pipeline, &topic, partition, to).await? else { continue };
        let incarnation = view.stream.partition().incarnation.clone();
        let now = visible.get(&view.stream.id).copied().unwrap_or(view.committed).max(view.committed);
        let never_back = *to == SeekTo::Latest;
        let shown = if never_back { then.max(now) } else { then };
        seeks.push((
            PartitionSeek { topic: topic.clone(), partition, now, then: shown },
            SeekTarget { topic, partition, incarnation, start: then, never_back },
        ));
    }
    still_the_same(connector, pipeline, &seeks).await?;
    Ok(seeks)
}

/// Asked last: an offset of a topic that was made again meanwhile would be one of another incarnation than its stream's.
async fn still_the_same(
    connector: &dyn SourceConnector,
    pipeline: &Pipeline,
    seeks: &[(PartitionSeek, SeekTarget)],
) -> Result<(), String> {
    let topics = connector.topics(&pipeline.source).await.map_err(|error| error.to_string())?;
    let is_another = |target: &SeekTarget| {
        let now = topics.found.get(&target.topic).map(|topic| topic.incarnation.as_str()).unwrap_or_default();
        !now.is_empty() && !target.incarnation.is_empty() && now != target.incarnation
    };
    match seeks.iter().find(|(_, target)| is_another(target)) {
        Some((_, target)) => Err(format!(
            "SEEK: topic {:?} was made again at the broker, and pipeline {}.{} has not noticed yet; ask again in a moment",
            target.topic, pipeline.database, pipeline.name
        )),
        None => Ok(()),
    }
}

/// The absolute offset of one partition; `None` where it is not named and stays where it is.
async fn offset(
    connector: &dyn SourceConnector,
    pipeline: &Pipeline,
    topic: &str,
    partition: i32,
    to: &SeekTo,
) -> Result<Option<Offset>, String> {
    let position = match to {
        SeekTo::Earliest => StartPosition::Earliest,
        SeekTo::Latest => StartPosition::Latest,
        SeekTo::Timestamp(millis) => StartPosition::TimestampMillis(*millis),
        SeekTo::Offsets(offsets) => {
            let Some(offset) = offsets.get(&partition) else { return Ok(None) };
            let watermarks = connector.watermarks(&pipeline.source, topic, partition).await;
            let (low, high) = watermarks.map_err(|error| error.to_string())?;
            if !(low.0..=high.0).contains(offset) {
                return Err(format!(
                    "SEEK: the broker has offsets {low} to {high} of partition {partition} of topic {topic:?} ({high} is its \
                     end), and {offset} is not among them: choose one of these"
                ));
            }
            return Ok(Some(Offset(*offset)));
        }
    };
    let resolved = connector.resolve(&pipeline.source, topic, partition, &position).await;
    resolved.map(Some).map_err(|error| error.to_string())
}
