//! The thread that reads one topic: assigns what is wanted, takes messages by the batch while there is room, and turns
//! every error into an event. Owns the consumer; it is made and destroyed off the async runtime.
//!
//! Guaranteed per stream: ranges without holes from the position that was asked for (I3), nothing below it, nothing of
//! another incarnation of the topic; and no silence: a stream that cannot go on is told as an event, or tried again.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use catalog::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use vfs::{Clock, Moment};

use super::client::{OurClient, trace_line};
use super::errors::{ClientVerdict, PartitionVerdict, Place, Quieted};
use super::incarnation::changed_id;
use super::mailbox::Mailbox;
use super::properties::{MESSAGE_OVERHEAD, QueueSizes};
use super::raw::{ClientEvent, RawConsumer, describe_topic};
use super::stream::{Phase, ReadStream};
use crate::write::source::cursor::ROW_BYTES;
use crate::write::source::{SourceError, SourceEvent, SourceOptions};

/// How long the thread waits for a message, or for room, before it looks at everything else.
const TICK: Duration = Duration::from_millis(20);
/// How often high watermarks are looked up: in memory, without asking the broker.
const HIGHS_EVERY: Duration = Duration::from_millis(100);
/// A stream that failed is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// A stream with records ahead and none coming is assigned anew after this: a lost wake-up must not stall it for ever.
const STUCK_AFTER: Duration = Duration::from_secs(20);
/// A question to the broker from this thread; rare, and the other streams wait for it.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// The reader of one open source.
pub(super) struct Reader {
    raw: RawConsumer<OurClient>,
    mailbox: Arc<Mailbox>,
    clock: Arc<dyn Clock>,
    options: SourceOptions,
    place: Place,
    topic: CString,
    room: u64,
    streams: BTreeMap<i32, ReadStream>,
    seen_turn: u64,
    /// The topic's id as librdkafka knows it.
    topic_id: Option<String>,
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
    partition: i32,
    code: RDKafkaErrorCode,
    text: String,
}

impl Reader {
    /// The reader of `place.topic` through `consumer`, which has a `group.id` and no assignment.
    pub(super) fn new(
        consumer: BaseConsumer<OurClient>, mailbox: Arc<Mailbox>, clock: Arc<dyn Clock>, options: SourceOptions, place: Place,
    ) -> Self {
        let topic = CString::new(place.topic.as_str()).unwrap_or_default();
        let now = clock.now();
        Self {
            raw: RawConsumer::new(consumer),
            mailbox,
            clock,
            room: QueueSizes::within(options.queue_bytes).batch_bytes,
            options,
            place,
            topic,
            streams: BTreeMap::new(),
            seen_turn: 0,
            topic_id: None,
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
        let outdated: Vec<i32> = self
            .streams
            .iter()
            .filter(|(partition, stream)| wanted.get(partition).is_none_or(|wanted| wanted.turn != stream.wanted.turn))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in outdated {
            self.unassign(partition);
            self.streams.remove(&partition);
        }
        let now = self.clock.now();
        for (partition, wanted) in wanted {
            self.streams.entry(partition).or_insert_with(|| ReadStream::new(wanted, now));
        }
    }

    /// Assigns the streams whose time has come, and anew those that are stuck.
    fn begin_waiting(&mut self) {
        let now = self.clock.now();
        let due: Vec<i32> = self
            .streams
            .iter()
            .filter(|(_, stream)| matches!(stream.phase, Phase::Waiting(at) if at <= now))
            .map(|(partition, _)| *partition)
            .collect();
        let due: Vec<i32> = due.into_iter().filter(|partition| self.is_of_this_incarnation(*partition)).collect();
        let mut list = TopicPartitionList::new();
        for partition in &due {
            let position = i64::try_from(self.streams[partition].position().0).unwrap_or(i64::MAX);
            list.add_partition_offset(&self.place.topic, *partition, KafkaOffset::Offset(position))
                .expect("an absolute offset can always be named");
        }
        let assigned = if due.is_empty() { Ok(()) } else { self.raw.consumer().incremental_assign(&list) };
        if let Err(error) = assigned {
            let cause = format!("partitions of topic {:?} could not be assigned: {error}", self.place.topic);
            self.trouble(SourceError::Fatal { cause, next_step: "trying again".to_owned() });
            due.iter().for_each(|partition| self.wait(*partition, RETRY_AFTER));
            return;
        }
        for partition in due {
            if let Some(stream) = self.streams.get_mut(&partition) {
                (stream.phase, stream.moved) = (Phase::Reading, now);
            }
        }
        self.unblock_stuck(now);
    }

    fn unblock_stuck(&mut self, now: Moment) {
        let stuck: Vec<i32> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.phase == Phase::Reading && stream.is_behind())
            .filter(|(_, stream)| now.since(stream.moved.max(self.blocked)) >= STUCK_AFTER)
            .map(|(partition, _)| *partition)
            .collect();
        for partition in stuck {
            // An open transaction looks the same, and loses nothing by it.
            tracing::info!(topic = %self.place.topic, partition, "no records for a while, though there are: reading it anew");
            self.wait(partition, Duration::ZERO);
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
        let is_all = !drained.full;
        for message in drained.iter() {
            let stream = self.streams.get_mut(&message.partition()).filter(|_| message.has_partition());
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
                    interruptions.push(Interruption { partition: message.partition(), code, text });
                }
                // Of the group, for instance, that we never join.
                (None, Some((code, text))) => tracing::debug!(topic = %self.place.topic, ?code, "{text}"),
                (None, None) => {}
            }
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

    fn judge(&mut self, interruption: &Interruption) {
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
        stream.forget_gathered();
        stream.tell(&self.mailbox, SourceEvent::TopicChanged { stream: stream.wanted.stream.stream, found });
        stream.phase = Phase::Stopped;
    }

    /// Serves the client's log and errors. Never waits, and is called also while there is no room for messages.
    fn listen_to_client(&mut self) {
        let Self { raw, place, last_words, .. } = self;
        let mut new_id = None;
        let mut errors = Vec::new();
        raw.client_events(|event| match event {
            ClientEvent::Log(level, facility, text) => {
                trace_line(level, facility, text);
                new_id = changed_id(text, &place.topic).map(str::to_owned).or(new_id.take());
            }
            ClientEvent::Error(code, reason) => errors.push((code, reason.to_owned())),
        });
        // "All brokers are down" may come before the reason that they are.
        let is_reason = |(code, _): &&(RDKafkaErrorCode, String)| *code != RDKafkaErrorCode::AllBrokersDown;
        if let Some((_, reason)) = errors.iter().rfind(is_reason) {
            *last_words = Some(reason.clone());
        }
        if std::env::var("DBGK").is_ok() { errors.iter().for_each(|e| eprintln!("E {e:?}")); }
        for (code, reason) in errors {
            if let ClientVerdict::Tell(error) = self.place.judge_client(code, &reason, self.last_words.as_deref()) {
                self.trouble(error);
            }
        }
        if new_id.is_some() {
            self.topic_id = new_id;
            let reading: Vec<i32> = self.streams.keys().copied().collect();
            for partition in reading {
                if self.streams[&partition].phase != Phase::Stopped && !self.is_of_this_incarnation(partition) {
                    self.streams.get_mut(&partition).into_iter().for_each(ReadStream::forget_gathered);
                }
            }
        }
    }

    /// Whether the stream is of the incarnation that librdkafka reads. If not, asks the broker which one there is: either
    /// librdkafka is behind, and the broker refuses its id until it has caught up, or the topic was made again, and the
    /// task is told; if nobody answers, it is tried again later. `false`: do not read it.
    fn is_of_this_incarnation(&mut self, partition: i32) -> bool {
        let wanted = &self.streams[&partition].wanted.stream.incarnation;
        let known = self.topic_id.as_deref().unwrap_or("");
        if wanted.is_empty() || known.is_empty() || **wanted == *known {
            return true;
        }
        let Place { topic, brokers } = &self.place;
        match describe_topic(self.raw.consumer(), topic, ASK_WITHIN) {
            Ok(described) if described.id == **wanted => true,
            Ok(described) => {
                let found = format!(
                    "topic {topic:?} at {brokers} was deleted and made again: its id is {}, that of the stream is {wanted}",
                    described.id
                );
                self.topic_changed(partition, found);
                false
            }
            Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                let found = format!("topic {topic:?} no longer exists at {brokers}");
                self.topic_changed(partition, found);
                false
            }
            Err(code) => {
                let earlier = self.raw.consumer().client().context().take_last_error();
                self.trouble(self.place.judge_question("asking for the topic's id", code, earlier));
                self.wait(partition, RETRY_AFTER);
                false
            }
        }
    }

    /// Reads no more of the partition, and begins again from its position after `pause`.
    fn wait(&mut self, partition: i32, pause: Duration) {
        self.unassign(partition);
        let at = self.clock.now().after(pause);
        if let Some(stream) = self.streams.get_mut(&partition) {
            stream.phase = Phase::Waiting(at);
        }
    }

    /// Takes the partition from librdkafka, if it has it.
    fn unassign(&self, partition: i32) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.place.topic, partition);
        if let Err(error) = self.raw.consumer().incremental_unassign(&list) {
            tracing::trace!(topic = %self.place.topic, partition, %error, "it was not assigned");
        }
    }

    fn tell_highs(&mut self) {
        let now = self.clock.now();
        if now.since(self.highs_told) < HIGHS_EVERY {
            return;
        }
        self.highs_told = now;
        for (partition, stream) in &mut self.streams {
            if stream.phase == Phase::Reading {
                if let Some(high) = self.raw.known_high_watermark(&self.topic, *partition) {
                    stream.tell_high(&self.mailbox, high);
                }
            }
        }
    }

    fn trouble(&mut self, error: SourceError) {
        if self.quieted.lets_through(&error, self.clock.now()) {
            self.mailbox.trouble(error);
        }
    }
}

impl Drop for Reader {
    /// Also when the thread panics: the task must not wait for it in silence.
    fn drop(&mut self) {
        self.mailbox.reader_gone();
    }
}
