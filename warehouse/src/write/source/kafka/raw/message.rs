//! Messages and partition events, borrowed from librdkafka until the batch is dropped.

use std::marker::PhantomData;
use std::ptr;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::{borrow_bytes, borrow_text};

/// Messages of one [`RawConsumer::drain`]; given back to librdkafka when this is dropped.
pub(in super::super) struct Drained<'a> {
    messages: &'a [*mut sys::rd_kafka_message_t],
    is_full: bool,
}

impl<'a> Drained<'a> {
    /// Takes over `messages`, which librdkafka has filled in; `is_full`: there may be more.
    pub(super) fn new(messages: &'a [*mut sys::rd_kafka_message_t], is_full: bool) -> Self {
        Self { messages, is_full }
    }

    /// Whether there may be more.
    pub(in super::super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// The messages and partition events, in their order of arrival.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = Message<'_>> {
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
pub(in super::super) struct Message<'a> {
    raw: &'a sys::rd_kafka_message_t,
    batch: PhantomData<&'a Drained<'a>>,
}

impl<'a> Message<'a> {
    /// Its topic; empty if it is not about a partition.
    pub(in super::super) fn topic(&self) -> &'a str {
        if self.raw.rkt.is_null() {
            return "";
        }
        // SAFETY: the message holds a reference to the topic, whose name ends with a zero byte.
        unsafe { borrow_text(sys::rd_kafka_topic_name(self.raw.rkt)) }
    }

    /// Whether it is of the same topic as `other`, by the handle: quicker than by the name.
    pub(in super::super) fn is_of_the_topic_of(&self, other: &Self) -> bool {
        std::ptr::eq(self.raw.rkt, other.raw.rkt)
    }

    /// Its partition.
    pub(in super::super) fn partition(&self) -> i32 {
        self.raw.partition
    }

    /// Its offset: of the record, of the partition's end, or of where the error occurred; negative where there is none.
    pub(in super::super) fn offset(&self) -> i64 {
        self.raw.offset
    }

    /// What went wrong, and librdkafka's words for it, if this is not a record.
    pub(in super::super) fn error(&self) -> Option<(RDKafkaErrorCode, String)> {
        let code = RDKafkaErrorCode::from(self.raw.err);
        if code == RDKafkaErrorCode::NoError {
            return None;
        }
        // SAFETY: of an event that is an error, the payload is its text of `len` bytes, or null.
        let text = unsafe { borrow_bytes(self.raw.payload, self.raw.len) };
        Some((code, text.map_or_else(|| code.to_string(), |text| String::from_utf8_lossy(text).into_owned())))
    }

    /// The payload; `None` for a null payload.
    pub(in super::super) fn payload(&self) -> Option<&'a [u8]> {
        // SAFETY: of a record, `payload` is null or points to `len` bytes that live as long as the message.
        unsafe { borrow_bytes(self.raw.payload, self.raw.len) }
    }

    /// The key, if it has one.
    pub(in super::super) fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: as the payload.
        unsafe { borrow_bytes(self.raw.key, self.raw.key_len) }
    }

    /// The broker's timestamp in milliseconds since 1970 UTC, where it has one.
    pub(in super::super) fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, and is a record.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.raw, &mut kind) };
        (kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && millis >= 0).then_some(millis)
    }

    /// The headers, in order; names may repeat.
    pub(in super::super) fn headers(&self) -> Vec<(&'a str, Option<&'a [u8]>)> {
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
