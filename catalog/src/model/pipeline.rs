//! Pipelines: a source, a transform and a target table, running continuously.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Fence, PipelineId, TableId, Topics};

/// How a record's payload is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordFormat {
    /// One JSON object a record.
    Json,
}

/// Where a stream begins. Resolved once to an absolute offset, and stored, before the first fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartPosition {
    /// The first offset that the broker still has.
    Earliest,
    /// After the last record that the broker has.
    Latest,
    /// This offset in every partition.
    Offset(u64),
    /// The first record at or after this many milliseconds since 1970 UTC.
    TimestampMillis(i64),
}

/// Kafka topics.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaSource {
    /// `bootstrap.servers`.
    pub brokers: String,
    /// Which topics.
    #[serde(rename = "topic")]
    pub topics: Topics,
    /// How its payloads are read.
    pub format: RecordFormat,
    /// Where its streams begin.
    pub start: StartPosition,
    /// Further librdkafka properties that were allowed by name, such as `security.protocol`.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for KafkaSource {
    /// Names its properties without their values: a password may be among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSource")
            .field("brokers", &self.brokers)
            .field("topics", &self.topics)
            .field("format", &self.format)
            .field("start", &self.start)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// What happens with a record that cannot become a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorPolicy {
    /// It becomes an error row, and the pipeline goes on.
    Table,
    /// The pipeline pauses before it, with an incident.
    Pause,
}

/// What happens when offsets are gone that were never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GapPolicy {
    /// The pipeline pauses with an incident.
    Pause,
    /// It goes on at the earliest offset that exists, and records the gap.
    Skip,
}

/// A pipeline's settings: WITH (…).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineSettings {
    /// Into how many tasks its partitions are divided.
    pub tasks: u32,
    /// A memtable of this many bytes is flushed.
    pub flush_bytes: u64,
    /// A memtable is flushed when its first row has been in it this long, in milliseconds.
    pub flush_interval_ms: u64,
    /// What a bad record does.
    pub errors: ErrorPolicy,
    /// What a gap does.
    pub on_gap: GapPolicy,
    /// A record with a larger payload becomes an error row.
    pub max_record_bytes: u64,
    /// Whether records of aborted transactions are passed over (`read_committed`).
    pub read_committed: bool,
}

impl Default for PipelineSettings {
    fn default() -> Self {
        Self {
            tasks: 1,
            flush_bytes: 256 << 20,
            flush_interval_ms: 60_000,
            errors: ErrorPolicy::Table,
            on_gap: GapPolicy::Pause,
            max_record_bytes: 16 << 20,
            read_committed: true,
        }
    }
}

/// Whether a pipeline is meant to run. What its tasks do about it is reported, not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PipelineState {
    /// It is meant to run.
    Running,
    /// A statement paused it.
    Paused,
    /// It paused itself; the incident says why and what settles it.
    PausedByIncident,
}

/// A pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// Its id.
    pub id: PipelineId,
    /// The database that it is in.
    pub database: String,
    /// Its name.
    pub name: String,
    /// The table that it writes.
    pub table: TableId,
    /// What it reads.
    pub source: KafkaSource,
    /// The text of its SELECT list, as typed: `ts, lower(kind) AS kind`; `*` for every column of the table by name.
    pub projection: String,
    /// The text of its WHERE, as typed.
    pub filter: Option<String>,
    /// Its settings.
    pub settings: PipelineSettings,
    /// Whether it is meant to run.
    pub state: PipelineState,
    /// Raised by DDL; a commit names it. Also the pipeline's version: WAL records of another one are not replayed.
    pub fence: Fence,
    /// When it was made, in microseconds since 1970, for people.
    pub created: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let source = KafkaSource {
            brokers: "b:9092".to_owned(),
            topics: "t".into(),
            format: RecordFormat::Json,
            start: StartPosition::Earliest,
            properties: BTreeMap::from([("sasl.password".to_owned(), "hunter2".to_owned())]),
        };
        let shown = format!("{source:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }
}
