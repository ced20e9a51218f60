//! What is sent: the flags that every command with a topic shares.

use clap::Args;
use server::settings::parse_bytes;

use crate::dataset::Dataset;

/// Payload bytes of one pass over the flights: the file without its line ends.
const FLIGHTS_BYTES: u64 = 104_470_860 - 336_776;

/// Which records, how many of them, and over which topic.
#[derive(Clone, Debug, Args)]
pub(crate) struct Workload {
    /// Synthetic events of 24 columns and about 600 bytes, no two alike. The default.
    #[arg(long, conflicts_with = "flights")]
    pub(crate) events: bool,
    /// The flights that left New York in 2013: 19 columns and about 310 bytes; sent again when they end.
    #[arg(long)]
    pub(crate) flights: bool,
    /// How many bytes of JSON. [default: 1GiB of events, or the flights once]
    #[arg(long, value_parser = parse_bytes)]
    pub(crate) bytes: Option<u64>,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 4)]
    pub(crate) partitions: i32,
    /// The seed of the events.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How the producer compresses: none, lz4, zstd, snappy or gzip.
    #[arg(long, default_value = "lz4")]
    pub(crate) compression: String,
    /// A real Kafka to make the topic at. Without one, librdkafka's mock broker is started.
    #[arg(long, env = "MILLRACE_TEST_KAFKA")]
    pub(crate) brokers: Option<String>,
}

impl Workload {
    /// The records.
    pub(crate) fn dataset(&self) -> Dataset {
        if self.flights { Dataset::Flights } else { Dataset::Events }
    }

    /// How many bytes of JSON.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.unwrap_or(match self.dataset() {
            Dataset::Events => 1 << 30,
            Dataset::Flights => FLIGHTS_BYTES,
        })
    }

    /// The same as arguments of another process.
    pub(crate) fn to_args(&self) -> Vec<String> {
        let mut args = vec![
            format!("--{}", self.dataset().table()),
            format!("--bytes={}", self.bytes()),
            format!("--partitions={}", self.partitions),
            format!("--seed={}", self.seed),
            format!("--compression={}", self.compression),
        ];
        args.extend(self.brokers.iter().map(|brokers| format!("--brokers={brokers}")));
        args
    }

    /// One line that says all of it.
    pub(crate) fn describe(&self) -> String {
        let broker = if self.brokers.is_some() { "a real Kafka" } else { "librdkafka's mock broker" };
        let (table, partitions, compression) = (self.dataset().table(), self.partitions, &self.compression);
        format!("{table}, seed {}, {partitions} partitions at {broker}, compression {compression}", self.seed)
    }
}
