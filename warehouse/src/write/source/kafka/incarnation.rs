//! Noticing that a topic was deleted and made again.
//!
//! A client asks for records by the topic's id, so a broker never answers it with records of another incarnation, until the
//! client itself learns the new id. librdkafka then reads on from the same number in the new topic, in silence. It does say
//! so in its log, before it sends the first request with the new id; so whoever reads the log after each batch of messages,
//! and before handing them out, hands out none of the wrong incarnation.

/// The id that `topic` has from now on, if `line` (of facility `METADATA`) says that it changed.
pub(super) fn changed_id<'a>(line: &'a str, topic: &str) -> Option<&'a str> {
    // "[thrd:main]: Topic clicks changed id from AAAAAAAAAAAAAAAAAAAAAA to 8vnKRv2ORZmx8LMZ0xTlKw"
    let (_, said) = line.split_once("Topic ")?;
    let (_, id) = said.strip_prefix(topic)?.strip_prefix(" changed id from ")?.split_once(" to ")?;
    Some(id.trim())
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
}
