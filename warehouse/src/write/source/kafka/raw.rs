//! The one `unsafe` module over librdkafka's C interface: what the `rdkafka` crate does not offer.
//!
//! - messages by the batch (`rd_kafka_consume_batch_queue`): a third cheaper than one event a message;
//! - the offset of an end-of-partition event, without which a trailing control record leaves lag for ever;
//! - the client's log lines and errors on a queue of their own, served even while no message is wanted;
//! - a topic's id (`DescribeTopics`), without which a topic deleted and made again looks like the old one.
//!
//! Owns pointers and their lifetimes; decides nothing.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::client::trace_line;

/// Messages taken at once, at the most.
const DRAIN_MESSAGES: usize = 4096;

/// A consumer whose messages and whose client events come on two queues.
///
/// Its fields drop in order: librdkafka wants its queues given back before the client is destroyed.
pub(super) struct RawConsumer<C: ConsumerContext + 'static> {
    messages: Queue,
    client: Queue,
    /// Errors from before the queues were parted.
    early: Vec<(RDKafkaErrorCode, String)>,
    batch: Vec<*mut sys::rd_kafka_message_t>,
    consumer: BaseConsumer<C>,
}

impl<C: ConsumerContext + 'static> Drop for RawConsumer<C> {
    /// Makes the queues one again: librdkafka empties the main queue before it joins its threads, and through it the
    /// consumer's; messages that stayed in that one would hold the threads for ever.
    fn drop(&mut self) {
        // SAFETY: the client is alive until the fields are dropped, after this.
        unsafe { sys::rd_kafka_poll_set_consumer(self.consumer.client().native_ptr()) };
    }
}

/// What the client, as apart from a partition, has to say.
pub(super) enum ClientEvent<'a> {
    /// A line of its log: level as in syslog, facility, text.
    Log(i32, &'a str, &'a str),
    /// An error of the whole client.
    Error(RDKafkaErrorCode, &'a str),
}

impl<C: ConsumerContext + 'static> RawConsumer<C> {
    /// Takes over a consumer that was made with a `group.id`.
    pub(super) fn new(consumer: BaseConsumer<C>) -> Self {
        let rk = consumer.client().native_ptr();
        // SAFETY: `rk` lives as long as `consumer`, which this struct owns and drops after the queues. Forwarding the main
        // queue to nothing undoes the forwarding to the consumer queue that `BaseConsumer` asked for.
        let (messages, client) = unsafe {
            let client = Queue(sys::rd_kafka_queue_get_main(rk));
            sys::rd_kafka_queue_forward(client.0, ptr::null_mut());
            (Queue(sys::rd_kafka_queue_get_consumer(rk)), client)
        };
        assert!(!messages.0.is_null(), "a consumer with a group.id has a consumer queue");
        // What was said while the queues were one stands in the wrong one, where the batch call would print it to the
        // standard error: a broker that refuses is as quick as this.
        let mut early = Vec::new();
        messages.events(|event| match event {
            ClientEvent::Log(level, facility, text) => trace_line(level, facility, text),
            ClientEvent::Error(code, reason) => early.push((code, reason.to_owned())),
        });
        Self { messages, client, early, batch: vec![ptr::null_mut(); DRAIN_MESSAGES], consumer }
    }

    /// The consumer, for everything that the crate does offer.
    pub(super) fn consumer(&self) -> &BaseConsumer<C> {
        &self.consumer
    }

    /// The messages that are there, at most `limit`; waits up to `wait` for the first, and for no other.
    pub(super) fn drain(&mut self, limit: usize, wait: Duration) -> Drained<'_> {
        let limit = limit.clamp(1, DRAIN_MESSAGES);
        let mut taken = self.take(0, limit, Duration::ZERO);
        if taken == 0 && self.take(0, 1, wait) == 1 {
            taken = 1 + self.take(1, limit, Duration::ZERO);
        }
        Drained { messages: &self.batch[..taken], full: taken == limit }
    }

    /// Fills `batch[from..to]`; librdkafka waits until that is full or the time is up, whichever comes first.
    fn take(&mut self, from: usize, to: usize, wait: Duration) -> usize {
        let room = &mut self.batch[from..to];
        if room.is_empty() {
            return 0;
        }
        // SAFETY: the queue is alive, and at most `room.len()` pointers are written to `room`.
        let taken = unsafe {
            sys::rd_kafka_consume_batch_queue(self.messages.0, millis(wait), room.as_mut_ptr(), room.len())
        };
        usize::try_from(taken).unwrap_or(0)
    }

    /// Hands every waiting client event to `handle`.
    pub(super) fn client_events(&mut self, mut handle: impl FnMut(ClientEvent<'_>)) {
        for (code, reason) in self.early.drain(..) {
            handle(ClientEvent::Error(code, &reason));
        }
        self.client.events(handle);
    }

    /// How many messages librdkafka holds for us.
    pub(super) fn queued_messages(&self) -> usize {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.messages.0) }
    }

    /// The end of a partition as the last fetch told it, without asking the broker.
    pub(super) fn known_high_watermark(&self, topic: &CStr, partition: i32) -> Option<u64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client is alive, `topic` ends with a zero byte, and both results outlive the call.
        let error = unsafe {
            let rk = self.consumer.client().native_ptr();
            sys::rd_kafka_get_watermark_offsets(rk, topic.as_ptr(), partition, &mut low, &mut high)
        };
        if RDKafkaErrorCode::from(error) != RDKafkaErrorCode::NoError {
            return None;
        }
        u64::try_from(high).ok()
    }
}

/// # Safety
/// `event` must be alive for `'a`.
unsafe fn client_event<'a>(event: *mut sys::rd_kafka_event_t) -> Option<ClientEvent<'a>> {
    // SAFETY: the caller keeps `event` alive; librdkafka's strings end with a zero byte.
    unsafe {
        match sys::rd_kafka_event_type(event) {
            sys::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
                let failed = sys::rd_kafka_event_log(event, &mut facility, &mut text, &mut level) != 0;
                (!failed).then(|| ClientEvent::Log(level, borrow_text(facility), borrow_text(text)))
            }
            sys::RD_KAFKA_EVENT_ERROR => Some(ClientEvent::Error(
                sys::rd_kafka_event_error(event).into(),
                borrow_text(sys::rd_kafka_event_error_string(event)),
            )),
            _ => None,
        }
    }
}

/// Messages of one [`RawConsumer::drain`]; given back to librdkafka when this is dropped.
pub(super) struct Drained<'a> {
    messages: &'a [*mut sys::rd_kafka_message_t],
    /// Whether there may be more.
    pub(super) full: bool,
}

impl Drained<'_> {
    /// The messages and partition events, in their order of arrival.
    pub(super) fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        // SAFETY: librdkafka filled these in and leaves them alone until they are destroyed.
        self.messages.iter().map(|message| Message { raw: unsafe { &**message }, batch: PhantomData })
    }
}

impl Drop for Drained<'_> {
    fn drop(&mut self) {
        for message in self.messages {
            // SAFETY: each was filled in by this drain, and is destroyed once.
            unsafe { sys::rd_kafka_message_destroy(*message) };
        }
    }
}

/// One message or partition event.
pub(super) struct Message<'a> {
    raw: &'a sys::rd_kafka_message_t,
    batch: PhantomData<&'a Drained<'a>>,
}

impl<'a> Message<'a> {
    /// Whether it is about a partition at all.
    pub(super) fn has_partition(&self) -> bool {
        !self.raw.rkt.is_null()
    }

    /// Its partition.
    pub(super) fn partition(&self) -> i32 {
        self.raw.partition
    }

    /// Its offset: of the record, of the partition's end, or of where the error occurred; negative where there is none.
    pub(super) fn offset(&self) -> i64 {
        self.raw.offset
    }

    /// What went wrong, and librdkafka's words for it, if this is not a record.
    pub(super) fn error(&self) -> Option<(RDKafkaErrorCode, String)> {
        let code = RDKafkaErrorCode::from(self.raw.err);
        if code == RDKafkaErrorCode::NoError {
            return None;
        }
        // SAFETY: of an event that is an error, the payload is its text of `len` bytes, or null.
        let text = unsafe { borrow_bytes(self.raw.payload, self.raw.len) };
        Some((code, text.map_or_else(|| code.to_string(), |text| String::from_utf8_lossy(text).into_owned())))
    }

    /// The payload; `None` for a null payload.
    pub(super) fn payload(&self) -> Option<&'a [u8]> {
        // SAFETY: of a record, `payload` is null or points to `len` bytes that live as long as the message.
        unsafe { borrow_bytes(self.raw.payload, self.raw.len) }
    }

    /// The key, if it has one.
    pub(super) fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: as the payload.
        unsafe { borrow_bytes(self.raw.key, self.raw.key_len) }
    }

    /// The broker's timestamp in milliseconds since 1970 UTC, where it has one.
    pub(super) fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, and is a record.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.raw, &mut kind) };
        (kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && millis >= 0).then_some(millis)
    }

    /// The headers, in order; names may repeat.
    pub(super) fn headers(&self) -> Vec<(&'a str, Option<&'a [u8]>)> {
        let mut found = Vec::new();
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive; names end with a zero byte, values are null or have `size` bytes, and both live
        // as long as the message.
        unsafe {
            let error = sys::rd_kafka_message_headers(self.raw, &mut headers);
            if RDKafkaErrorCode::from(error) != RDKafkaErrorCode::NoError {
                return found;
            }
            loop {
                let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
                let error = sys::rd_kafka_header_get_all(headers, found.len(), &mut name, &mut value, &mut size);
                if RDKafkaErrorCode::from(error) != RDKafkaErrorCode::NoError {
                    return found;
                }
                found.push((borrow_text(name), borrow_bytes(value, size)));
            }
        }
    }
}

/// A topic as the broker describes it.
#[derive(Debug)]
pub(super) struct DescribedTopic {
    /// The id of its incarnation; empty where the broker gives none.
    pub(super) id: String,
    /// Its partitions, rising.
    pub(super) partitions: Vec<i32>,
}

/// Asks the cluster for `topic`; blocks up to twice `timeout`.
pub(super) fn describe_topic<C: ConsumerContext>(
    consumer: &BaseConsumer<C>, topic: &str, timeout: Duration,
) -> Result<DescribedTopic, RDKafkaErrorCode> {
    // The crate's own question first, which fails sooner and says which broker answers: an admin request waits for a
    // controller unless a broker is named, and a mock cluster has none.
    let metadata = consumer
        .fetch_metadata(Some(topic), timeout)
        .map_err(|error| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))?;
    // The one that answered has no number yet if it is known as a bootstrap server only.
    let known = (metadata.orig_broker_id() >= 0).then(|| metadata.orig_broker_id());
    let broker = known.or_else(|| metadata.brokers().first().map(|broker| broker.id())).unwrap_or(-1);
    let rk = consumer.client().native_ptr();
    let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    // SAFETY: every pointer made here is checked or documented never to be null, used while its owner is alive, and given
    // back once: the collection and the options after the request was queued (librdkafka copies both), the event after its
    // result was copied, the queue last.
    unsafe {
        let mut names = [name.as_ptr()];
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
        let options = sys::rd_kafka_AdminOptions_new(rk, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let mut reason = [0 as c_char; 128];
        sys::rd_kafka_AdminOptions_set_request_timeout(options, millis(timeout), reason.as_mut_ptr(), reason.len());
        sys::rd_kafka_AdminOptions_set_broker(options, broker, reason.as_mut_ptr(), reason.len());
        let queue = Queue(sys::rd_kafka_queue_new(rk));
        sys::rd_kafka_DescribeTopics(rk, topics, options, queue.0);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(topics);
        // librdkafka answers at the request's timeout at the latest; the second more is for its own timer.
        let event = sys::rd_kafka_queue_poll(queue.0, millis(timeout + Duration::from_secs(1)));
        if event.is_null() {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        }
        let described = read_description(event);
        sys::rd_kafka_event_destroy(event);
        described
    }
}

/// # Safety
/// `event` must be the live answer to a `DescribeTopics` of one topic.
unsafe fn read_description(event: *mut sys::rd_kafka_event_t) -> Result<DescribedTopic, RDKafkaErrorCode> {
    // SAFETY: the caller keeps `event` alive, which owns all that is read here; counts come with their arrays.
    unsafe {
        ok(sys::rd_kafka_event_error(event))?;
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let Some(topic) = borrow_array(topics, count).first().copied() else {
            return Err(RDKafkaErrorCode::UnknownTopicOrPartition);
        };
        let error = sys::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            ok(sys::rd_kafka_error_code(error))?;
        }
        let partitions = sys::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let mut partitions: Vec<i32> = borrow_array(partitions, count)
            .iter()
            .map(|partition| sys::rd_kafka_TopicPartitionInfo_partition(*partition))
            .collect();
        partitions.sort_unstable();
        Ok(DescribedTopic { id: topic_id(sys::rd_kafka_TopicDescription_topic_id(topic)), partitions })
    }
}

/// # Safety
/// `uuid` must be null or alive.
unsafe fn topic_id(uuid: *const sys::rd_kafka_Uuid_t) -> String {
    // SAFETY: as the caller says; the text belongs to the UUID.
    unsafe {
        let given = !uuid.is_null()
            && (sys::rd_kafka_Uuid_most_significant_bits(uuid), sys::rd_kafka_Uuid_least_significant_bits(uuid)) != (0, 0);
        if given { borrow_text(sys::rd_kafka_Uuid_base64str(uuid)).to_owned() } else { String::new() }
    }
}

/// One reference to a queue.
struct Queue(*mut sys::rd_kafka_queue_t);

impl Queue {
    /// Hands every waiting client event to `handle`; drops all others.
    fn events(&self, mut handle: impl FnMut(ClientEvent<'_>)) {
        loop {
            // SAFETY: the queue is alive; the event is destroyed below, after the last use of what it lends.
            let event = unsafe { sys::rd_kafka_queue_poll(self.0, 0) };
            if event.is_null() {
                return;
            }
            // SAFETY: `event` is alive until it is destroyed here, and its strings with it.
            unsafe {
                if let Some(known) = client_event(event) {
                    handle(known);
                }
                sys::rd_kafka_event_destroy(event);
            }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the reference is ours and is given back once.
            unsafe { sys::rd_kafka_queue_destroy(self.0) };
        }
    }
}

fn ok(error: sys::rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    match RDKafkaErrorCode::from(error) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(code),
    }
}

fn millis(wait: Duration) -> c_int {
    c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX)
}

/// # Safety
/// `text` must be null, or end with a zero byte and live for `'a`.
unsafe fn borrow_text<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("(not UTF-8)")
}

/// # Safety
/// `bytes` must be null, or point to `length` bytes that live for `'a`.
unsafe fn borrow_bytes<'a>(bytes: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller says.
    (!bytes.is_null()).then(|| unsafe { slice::from_raw_parts(bytes.cast(), length) })
}

/// # Safety
/// `items` must be null, or point to `count` items that live for `'a`.
unsafe fn borrow_array<'a, T>(items: *const T, count: usize) -> &'a [T] {
    if items.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { slice::from_raw_parts(items, count) }
}
