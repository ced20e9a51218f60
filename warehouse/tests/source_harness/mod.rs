//! What the tests of sources share: three brokers behind one trait, and a reader that checks every event as it comes.
// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use catalog::{KafkaSource, Offset, RecordFormat, StartPosition, StreamId};
use futures::executor::block_on;
use millrace_warehouse::write::source::{
    Fetched, KafkaConnector, MemoryBroker, MemoryConnector, MemoryRecord, Source, SourceConnector, SourceError,
    SourceEvent, SourceOptions, SourceStream,
};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use vfs::{OsRandom, Random, SystemClock};

/// A condition that has not come true after this will not.
const PATIENCE: Duration = Duration::from_secs(60);

/// One record to be produced.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestRecord {
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) header: Option<(&'static str, &'static str)>,
    pub(crate) timestamp_ms: Option<i64>,
}

/// A record that is a payload and nothing else.
pub(crate) fn record(payload: impl Into<Vec<u8>>) -> TestRecord {
    TestRecord { payload: Some(payload.into()), ..TestRecord::default() }
}

/// `count` records, each with its number as payload.
pub(crate) fn numbered(count: usize) -> Vec<TestRecord> {
    (0..count).map(|number| record(number.to_string())).collect()
}

/// A broker.
pub(crate) trait Harness {
    fn connector(&self) -> Arc<dyn SourceConnector>;
    fn brokers(&self) -> String;
    fn create_topic(&self, topic: &str, partitions: i32);
    /// Returns when the records are at the broker.
    fn produce(&self, topic: &str, partition: i32, records: &[TestRecord]);

    fn kafka(&self, topic: &str) -> KafkaSource {
        KafkaSource {
            brokers: self.brokers(),
            topics: topic.into(),
            format: RecordFormat::Json,
            start: StartPosition::Earliest,
            properties: BTreeMap::new(),
        }
    }

    /// A topic that no other test and no earlier run has, of empty partitions.
    fn topic(&self, name: &str, partitions: i32) -> String {
        let topic = unused_name(name);
        self.create_topic(&topic, partitions);
        topic
    }
}

pub(crate) fn unused_name(name: &str) -> String {
    format!("{name}-{:016x}", OsRandom.next_u64())
}

fn kafka_connector() -> Arc<dyn SourceConnector> {
    Arc::new(KafkaConnector::new(Arc::new(SystemClock::new())))
}

/// The scripted broker.
#[derive(Default)]
pub(crate) struct MemoryHarness {
    pub(crate) broker: MemoryBroker,
}

impl Harness for MemoryHarness {
    fn connector(&self) -> Arc<dyn SourceConnector> {
        Arc::new(MemoryConnector::new(self.broker.clone(), Arc::new(SystemClock::new())))
    }

    fn brokers(&self) -> String {
        "script".to_owned()
    }

    fn create_topic(&self, topic: &str, partitions: i32) {
        self.broker.create_topic(topic, partitions);
    }

    fn produce(&self, topic: &str, partition: i32, records: &[TestRecord]) {
        for record in records {
            let headers = record.header.map(|(name, value)| format!(r#"{{"{name}":"{value}"}}"#).into_bytes());
            let record = record.clone();
            let made =
                MemoryRecord { payload: record.payload, timestamp_ms: record.timestamp_ms, key: record.key, headers };
            self.broker.produce(topic, partition, made);
        }
    }
}

/// librdkafka's mock cluster of one broker.
pub(crate) struct MockHarness {
    pub(crate) cluster: MockCluster<'static, DefaultProducerContext>,
}

impl MockHarness {
    pub(crate) fn new() -> Self {
        Self { cluster: MockCluster::new(1).unwrap() }
    }
}

impl Harness for MockHarness {
    fn connector(&self) -> Arc<dyn SourceConnector> {
        kafka_connector()
    }

    fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    fn create_topic(&self, topic: &str, partitions: i32) {
        self.cluster.create_topic(topic, partitions, 1).unwrap();
    }

    fn produce(&self, topic: &str, partition: i32, records: &[TestRecord]) {
        produce_with(&self.brokers(), topic, partition, records, &[]);
    }
}

/// A real Apache Kafka, where there is one.
pub(crate) struct RealHarness {
    brokers: String,
}

impl RealHarness {
    /// The broker of `MILLRACE_TEST_KAFKA`. Without one, says that the test is skipped; fails where it may not be.
    pub(crate) fn connect() -> Option<Self> {
        if let Ok(brokers) = std::env::var("MILLRACE_TEST_KAFKA") {
            return Some(Self { brokers });
        }
        let required = std::env::var("MILLRACE_TEST_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|name| name.trim() == "kafka"),
            "a real Kafka is required: set MILLRACE_TEST_KAFKA"
        );
        println!("skipped: no real Kafka (set MILLRACE_TEST_KAFKA or run tests/components/kafka.sh)");
        None
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap()
    }

    /// Makes a topic with settings, and waits until it is shown.
    pub(crate) fn create_with(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let new =
            settings.iter().fold(NewTopic::new(topic, partitions, TopicReplication::Fixed(1)), |new, (name, value)| {
                new.set(name, value)
            });
        block_on(self.admin().create_topics([&new], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
        self.wait_for_partitions(topic, partitions);
    }

    /// An answered CreateTopics is not yet a topic that can be read.
    pub(crate) fn wait_for_partitions(&self, topic: &str, partitions: i32) {
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap();
        for _ in 0..600 {
            let metadata = producer.client().fetch_metadata(Some(topic), Duration::from_secs(10)).unwrap();
            let shown = metadata.topics()[0].partitions();
            if shown.len() == usize::try_from(partitions).unwrap()
                && shown.iter().all(|partition| partition.leader() >= 0)
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("topic {topic} does not get {partitions} partitions");
    }
}

impl Harness for RealHarness {
    fn connector(&self) -> Arc<dyn SourceConnector> {
        kafka_connector()
    }

    fn brokers(&self) -> String {
        self.brokers.clone()
    }

    fn create_topic(&self, topic: &str, partitions: i32) {
        self.create_with(topic, partitions, &[("retention.ms", "-1")]);
    }

    fn produce(&self, topic: &str, partition: i32, records: &[TestRecord]) {
        produce_with(&self.brokers, topic, partition, records, &[]);
    }
}

/// A producer with settings.
pub(crate) fn producer(brokers: &str, settings: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("message.max.bytes", "40000000");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

/// Produces with the producer's `settings`, and waits for the acknowledgements.
pub(crate) fn produce_with(
    brokers: &str,
    topic: &str,
    partition: i32,
    records: &[TestRecord],
    settings: &[(&str, &str)],
) {
    let producer = producer(brokers, settings);
    records.iter().for_each(|record| send(&producer, topic, partition, record));
    producer.flush(PATIENCE).unwrap();
    assert_eq!(producer.in_flight_count(), 0);
}

/// Hands one record to `producer`.
pub(crate) fn send(producer: &BaseProducer, topic: &str, partition: i32, record: &TestRecord) {
    let mut message = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
    message.payload = record.payload.as_deref();
    message.key = record.key.as_deref();
    message.timestamp = record.timestamp_ms;
    message.headers =
        record.header.map(|(key, value)| OwnedHeaders::new().insert(Header { key, value: Some(value.as_bytes()) }));
    while let Err((error, back)) = producer.send(message) {
        assert!(error.to_string().contains("QueueFull"), "{error}");
        producer.poll(Duration::from_millis(10));
        message = back;
    }
    producer.poll(Duration::ZERO);
}

/// Usual options.
pub(crate) fn options() -> SourceOptions {
    SourceOptions {
        read_committed: true,
        queue_bytes: 16 << 20,
        batch_bytes: 1 << 20,
        max_record_bytes: 1 << 20,
        keys: false,
        headers: false,
    }
}

/// What was handed out of one stream.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The end of the last range.
    pub(crate) position: u64,
    pub(crate) records: BTreeMap<u64, Option<Vec<u8>>>,
    pub(crate) keys: Vec<Option<Vec<u8>>>,
    pub(crate) headers: Vec<Option<Vec<u8>>>,
    pub(crate) timestamps: Vec<Option<i64>>,
    pub(crate) lengths: Vec<u64>,
    pub(crate) largest_batch: usize,
    pub(crate) high: Option<u64>,
}

/// An open source and all that it has said. Ranges without holes and records inside them are checked on the way.
pub(crate) struct Reading {
    pub(crate) source: Box<dyn Source>,
    pub(crate) seen: BTreeMap<StreamId, Seen>,
    pub(crate) troubles: Vec<SourceError>,
    pub(crate) out_of_range: Vec<(StreamId, u64, u64, u64)>,
    pub(crate) changed: Vec<(StreamId, String)>,
    pub(crate) idles: usize,
    topic: String,
    incarnation: String,
}

impl Reading {
    /// Opens `topic`, without streams.
    pub(crate) async fn open(harness: &dyn Harness, topic: &str, options: SourceOptions) -> Self {
        let (connector, kafka) = (harness.connector(), harness.kafka(topic));
        let view = connector.topic(&kafka).await.unwrap();
        let source = connector.open(&kafka, options).await.unwrap();
        Self {
            source,
            seen: BTreeMap::new(),
            troubles: Vec::new(),
            out_of_range: Vec::new(),
            changed: Vec::new(),
            idles: 0,
            topic: topic.to_owned(),
            incarnation: view.incarnation,
        }
    }

    /// Streams added from now on are of that incarnation.
    pub(crate) fn pretend_incarnation(&mut self, incarnation: &str) {
        self.incarnation = incarnation.to_owned();
    }

    /// Reads `partition` from `position`, as the stream of that number.
    pub(crate) async fn add(&mut self, partition: i32, position: u64) -> StreamId {
        let stream = StreamId(u64::try_from(partition).unwrap());
        let wanted = SourceStream {
            stream,
            topic: Arc::from(self.topic.as_str()),
            incarnation: Arc::from(self.incarnation.as_str()),
            partition,
            position: Offset(position),
        };
        self.source.add(wanted).await.unwrap();
        self.seen.insert(stream, Seen { position, ..Seen::default() });
        stream
    }

    /// Takes events until `condition` holds.
    pub(crate) async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let reached = async {
            while !condition(self) {
                let event = self.source.next().await;
                self.absorb(event);
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            let positions: Vec<u64> = self.seen.values().map(|seen| seen.position).collect();
            panic!(
                "in vain waited for {what}: positions {positions:?}, troubles {:?}, changed {:?}",
                self.troubles, self.changed
            );
        }
    }

    /// Takes events until each stream has reached its position in `ends`.
    pub(crate) async fn until_ends(&mut self, ends: &[u64]) {
        let reached = |seen: &Seen, end: &u64| seen.position >= *end;
        let done = |reading: &Self| reading.seen.values().zip(ends).all(|(seen, end)| reached(seen, end));
        self.until(&format!("the ends {ends:?}"), done).await;
    }

    /// Takes events until nothing has come for a while.
    pub(crate) async fn until_quiet(&mut self) {
        self.idles = 0;
        self.until("silence", |reading| reading.idles >= 5).await;
    }

    /// Checks one event and keeps it.
    pub(crate) fn absorb(&mut self, event: SourceEvent) {
        if !matches!(event, SourceEvent::Idle | SourceEvent::HighWatermark { .. }) {
            self.idles = 0;
        }
        match event {
            SourceEvent::Fetched(fetched) => self.absorb_records(&fetched),
            SourceEvent::HighWatermark { stream, offset } => self.seen.get_mut(&stream).unwrap().high = Some(offset.0),
            SourceEvent::OutOfRange { stream, wanted, low, high } => {
                self.out_of_range.push((stream, wanted.0, low.0, high.0));
            }
            SourceEvent::TopicChanged { stream, found } => self.changed.push((stream, found)),
            SourceEvent::Trouble(error) => self.troubles.push(error),
            SourceEvent::Idle => self.idles += 1,
        }
    }

    fn absorb_records(&mut self, fetched: &Fetched) {
        let seen = self.seen.get_mut(&fetched.stream).expect("only streams that were added");
        assert_eq!(fetched.range.start.0, seen.position, "I3: ranges follow each other");
        assert!(!fetched.range.is_empty());
        for record in fetched.records.iter() {
            assert!(fetched.range.contains(Offset(record.offset)), "{} in {}", record.offset, fetched.range);
            let twice = seen.records.insert(record.offset, record.payload.map(<[u8]>::to_vec));
            assert_eq!(twice, None, "offset {} came twice", record.offset);
            seen.keys.push(record.key.map(<[u8]>::to_vec));
            seen.headers.push(record.headers.map(<[u8]>::to_vec));
            seen.timestamps.push(record.timestamp_ms);
            seen.lengths.push(record.payload_bytes);
        }
        seen.largest_batch = seen.largest_batch.max(fetched.records.bytes());
        seen.position = fetched.range.end.0;
    }

    /// The payloads of partition `partition`, as text.
    pub(crate) fn texts(&self, partition: u64) -> Vec<String> {
        let text = |payload: &Option<Vec<u8>>| {
            payload.as_ref().map_or("null".to_owned(), |p| String::from_utf8_lossy(p).into())
        };
        self.seen[&StreamId(partition)].records.values().map(text).collect()
    }
}
