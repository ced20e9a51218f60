//! What librdkafka's errors mean for us, and the words for them. Pure: no client, no clock except as an argument.
//!
//! Nothing is passed over in silence: an error that is not known to be harmless becomes a named one.

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use vfs::Moment;

use crate::write::source::SourceError;

/// The same kind of trouble is told at most this often.
const REPEAT_AFTER: Duration = Duration::from_secs(5);

/// Which topic at which brokers: every message names both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `bootstrap.servers`.
    pub(super) brokers: String,
    /// The topic.
    pub(super) topic: String,
}

/// What an error of a partition means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PartitionVerdict {
    /// Not an error: the end of the partition, for now.
    End,
    /// The position does not exist at the broker.
    OutOfRange,
    /// The topic or the partition is gone.
    Gone,
    /// Tell it, and try again from the same position: what librdkafka does by itself is to go on behind the damage.
    Retry(SourceError),
}

/// What an error of the whole client means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientVerdict {
    /// One connection broke, or something that librdkafka handles by itself. Its words may explain what comes next.
    Passing,
    /// Tell it.
    Tell(SourceError),
}

impl Place {
    /// The verdict on a partition's error, in librdkafka's words `text`.
    pub(super) fn judge_partition(&self, partition: i32, code: Code, text: &str) -> PartitionVerdict {
        match code {
            Code::PartitionEOF => PartitionVerdict::End,
            Code::AutoOffsetReset | Code::OffsetOutOfRange => PartitionVerdict::OutOfRange,
            Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopicId
            | Code::InvalidTopic => PartitionVerdict::Gone,
            _ if is_absence(code) => PartitionVerdict::Retry(self.unreachable(text)),
            _ => PartitionVerdict::Retry(SourceError::Fatal {
                cause: format!(
                    "partition {partition} of topic {:?} at {} cannot be read: {}",
                    self.topic,
                    self.brokers,
                    without_timings(text)
                ),
                next_step: next_step(code).to_owned(),
            }),
        }
    }

    /// The verdict on the client's error, in librdkafka's words `reason`; `earlier` are its last words before.
    pub(super) fn judge_client(&self, code: Code, reason: &str, earlier: Option<&str>) -> ClientVerdict {
        match code {
            Code::AllBrokersDown => ClientVerdict::Tell(self.unreachable(earlier.unwrap_or(reason))),
            Code::Resolve => ClientVerdict::Tell(self.unreachable(reason)),
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::SSL
            | Code::Fatal
            | Code::UnsupportedSASLMechanism => ClientVerdict::Tell(self.fatal(code, reason)),
            _ => ClientVerdict::Passing,
        }
    }

    /// The error of a question that failed; `earlier` are the client's last words on its own account.
    pub(super) fn judge_question(&self, question: &str, code: Code, earlier: Option<(Code, String)>) -> SourceError {
        match code {
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::InvalidTopic | Code::UnknownTopicId => {
                self.missing()
            }
            Code::UnknownPartition => SourceError::Fatal {
                cause: format!("topic {:?} at {} has no such partition ({question})", self.topic, self.brokers),
                next_step: "look at the topic's partitions".to_owned(),
            },
            _ if is_absence(code) => match earlier {
                Some((client, reason)) => match self.judge_client(client, &reason, Some(&reason)) {
                    ClientVerdict::Tell(error) => error,
                    ClientVerdict::Passing => self.unreachable(&reason),
                },
                None => self.unreachable(&format!("{question}: {}", words(code))),
            },
            _ => self.fatal(code, &format!("{question}: {}", words(code))),
        }
    }

    /// There is no such topic.
    pub(super) fn missing(&self) -> SourceError {
        SourceError::TopicMissing { topic: self.topic.clone(), brokers: self.brokers.clone() }
    }

    fn unreachable(&self, cause: &str) -> SourceError {
        SourceError::Unreachable { brokers: self.brokers.clone(), cause: without_timings(cause) }
    }

    fn fatal(&self, code: Code, reason: &str) -> SourceError {
        SourceError::Fatal {
            cause: format!("topic {:?} at {} cannot be read: {}", self.topic, self.brokers, without_timings(reason)),
            next_step: next_step(code).to_owned(),
        }
    }
}

/// A client that could not be made from its settings.
pub(super) fn refused_settings(place: &Place, cause: &str) -> SourceError {
    SourceError::Fatal {
        cause: format!("the settings for topic {:?} at {} are refused: {cause}", place.topic, place.brokers),
        next_step: "correct the KAFKA (…) properties".to_owned(),
    }
}

fn is_absence(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::BrokerNotAvailable
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::WaitingForCoordinator
    )
}

fn next_step(code: Code) -> &'static str {
    match code {
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
            "check sasl.mechanism, sasl.username, sasl.password and security.protocol"
        }
        Code::SSL => "check security.protocol and ssl.ca.pem",
        Code::TopicAuthorizationFailed => "grant the user READ and DESCRIBE on the topic",
        Code::ClusterAuthorizationFailed | Code::GroupAuthorizationFailed => {
            "grant the user the right that the broker names"
        }
        Code::BadCompression | Code::UnsupportedCompressionType | Code::NotImplemented => {
            "produce with none, gzip, snappy, lz4 or zstd; reading is tried again from the same offset"
        }
        Code::BadMessage | Code::InvalidMessage => {
            "the record is damaged at the broker or on the way: check the broker's disks; reading is tried again from the same offset"
        }
        _ => "look at the broker's log; reading is tried again from the same offset",
    }
}

/// The code's words, without its name in a program.
fn words(code: Code) -> String {
    let text = code.to_string();
    match (text.find('('), text.strip_suffix(')')) {
        (Some(open), Some(inner)) => inner[open + 1..].to_owned(),
        _ => text,
    }
}

/// librdkafka appends how long a connection was in which state; no two such messages are equal.
fn without_timings(text: &str) -> String {
    text.split(" (after ").next().unwrap_or(text).trim().to_owned()
}

/// Lets each kind of trouble through once in a while.
#[derive(Debug, Default)]
pub(super) struct Quieted {
    unreachable: Option<Moment>,
    other: Option<(SourceError, Moment)>,
}

impl Quieted {
    /// Whether `error` is to be told at `now`.
    pub(super) fn lets_through(&mut self, error: &SourceError, now: Moment) -> bool {
        let recent = |told: Moment| now.since(told) < REPEAT_AFTER;
        if let SourceError::Unreachable { .. } = error {
            if self.unreachable.is_some_and(recent) {
                return false;
            }
            self.unreachable = Some(now);
            return true;
        }
        if self.other.as_ref().is_some_and(|(last, told)| last == error && recent(*told)) {
            return false;
        }
        self.other = Some((error.clone(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { brokers: "b:9092".to_owned(), topic: "clicks".to_owned() }
    }

    #[test]
    fn an_absent_broker_is_named_with_its_reason() {
        let reason = "b:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 2ms in state CONNECT)";
        let ClientVerdict::Tell(error) =
            place().judge_client(Code::AllBrokersDown, "1/1 brokers are down", Some(reason))
        else {
            panic!("it is told");
        };
        let text = error.to_string();
        assert!(text.contains("b:9092") && text.contains("Connection refused"), "{text}");
        assert!(!text.contains("(after"), "{text}");
    }

    #[test]
    fn one_broken_connection_is_not_told() {
        let verdict = place().judge_client(Code::BrokerTransportFailure, "Disconnected", None);
        assert_eq!(verdict, ClientVerdict::Passing);
    }

    #[test]
    fn a_codec_that_is_not_built_in_is_a_named_error() {
        let text = "Decompression (codec 0x4) of message at 17 of 99 bytes failed: Local: Not implemented";
        let PartitionVerdict::Retry(error) = place().judge_partition(3, Code::NotImplemented, text) else {
            panic!("it is told");
        };
        let text = error.to_string();
        for part in ["partition 3", "\"clicks\"", "b:9092", "codec 0x4", "zstd"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_refused_login_is_not_taken_for_an_absent_broker() {
        let earlier = Some((Code::Authentication, "SASL authentication failed".to_owned()));
        let error = place().judge_question("describing the topic", Code::OperationTimedOut, earlier);
        assert!(
            matches!(&error, SourceError::Fatal { next_step, .. } if next_step.contains("sasl.password")),
            "{error}"
        );
    }

    #[test]
    fn trouble_is_repeated_only_once_in_a_while() {
        let at = |seconds| Moment::new(Duration::from_secs(seconds));
        let away = |cause: &str| SourceError::Unreachable { brokers: "b".to_owned(), cause: cause.to_owned() };
        let mut quieted = Quieted::default();
        assert!(quieted.lets_through(&away("refused"), at(1)));
        assert!(!quieted.lets_through(&away("reset"), at(2)), "the same kind");
        assert!(quieted.lets_through(&place().missing(), at(2)), "another kind");
        assert!(quieted.lets_through(&away("refused"), at(7)));
    }
}
