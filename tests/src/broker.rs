//! Brokers for tests: librdkafka's mock cluster in this process, or a topic of a real Kafka; and a producer that keeps the
//! ledger of what the broker acknowledged.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

use crate::Ledger;

/// A broker with one topic.
#[derive(Debug)]
pub struct Broker {
    /// Where it listens.
    pub bootstrap: String,
    /// The topic.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: i32,
    mock: Option<MockThread>,
}

/// The mock cluster may not leave the thread that made it.
#[derive(Debug)]
struct MockThread {
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for MockThread {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed; a second one here would hide it.
            drop(thread.join());
        }
    }
}

impl Broker {
    /// A mock broker in this process. It keeps only the last 5 MiB of a partition.
    ///
    /// # Errors
    /// If librdkafka cannot start it.
    pub fn mock(topic: &str, partitions: i32) -> anyhow::Result<Self> {
        let (started, address) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let name = topic.to_owned();
        let thread = std::thread::spawn(move || {
            let made = MockCluster::new(1).and_then(|cluster| {
                cluster.create_topic(&name, partitions, 1)?;
                Ok(cluster)
            });
            match made {
                Ok(cluster) => {
                    drop(started.send(Ok(cluster.bootstrap_servers())));
                    // Lives until the broker is dropped.
                    drop(ended.recv());
                }
                Err(error) => drop(started.send(Err(error))),
            }
        });
        let bootstrap = address.recv().context("the mock broker's thread ended")?.map_err(|error| anyhow!(error))?;
        let mock = Some(MockThread { end: Some(end), thread: Some(thread) });
        Ok(Self { bootstrap, topic: topic.to_owned(), partitions, mock })
    }

    /// A new topic of a real Kafka.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn real(bootstrap: &str, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let broker = Self { bootstrap: bootstrap.to_owned(), topic: topic.to_owned(), partitions, mock: None };
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        for outcome in broker.admin()?.create_topics([&new], &options).await? {
            outcome.map_err(|(topic, error)| anyhow!("cannot create topic {topic}: {error}"))?;
        }
        Ok(broker)
    }

    /// An admin client.
    ///
    /// # Errors
    /// If librdkafka refuses the address.
    pub fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        Ok(ClientConfig::new().set("bootstrap.servers", &self.bootstrap).create()?)
    }

    /// A producer of its topic.
    ///
    /// # Errors
    /// If librdkafka refuses a setting.
    pub fn producer(&self, settings: &[(&str, &str)]) -> anyhow::Result<Producer> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("linger.ms", "5").set("message.timeout.ms", "30000");
        config.set("message.max.bytes", "33554432");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        Ok(Producer { producer: config.create()?, topic: self.topic.clone() })
    }

    /// Whether it is the mock.
    pub fn is_mock(&self) -> bool {
        self.mock.is_some()
    }
}

/// Produces records, and notes in a ledger what was acknowledged.
#[derive(Clone)]
pub struct Producer {
    /// The client, for transactions and the like.
    pub producer: FutureProducer,
    topic: String,
}

impl Producer {
    /// Produces one record; the offset that it was given.
    ///
    /// # Errors
    /// If the broker does not acknowledge it.
    pub async fn send(&self, partition: i32, payload: Option<&[u8]>) -> anyhow::Result<u64> {
        let mut record = FutureRecord::<(), [u8]>::to(&self.topic).partition(partition);
        if let Some(payload) = payload {
            record = record.payload(payload);
        }
        let delivery = self.producer.send(record, Timeout::Never).await.map_err(|(error, _)| anyhow!(error))?;
        Ok(u64::try_from(delivery.offset)?)
    }

    /// Produces all of `payloads`, each to the partition at its side, and notes them in `ledger`.
    ///
    /// # Errors
    /// If the broker does not acknowledge one of them.
    pub async fn send_all(&self, payloads: Vec<(i32, Vec<u8>)>, ledger: &mut Ledger) -> anyhow::Result<()> {
        let sent = payloads.iter().map(|(partition, payload)| self.send(*partition, Some(payload)));
        let offsets = futures::future::join_all(sent).await;
        for ((partition, payload), offset) in payloads.iter().zip(offsets) {
            ledger.add(*partition, offset?, payload);
        }
        Ok(())
    }
}
