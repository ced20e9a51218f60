//! Noticing that a topic was deleted, or deleted and made again: read from librdkafka's log, decided by the broker's answer.
//!
//! A client asks for records by the topic's id, so a broker never answers it with records of another incarnation, until the
//! client itself learns the new id. librdkafka then reads on from the same number in the new topic, in silence. It does say
//! so in its log, before it sends the first request with the new id; so whoever reads the log after each batch of messages,
//! and before handing them out, hands out none of the wrong incarnation.

use super::errors::Place;
use crate::write::source::TopicView;

/// The id that `topic` has from now on, if `line` (of facility `METADATA`) says that it changed.
pub(super) fn changed_id<'a>(line: &'a str, topic: &str) -> Option<&'a str> {
    // "[thrd:main]: Topic clicks changed id from AAAAAAAAAAAAAAAAAAAAAA to 8vnKRv2ORZmx8LMZ0xTlKw"
    let (_, said) = line.split_once("Topic ")?;
    let (_, id) = said.strip_prefix(topic)?.strip_prefix(" changed id from ")?.split_once(" to ")?;
    Some(id.trim())
}

/// Whether `line` (of facility `ERROR`) says that something is the matter with `topic` or a partition of it. The batch
/// call of librdkafka turns these errors into a line of the log and nothing else, so the broker must be asked what it is.
pub(super) fn is_doubt(facility: &str, line: &str, topic: &str) -> bool {
    // "[thrd:app]: millrace#consumer-5: clicks [0]: topic does not exist (Broker: Unknown topic or partition)"
    facility == "ERROR"
        && line.split_once(topic).is_some_and(|(before, after)| before.ends_with(": ") && after.starts_with(" ["))
}

/// What the broker's `answer` says about a stream of incarnation `wanted` (empty: unknown) and `partition` of the topic:
/// `None` if it is there, else what was found.
pub(super) fn what_changed(place: &Place, wanted: &str, partition: i32, answer: &TopicView) -> Option<String> {
    let Place { topic, brokers } = place;
    if !wanted.is_empty() && !answer.incarnation.is_empty() && answer.incarnation != wanted {
        return Some(format!(
            "topic {topic:?} at {brokers} was deleted and made again: its id is {}, that of the stream is {wanted}",
            answer.incarnation
        ));
    }
    let is_there = answer.partitions.contains(&partition);
    (!is_there).then(|| format!("partition {partition} of topic {topic:?} does not exist at {brokers}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_id_is_read_from_the_line() {
        let line = "[thrd:main]: Topic a b changed id from AAAA to 8vnKRv2ORZmx8LMZ0xTlKw";
        assert_eq!(changed_id(line, "a b"), Some("8vnKRv2ORZmx8LMZ0xTlKw"));
        assert_eq!(changed_id(line, "a"), None, "another topic");
        assert_eq!(changed_id("[thrd:main]: Topic a [0] Leader 1 Epoch 0", "a"), None);
    }

    #[test]
    fn an_error_of_the_topic_raises_a_doubt() {
        let line =
            "[thrd:app]: millrace#consumer-5: clicks [0]: topic does not exist (Broker: Unknown topic or partition)";
        assert!(is_doubt("ERROR", line, "clicks"));
        assert!(!is_doubt("ERROR", line, "click"), "another topic");
        assert!(!is_doubt("FAIL", line, "clicks"), "a connection");
    }

    #[test]
    fn the_brokers_answer_decides() {
        let place = Place { brokers: "b:9092".to_owned(), topic: "clicks".to_owned() };
        let answer = TopicView { incarnation: "new".to_owned(), partitions: vec![0, 1] };
        assert_eq!(what_changed(&place, "new", 1, &answer), None);
        assert_eq!(what_changed(&place, "", 1, &answer), None, "of an unknown incarnation");
        assert!(what_changed(&place, "old", 1, &answer).unwrap().contains("made again"));
        assert!(what_changed(&place, "new", 2, &answer).unwrap().contains("partition 2"));
    }
}
