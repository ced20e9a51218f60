//! Which librdkafka properties a pipeline may set, and the client configurations made of them.
//!
//! By an allow-list: librdkafka can also load plug-ins, read files of this machine and call URLs. Secret values never reach
//! a message or a log line.

use std::collections::BTreeMap;

use catalog::KafkaSource;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::errors::{Place, refused_settings};
use crate::write::source::{SourceError, SourceOptions};

/// How long librdkafka waits at the most before it tries a broker again, unless the pipeline says otherwise.
pub const RECONNECT_MAX_MS: u64 = 1_000;

/// What a pipeline may set.
pub const ALLOWED_PROPERTIES: [&str; 20] = [
    "broker.address.family",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "enable.ssl.certificate.verification",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "socket.timeout.ms",
    "ssl.ca.pem",
    "ssl.certificate.pem",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.password",
    "ssl.key.pem",
];

const SECRET_PROPERTIES: [&str; 3] = ["sasl.password", "ssl.key.password", "ssl.key.pem"];
const SASL_MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Checks the properties of a Kafka source, before any client is made: for `CREATE PIPELINE` too.
///
/// # Errors
/// [`SourceError::Fatal`], which names the property and those that are allowed.
pub fn check_properties(properties: &BTreeMap<String, String>) -> Result<(), SourceError> {
    for (name, value) in properties {
        if !ALLOWED_PROPERTIES.contains(&name.as_str()) {
            return Err(SourceError::Fatal {
                cause: format!("the Kafka property {name:?} cannot be set"),
                next_step: format!("leave it out; those that can be set are {}", ALLOWED_PROPERTIES.join(", ")),
            });
        }
        let is_mechanism = name == "sasl.mechanism" || name == "sasl.mechanisms";
        if is_mechanism && !SASL_MECHANISMS.contains(&value.as_str()) {
            return Err(SourceError::Fatal {
                cause: format!("the Kafka property {name:?} cannot be {value:?}"),
                next_step: format!("use one of {}", SASL_MECHANISMS.join(", ")),
            });
        }
    }
    Ok(())
}

/// The place that messages about `kafka` name.
pub(super) fn place(kafka: &KafkaSource) -> Place {
    Place { brokers: kafka.brokers.clone(), topic: kafka.topics.to_string() }
}

/// `cause` without the values of secret properties.
pub(super) fn without_secrets(kafka: &KafkaSource, cause: &str) -> String {
    SECRET_PROPERTIES
        .iter()
        .filter_map(|name| kafka.properties.get(*name))
        .filter(|secret| !secret.is_empty())
        .fold(cause.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
}

/// Where the end of a partition is, for a client that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// At the end of what exists, whether or not it is committed.
    Everything,
    /// Before the first open transaction, where a reader of committed records has to stop.
    Committed,
}

/// The configuration of a client that asks questions and reads nothing.
///
/// # Errors
/// As [`check_properties`].
pub(super) fn question_config(kafka: &KafkaSource, sight: Sight) -> Result<ClientConfig, SourceError> {
    let mut config = shared_config(kafka)?;
    let level = match sight {
        Sight::Everything => "read_uncommitted",
        Sight::Committed => "read_committed",
    };
    config.set("isolation.level", level);
    Ok(config)
}

/// The configuration of a client that reads.
///
/// # Errors
/// As [`check_properties`].
pub(super) fn reading_config(kafka: &KafkaSource, options: &SourceOptions) -> Result<ClientConfig, SourceError> {
    let sizes = QueueSizes::within(options.queue_bytes);
    let mut config = shared_config(kafka)?;
    config
        // librdkafka wants a group for assign(). It is never joined, and nothing is ever committed to it.
        .set("group.id", "millrace-assigned-by-hand")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A position that does not exist must never be moved in silence (B2).
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("isolation.level", if options.read_committed { "read_committed" } else { "read_uncommitted" })
        .set("check.crcs", "true")
        .set("queued.max.messages.kbytes", sizes.queued_kbytes.to_string())
        .set("queued.min.messages", sizes.queued_messages.to_string())
        .set("fetch.max.bytes", sizes.fetch_bytes.to_string())
        .set("max.partition.fetch.bytes", sizes.partition_fetch_bytes.to_string())
        // Only so that fetch.max.bytes may be small; it bounds what a producer sends.
        .set("message.max.bytes", "1000")
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.error.backoff.ms", "200");
    if !kafka.properties.contains_key("fetch.wait.max.ms") {
        // A stream that is added waits for the fetch under way to end.
        config.set("fetch.wait.max.ms", "100");
    }
    // The line by which it says that a topic's id has changed stands under this heading, at level debug. It comes before
    // any record of the new incarnation, which librdkafka would read on from the same number (see `incarnation`).
    config.set("debug", "topic").set_log_level(RDKafkaLogLevel::Debug);
    Ok(config)
}

fn shared_config(kafka: &KafkaSource) -> Result<ClientConfig, SourceError> {
    check_properties(&kafka.properties)?;
    if kafka.brokers.trim().is_empty() || kafka.topics.is_blank() {
        return Err(refused_settings(&place(kafka), "brokers and topic must be given"));
    }
    let mut config = ClientConfig::new();
    config
        .set("client.id", "millrace")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", RECONNECT_MAX_MS.to_string())
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("socket.keepalive.enable", "true")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set("topic.metadata.propagation.max.ms", "5000")
        .set("allow.auto.create.topics", "false");
    for (name, value) in &kafka.properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", &kafka.brokers);
    Ok(config)
}

/// Book-keeping of librdkafka for one queued message, roughly.
pub(super) const MESSAGE_OVERHEAD: u64 = 512;

/// How a source's bytes are divided (I8). librdkafka fetches while it holds less than an eighth in payloads or a quarter in
/// book-keeping, and then gets one more answer of each broker: of a sixteenth, if the broker keeps to `fetch.max.bytes`;
/// librdkafka's mock keeps to the partition's share only. A quarter may wait in batches. The rest is left for compressed
/// answers, which grow when they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueSizes {
    queued_kbytes: u64,
    queued_messages: u64,
    fetch_bytes: u64,
    partition_fetch_bytes: u64,
    /// What may wait in batches, gathered or handed over.
    pub(super) batch_bytes: u64,
}

impl QueueSizes {
    /// The division of `queue_bytes`.
    pub(super) fn within(queue_bytes: u64) -> Self {
        let queue_bytes = queue_bytes.clamp(1 << 20, 1 << 30);
        let fetch_bytes = (queue_bytes / 16).min(16 << 20);
        Self {
            queued_kbytes: queue_bytes / 8 / 1024,
            queued_messages: (queue_bytes / 4 / MESSAGE_OVERHEAD).clamp(100, 100_000),
            fetch_bytes,
            partition_fetch_bytes: (fetch_bytes / 4).min(1 << 20),
            batch_bytes: queue_bytes / 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use catalog::{RecordFormat, StartPosition};
    use rdkafka::consumer::BaseConsumer;

    use super::*;

    fn kafka(properties: &[(&str, &str)]) -> KafkaSource {
        KafkaSource {
            brokers: "127.0.0.1:1".to_owned(),
            topics: "t".into(),
            format: RecordFormat::Json,
            start: StartPosition::Earliest,
            properties: properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn options(queue_bytes: u64) -> SourceOptions {
        SourceOptions {
            read_committed: true,
            queue_bytes,
            batch_bytes: 1 << 20,
            max_record_bytes: 16 << 20,
            keys: false,
            headers: false,
        }
    }

    #[test]
    fn librdkafka_takes_the_configuration_at_every_queue_size() {
        for queue_bytes in [0, 1 << 20, 8 << 20, 64 << 20, 4 << 30] {
            let config = reading_config(&kafka(&[]), &options(queue_bytes)).unwrap();
            let made: Result<BaseConsumer, _> = config.create();
            assert!(made.is_ok(), "{queue_bytes}: {:?}", made.err());
        }
    }

    #[test]
    fn every_allowed_property_is_known_to_librdkafka() {
        let mut known = ClientConfig::new();
        for name in ALLOWED_PROPERTIES {
            // Some values are refused; names that are not known are refused in other words.
            if let Err(error) = known.clone().set(name, "1").create_native_config() {
                assert!(!error.to_string().contains("No such configuration"), "{name}: {error}");
            }
        }
        let error = known.set("no.such.name", "1").create_native_config().err().unwrap().to_string();
        assert!(error.contains("No such configuration"), "{error}");
    }

    #[test]
    fn a_property_outside_the_list_is_refused_with_the_list() {
        for name in
            ["plugin.library.paths", "ssl.ca.location", "sasl.oauthbearer.token.endpoint.url", "debug", "group.id"]
        {
            let error = reading_config(&kafka(&[(name, "x")]), &options(1 << 20)).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("security.protocol"), "{error}");
        }
        let error = check_properties(&kafka(&[("sasl.mechanism", "GSSAPI")]).properties).unwrap_err().to_string();
        assert!(error.contains("GSSAPI") && error.contains("SCRAM-SHA-512"), "{error}");
    }

    #[test]
    fn a_secret_never_stands_in_a_message() {
        let kafka = kafka(&[("sasl.password", "hunter2"), ("sasl.username", "ann")]);
        assert_eq!(without_secrets(&kafka, "ann with hunter2 refused"), "ann with *** refused");
    }
}
