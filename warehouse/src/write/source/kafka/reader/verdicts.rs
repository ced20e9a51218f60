//! What the reader does about everything that is no record: errors of a partition, the client's log and errors, and
//! doubts about a topic. None of it is passed over in silence.

use std::collections::BTreeSet;
use std::time::Duration;

use catalog::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use super::topic::{Key, TopicIndex};
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
        let (key, partition) = (interruption.key, interruption.key.1);
        if self.streams.get(&key).is_none_or(|stream| stream.phase == Phase::Stopped) {
            return;
        }
        match self.place_of(key).judge_partition(partition, interruption.code, &interruption.text) {
            PartitionVerdict::End => {}
            PartitionVerdict::OutOfRange => self.out_of_range(key),
            PartitionVerdict::Gone => {
                let Place { topic, brokers } = self.place_of(key);
                let found = format!("partition {partition} of topic {topic:?} no longer exists at {brokers}");
                self.topic_changed(key, found);
            }
            PartitionVerdict::Retry(error) => {
                self.trouble(error);
                self.wait(key, RETRY_AFTER);
            }
        }
    }

    /// Tells what exists instead of the position, and stops; if that cannot be learned now, tries again later.
    fn out_of_range(&mut self, key: Key) {
        match self.raw.consumer().fetch_watermarks(&self.place_of(key).topic, key.1, ASK_WITHIN) {
            Ok((low, high)) => {
                // Before the first of all offsets nothing can have been lost: it was said of another position, as of the stream
                // of the topic that had this name before.
                if low == 0 && self.streams[&key].position() == Offset(0) {
                    return self.wait(key, RETRY_AFTER);
                }
                self.unassign(key);
                let Some(stream) = self.streams.get_mut(&key) else { return };
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
                self.trouble(self.place_of(key).judge_question("asking which offsets exist", code, None));
                self.wait(key, RETRY_AFTER);
            }
        }
    }

    fn topic_changed(&mut self, key: Key, found: String) {
        self.unassign(key);
        let Some(stream) = self.streams.get_mut(&key) else { return };
        // Read before; what may be of another incarnation was forgotten already.
        stream.hand_out(&self.mailbox, true);
        stream.tell(&self.mailbox, SourceEvent::TopicChanged { stream: stream.wanted.stream.stream, found });
        stream.phase = Phase::Stopped;
    }

    /// Serves the client's log and errors. Never waits, and is called also while there is no room for messages.
    pub(super) fn listen_to_client(&mut self) {
        let Self { raw, topics, last_words, .. } = self;
        let (mut renewed, mut doubtful) = (BTreeSet::new(), BTreeSet::new());
        let mut errors = Vec::new();
        raw.client_events(|event| match event {
            ClientEvent::Log(level, facility, text) => {
                trace_line(level, facility, text);
                for (index, topic) in topics.iter_mut().enumerate() {
                    if let Some(id) = changed_id(text, &topic.place.topic) {
                        topic.id = Some(id.to_owned());
                        renewed.insert(index);
                    }
                    if is_doubt(facility, text, &topic.place.topic) {
                        doubtful.insert(index);
                    }
                }
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
        for topic in renewed.union(&doubtful) {
            let is_active = |(key, stream): &(&Key, &ReadStream)| key.0 == *topic && stream.phase != Phase::Stopped;
            let active: Vec<Key> = self.streams.iter().filter(is_active).map(|(key, _)| *key).collect();
            if !renewed.contains(topic) {
                self.review(&active);
                continue;
            }
            let others = self.of_another_incarnation(&active);
            // What was gathered since the last look may be of either incarnation.
            for key in &others {
                self.streams.get_mut(key).into_iter().for_each(ReadStream::forget_gathered);
                self.wait(*key, Duration::ZERO);
            }
            self.review(&others);
        }
    }

    /// Those of `keys` whose stream is not of the incarnation that librdkafka reads.
    pub(super) fn of_another_incarnation(&self, keys: &[Key]) -> Vec<Key> {
        let is_other = |key: &&Key| {
            let known = self.topics[key.0].id.as_deref().unwrap_or("");
            let wanted = &*self.streams[*key].wanted.stream.incarnation;
            !wanted.is_empty() && !known.is_empty() && wanted != known
        };
        keys.iter().filter(is_other).copied().collect()
    }

    /// Asks the broker whether the streams of `keys` still are what they were. If not, the task is told. If so, they may be
    /// read: librdkafka is behind then, and the broker refuses its id until it has caught up. If nobody answers, it is
    /// asked again later.
    pub(super) fn review(&mut self, keys: &[Key]) {
        let topics: BTreeSet<TopicIndex> = keys.iter().map(|(topic, _)| *topic).collect();
        for topic in topics {
            let of_it: Vec<Key> = keys.iter().filter(|key| key.0 == topic).copied().collect();
            self.review_topic(&of_it, self.topics[topic].place.clone());
        }
    }

    fn review_topic(&mut self, keys: &[Key], place: Place) {
        match describe_topic(self.raw.consumer(), &place.topic, ASK_WITHIN) {
            Ok(answer) => {
                for key in keys {
                    let wanted = &self.streams[key].wanted.stream.incarnation;
                    if let Some(found) = what_changed(&place, wanted, key.1, &answer) {
                        self.topic_changed(*key, found);
                    }
                }
            }
            Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                let found = format!("topic {:?} no longer exists at {}", place.topic, place.brokers);
                keys.iter().for_each(|key| self.topic_changed(*key, found.clone()));
            }
            Err(code) => {
                self.trouble(place.judge_question("asking for the topic's id", code, None));
                keys.iter().for_each(|key| self.wait(*key, RETRY_AFTER));
            }
        }
    }

    pub(super) fn trouble(&mut self, error: SourceError) {
        if self.quieted.lets_through(&error, self.clock.now()) {
            self.mailbox.trouble(error);
        }
    }
}
