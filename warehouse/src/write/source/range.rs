//! Reads bounded ranges of partitions through a [`Source`], each to its end and no further: for whoever looks at a topic
//! without taking part in a pipeline. Decides nothing about where ranges begin and end, and keeps nothing at the broker.
//!
//! A range ends when its last offset is settled, by a record or by the end of the partition: control records, aborted
//! records and compaction leave offsets that never come. What retention takes while it is read is passed over.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use catalog::{Offset, OffsetRange, StreamId};
use vfs::{Clock, Moment};

use super::{Records, Source, SourceError, SourceEvent, SourceStream};

/// How long nothing may come from brokers that do not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A range of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRange {
    /// The topic.
    pub topic: Arc<str>,
    /// The broker's id of its incarnation; empty where it gives none.
    pub incarnation: Arc<str>,
    /// Kafka's partition number.
    pub partition: i32,
    /// Which offsets.
    pub range: OffsetRange,
}

/// Records of one partition.
#[derive(Debug)]
pub struct Piece {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Some of the range's records, by rising offset; at least one.
    pub records: Records,
}

/// Reads ranges. Dropping it ends the fetching.
pub struct RangeReader {
    source: Box<dyn Source>,
    clock: Arc<dyn Clock>,
    /// Ranges of one partition follow each other: a source reads a partition at one place.
    waiting: BTreeMap<(Arc<str>, i32), VecDeque<TopicRange>>,
    reading: BTreeMap<StreamId, TopicRange>,
    begun: u64,
    is_opened: bool,
    /// When something last came, or nothing was wrong.
    well: Moment,
    trouble: Option<SourceError>,
}

impl RangeReader {
    /// Reads `ranges` through `source`, which has no streams yet.
    pub fn new(source: Box<dyn Source>, ranges: &[TopicRange], clock: Arc<dyn Clock>) -> Self {
        let mut waiting: BTreeMap<(Arc<str>, i32), VecDeque<TopicRange>> = BTreeMap::new();
        for range in ranges.iter().filter(|range| !range.range.is_empty()) {
            waiting.entry((Arc::clone(&range.topic), range.partition)).or_default().push_back(range.clone());
        }
        let well = clock.now();
        Self { source, clock, waiting, reading: BTreeMap::new(), begun: 0, is_opened: false, well, trouble: None }
    }

    /// The next records; `None` once every range is at its end.
    ///
    /// # Errors
    /// If the topic is gone or another one, if the broker lost records that were to be read, or if nobody answers.
    pub async fn next(&mut self) -> Result<Option<Piece>, SourceError> {
        if !self.is_opened {
            self.is_opened = true;
            let partitions: Vec<_> = self.waiting.keys().cloned().collect();
            for partition in partitions {
                self.begin_next(&partition).await?;
            }
        }
        while !self.reading.is_empty() {
            let event = self.source.next().await;
            if let Some(piece) = self.absorb(event).await? {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    async fn absorb(&mut self, event: SourceEvent) -> Result<Option<Piece>, SourceError> {
        match event {
            SourceEvent::Fetched(fetched) => {
                (self.well, self.trouble) = (self.clock.now(), None);
                let Some(of) = self.reading.get(&fetched.stream) else { return Ok(None) };
                let (topic, partition, end) = (Arc::clone(&of.topic), of.partition, of.range.end);
                let mut records = fetched.records;
                records.cut_at(end);
                if fetched.range.end >= end {
                    self.end(fetched.stream).await?;
                }
                Ok((!records.is_empty()).then_some(Piece { topic, partition, records }))
            }
            SourceEvent::OutOfRange { stream, wanted, low, high } => {
                let Some(of) = self.reading.get_mut(&stream) else { return Ok(None) };
                if wanted >= low {
                    return Err(lost(of, high));
                }
                if low >= of.range.end {
                    self.end(stream).await?;
                    return Ok(None);
                }
                of.range.start = low;
                let wanted = wanted_stream(stream, of);
                self.source.add(wanted).await?;
                Ok(None)
            }
            SourceEvent::TopicChanged { found, .. } => {
                Err(SourceError::Fatal { cause: found, next_step: "ask again".to_owned() })
            }
            SourceEvent::Trouble(error @ SourceError::Unreachable { .. }) => {
                self.trouble = Some(error);
                self.lose_patience()
            }
            SourceEvent::Trouble(error) => Err(error),
            SourceEvent::HighWatermark { .. } => Ok(None),
            SourceEvent::Idle => self.lose_patience(),
        }
    }

    fn lose_patience(&mut self) -> Result<Option<Piece>, SourceError> {
        let now = self.clock.now();
        match &self.trouble {
            Some(error) if now.since(self.well) >= PATIENCE => Err(error.clone()),
            Some(_) => Ok(None),
            None => {
                self.well = now;
                Ok(None)
            }
        }
    }

    async fn end(&mut self, stream: StreamId) -> Result<(), SourceError> {
        let Some(ended) = self.reading.remove(&stream) else { return Ok(()) };
        self.source.remove(stream).await;
        self.begin_next(&(ended.topic, ended.partition)).await
    }

    async fn begin_next(&mut self, partition: &(Arc<str>, i32)) -> Result<(), SourceError> {
        let Some(range) = self.waiting.get_mut(partition).and_then(VecDeque::pop_front) else { return Ok(()) };
        self.begun += 1;
        let stream = StreamId(self.begun);
        self.source.add(wanted_stream(stream, &range)).await?;
        self.reading.insert(stream, range);
        Ok(())
    }
}

fn wanted_stream(stream: StreamId, of: &TopicRange) -> SourceStream {
    SourceStream {
        stream,
        topic: Arc::clone(&of.topic),
        incarnation: Arc::clone(&of.incarnation),
        partition: of.partition,
        position: of.range.start,
    }
}

fn lost(of: &TopicRange, high: Offset) -> SourceError {
    SourceError::Fatal {
        cause: format!(
            "partition {} of topic {:?} now ends at offset {high}, and was to be read up to {}: the broker lost records",
            of.partition, of.topic, of.range.end
        ),
        next_step: "ask again, for what there is now".to_owned(),
    }
}

impl fmt::Debug for RangeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeReader").field("reading", &self.reading).field("waiting", &self.waiting).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use catalog::{KafkaSource, RecordFormat, StartPosition};
    use vfs::SystemClock;

    use super::*;
    use crate::write::source::{MemoryBroker, MemoryConnector, MemoryRecord, SourceConnector, SourceOptions};

    async fn reader(broker: &MemoryBroker, start: u64, end: u64) -> RangeReader {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let connector = MemoryConnector::new(broker.clone(), Arc::clone(&clock));
        let kafka = KafkaSource {
            brokers: "script".to_owned(),
            topics: "t".into(),
            format: RecordFormat::Json,
            start: StartPosition::Earliest,
            properties: BTreeMap::new(),
        };
        let options = SourceOptions {
            read_committed: true,
            queue_bytes: 1 << 20,
            batch_bytes: 4,
            max_record_bytes: 1 << 20,
            keys: false,
            headers: false,
        };
        let incarnation = connector.topic(&kafka).await.unwrap().incarnation;
        let range = TopicRange {
            topic: Arc::from("t"),
            incarnation: Arc::from(incarnation.as_str()),
            partition: 0,
            range: OffsetRange::new(Offset(start), Offset(end)),
        };
        RangeReader::new(connector.open(&kafka, options).await.unwrap(), &[range], clock)
    }

    async fn offsets(mut reader: RangeReader) -> Result<Vec<u64>, SourceError> {
        let mut seen = Vec::new();
        while let Some(piece) = reader.next().await? {
            seen.extend(piece.records.iter().map(|record| record.offset));
        }
        Ok(seen)
    }

    fn broker(count: usize) -> MemoryBroker {
        let broker = MemoryBroker::new();
        broker.create_topic("t", 1);
        for _ in 0..count {
            broker.produce("t", 0, MemoryRecord::of("abcd"));
        }
        broker
    }

    #[tokio::test]
    async fn a_range_that_ends_in_offsets_without_a_record_ends() {
        let broker = broker(3);
        broker.skip("t", 0, 2);
        assert_eq!(offsets(reader(&broker, 1, 5).await).await.unwrap(), [1, 2]);
        broker.produce("t", 0, MemoryRecord::of("behind"));
        assert_eq!(offsets(reader(&broker, 1, 4).await).await.unwrap(), [1, 2], "what lies behind is left out");
    }

    #[tokio::test]
    async fn what_retention_took_is_passed_over() {
        let broker = broker(9);
        broker.expire("t", 0, Offset(4));
        assert_eq!(offsets(reader(&broker, 2, 6).await).await.unwrap(), [4, 5]);
        assert_eq!(offsets(reader(&broker, 1, 4).await).await.unwrap(), [] as [u64; 0], "all of it");
    }

    #[tokio::test]
    async fn records_that_the_broker_lost_and_a_topic_made_again_are_errors() {
        let broker = broker(9);
        let before = reader(&broker, 8, 9).await;
        broker.truncate("t", 0, Offset(5));
        let error = offsets(before).await.unwrap_err().to_string();
        assert!(error.contains("now ends at offset 5") && error.contains("lost records"), "{error}");
        let before = reader(&broker, 0, 5).await;
        broker.create_topic("t", 1);
        let error = offsets(before).await.unwrap_err().to_string();
        assert!(error.contains("made again"), "{error}");
    }
}
