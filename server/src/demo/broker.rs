//! The demo's broker: librdkafka's mock cluster, over TCP, and a producer that paces itself.
//!
//! The mock keeps only the last 5 MiB of a partition, so the producer never runs further ahead of what is committed than
//! that. It may not leave the thread that made it, so it has a thread of its own.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{
    BaseRecord, DefaultProducerContext, DeliveryResult, Producer, ProducerContext, ThreadedProducer,
};
use rdkafka::{ClientConfig, ClientContext};
use tokio::sync::watch;

/// Bytes of a partition that may be produced and not yet committed; the mock keeps 5 MiB.
const AHEAD_BYTES_MAX: u64 = 3 << 20;
/// What a stored record takes beside its payload, at the most.
const RECORD_OVERHEAD: u64 = 32;

/// A running broker with one topic.
#[derive(Debug)]
pub struct DemoBroker {
    bootstrap_servers: String,
    topic: String,
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DemoBroker {
    /// Starts a broker with an empty topic.
    ///
    /// # Errors
    /// If librdkafka cannot start it.
    pub fn start(topic: &str, partitions: i32) -> anyhow::Result<Self> {
        let (started, address) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let name = topic.to_owned();
        let thread = std::thread::Builder::new().name("demo-broker".to_owned()).spawn(move || {
            let made = MockCluster::<DefaultProducerContext>::new(1).and_then(|cluster| {
                cluster.create_topic(&name, partitions, 1)?;
                Ok(cluster)
            });
            match made {
                Ok(cluster) => {
                    // A failed send means that whoever asked has given up; so does the end of `ended`.
                    drop(started.send(Ok(cluster.bootstrap_servers())));
                    let _ended = ended.recv();
                }
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
        let bootstrap_servers = address.recv().context("the demo's broker ended at once")?;
        let bootstrap_servers =
            bootstrap_servers.map_err(|error| anyhow!("cannot start the demo's broker: {error}"))?;
        Ok(Self { bootstrap_servers, topic: topic.to_owned(), end: Some(end), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Produces `payloads` over the partitions in turn, never far ahead of the committed offsets in `committed`, one
    /// receiver a partition. Blocks; returns the broker when all records are acknowledged.
    ///
    /// # Errors
    /// If the broker refuses a record, or `committed` ends.
    pub fn replay(
        self,
        payloads: impl Iterator<Item = Vec<u8>>,
        committed: Vec<watch::Receiver<u64>>,
    ) -> anyhow::Result<Self> {
        let producer: ThreadedProducer<Acknowledged> = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("linger.ms", "2")
            .set("queue.buffering.max.messages", "200000")
            // A request sent again must not put its records there twice.
            .set("enable.idempotence", "true")
            .create_with_context(Acknowledged::default())?;
        let mut lanes: Vec<Lane> = committed.into_iter().map(Lane::new).collect();
        for (count, payload) in payloads.enumerate() {
            let partition = count % lanes.len();
            lanes[partition].make_room(payload.len() as u64 + RECORD_OVERHEAD)?;
            send(&producer, &self.topic, partition as i32, &payload)?;
        }
        producer.flush(Duration::from_secs(60)).context("the demo's broker does not acknowledge the records")?;
        let produced: u64 = lanes.iter().map(|lane| lane.produced).sum();
        let acknowledged = producer.context().0.load(Ordering::Acquire);
        ensure!(
            acknowledged == produced,
            "the demo's broker took {acknowledged} of {produced} records; start it again"
        );
        Ok(self)
    }
}

impl Drop for DemoBroker {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // Its panic, if it had one, has been printed.
            drop(thread.join());
        }
    }
}

/// Counts the records that the broker has taken.
#[derive(Debug, Default)]
struct Acknowledged(AtomicU64);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => drop(self.0.fetch_add(1, Ordering::AcqRel)),
            Err((error, _)) => tracing::warn!(%error, "the demo's broker refuses a record"),
        }
    }
}

/// One partition's pace.
struct Lane {
    committed: watch::Receiver<u64>,
    /// The offset after each record that is not committed yet, and its bytes.
    ahead: VecDeque<(u64, u64)>,
    ahead_bytes: u64,
    produced: u64,
}

impl Lane {
    fn new(committed: watch::Receiver<u64>) -> Self {
        Self { committed, ahead: VecDeque::new(), ahead_bytes: 0, produced: 0 }
    }

    /// Waits until `bytes` more fit into what the broker keeps, and counts them.
    fn make_room(&mut self, bytes: u64) -> anyhow::Result<()> {
        while self.ahead_bytes + bytes > AHEAD_BYTES_MAX {
            let committed = *self.committed.borrow_and_update();
            while let Some((_, freed)) = self.ahead.pop_front_if(|(end, _)| *end <= committed) {
                self.ahead_bytes -= freed;
            }
            if self.ahead_bytes + bytes > AHEAD_BYTES_MAX {
                futures::executor::block_on(self.committed.changed())
                    .context("nobody tells what is committed any more")?;
            }
        }
        self.produced += 1;
        self.ahead.push_back((self.produced, bytes));
        self.ahead_bytes += bytes;
        Ok(())
    }
}

/// Hands a record to the producer; waits while its queue is full.
fn send(producer: &ThreadedProducer<Acknowledged>, topic: &str, partition: i32, payload: &[u8]) -> anyhow::Result<()> {
    let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(payload);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.flush(Duration::from_millis(100)).or_else(|error| match error {
                    KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut) => Ok(()),
                    error => Err(error),
                })?;
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::{Message, Offset, TopicPartitionList};

    use super::*;

    const RECORDS: usize = 30_000;

    /// A reader that fails at once if what it wants next is gone.
    fn reader(broker: &DemoBroker, partitions: i32) -> BaseConsumer {
        let reader: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap_servers())
            .set("group.id", "reader")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset("t", partition, Offset::Offset(0)).unwrap();
        }
        reader.assign(&list).unwrap();
        reader
    }

    #[test]
    fn a_slow_reader_finds_every_record_though_the_broker_keeps_few() {
        let broker = DemoBroker::start("t", 2).unwrap();
        let reader = reader(&broker, 2);
        let (committed, receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| watch::channel(0_u64)).unzip();
        // 18 MB in all: nearly twice of what the broker keeps.
        let payloads = (0..RECORDS).map(|number| format!("{number:0600}").into_bytes());
        let replay = std::thread::spawn(move || broker.replay(payloads, receivers));
        let mut next = [0_u64; 2];
        let mut numbers = Vec::new();
        while numbers.len() < RECORDS {
            let Some(message) = reader.poll(Duration::from_secs(30)) else {
                panic!("no record after {}", numbers.len())
            };
            let message = message.unwrap();
            let partition = message.partition() as usize;
            assert_eq!(message.offset() as u64, next[partition]);
            next[partition] += 1;
            numbers.push(std::str::from_utf8(message.payload().unwrap()).unwrap().parse::<usize>().unwrap());
            // Committed in large steps, as by flushes.
            if next[partition].is_multiple_of(2000) {
                committed[partition].send_replace(next[partition]);
            }
        }
        replay.join().unwrap().unwrap();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..RECORDS));
    }

    #[test]
    fn a_replay_ends_when_nobody_tells_what_is_committed() {
        let broker = DemoBroker::start("t", 1).unwrap();
        let (committed, receiver) = watch::channel(0_u64);
        drop(committed);
        let error = broker.replay((0..RECORDS).map(|_| vec![b'x'; 600]), vec![receiver]).unwrap_err();
        assert!(error.to_string().contains("committed"), "{error}");
    }
}
