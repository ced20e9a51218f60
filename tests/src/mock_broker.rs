//! librdkafka's mock cluster on a thread of its own, which it may not leave. Owns the thread and its orders.

use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::types::RDKafkaRespErr;

/// What the mock is told while it runs.
#[derive(Debug)]
enum Order {
    CreateTopic { topic: String, partitions: i32 },
    HideTopic { topic: String, hidden: bool },
    Reach { reachable: bool },
}

type Asked = (Order, mpsc::Sender<Result<(), KafkaError>>);

/// A mock cluster of one broker. It keeps only the last 5 MiB of a partition, and ends when this is dropped.
#[derive(Debug)]
pub struct MockBroker {
    /// Where it listens.
    pub bootstrap: String,
    orders: Option<mpsc::SyncSender<Asked>>,
    thread: Option<JoinHandle<()>>,
}

impl MockBroker {
    /// Starts it, without topics.
    ///
    /// # Errors
    /// If librdkafka cannot start it.
    pub fn start() -> anyhow::Result<Self> {
        let (started, address) = mpsc::channel();
        let (orders, inbox) = mpsc::sync_channel::<Asked>(1);
        let thread = std::thread::spawn(move || match MockCluster::new(1) {
            Ok(cluster) => {
                drop(started.send(Ok(cluster.bootstrap_servers())));
                // Ends when the sender is dropped.
                while let Ok((order, reply)) = inbox.recv() {
                    drop(reply.send(obey(&cluster, &order)));
                }
            }
            Err(error) => drop(started.send(Err(error))),
        });
        let bootstrap = address.recv().context("the mock broker's thread ended")?.map_err(|error| anyhow!(error))?;
        Ok(Self { bootstrap, orders: Some(orders), thread: Some(thread) })
    }

    fn order(&self, order: Order) -> anyhow::Result<()> {
        let (reply, answer) = mpsc::channel();
        let orders = self.orders.as_ref().context("the mock broker has ended")?;
        orders.send((order, reply)).map_err(|_| anyhow!("the mock broker's thread ended"))?;
        answer.recv().context("the mock broker's thread ended")?.map_err(|error| anyhow!(error))
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// If librdkafka refuses it.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> anyhow::Result<()> {
        self.order(Order::CreateTopic { topic: topic.to_owned(), partitions })
    }

    /// Answers that there is no such topic, or ends that.
    ///
    /// # Errors
    /// If its thread has ended.
    pub fn hide_topic(&self, topic: &str, hidden: bool) -> anyhow::Result<()> {
        self.order(Order::HideTopic { topic: topic.to_owned(), hidden })
    }

    /// Closes every connection and takes no more, or takes them again.
    ///
    /// # Errors
    /// If librdkafka refuses it.
    pub fn reach(&self, reachable: bool) -> anyhow::Result<()> {
        self.order(Order::Reach { reachable })
    }
}

fn obey(cluster: &MockCluster<'_, impl rdkafka::ClientContext>, order: &Order) -> Result<(), KafkaError> {
    match order {
        Order::CreateTopic { topic, partitions } => cluster.create_topic(topic, *partitions, 1),
        Order::HideTopic { topic, hidden: true } => {
            cluster.topic_error(topic, RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        }
        Order::HideTopic { topic, hidden: false } => {
            cluster.topic_error(topic, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
        }
        Order::Reach { reachable: true } => cluster.broker_up(1),
        Order::Reach { reachable: false } => cluster.broker_down(1),
    }
}

impl Drop for MockBroker {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed; a second one here would hide it.
            drop(thread.join());
        }
    }
}
