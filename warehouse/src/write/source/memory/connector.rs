//! The connector of the scripted broker.

use std::sync::Arc;

use async_trait::async_trait;
use catalog::{KafkaSource, Offset, StartPosition, Topics};
use vfs::Clock;

use super::broker::{Log, MemoryBroker};
use super::source::MemorySource;
use crate::write::source::{Source, SourceConnector, SourceError, SourceOptions, TopicPattern, TopicView, TopicsView};

/// Connects to one [`MemoryBroker`], whatever bootstrap servers are named.
#[derive(Clone, Debug)]
pub struct MemoryConnector {
    broker: MemoryBroker,
    clock: Arc<dyn Clock>,
}

impl MemoryConnector {
    /// The connector of `broker`.
    pub fn new(broker: MemoryBroker, clock: Arc<dyn Clock>) -> Self {
        Self { broker, clock }
    }

    fn ask<T>(
        &self,
        kafka: &KafkaSource,
        name: &str,
        partition: i32,
        question: impl FnOnce(&Log) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let state = self.broker.lock();
        if !state.is_reachable {
            return Err(unreachable(kafka));
        }
        let missing = || SourceError::TopicMissing { topic: name.to_owned(), brokers: kafka.brokers.clone() };
        let topic = state.topics.get(name).ok_or_else(missing)?;
        let log = topic.partitions.get(&partition).ok_or_else(|| SourceError::Fatal {
            cause: format!("topic {name:?} at {} has no partition {partition}", kafka.brokers),
            next_step: "look at the topic's partitions".to_owned(),
        })?;
        question(log)
    }
}

pub(super) fn unreachable(kafka: &KafkaSource) -> SourceError {
    SourceError::Unreachable { brokers: kafka.brokers.clone(), cause: "the script says so".to_owned() }
}

#[async_trait]
impl SourceConnector for MemoryConnector {
    async fn open(&self, kafka: &KafkaSource, options: SourceOptions) -> Result<Box<dyn Source>, SourceError> {
        let delay = self.broker.lock().opens.pop_front();
        if let Some(delay) = delay.filter(|delay| !delay.is_zero()) {
            self.clock.sleep(delay).await;
        }
        Ok(Box::new(MemorySource::new(self.broker.clone(), Arc::clone(&self.clock), kafka.clone(), options)))
    }

    async fn topics(&self, kafka: &KafkaSource) -> Result<TopicsView, SourceError> {
        let state = self.broker.lock();
        if !state.is_reachable {
            return Err(unreachable(kafka));
        }
        let names: Vec<String> = match &kafka.topics {
            Topics::One(_) | Topics::List(_) => kafka.topics.names().to_vec(),
            Topics::Pattern { pattern } => {
                let next_step = "correct topic_pattern".to_owned();
                let pattern = TopicPattern::new(pattern).map_err(|cause| SourceError::Fatal { cause, next_step })?;
                state.topics.keys().filter(|name| pattern.matches(name)).cloned().collect()
            }
        };
        let mut view = TopicsView::default();
        for name in names {
            let Some(topic) = state.topics.get(&name) else {
                view.missing.push(name);
                continue;
            };
            let partitions = topic.partitions.keys().copied().collect();
            view.found.insert(name, TopicView { incarnation: topic.incarnation.clone(), partitions });
        }
        Ok(view)
    }

    async fn resolve(
        &self,
        kafka: &KafkaSource,
        topic: &str,
        partition: i32,
        start: &StartPosition,
    ) -> Result<Offset, SourceError> {
        self.ask(kafka, topic, partition, |log| match start {
            StartPosition::Earliest => Ok(Offset(log.low)),
            StartPosition::Latest => Ok(Offset(log.high)),
            StartPosition::Offset(offset) if (log.low..=log.high).contains(offset) => Ok(Offset(*offset)),
            StartPosition::Offset(offset) => Err(SourceError::Fatal {
                cause: format!(
                    "offset {offset} of partition {partition} of topic {topic:?} at {} does not exist: it has {} up to {}",
                    kafka.brokers, log.low, log.high
                ),
                next_step: "start at one of these, or at 'earliest' or 'latest'".to_owned(),
            }),
            StartPosition::TimestampMillis(millis) => {
                let is_late_enough = |at: Option<i64>| at.is_some_and(|at| at >= *millis);
                let found = log.records.iter().find(|(_, record)| is_late_enough(record.timestamp_ms));
                Ok(Offset(found.map_or(log.high, |(offset, _)| *offset)))
            }
        })
    }

    async fn watermarks(
        &self,
        kafka: &KafkaSource,
        topic: &str,
        partition: i32,
    ) -> Result<(Offset, Offset), SourceError> {
        self.ask(kafka, topic, partition, |log| Ok((Offset(log.low), Offset(log.high))))
    }

    async fn committed_end(&self, kafka: &KafkaSource, topic: &str, partition: i32) -> Result<Offset, SourceError> {
        // The script has no transactions that stay open.
        self.ask(kafka, topic, partition, |log| Ok(Offset(log.high)))
    }
}
