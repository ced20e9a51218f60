//! Brokers for tests: librdkafka's mock cluster in this process, or a topic of a real Kafka.

use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::{Offset, TopicPartitionList};

use crate::Producer;
use crate::mock_broker::MockBroker;

/// How long a broker may take to do what it has promised.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker with one topic that tests are about.
#[derive(Debug)]
pub struct Broker {
    /// Where it listens.
    pub bootstrap: String,
    /// The topic.
    pub topic: String,
    /// How many partitions it had at first.
    pub partitions: i32,
    mock: Option<MockBroker>,
}

impl Broker {
    /// A mock broker in this process. It keeps only the last 5 MiB of a partition.
    ///
    /// # Errors
    /// If librdkafka cannot start it.
    pub fn mock(topic: &str, partitions: i32) -> anyhow::Result<Self> {
        let mock = MockBroker::start()?;
        mock.create_topic(topic, partitions)?;
        Ok(Self { bootstrap: mock.bootstrap.clone(), topic: topic.to_owned(), partitions, mock: Some(mock) })
    }

    /// A new topic of a real Kafka.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn real(
        bootstrap: &str,
        topic: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let broker = Self { bootstrap: bootstrap.to_owned(), topic: topic.to_owned(), partitions, mock: None };
        broker.create(settings).await?;
        Ok(broker)
    }

    /// Makes the topic at a real Kafka, and waits until it can be asked about.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn create(&self, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        let mut new = NewTopic::new(&self.topic, self.partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        for outcome in self.admin()?.create_topics([&new], &admin_options()).await? {
            outcome.map_err(|(topic, error)| anyhow!("cannot create topic {topic}: {error}"))?;
        }
        self.wait_for_partitions(self.partitions).await
    }

    /// Deletes the topic of a real Kafka, and waits until the broker knows it no more.
    ///
    /// # Errors
    /// If it cannot be deleted.
    pub async fn delete(&self) -> anyhow::Result<()> {
        for outcome in self.admin()?.delete_topics(&[&self.topic], &admin_options()).await? {
            outcome.map_err(|(topic, error)| anyhow!("cannot delete topic {topic}: {error}"))?;
        }
        self.wait_for_partitions(0).await
    }

    /// Gives the topic of a real Kafka more partitions.
    ///
    /// # Errors
    /// If it cannot be given them.
    pub async fn grow(&self, partitions: i32) -> anyhow::Result<()> {
        let count = usize::try_from(partitions)?;
        for outcome in
            self.admin()?.create_partitions([&NewPartitions::new(&self.topic, count)], &admin_options()).await?
        {
            outcome.map_err(|(topic, error)| anyhow!("cannot give topic {topic} more partitions: {error}"))?;
        }
        self.wait_for_partitions(partitions).await
    }

    /// Deletes the records of a partition before `offset`, as retention would.
    ///
    /// # Errors
    /// If they cannot be deleted.
    pub async fn expire(&self, partition: i32, offset: u64) -> anyhow::Result<()> {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&self.topic, partition, Offset::Offset(i64::try_from(offset)?))?;
        let done = self.admin()?.delete_records(&offsets, &admin_options()).await?;
        for element in done.elements() {
            element.error()?;
        }
        Ok(())
    }

    /// The first and the end offset of a partition.
    ///
    /// # Errors
    /// If the broker does not say.
    pub fn watermarks(&self, partition: i32) -> anyhow::Result<(i64, i64)> {
        Ok(self.admin()?.inner().fetch_watermarks(&self.topic, partition, PATIENCE)?)
    }

    async fn wait_for_partitions(&self, partitions: i32) -> anyhow::Result<()> {
        let (admin, deadline) = (self.admin()?, Instant::now() + PATIENCE);
        loop {
            let metadata = admin.inner().fetch_metadata(Some(&self.topic), PATIENCE)?;
            let there = metadata.topics().iter().find(|topic| topic.name() == self.topic && topic.error().is_none());
            let found = there.map_or(0, |topic| topic.partitions().iter().filter(|of| of.leader() >= 0).count());
            if found == usize::try_from(partitions)? {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("topic {} should have {partitions} partitions, and has {found}", self.topic);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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
        self.producer_of(&self.topic, settings)
    }

    /// A producer of another topic of this broker.
    ///
    /// # Errors
    /// If librdkafka refuses a setting.
    pub fn producer_of(&self, topic: &str, settings: &[(&str, &str)]) -> anyhow::Result<Producer> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("linger.ms", "5").set("message.timeout.ms", "30000");
        config.set("message.max.bytes", "33554432");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        Ok(Producer { producer: config.create()?, topic: topic.to_owned() })
    }

    /// The mock, to be steered; `None` where the Kafka is real.
    pub fn as_mock(&self) -> Option<&MockBroker> {
        self.mock.as_ref()
    }
}

fn admin_options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE))
}
