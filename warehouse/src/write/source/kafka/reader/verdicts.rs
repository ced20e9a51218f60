//! What the reader does about everything that is no record: errors of a partition, the client's log and errors, and
//! doubts about the topic. None of it is passed over in silence.

use std::time::Duration;

use catalog::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use super::{Interruption, Reader};
use crate::write::source::kafka::client::trace_line;
use crate::write::source::kafka::errors::{ClientVerdict, PartitionVerdict, Place};
use crate::write::source::kafka::incarnation::{changed_id, is_doubt, what_changed};
use crate::write::source::kafka::raw::{ClientEvent, describe_topic};
use crate::write::source::kafka::stream::{Phase, ReadStream};
use crate::write::source::{SourceError, SourceEvent};

/// A stream that failed is tried again after this.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(2);
/// A question to the broker from this thread; rare, and the other streams wait for it.
const ASK_WITHIN: Duration = Duration::from_secs(5);

impl Reader {
    pub(super) fn judge(&mut self, interruption: &Interruption) {
        let partition = interruption.partition;
        if self.streams.get(&partition).is_none_or(|stream| stream.phase == Phase::Stopped) {
            return;
        }
        match self.place.judge_partition(partition, interruption.code, &interruption.text) {
            PartitionVerdict::End => {}
            PartitionVerdict::OutOfRange => self.out_of_range(partition),
            PartitionVerdict::Gone => {
                let Place { topic, brokers } = &self.place;
                let found = format!("partition {partition} of topic {topic:?} no longer exists at {brokers}");
                self.topic_changed(partition, found);
            }
            PartitionVerdict::Retry(error) => {
                self.trouble(error);
                self.wait(partition, RETRY_AFTER);
            }
        }
    }

    /// Tells what exists instead of the position, and stops; if that cannot be learned now, tries again later.
    fn out_of_range(&mut self, partition: i32) {
        match self.raw.consumer().fetch_watermarks(&self.place.topic, partition, ASK_WITHIN) {
            Ok((low, high)) => {
                self.unassign(partition);
                let Some(stream) = self.streams.get_mut(&partition) else { return };
                stream.hand_out(&self.mailbox, true);
                let offset = |offset: i64| Offset(u64::try_from(offset).unwrap_or(0));
                let event = SourceEvent::OutOfRange {
                    stream: stream.wanted.stream.stream,
                    wanted: stream.position(),
                    low: offset(low),
                    high: offset(high),
                };
                stream.tell(&self.mailbox, event);
                stream.phase = Phase::Stopped;
            }
            Err(error) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                self.trouble(self.place.judge_question("asking which offsets exist", code, None));
                self.wait(partition, RETRY_AFTER);
            }
        }
    }

    fn topic_changed(&mut self, partition: i32, found: String) {
        self.unassign(partition);
        let Some(stream) = self.streams.get_mut(&partition) else { return };
        // Read before; what may be of another incarnation was forgotten already.
        stream.hand_out(&self.mailbox, true);
        stream.tell(&self.mailbox, SourceEvent::TopicChanged { stream: stream.wanted.stream.stream, found });
        stream.phase = Phase::Stopped;
    }

    /// Serves the client's log and errors. Never waits, and is called also while there is no room for messages.
    pub(super) fn listen_to_client(&mut self) {
        let Self { raw, place, last_words, .. } = self;
        let (mut new_id, mut is_doubtful) = (None, false);
        let mut errors = Vec::new();
        raw.client_events(|event| match event {
            ClientEvent::Log(level, facility, text) => {
                trace_line(level, facility, text);
                new_id = changed_id(text, &place.topic).map(str::to_owned).or(new_id.take());
                is_doubtful |= is_doubt(facility, text, &place.topic);
            }
            ClientEvent::Error(code, reason) => errors.push((code, reason.to_owned())),
        });
        // "All brokers are down" may come before the reason that they are.
        let is_reason = |(code, _): &&(RDKafkaErrorCode, String)| *code != RDKafkaErrorCode::AllBrokersDown;
        if let Some((_, reason)) = errors.iter().rfind(is_reason) {
            *last_words = Some(reason.clone());
        }
        for (code, reason) in errors {
            if let ClientVerdict::Tell(error) = self.place.judge_client(code, &reason, self.last_words.as_deref()) {
                self.trouble(error);
            }
        }
        let active: Vec<i32> =
            self.streams.iter().filter(|(_, s)| s.phase != Phase::Stopped).map(|(p, _)| *p).collect();
        if new_id.is_some() {
            self.topic_id = new_id;
            let doubtful = self.of_another_incarnation(&active);
            // What was gathered since the last look may be of either incarnation.
            for partition in &doubtful {
                self.streams.get_mut(partition).into_iter().for_each(ReadStream::forget_gathered);
                self.wait(*partition, Duration::ZERO);
            }
            self.review(&doubtful);
        } else if is_doubtful {
            self.review(&active);
        }
    }

    /// Those of `partitions` whose stream is not of the incarnation that librdkafka reads.
    pub(super) fn of_another_incarnation(&self, partitions: &[i32]) -> Vec<i32> {
        let known = self.topic_id.as_deref().unwrap_or("");
        let is_other = |partition: &&i32| {
            let wanted = &*self.streams[*partition].wanted.stream.incarnation;
            !wanted.is_empty() && !known.is_empty() && wanted != known
        };
        partitions.iter().filter(is_other).copied().collect()
    }

    /// Asks the broker whether the streams of `partitions` still are what they were. If not, the task is told. If so, they
    /// may be read: librdkafka is behind then, and the broker refuses its id until it has caught up. If nobody answers, it
    /// is asked again later.
    pub(super) fn review(&mut self, partitions: &[i32]) {
        if partitions.is_empty() {
            return;
        }
        match describe_topic(self.raw.consumer(), &self.place.topic, ASK_WITHIN) {
            Ok(answer) => {
                for partition in partitions {
                    let wanted = &self.streams[partition].wanted.stream.incarnation;
                    if let Some(found) = what_changed(&self.place, wanted, *partition, &answer) {
                        self.topic_changed(*partition, found);
                    }
                }
            }
            Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                let found = format!("topic {:?} no longer exists at {}", self.place.topic, self.place.brokers);
                partitions.iter().for_each(|partition| self.topic_changed(*partition, found.clone()));
            }
            Err(code) => {
                let error = self.place.judge_question("asking for the topic's id", code, None);
                self.trouble(error);
                partitions.iter().for_each(|partition| self.wait(*partition, RETRY_AFTER));
            }
        }
    }

    pub(super) fn trouble(&mut self, error: SourceError) {
        if self.quieted.lets_through(&error, self.clock.now()) {
            self.mailbox.trouble(error);
        }
    }
}
