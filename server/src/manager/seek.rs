//! What a SEEK would do: each partition's place now and then, resolved once to absolute offsets. The switch itself is the catalog's;
//! when it happens is decided in `change.rs`.

use std::collections::BTreeMap;

use catalog::{Catalog, Offset, Pipeline, SeekTarget, StartPosition, StreamId, StreamState, StreamView};
use vfs::planted;
use warehouse::write::source::{SourceConnector, TopicsView};

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
    Offsets(OffsetsByTopic),
}

/// Offsets by partition, by topic; under `None` those of the only topic that a pipeline reads.
pub type OffsetsByTopic = BTreeMap<Option<String>, BTreeMap<i32, u64>>;

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

/// Resolves a SEEK. `visible` tells how far streams are shown beyond what is committed. What the broker does not have (any more)
/// stays where it is, unless it is named: a topic that comes back is another incarnation, and is read from its beginning.
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
    let named = match to {
        SeekTo::Offsets(offsets) => of_partitions(offsets, newest.keys())?,
        _ => BTreeMap::new(),
    };
    let there = connector.topics(&pipeline.source).await.map_err(|error| error.to_string())?;
    let mut seeks = Vec::new();
    for ((topic, partition), view) in newest {
        if !named.contains_key(&(topic.clone(), partition)) && !has(&there, &topic, partition) {
            continue;
        }
        let position = match to {
            SeekTo::Earliest => StartPosition::Earliest,
            SeekTo::Latest => StartPosition::Latest,
            SeekTo::Timestamp(millis) => StartPosition::TimestampMillis(*millis),
            SeekTo::Offsets(_) => match named.get(&(topic.clone(), partition)) {
                Some(offset) => StartPosition::Offset(*offset),
                None => continue,
            },
        };
        let then = offset(connector, pipeline, &topic, partition, position).await?;
        let incarnation = view.stream.partition().incarnation.clone();
        let now = visible.get(&view.stream.id).copied().unwrap_or(view.committed).max(view.committed);
        let never_back = *to == SeekTo::Latest;
        let shown = if never_back { then.max(now) } else { then };
        seeks.push((
            PartitionSeek { topic: topic.clone(), partition, now, then: shown },
            SeekTarget { topic, partition, incarnation, start: then, never_back },
        ));
    }
    if seeks.is_empty() {
        return Err(format!(
            "SEEK: the broker has none of the topics that pipeline {}.{} reads; create them again, or correct its topic by \
             ALTER PIPELINE",
            pipeline.database, pipeline.name
        ));
    }
    if !planted::is("seek-into-another-incarnation") {
        still_the_same(connector, pipeline, &seeks).await?;
    }
    Ok(seeks)
}

fn has(there: &TopicsView, topic: &str, partition: i32) -> bool {
    there.found.get(topic).is_some_and(|topic| topic.partitions.contains(&partition))
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

/// The offsets by topic and partition, where each is one that the pipeline reads.
fn of_partitions<'a>(
    offsets: &OffsetsByTopic,
    known: impl Iterator<Item = &'a (String, i32)>,
) -> Result<BTreeMap<(String, i32), u64>, String> {
    let mut partitions: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    known.for_each(|(topic, partition)| partitions.entry(topic).or_default().push(*partition));
    let topics = partitions.keys().map(|topic| format!("'{topic}'")).collect::<Vec<_>>().join(", ");
    let mut named = BTreeMap::new();
    for (topic, offsets) in offsets {
        let (topic, known) = match topic {
            Some(topic) => partitions
                .get_key_value(topic.as_str())
                .ok_or_else(|| format!("SEEK: the pipeline reads no topic '{topic}'; its topics are {topics}"))?,
            None if partitions.len() == 1 => partitions.first_key_value().expect("there is one"),
            None => {
                let first = partitions.keys().next().copied().unwrap_or_default();
                return Err(format!(
                    "SEEK: the pipeline reads the topics {topics}, so a partition needs its topic: OFFSETS ('{first}': 0 = 100, …)"
                ));
            }
        };
        for (partition, offset) in offsets {
            if !known.contains(partition) {
                let known = known.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
                return Err(format!(
                    "SEEK: topic '{topic}' has no partition {partition}; the pipeline reads partitions {known} of it"
                ));
            }
            if named.insert(((*topic).to_owned(), *partition), *offset).is_some() {
                return Err(format!("SEEK: partition {partition} of topic '{topic}' is there twice; leave one out"));
            }
        }
    }
    Ok(named)
}

/// The absolute offset of one partition. One that is given has to be at the broker.
async fn offset(
    connector: &dyn SourceConnector,
    pipeline: &Pipeline,
    topic: &str,
    partition: i32,
    position: StartPosition,
) -> Result<Offset, String> {
    if let StartPosition::Offset(offset) = position {
        let watermarks = connector.watermarks(&pipeline.source, topic, partition).await;
        let (low, high) = watermarks.map_err(|error| error.to_string())?;
        if !(low.0..=high.0).contains(&offset) {
            return Err(format!(
                "SEEK: the broker has offsets {low} to {high} of partition {partition} of topic {topic:?} ({high} is its \
                 end), and {offset} is not among them: choose one of these"
            ));
        }
        return Ok(Offset(offset));
    }
    connector.resolve(&pipeline.source, topic, partition, &position).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(offsets: &[(Option<&str>, i32, u64)], known: &[(&str, i32)]) -> Result<Vec<(String, i32, u64)>, String> {
        let mut given = OffsetsByTopic::new();
        for (topic, partition, offset) in offsets {
            given.entry(topic.map(str::to_owned)).or_default().insert(*partition, *offset);
        }
        let known: Vec<(String, i32)> =
            known.iter().map(|(topic, partition)| ((*topic).to_owned(), *partition)).collect();
        let named = of_partitions(&given, known.iter())?;
        Ok(named.into_iter().map(|((topic, partition), offset)| (topic, partition, offset)).collect())
    }

    #[test]
    fn a_partition_without_a_topic_is_one_of_the_only_topic() {
        let (one, two) = ([("a", 0), ("a", 1)], [("a", 0), ("b", 0), ("b", 1)]);
        assert_eq!(of(&[(None, 1, 5)], &one), Ok(vec![("a".to_owned(), 1, 5)]));
        assert_eq!(of(&[(Some("b"), 1, 5), (Some("a"), 0, 7)], &two).unwrap().len(), 2);
        for (offsets, known, words) in [
            (&[(None, 0, 5)][..], &two[..], "a partition needs its topic: OFFSETS ('a': 0 = 100, …)"),
            (&[(Some("c"), 0, 5)], &two, "reads no topic 'c'; its topics are 'a', 'b'"),
            (&[(Some("a"), 1, 5)], &two, "topic 'a' has no partition 1; the pipeline reads partitions 0 of it"),
            (&[(None, 0, 5), (Some("a"), 0, 6)], &one, "partition 0 of topic 'a' is there twice"),
        ] {
            let error = of(offsets, known).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
