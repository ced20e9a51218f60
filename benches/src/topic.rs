//! A topic to produce to: at librdkafka's mock broker, which lives in this process, or at a real Kafka.

use anyhow::{Context, anyhow, ensure};
use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// What the mock may keep of a partition without dropping its beginning, with a margin for what frames the records.
const MOCK_WINDOW: usize = 4 << 20;

/// A topic of our own.
pub(crate) struct Topic {
    /// Its name.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) bootstrap: String,
    broker: Broker,
}

enum Broker {
    Mock { _cluster: MockCluster<'static, DefaultProducerContext> },
    Real { admin: AdminClient<DefaultClientContext> },
}

impl Topic {
    /// Makes it, with nothing in it.
    pub(crate) fn make(brokers: Option<&str>, partitions: i32) -> anyhow::Result<Self> {
        let name = format!("millrace-bench-{}", std::process::id());
        let Some(bootstrap) = brokers else {
            let cluster = MockCluster::new(1).context("cannot start the mock broker")?;
            cluster.create_topic(&name, partitions, 1)?;
            return Ok(Self {
                name,
                bootstrap: cluster.bootstrap_servers(),
                broker: Broker::Mock { _cluster: cluster },
            });
        };
        let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
        let new = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let made = block_on(admin.create_topics([&new], &AdminOptions::new()))?;
        ensure!(made.len() == 1, "{bootstrap} did not say whether it made the topic");
        for outcome in made {
            outcome.map_err(|(topic, error)| anyhow!("cannot make topic {topic} at {bootstrap}: {error}"))?;
        }
        Ok(Self { name, bootstrap: bootstrap.to_owned(), broker: Broker::Real { admin } })
    }

    /// How much of a partition may wait at the broker; `None` where it keeps all.
    pub(crate) fn window(&self) -> Option<usize> {
        matches!(self.broker, Broker::Mock { .. }).then_some(MOCK_WINDOW)
    }

    /// Removes it from a real Kafka; the mock goes with this process.
    pub(crate) fn remove(self) -> anyhow::Result<()> {
        if let Broker::Real { admin } = &self.broker {
            for outcome in block_on(admin.delete_topics(&[&self.name], &AdminOptions::new()))? {
                outcome.map_err(|(topic, error)| anyhow!("cannot delete topic {topic}: {error}"))?;
            }
        }
        Ok(())
    }
}
