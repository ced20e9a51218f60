//! The seam of sources: anything with partitions, a monotone offset in each, and replay.
//!
//! A source never decides where to begin and never stores how far it got: it is told an absolute offset for each stream,
//! and what it hands out is durable at the broker only, until the commit. If the process dies here, the next owner
//! fetches again from the committed offset.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{Gap, KafkaSource, Offset, OffsetRange, StartPosition, StreamId};

mod cursor;
pub mod kafka;
pub mod memory;
mod pattern;
mod range;
mod records;

pub use kafka::KafkaConnector;
pub use memory::{MemoryBroker, MemoryConnector, MemoryRecord};
pub use pattern::TopicPattern;
pub use range::{Piece, RangeReader, TopicRange};
pub use records::{RawRecord, Records};

/// One stream to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStream {
    /// The stream.
    pub stream: StreamId,
    /// Its topic.
    pub topic: Arc<str>,
    /// The broker's id of the topic's incarnation that the stream is of; empty where the broker gives none.
    pub incarnation: Arc<str>,
    /// Kafka's partition number.
    pub partition: i32,
    /// The first offset to be handed out.
    pub position: Offset,
}

/// Records of one contiguous offset range of one stream.
#[derive(Debug)]
pub struct Fetched {
    /// The stream.
    pub stream: StreamId,
    /// Which offsets are settled by this: those without a record in `records` and outside `gaps` were passed over in
    /// silence by the broker (control records, aborted records, compaction), and are counted as skipped.
    pub range: OffsetRange,
    /// The records, by rising offset.
    pub records: Records,
    /// Ranges lost to retention or truncation, under `ON GAP SKIP`.
    pub gaps: Vec<Gap>,
}

/// What a source has to say.
#[derive(Debug)]
pub enum SourceEvent {
    /// Records, in order and without holes per stream.
    Fetched(Fetched),
    /// The end of a partition as the broker last told it: the lag's other end.
    HighWatermark {
        /// The stream.
        stream: StreamId,
        /// The offset after its last record.
        offset: Offset,
    },
    /// The position does not exist at the broker. The source hands out nothing more of this stream until it is added again.
    OutOfRange {
        /// The stream.
        stream: StreamId,
        /// Where it wanted to read.
        wanted: Offset,
        /// The first offset that exists.
        low: Offset,
        /// The offset after the last one that exists.
        high: Offset,
    },
    /// The topic is gone, or is another incarnation than the stream's.
    TopicChanged {
        /// The stream.
        stream: StreamId,
        /// What was found, in a sentence.
        found: String,
    },
    /// Trouble that passes, or may: the broker is away. The source goes on trying.
    Trouble(SourceError),
    /// Nothing happened for a while: the caller may look at its timers.
    Idle,
}

/// What is wrong with a source.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SourceError {
    /// The broker did not answer. It passes by itself, or not: the source goes on trying.
    #[error(
        "no broker of {brokers} answers: {cause}; check that it runs and that this machine reaches it; trying again"
    )]
    Unreachable {
        /// The bootstrap servers.
        brokers: String,
        /// librdkafka's words.
        cause: String,
    },
    /// There is no such topic.
    #[error("topic {topic:?} does not exist at {brokers}: create it, or correct the name")]
    TopicMissing {
        /// The topic.
        topic: String,
        /// The bootstrap servers.
        brokers: String,
    },
    /// Something that does not pass by itself: a wrong setting, a codec that is not built in, a refused login.
    #[error("{cause}; {next_step}")]
    Fatal {
        /// What.
        cause: String,
        /// What to do about it.
        next_step: String,
    },
}

/// One open source, read by one task.
#[async_trait]
pub trait Source: Send + fmt::Debug {
    /// Begins to hand out `stream` at its position; in place of what it handed out before, if it was added before.
    async fn add(&mut self, stream: SourceStream) -> Result<(), SourceError>;
    /// Hands out nothing more of `stream`, and forgets what it has queued.
    async fn remove(&mut self, stream: StreamId);
    /// While `true`, [`Source::next`] hands out no records and queues at most what it has room for: back-pressure.
    fn set_paused(&mut self, paused: bool);
    /// The next event. Cancel-safe: an event is handed out or is still there. Returns [`SourceEvent::Idle`] after a short
    /// while without one (at most 100 ms).
    async fn next(&mut self) -> SourceEvent;
    /// Bytes that the source may hold at the most, which count inside the process's memory limit (I8).
    fn queue_bytes_max(&self) -> u64;
    /// Bytes that it holds.
    fn queue_bytes(&self) -> u64;
}

/// A topic as the broker shows it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    /// The broker's id of this incarnation; empty where it gives none.
    pub incarnation: String,
    /// Its partition numbers, rising.
    pub partitions: Vec<i32>,
}

/// The topics of a source as the broker shows them now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsView {
    /// Those that there are, by name.
    pub found: BTreeMap<String, TopicView>,
    /// Those that are named, and are not there.
    pub missing: Vec<String>,
}

impl TopicsView {
    /// The view, if every topic that `kafka` names is there, or any that its pattern matches.
    ///
    /// # Errors
    /// [`SourceError::TopicMissing`] of the first that is not; [`SourceError::Fatal`] where none matches.
    pub fn whole(self, kafka: &KafkaSource) -> Result<Self, SourceError> {
        let brokers = &kafka.brokers;
        if let Some(topic) = self.missing.first() {
            return Err(SourceError::TopicMissing { topic: topic.clone(), brokers: brokers.clone() });
        }
        if self.found.is_empty() {
            return Err(SourceError::Fatal {
                cause: format!("no topic at {brokers} matches {}", kafka.topics),
                next_step: "create one first, or correct the pattern: it has to match the whole name".to_owned(),
            });
        }
        Ok(self)
    }
}

/// Opens sources, and answers questions about topics.
#[async_trait]
pub trait SourceConnector: Send + Sync + fmt::Debug {
    /// Opens a source for one task of a pipeline, without streams.
    async fn open(&self, kafka: &KafkaSource, options: SourceOptions) -> Result<Box<dyn Source>, SourceError>;
    /// The topics as they are now, by as few requests as there are kinds of questions: not one for each topic.
    async fn topics(&self, kafka: &KafkaSource) -> Result<TopicsView, SourceError>;
    /// Resolves a start position of one partition to an absolute offset. Called once a stream, before its first fetch.
    async fn resolve(
        &self,
        kafka: &KafkaSource,
        topic: &str,
        partition: i32,
        start: &StartPosition,
    ) -> Result<Offset, SourceError>;
    /// The first offset and the offset after the last one of a partition.
    async fn watermarks(
        &self,
        kafka: &KafkaSource,
        topic: &str,
        partition: i32,
    ) -> Result<(Offset, Offset), SourceError>;
    /// The offset up to which a source with `read_committed` can come now: the first of an open transaction, or the end.
    async fn committed_end(&self, kafka: &KafkaSource, topic: &str, partition: i32) -> Result<Offset, SourceError>;
    /// The only topic, or the first, as it is now.
    async fn topic(&self, kafka: &KafkaSource) -> Result<TopicView, SourceError> {
        let view = self.topics(kafka).await?.whole(kafka)?;
        Ok(view.found.into_values().next().expect("a whole view has a topic"))
    }
}

/// How a task wants its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceOptions {
    /// Whether records of aborted transactions are passed over.
    pub read_committed: bool,
    /// Bytes that the source may queue.
    pub queue_bytes: u64,
    /// Most bytes of payloads in one [`Fetched`]; one record may exceed it.
    pub batch_bytes: u64,
    /// Payloads above this are handed out cut to their first 64 KiB, with their whole length.
    pub max_record_bytes: u64,
    /// Whether keys are handed out.
    pub keys: bool,
    /// Whether headers are handed out.
    pub headers: bool,
}
