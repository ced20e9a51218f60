//! Opens Kafka sources, and answers the manager's questions about topics.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use catalog::{KafkaSource, Offset, StartPosition, Topics};
use vfs::{Clock, Moment};

use super::client::OurClient;
use super::errors::{Place, refused_settings};
use super::inquirer::Inquirer;
use super::properties::{Sight, place, reading_config, without_secrets};
use super::source::KafkaTopicSource;
use crate::write::source::{Source, SourceConnector, SourceError, SourceOptions, TopicPattern, TopicsView};

/// A client that was not asked for this long is given up with the next question.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// The connector of Kafka.
pub struct KafkaConnector {
    clock: Arc<dyn Clock>,
    known: Arc<Mutex<Vec<Known>>>,
}

/// A client that is kept between questions: a login each few seconds would be rude.
struct Known {
    /// Only `brokers` and `properties` matter. They hold secrets, so this is never shown.
    kafka: KafkaSource,
    sight: Sight,
    inquirer: Arc<Inquirer>,
    used: Moment,
}

impl KafkaConnector {
    /// A connector without connections.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Arc::default() }
    }

    /// Asks through the client of that cluster, off the async runtime.
    async fn ask<T: Send + 'static>(
        &self,
        kafka: &KafkaSource,
        sight: Sight,
        question: impl FnOnce(&Inquirer, &Place) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let (kafka, known, now) = (kafka.clone(), Arc::clone(&self.known), self.clock.now());
        blocking(move || {
            let inquirer = inquirer_of(&known, &kafka, sight, now)?;
            question(&inquirer, &place(&kafka))
        })
        .await
    }

    /// The same, about one topic.
    async fn ask_about<T: Send + 'static>(
        &self,
        kafka: &KafkaSource,
        topic: &str,
        sight: Sight,
        question: impl FnOnce(&Inquirer, &Place) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let topic = topic.to_owned();
        self.ask(kafka, sight, move |inquirer, place| question(inquirer, &Place { topic, ..place.clone() })).await
    }
}

fn inquirer_of(
    known: &Mutex<Vec<Known>>,
    kafka: &KafkaSource,
    sight: Sight,
    now: Moment,
) -> Result<Arc<Inquirer>, SourceError> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|entry| now.since(entry.used) < FORGET_AFTER);
    let same = |entry: &&mut Known| {
        entry.kafka.brokers == kafka.brokers && entry.kafka.properties == kafka.properties && entry.sight == sight
    };
    if let Some(entry) = known.iter_mut().find(same) {
        entry.used = now;
        return Ok(Arc::clone(&entry.inquirer));
    }
    let inquirer = Arc::new(Inquirer::new(kafka, sight)?);
    known.push(Known { kafka: kafka.clone(), sight, inquirer: Arc::clone(&inquirer), used: now });
    Ok(inquirer)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        if error.is_panic() {
            std::panic::resume_unwind(error.into_panic());
        }
        let cause = "the process is shutting down".to_owned();
        Err(SourceError::Fatal { cause, next_step: "ask again after the restart".to_owned() })
    })
}

#[async_trait]
impl SourceConnector for KafkaConnector {
    async fn open(&self, kafka: &KafkaSource, options: SourceOptions) -> Result<Box<dyn Source>, SourceError> {
        let (kafka, clock) = (kafka.clone(), Arc::clone(&self.clock));
        blocking(move || {
            let consumer = reading_config(&kafka, &options)?
                .create_with_context(OurClient::default())
                .map_err(|error| refused_settings(&place(&kafka), &without_secrets(&kafka, &error.to_string())))?;
            let source = KafkaTopicSource::start(consumer, clock, options, place(&kafka))?;
            Ok(Box::new(source) as Box<dyn Source>)
        })
        .await
    }

    async fn topics(&self, kafka: &KafkaSource) -> Result<TopicsView, SourceError> {
        let topics = kafka.topics.clone();
        self.ask(kafka, Sight::Everything, move |inquirer, place| match &topics {
            Topics::One(_) | Topics::List(_) => inquirer.topics(place, topics.names()),
            Topics::Pattern { pattern } => {
                let pattern = TopicPattern::new(pattern)
                    .map_err(|cause| SourceError::Fatal { cause, next_step: "correct topic_pattern".to_owned() })?;
                inquirer.matching(place, &pattern)
            }
        })
        .await
    }

    async fn resolve(
        &self,
        kafka: &KafkaSource,
        topic: &str,
        partition: i32,
        start: &StartPosition,
    ) -> Result<Offset, SourceError> {
        let start = start.clone();
        let question = move |inquirer: &Inquirer, place: &Place| inquirer.resolve(place, partition, &start);
        self.ask_about(kafka, topic, Sight::Everything, question).await
    }

    async fn watermarks(
        &self,
        kafka: &KafkaSource,
        topic: &str,
        partition: i32,
    ) -> Result<(Offset, Offset), SourceError> {
        let question = move |inquirer: &Inquirer, place: &Place| inquirer.watermarks(place, partition);
        self.ask_about(kafka, topic, Sight::Everything, question).await
    }

    async fn committed_end(&self, kafka: &KafkaSource, topic: &str, partition: i32) -> Result<Offset, SourceError> {
        let question = move |inquirer: &Inquirer, place: &Place| inquirer.watermarks(place, partition);
        self.ask_about(kafka, topic, Sight::Committed, question).await.map(|(_, end)| end)
    }
}

impl fmt::Debug for KafkaConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConnector").finish_non_exhaustive()
    }
}
