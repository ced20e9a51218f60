//! One open source of the scripted broker. Holds nothing between calls: it fetches when it is asked.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalog::{KafkaSource, Offset, StreamId};
use tokio::sync::Notify;
use vfs::Clock;

use super::broker::{Log, MemoryBroker, MemoryRecord, State};
use super::connector::unreachable;
use crate::write::source::cursor::StreamCursor;
use crate::write::source::{RawRecord, Source, SourceError, SourceEvent, SourceOptions, SourceStream};

const IDLE_AFTER: Duration = Duration::from_millis(100);
const CUT_BYTES: usize = 64 << 10;

#[derive(Debug)]
struct Reading {
    stream: SourceStream,
    cursor: StreamCursor,
    high: Option<u64>,
    /// The task was told why nothing more comes.
    is_stopped: bool,
}

/// Reads topics of a [`MemoryBroker`].
#[derive(Debug)]
pub(super) struct MemorySource {
    broker: MemoryBroker,
    changes: Arc<Notify>,
    clock: Arc<dyn Clock>,
    kafka: KafkaSource,
    options: SourceOptions,
    streams: BTreeMap<StreamId, Reading>,
    /// The stream after which the next look begins, so that none starves.
    last: Option<StreamId>,
    is_paused: bool,
    told_unreachable: bool,
}

impl MemorySource {
    /// A source without streams.
    pub(super) fn new(broker: MemoryBroker, clock: Arc<dyn Clock>, kafka: KafkaSource, options: SourceOptions) -> Self {
        let changes = broker.changes();
        Self {
            broker,
            changes,
            clock,
            kafka,
            options,
            streams: BTreeMap::new(),
            last: None,
            is_paused: false,
            told_unreachable: false,
        }
    }

    /// The next event, if there is one now.
    fn look(&mut self) -> Option<SourceEvent> {
        let broker = self.broker.clone();
        let mut state = broker.lock();
        if !state.is_reachable {
            let first = !std::mem::replace(&mut self.told_unreachable, true);
            return first.then(|| SourceEvent::Trouble(unreachable(&self.kafka)));
        }
        self.told_unreachable = false;
        if !state.is_fetching {
            return None;
        }
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut order: Vec<StreamId> = self.streams.range((after, Bound::Unbounded)).map(|(id, _)| *id).collect();
        order.extend(self.streams.keys().copied().take_while(|id| self.last.is_some_and(|last| *id <= last)));
        for id in order {
            let reading = self.streams.get_mut(&id)?;
            if let Some(event) = reading.look(&mut state, &self.options, self.is_paused) {
                self.last = Some(id);
                return Some(event);
            }
        }
        None
    }
}

impl Reading {
    fn look(&mut self, state: &mut State, options: &SourceOptions, is_paused: bool) -> Option<SourceEvent> {
        if self.is_stopped {
            return None;
        }
        let Some(log) = self.log(state) else {
            self.is_stopped = true;
            let found = format!("topic {:?} is gone, or was made again", self.stream.topic);
            return Some(SourceEvent::TopicChanged { stream: self.stream.stream, found });
        };
        let position = self.cursor.position();
        if position.0 < log.low || position.0 > log.high {
            self.is_stopped = true;
            return Some(SourceEvent::OutOfRange {
                stream: self.stream.stream,
                wanted: position,
                low: Offset(log.low),
                high: Offset(log.high),
            });
        }
        if self.high != Some(log.high) {
            self.high = Some(log.high);
            return Some(SourceEvent::HighWatermark { stream: self.stream.stream, offset: Offset(log.high) });
        }
        if is_paused || position.0 == log.high {
            return None;
        }
        self.gather(log, options);
        self.cursor.seal().map(SourceEvent::Fetched)
    }

    /// The partition, if it is there and of the stream's incarnation.
    fn log<'a>(&self, state: &'a mut State) -> Option<&'a mut Log> {
        let topic = state.topics.get_mut(&*self.stream.topic)?;
        let is_same = self.stream.incarnation.is_empty() || *topic.incarnation == *self.stream.incarnation;
        topic.partitions.get_mut(&self.stream.partition).filter(|_| is_same)
    }

    fn gather(&mut self, log: &mut Log, options: &SourceOptions) {
        let begin = log.begin(self.cursor.position().0);
        let mut bytes = 0;
        for (offset, record) in log.records.range(begin..) {
            bytes += record.payload.as_ref().map_or(0, |payload| payload.len() as u64);
            self.cursor.offer(raw_record(*offset, record, options));
            if bytes >= options.batch_bytes {
                return;
            }
        }
        self.cursor.pass_over(Offset(log.high));
    }
}

fn raw_record<'a>(offset: u64, record: &'a MemoryRecord, options: &SourceOptions) -> RawRecord<'a> {
    let payload = record.payload.as_deref();
    let payload_bytes = payload.map_or(0, |payload| payload.len() as u64);
    let is_above = payload_bytes > options.max_record_bytes;
    RawRecord {
        offset,
        timestamp_ms: record.timestamp_ms,
        payload: payload.map(|payload| if is_above { &payload[..payload.len().min(CUT_BYTES)] } else { payload }),
        payload_bytes,
        key: if options.keys { record.key.as_deref() } else { None },
        headers: if options.headers { record.headers.as_deref() } else { None },
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn add(&mut self, stream: SourceStream) -> Result<(), SourceError> {
        let cursor = StreamCursor::new(stream.stream, stream.position);
        self.streams.insert(stream.stream, Reading { stream, cursor, high: None, is_stopped: false });
        Ok(())
    }

    async fn remove(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    fn set_paused(&mut self, paused: bool) {
        self.is_paused = paused;
    }

    async fn next(&mut self) -> SourceEvent {
        let deadline = self.clock.now().after(IDLE_AFTER);
        let (clock, changes) = (Arc::clone(&self.clock), Arc::clone(&self.changes));
        loop {
            // Made before the look, so that a change during it ends the wait.
            let changed = changes.notified();
            if let Some(event) = self.look() {
                return event;
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = clock.sleep_until(deadline) => return SourceEvent::Idle,
            }
        }
    }

    fn queue_bytes_max(&self) -> u64 {
        // One batch, while it is being made.
        self.options.batch_bytes
    }

    fn queue_bytes(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use catalog::{RecordFormat, StartPosition};
    use vfs::SystemClock;

    use super::*;
    use crate::write::source::{Fetched, MemoryConnector, SourceConnector};

    fn kafka() -> KafkaSource {
        KafkaSource {
            brokers: "script".to_owned(),
            topics: "t".into(),
            format: RecordFormat::Json,
            start: StartPosition::Earliest,
            properties: BTreeMap::new(),
        }
    }

    fn produce(broker: &MemoryBroker, count: usize, payload: &str) {
        for _ in 0..count {
            broker.produce("t", 0, MemoryRecord::of(payload));
        }
    }

    async fn reading(broker: &MemoryBroker, position: u64) -> Box<dyn Source> {
        let connector = MemoryConnector::new(broker.clone(), Arc::new(SystemClock::new()));
        let options = SourceOptions {
            read_committed: true,
            queue_bytes: 1 << 20,
            batch_bytes: 1 << 16,
            max_record_bytes: 1 << 20,
            keys: false,
            headers: false,
        };
        let mut source = connector.open(&kafka(), options).await.unwrap();
        let view = connector.topic(&kafka()).await.unwrap();
        let stream = SourceStream {
            stream: StreamId(7),
            topic: Arc::from("t"),
            incarnation: Arc::from(view.incarnation.as_str()),
            partition: 0,
            position: Offset(position),
        };
        source.add(stream).await.unwrap();
        source
    }

    async fn next_but_highs(source: &mut dyn Source) -> SourceEvent {
        loop {
            match source.next().await {
                SourceEvent::HighWatermark { .. } => {}
                event => return event,
            }
        }
    }

    fn offsets(fetched: &Fetched) -> Vec<u64> {
        fetched.records.iter().map(|record| record.offset).collect()
    }

    #[tokio::test]
    async fn holes_and_a_trailing_hole_are_settled() {
        let broker = MemoryBroker::new();
        broker.create_topic("t", 1);
        broker.produce("t", 0, MemoryRecord::of("a"));
        broker.skip("t", 0, 2);
        broker.produce("t", 0, MemoryRecord::of("b"));
        broker.skip("t", 0, 1);
        let mut source = reading(&broker, 0).await;
        let SourceEvent::Fetched(fetched) = next_but_highs(&mut *source).await else { panic!("records") };
        assert_eq!((fetched.range.to_string(), offsets(&fetched)), ("0..5".to_owned(), vec![0, 3]));
    }

    #[tokio::test]
    async fn records_delivered_again_are_not_handed_out_again() {
        let broker = MemoryBroker::new();
        broker.create_topic("t", 1);
        produce(&broker, 3, "a");
        broker.deliver_again("t", 0, Offset(0), 1);
        let mut source = reading(&broker, 2).await;
        let SourceEvent::Fetched(fetched) = next_but_highs(&mut *source).await else { panic!("records") };
        assert_eq!(offsets(&fetched), vec![2]);
    }

    #[tokio::test]
    async fn a_topic_made_again_ends_the_stream_even_if_its_offsets_exist() {
        let broker = MemoryBroker::new();
        broker.create_topic("t", 1);
        broker.produce("t", 0, MemoryRecord::of("old"));
        let mut source = reading(&broker, 0).await;
        assert!(matches!(next_but_highs(&mut *source).await, SourceEvent::Fetched(_)));
        broker.create_topic("t", 1);
        produce(&broker, 3, "new");
        assert!(matches!(next_but_highs(&mut *source).await, SourceEvent::TopicChanged { .. }));
        assert!(matches!(next_but_highs(&mut *source).await, SourceEvent::Idle));
    }

    #[tokio::test]
    async fn retention_and_truncation_are_out_of_range() {
        let broker = MemoryBroker::new();
        broker.create_topic("t", 1);
        produce(&broker, 9, "a");
        broker.expire("t", 0, Offset(4));
        let mut source = reading(&broker, 2).await;
        let event = next_but_highs(&mut *source).await;
        assert!(matches!(event, SourceEvent::OutOfRange { wanted: Offset(2), low: Offset(4), high: Offset(9), .. }));
        broker.truncate("t", 0, Offset(6));
        let mut source = reading(&broker, 8).await;
        let event = next_but_highs(&mut *source).await;
        assert!(matches!(event, SourceEvent::OutOfRange { wanted: Offset(8), low: Offset(4), high: Offset(6), .. }));
    }

    #[tokio::test]
    async fn an_outage_is_told_once_and_ends() {
        let broker = MemoryBroker::new();
        broker.create_topic("t", 1);
        broker.produce("t", 0, MemoryRecord::of("a"));
        let mut source = reading(&broker, 0).await;
        broker.set_reachable(false);
        assert!(matches!(source.next().await, SourceEvent::Trouble(SourceError::Unreachable { .. })));
        assert!(matches!(source.next().await, SourceEvent::Idle));
        broker.set_reachable(true);
        assert!(matches!(next_but_highs(&mut *source).await, SourceEvent::Fetched(_)));
    }
}
