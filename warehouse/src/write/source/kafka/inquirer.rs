//! One client that asks a cluster about a topic and reads nothing. Every call blocks, up to a few seconds: callers run it
//! off the async runtime.

use std::fmt;
use std::time::Duration;

use catalog::{KafkaSource, Offset, StartPosition};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset as KafkaOffset;

use super::client::OurClient;
use super::errors::{Place, refused_settings};
use super::properties::{Sight, place, question_config, without_secrets};
use super::raw::{Described, describe_topics};
use crate::write::source::{SourceError, TopicPattern, TopicsView};

/// A question is answered within this, or fails.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Client events looked at after each question, for the reasons of a failure.
const EVENTS_MAX: usize = 64;

/// A client of one cluster.
pub(super) struct Inquirer {
    consumer: BaseConsumer<OurClient>,
}

impl Inquirer {
    /// Makes the client; connects in the background.
    ///
    /// # Errors
    /// If the settings are refused.
    pub(super) fn new(kafka: &KafkaSource, sight: Sight) -> Result<Self, SourceError> {
        let consumer = question_config(kafka, sight)?
            .create_with_context(OurClient::default())
            .map_err(|error| refused_settings(&place(kafka), &without_secrets(kafka, &error.to_string())))?;
        Ok(Self { consumer })
    }

    /// The incarnation and partitions of the topics named; those that do not exist are told apart.
    ///
    /// # Errors
    /// If nobody answers, or one may not be looked at.
    pub(super) fn topics(&self, place: &Place, names: &[String]) -> Result<TopicsView, SourceError> {
        let question = "describing the topic";
        let described = self.answered(place, question, describe_topics(&self.consumer, names, ANSWER_WITHIN))?;
        let mut view = TopicsView::default();
        for Described { topic, answer } in described {
            match answer {
                Ok(found) => drop(view.found.insert(topic, found)),
                Err(
                    RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::InvalidTopic
                    | RDKafkaErrorCode::UnknownTopicId,
                ) => view.missing.push(topic),
                Err(code) => return Err(Place { topic, ..place.clone() }.judge_question(question, code, None)),
            }
        }
        Ok(view)
    }

    /// The topics that there are and that `pattern` matches.
    ///
    /// # Errors
    /// As [`Self::topics`].
    pub(super) fn matching(&self, place: &Place, pattern: &TopicPattern) -> Result<TopicsView, SourceError> {
        let asked = self.consumer.fetch_metadata(None, ANSWER_WITHIN).map_err(|error| code(&error));
        let metadata = self.answered(place, "listing the topics", asked)?;
        let names = metadata.topics().iter().map(|topic| topic.name()).filter(|name| pattern.matches(name));
        let names: Vec<String> = names.map(str::to_owned).collect();
        // One that is deleted between the two questions was not named by anybody.
        Ok(TopicsView { missing: Vec::new(), ..self.topics(place, &names)? })
    }

    /// The first offset and the offset after the last one.
    ///
    /// # Errors
    /// If the topic or the partition does not exist, or nobody answers.
    pub(super) fn watermarks(&self, place: &Place, partition: i32) -> Result<(Offset, Offset), SourceError> {
        let question = format!("asking for the offsets of partition {partition}");
        let asked = self.consumer.fetch_watermarks(&place.topic, partition, ANSWER_WITHIN);
        let (low, high) = self.answered(place, &question, asked.map_err(|error| code(&error)))?;
        let offset = |offset: i64| Offset(u64::try_from(offset).unwrap_or(0));
        Ok((offset(low), offset(high)))
    }

    /// The absolute offset of `start` in one partition.
    ///
    /// # Errors
    /// As [`Self::watermarks`], and if an offset is asked for that does not exist.
    pub(super) fn resolve(&self, place: &Place, partition: i32, start: &StartPosition) -> Result<Offset, SourceError> {
        let (low, high) = self.watermarks(place, partition)?;
        match start {
            StartPosition::Earliest => Ok(low),
            StartPosition::Latest => Ok(high),
            StartPosition::Offset(offset) if (low.0..=high.0).contains(offset) => Ok(Offset(*offset)),
            StartPosition::Offset(offset) => Err(SourceError::Fatal {
                cause: format!(
                    "offset {offset} of partition {partition} of topic {:?} at {} does not exist: it has {low} up to {high}",
                    place.topic, place.brokers
                ),
                next_step: "start at one of these, or at 'earliest' or 'latest'".to_owned(),
            }),
            StartPosition::TimestampMillis(millis) => {
                Ok(self.offset_at(place, partition, *millis)?.unwrap_or(high).max(low))
            }
        }
    }

    /// The first offset whose record is not older than `millis`, if there is one.
    fn offset_at(&self, place: &Place, partition: i32, millis: i64) -> Result<Option<Offset>, SourceError> {
        let mut times = TopicPartitionList::new();
        times
            .add_partition_offset(&place.topic, partition, KafkaOffset::Offset(millis.max(0)))
            .expect("a time that is not negative can always be named");
        let asked = self.consumer.offsets_for_times(times, ANSWER_WITHIN).and_then(|answer| {
            answer.elements().first().map_or(Ok(()), |found| found.error())?;
            Ok(answer)
        });
        let question = format!("looking for a time in partition {partition}");
        let answer = self.answered(place, &question, asked.map_err(|error| code(&error)))?;
        let elements = answer.elements();
        let Some(found) = elements.first() else { return Ok(None) };
        Ok(match found.offset() {
            KafkaOffset::Offset(offset) => u64::try_from(offset).ok().map(Offset),
            _ => None,
        })
    }

    /// The answer, or the error with its reason as far as the client has told one.
    fn answered<T>(
        &self,
        place: &Place,
        question: &str,
        answer: Result<T, RDKafkaErrorCode>,
    ) -> Result<T, SourceError> {
        for _ in 0..EVENTS_MAX {
            drop(self.consumer.poll(Duration::ZERO));
        }
        let client = self.consumer.client().context();
        match answer {
            Ok(answer) => {
                client.forget_error();
                Ok(answer)
            }
            Err(code) => Err(place.judge_question(question, code, client.last_error())),
        }
    }
}

fn code(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}

impl fmt::Debug for Inquirer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inquirer").finish_non_exhaustive()
    }
}
