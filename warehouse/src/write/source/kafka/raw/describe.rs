//! Topics as the cluster describes them: their ids and partitions (`DescribeTopics`).

use std::ffi::{CString, c_char};
use std::slice;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::{Queue, borrow_text, millis};
use crate::write::source::TopicView;

/// What the cluster says of one topic.
pub(in super::super) struct Described {
    /// Its name.
    pub(in super::super) topic: String,
    /// The topic, or why it is not shown.
    pub(in super::super) answer: Result<TopicView, RDKafkaErrorCode>,
}

/// Asks the cluster for `topic`; blocks up to twice `timeout`.
pub(in super::super) fn describe_topic<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> Result<TopicView, RDKafkaErrorCode> {
    let described = describe_topics(consumer, &[topic.to_owned()], timeout)?;
    described.into_iter().next().map_or(Err(RDKafkaErrorCode::UnknownTopicOrPartition), |described| described.answer)
}

/// Asks the cluster for `topics`, all at once; blocks up to twice `timeout`.
pub(in super::super) fn describe_topics<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: &[String],
    timeout: Duration,
) -> Result<Vec<Described>, RDKafkaErrorCode> {
    let Some(first) = topics.first() else { return Ok(Vec::new()) };
    // The crate's own question first, which fails sooner and says which broker answers: an admin request waits for a
    // controller unless a broker is named, and a mock cluster has none.
    let metadata = consumer
        .fetch_metadata(Some(first), timeout)
        .map_err(|error| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))?;
    // The one that answered has no number yet if it is known as a bootstrap server only.
    let known = (metadata.orig_broker_id() >= 0).then(|| metadata.orig_broker_id());
    let broker = known.or_else(|| metadata.brokers().first().map(|broker| broker.id())).unwrap_or(-1);
    let rk = consumer.client().native_ptr();
    let names: Result<Vec<CString>, _> = topics.iter().map(|topic| CString::new(topic.as_str())).collect();
    let names = names.map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    // SAFETY: every pointer made here is checked or documented never to be null, used while its owner is alive, and given
    // back once: the collection and the options after the request was queued (librdkafka copies both), the event after its
    // result was copied, the queue last.
    unsafe {
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
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
        let described = read_descriptions(event);
        sys::rd_kafka_event_destroy(event);
        described
    }
}

/// # Safety
/// `event` must be the live answer to a `DescribeTopics`.
unsafe fn read_descriptions(event: *mut sys::rd_kafka_event_t) -> Result<Vec<Described>, RDKafkaErrorCode> {
    // SAFETY: the caller keeps `event` alive, which owns all that is read here; counts come with their arrays.
    unsafe {
        ok(sys::rd_kafka_event_error(event))?;
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let described = borrow_array(topics, count).iter().map(|topic| Described {
            topic: borrow_text(sys::rd_kafka_TopicDescription_name(*topic)).to_owned(),
            answer: read_description(*topic),
        });
        Ok(described.collect())
    }
}

/// # Safety
/// `topic` must be one of the live answer to a `DescribeTopics`.
unsafe fn read_description(topic: *const sys::rd_kafka_TopicDescription_t) -> Result<TopicView, RDKafkaErrorCode> {
    // SAFETY: the caller keeps alive what `topic` is part of; counts come with their arrays.
    unsafe {
        let error = sys::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            ok(sys::rd_kafka_error_code(error))?;
        }
        let mut count = 0;
        let partitions = sys::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let mut partitions: Vec<i32> = borrow_array(partitions, count)
            .iter()
            .map(|partition| sys::rd_kafka_TopicPartitionInfo_partition(*partition))
            .collect();
        partitions.sort_unstable();
        Ok(TopicView { incarnation: topic_id(sys::rd_kafka_TopicDescription_topic_id(topic)), partitions })
    }
}

/// # Safety
/// `uuid` must be null or alive.
unsafe fn topic_id(uuid: *const sys::rd_kafka_Uuid_t) -> String {
    // SAFETY: as the caller says; the text belongs to the UUID.
    unsafe {
        let given = !uuid.is_null()
            && (sys::rd_kafka_Uuid_most_significant_bits(uuid), sys::rd_kafka_Uuid_least_significant_bits(uuid))
                != (0, 0);
        if given { borrow_text(sys::rd_kafka_Uuid_base64str(uuid)).to_owned() } else { String::new() }
    }
}

fn ok(error: sys::rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    match RDKafkaErrorCode::from(error) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(code),
    }
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
