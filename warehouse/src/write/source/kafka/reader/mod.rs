//! The thread that reads one source's topics: assigns what is wanted, takes messages by the batch while there is room, and turns
//! every error into an event. Owns the consumer; it is made and destroyed off the async runtime.
//!
//! Guaranteed per stream: ranges without holes from the position that was asked for (I3), nothing below it, nothing of
//! another incarnation of the topic; and no silence: a stream that cannot go on is told as an event, or tried again.

mod topic;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use vfs::{Clock, Moment};

use super::client::OurClient;
use super::errors::{Place, Quieted};
use super::mailbox::{Mailbox, partition_of};
use super::properties::{MESSAGE_OVERHEAD, QueueSizes};
use super::raw::Message;
use super::raw::RawConsumer;
use super::stream::{Phase, ReadStream};
use crate::write::source::cursor::ROW_BYTES;
use crate::write::source::{SourceError, SourceOptions};
use topic::{Key, ReadTopic, TopicIndex};
use verdicts::RETRY_AFTER;

/// How long the thread waits for a message, or for room, before it looks at everything else.
const TICK: Duration = Duration::from_millis(20);
/// How often high watermarks are looked up: in memory, without asking the broker.
const HIGHS_EVERY: Duration = Duration::from_millis(100);
/// A stream with records ahead and none coming is assigned anew after this: a lost wake-up must not stall it for ever.
const STUCK_AFTER: Duration = Duration::from_secs(20);

/// The reader of one open source.
pub(super) struct Reader {
    raw: RawConsumer<OurClient>,
    mailbox: Arc<Mailbox>,
    clock: Arc<dyn Clock>,
    options: SourceOptions,
    /// What all of it is called in messages.
    place: Place,
    room: u64,
    /// The topics that streams were wanted of; none is forgotten, so that an index stays what it is.
    topics: Vec<ReadTopic>,
    streams: BTreeMap<Key, ReadStream>,
    seen_turn: u64,
    last_words: Option<String>,
    quieted: Quieted,
    highs_told: Moment,
    /// When there was last no room.
    blocked: Moment,
    /// What a record takes on average, lately; 0 before the first.
    mean_bytes: u64,
}

/// An event of a partition that is no record.
struct Interruption {
    key: Key,
    code: RDKafkaErrorCode,
    text: String,
}

impl Reader {
    /// The reader of the topics of `place` through `consumer`, which has a `group.id` and no assignment.
    pub(super) fn new(
        consumer: BaseConsumer<OurClient>,
        mailbox: Arc<Mailbox>,
        clock: Arc<dyn Clock>,
        options: SourceOptions,
        place: Place,
    ) -> Self {
        let now = clock.now();
        Self {
            raw: RawConsumer::new(consumer),
            mailbox,
            clock,
            room: QueueSizes::within(options.queue_bytes).batch_bytes,
            options,
            place,
            topics: Vec::new(),
            streams: BTreeMap::new(),
            seen_turn: 0,
            last_words: None,
            quieted: Quieted::default(),
            highs_told: now,
            blocked: now,
            mean_bytes: 0,
        }
    }

    /// Reads until the source is closed.
    pub(super) fn run(mut self) {
        while self.mailbox.is_open() {
            self.follow_wanted();
            self.listen_to_client();
            self.begin_waiting();
            self.mailbox.note_fetched(self.raw.queued_messages() as u64 * (self.mean_bytes + MESSAGE_OVERHEAD));
            let gathered = self.streams.values().map(ReadStream::held_bytes).sum();
            let mut is_all = true;
            match self.mailbox.wait_for_room(gathered, self.room, TICK) {
                0 => self.blocked = self.clock.now(),
                room => is_all = self.read(room),
            }
            // While more is at hand and the task is busy, batches grow: large ones cost less to decode.
            let all = is_all || self.mailbox.is_hungry();
            for stream in self.streams.values_mut() {
                stream.hand_out(&self.mailbox, all);
            }
            self.tell_highs();
        }
    }

    /// Reads no more of what is not wanted, and plans what is.
    fn follow_wanted(&mut self) {
        let Some(wanted) = self.mailbox.wanted_since(&mut self.seen_turn) else { return };
        let is_outdated = |stream: &ReadStream| {
            let wish = wanted.get(&partition_of(&stream.wanted.stream));
            wish.is_none_or(|wish| wish.turn != stream.wanted.turn)
        };
        let outdated: Vec<Key> =
            self.streams.iter().filter(|(_, stream)| is_outdated(stream)).map(|(key, _)| *key).collect();
        for key in outdated {
            self.unassign(key);
            self.streams.remove(&key);
        }
        let now = self.clock.now();
        for ((topic, partition), wanted) in wanted {
            let key = (self.topic_index(&topic), partition);
            self.streams.entry(key).or_insert_with(|| ReadStream::new(wanted, now));
        }
    }

    /// The index of a topic, which is known from here on.
    fn topic_index(&mut self, name: &Arc<str>) -> TopicIndex {
        topic::find(&self.topics, name).unwrap_or_else(|| {
            self.topics.push(ReadTopic::new(name, &self.place.brokers));
            self.topics.len() - 1
        })
    }

    /// What a stream is called in messages.
    fn place_of(&self, key: Key) -> &Place {
        &self.topics[key.0].place
    }

    /// Assigns the streams whose time has come, and anew those that are stuck.
    fn begin_waiting(&mut self) {
        let now = self.clock.now();
        let due: Vec<Key> = self
            .streams
            .iter()
            .filter(|(_, stream)| matches!(stream.phase, Phase::Waiting(at) if at <= now))
            .map(|(key, _)| *key)
            .collect();
        let doubtful = self.of_another_incarnation(&due);
        self.review(&doubtful);
        // Those that the review took away are no longer due.
        let is_due = |key: &Key| matches!(self.streams[key].phase, Phase::Waiting(at) if at <= now);
        let due: Vec<Key> = due.into_iter().filter(is_due).collect();
        let mut list = TopicPartitionList::new();
        for key in &due {
            let position = i64::try_from(self.streams[key].position().0).unwrap_or(i64::MAX);
            list.add_partition_offset(&self.place_of(*key).topic, key.1, KafkaOffset::Offset(position))
                .expect("an absolute offset can always be named");
        }
        let assigned = if due.is_empty() { Ok(()) } else { self.raw.consumer().incremental_assign(&list) };
        if let Err(error) = assigned {
            let cause = format!("partitions of topic {:?} could not be assigned: {error}", self.place.topic);
            self.trouble(SourceError::Fatal { cause, next_step: "trying again".to_owned() });
            due.iter().for_each(|key| self.wait(*key, RETRY_AFTER));
            return;
        }
        for key in due {
            if let Some(stream) = self.streams.get_mut(&key) {
                (stream.phase, stream.moved) = (Phase::Reading, now);
            }
        }
        self.unblock_stuck(now);
    }

    fn unblock_stuck(&mut self, now: Moment) {
        let stuck: Vec<Key> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.phase == Phase::Reading && stream.is_behind())
            .filter(|(_, stream)| now.since(stream.moved.max(self.blocked)) >= STUCK_AFTER)
            .map(|(key, _)| *key)
            .collect();
        for key in stuck {
            // An open transaction looks the same, and loses nothing by it.
            let (topic, partition) = (&self.place_of(key).topic, key.1);
            tracing::info!(%topic, partition, "no records for a while, though there are: reading it anew");
            self.wait(key, Duration::ZERO);
        }
    }

    /// Takes the messages that are there, about as many as there is `room` for; whether that was all.
    fn read(&mut self, room: u64) -> bool {
        // Of an unknown length at first: a small taste.
        let limit = room.checked_div(self.mean_bytes).map_or(64, |fit| usize::try_from(fit).unwrap_or(usize::MAX));
        let now = self.clock.now();
        let mut interruptions = Vec::new();
        let (mut records, mut bytes) = (0, 0);
        let drained = self.raw.drain(limit, TICK);
        let is_all = !drained.is_full();
        // Messages come in runs of one topic: its name is looked up once a run.
        let mut run: Option<(Message<'_>, Option<TopicIndex>)> = None;
        for message in drained.iter() {
            let index = match &run {
                Some((first, index)) if message.is_of_the_topic_of(first) => *index,
                _ => topic::find(&self.topics, message.topic()),
            };
            let key = index.map(|index| (index, message.partition()));
            let stream = key.and_then(|key| self.streams.get_mut(&key));
            match (stream, message.error()) {
                // Of a stream that was interrupted nothing more is taken: what follows lies behind the damage.
                (Some(stream), _) if stream.phase != Phase::Reading => {}
                (Some(stream), None) => {
                    records += 1;
                    bytes += stream.take(&message, &self.options, now);
                }
                (Some(stream), Some((RDKafkaErrorCode::PartitionEOF, _))) => stream.reached_end(message.offset(), now),
                (Some(stream), Some((code, text))) => {
                    stream.phase = Phase::Waiting(now);
                    interruptions.extend(key.map(|key| Interruption { key, code, text }));
                }
                // Of the group, for instance, that we never join.
                (None, Some((code, text))) => tracing::debug!(topic = %self.place.topic, ?code, "{text}"),
                (None, None) => {}
            }
            run = Some((message, index));
        }
        drop(drained);
        self.mean_bytes = bytes.checked_div(records).map_or(self.mean_bytes, |mean| mean + ROW_BYTES);
        // After the messages and before they are handed out: see `incarnation`.
        self.listen_to_client();
        for interruption in interruptions {
            self.judge(&interruption);
        }
        is_all
    }

    /// Reads no more of the partition, and begins again from its position after `pause`.
    fn wait(&mut self, key: Key, pause: Duration) {
        self.unassign(key);
        let at = self.clock.now().after(pause);
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.phase = Phase::Waiting(at);
        }
    }

    /// Takes the partition from librdkafka, if it has it.
    fn unassign(&self, key: Key) {
        let (topic, partition) = (&self.place_of(key).topic, key.1);
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        if let Err(error) = self.raw.consumer().incremental_unassign(&list) {
            tracing::trace!(%topic, partition, %error, "it was not assigned");
        }
    }

    fn tell_highs(&mut self) {
        let now = self.clock.now();
        if now.since(self.highs_told) < HIGHS_EVERY {
            return;
        }
        self.highs_told = now;
        for ((topic, partition), stream) in &mut self.streams {
            if stream.phase == Phase::Reading {
                if let Some(high) = self.raw.known_high_watermark(&self.topics[*topic].c_name, *partition) {
                    stream.tell_high(&self.mailbox, high);
                }
            }
        }
    }
}

impl Drop for Reader {
    /// Also when the thread panics: the task must not wait for it in silence.
    fn drop(&mut self) {
        self.mailbox.reader_gone();
    }
}
