//! The one `unsafe` module over librdkafka's C interface: what the `rdkafka` crate does not offer.
//!
//! - messages by the batch (`rd_kafka_consume_batch_queue`): a third cheaper than one event a message;
//! - the offset of an end-of-partition event, without which a trailing control record leaves lag for ever;
//! - the client's log lines and errors on a queue of their own, served even while no message is wanted;
//! - topics' ids (`DescribeTopics`), without which a topic deleted and made again looks like the old one.
//!
//! Owns pointers and their lifetimes; decides nothing.
#![allow(unsafe_code)]

mod describe;
mod message;

pub(super) use describe::{Described, describe_topic, describe_topics};
pub(super) use message::{Drained, Message};

use std::ffi::{CStr, c_char, c_int, c_void};
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
        Drained::new(&self.batch[..taken], taken == limit)
    }

    /// Fills `batch[from..to]`; librdkafka waits until that is full or the time is up, whichever comes first.
    fn take(&mut self, from: usize, to: usize, wait: Duration) -> usize {
        let room = &mut self.batch[from..to];
        if room.is_empty() {
            return 0;
        }
        // SAFETY: the queue is alive, and at most `room.len()` pointers are written to `room`.
        let taken =
            unsafe { sys::rd_kafka_consume_batch_queue(self.messages.0, millis(wait), room.as_mut_ptr(), room.len()) };
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
