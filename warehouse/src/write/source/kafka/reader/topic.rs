//! What the reader's thread knows of one topic.

use std::ffi::CString;
use std::sync::Arc;

use crate::write::source::kafka::errors::Place;

/// Which of the reader's topics.
pub(super) type TopicIndex = usize;

/// A partition of one of the reader's topics.
pub(super) type Key = (TopicIndex, i32);

/// One topic of the reader.
pub(super) struct ReadTopic {
    /// What it is called in messages.
    pub(super) place: Place,
    /// Its name for librdkafka's own interface.
    pub(super) c_name: CString,
    /// Its id as librdkafka knows it.
    pub(super) id: Option<String>,
}

impl ReadTopic {
    pub(super) fn new(name: &Arc<str>, brokers: &str) -> Self {
        let place = Place { brokers: brokers.to_owned(), topic: name.to_string() };
        Self { place, c_name: CString::new(&**name).unwrap_or_default(), id: None }
    }
}

/// The index of the topic of that name. There are few, mostly one.
pub(super) fn find(topics: &[ReadTopic], name: &str) -> Option<TopicIndex> {
    topics.iter().position(|topic| topic.place.topic == name)
}
