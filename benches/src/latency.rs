//! `latency`: how long it takes from a record's being produced to its being visible.
//!
//! Each event carries the moment at which it was due to be sent; if the producer is held up, that counts as latency. The end
//! of what is visible is read each millisecond, and the stamps are read back by SQL afterwards. Both processes read one
//! machine's clock.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use clap::Args;
use serde_json::{Value, json};
use server::settings::parse_bytes;
use tokio::process::Command;

use crate::dataset::STAMP_COLUMN;
use crate::feed::Feed;
use crate::machine::Machine;
use crate::report::{millis, print_table, quantile};
use crate::subject::{Subject, directory};
use crate::workload::Workload;

/// How often the end of what is visible is read.
const LOOK: Duration = Duration::from_millis(1);
/// How long nothing may move.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that find the maximal rate.
const TRIAL_BYTES: u64 = 256 << 20;
/// An event's bytes, nearly.
const EVENT_BYTES: u64 = 600;

/// The flags of `latency`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LatencyArgs {
    /// Events a second. [default: half of what `ingest` reaches on 256 MiB just before]
    #[arg(long)]
    rate: Option<u64>,
    /// For how long.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Seconds at the beginning that do not count: the first fetches, the first segment.
    #[arg(long, default_value_t = 3)]
    warm_up: u64,
    /// The server's memory.ingest_limit.
    #[arg(long, value_parser = parse_bytes, default_value = "512MiB")]
    memory_limit: u64,
    /// The pipeline's settings.
    #[arg(long, default_value = "tasks = 1, flush_bytes = '256MiB', flush_interval = '60s'")]
    pipeline: String,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// How the producer compresses.
    #[arg(long, default_value = "lz4")]
    compression: String,
    /// A real Kafka; see `ingest`.
    #[arg(long, env = "MILLRACE_TEST_KAFKA")]
    brokers: Option<String>,
    /// Where the data directory is made. [default: the temporary files]
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// When the end of each stream moved where: (microseconds since 1970, the offset after the last visible one).
type Ends = BTreeMap<u64, Vec<(i64, u64)>>;

/// Measures, and prints what was seen.
pub(crate) async fn run(args: &LatencyArgs) -> anyhow::Result<Value> {
    let rate = match args.rate {
        Some(rate) => rate,
        None => args.maximal_rate().await? / 2,
    };
    ensure!(rate > 0, "the rate must be at least 1");
    let directory = directory(args.directory.as_deref())?;
    let machine = Machine::probe(directory.path())?;
    let workload = args.workload(rate * args.seconds * EVENT_BYTES);
    let mut feed = Feed::start(&workload, Some(rate)).await?;
    let limit = ("MILLRACE__MEMORY__INGEST_LIMIT", args.memory_limit.to_string());
    let mut subject = Subject::start(directory, &[limit]).await?;
    subject.ingest(workload.dataset(), &feed, &args.pipeline).await?;
    let streams = usize::try_from(args.partitions)?;
    until(async || Ok(subject.positions().await.visible.len() == streams), "the streams are not granted").await?;
    feed.go().await?;
    let (ends, commits) = watch_ends(&subject, &mut feed).await?;
    let rows = subject.sql(&format!("SELECT _stream, _offset, {STAMP_COLUMN} FROM events")).await?;
    let mut latencies = latencies(&rows, &ends, args.warm_up)?;
    latencies.sort_unstable();
    feed.end().await?;
    subject.stop().await;
    println!(
        "latency: {}, {rate} events/s for {} s, the first {} s left out",
        workload.describe(),
        args.seconds,
        args.warm_up
    );
    print(&latencies);
    println!("{} commits meanwhile\n{}", commits, machine.describe());
    Ok(to_json(args, rate, &latencies, commits, &machine))
}

impl LatencyArgs {
    fn workload(&self, bytes: u64) -> Workload {
        Workload {
            events: true,
            flights: false,
            bytes: Some(bytes),
            partitions: self.partitions,
            seed: 1,
            compression: self.compression.clone(),
            brokers: self.brokers.clone(),
        }
    }

    /// Events a second from broker to committed, by `ingest` in a process of its own.
    async fn maximal_rate(&self) -> anyhow::Result<u64> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("ingest").args(self.workload(TRIAL_BYTES).to_args());
        command.arg(format!("--memory-limit={}", self.memory_limit)).arg("--json").kill_on_drop(true);
        let output = command.output().await?;
        if !output.status.success() {
            bail!("the trial failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8(output.stdout)?;
        let report: Value = serde_json::from_str(text.lines().last().context("a report")?)?;
        let rate = report["committed"]["records_per_second"].as_f64().context("its rate")?;
        println!("maximal rate, from {} MiB: {rate:.0} events/s", TRIAL_BYTES >> 20);
        Ok(rate as u64)
    }
}

fn wall_micros() -> anyhow::Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?)
}

async fn until(holds: impl AsyncFn() -> anyhow::Result<bool>, otherwise: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !holds().await? {
        ensure!(begun.elapsed() < PATIENCE, "{otherwise} after {PATIENCE:?}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Notes when each stream's end moves, until all that was sent is visible.
async fn watch_ends(subject: &Subject, feed: &mut Feed) -> anyhow::Result<(Ends, u64)> {
    let mut ends = Ends::new();
    let mut moved = Instant::now();
    loop {
        let positions = subject.positions().await;
        let now = wall_micros()?;
        for (stream, end) in &positions.visible_of_stream {
            let known = ends.entry(*stream).or_default();
            if known.last().is_none_or(|(_, last)| last < end) {
                known.push((now, *end));
                moved = Instant::now();
            }
        }
        feed.seen(&positions.visible).await?;
        feed.check()?;
        if feed.sent().is_some_and(|sent| sent.records <= positions.records()) {
            return Ok((ends, positions.commits));
        }
        ensure!(moved.elapsed() < PATIENCE, "nothing moved for {PATIENCE:?}; trouble: {:?}", positions.trouble);
        tokio::time::sleep(LOOK).await;
    }
}

/// The latency of each record, in microseconds, but for those produced in the first seconds.
fn latencies(rows: &[RecordBatch], ends: &Ends, warm_up: u64) -> anyhow::Result<Vec<i64>> {
    let records = || {
        rows.iter().flat_map(|batch| {
            let column = |index: usize| batch.column(index).as_primitive::<Int64Type>().values().iter().copied();
            column(0).zip(column(1)).zip(column(2))
        })
    };
    let first = records().map(|(_, produced)| produced).min().context("no records came")?;
    let from = first + i64::try_from(warm_up)? * 1_000_000;
    let mut latencies = Vec::new();
    for ((stream, offset), produced) in records().filter(|(_, produced)| *produced >= from) {
        let ends = ends.get(&u64::try_from(stream)?).context("a row of a stream that was not watched")?;
        let offset = u64::try_from(offset)?;
        let at = ends.partition_point(|(_, end)| *end <= offset);
        let (visible, _) = ends.get(at).context("a row beyond the last end")?;
        latencies.push(visible - produced);
    }
    ensure!(!latencies.is_empty(), "nothing is left after the first {warm_up} s: raise --seconds");
    Ok(latencies)
}

const SHARES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

fn print(sorted: &[i64]) {
    let cell = |share: f64| millis(Duration::from_micros(quantile(sorted, share).unsigned_abs()));
    let mut row = vec!["produced to visible, ms".to_owned()];
    row.extend(SHARES.iter().map(|(_, share)| cell(*share)));
    row.push(sorted.len().to_string());
    let mut heading = vec![""];
    heading.extend(SHARES.iter().map(|(name, _)| *name));
    heading.push("records");
    print_table(&heading, &[row]);
}

fn to_json(args: &LatencyArgs, rate: u64, sorted: &[i64], commits: u64, machine: &Machine) -> Value {
    let micros: serde_json::Map<String, Value> =
        SHARES.iter().map(|(name, share)| ((*name).to_owned(), quantile(sorted, *share).into())).collect();
    json!({
        "benchmark": "latency",
        "rate": rate,
        "seconds": args.seconds,
        "pipeline": args.pipeline,
        "records": sorted.len(),
        "produced_to_visible_us": micros,
        "commits": commits,
        "machine": machine.json(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn a_record_is_visible_when_its_streams_end_first_lies_beyond_it() {
        let fields = ["s", "o", "p"].map(|name| Field::new(name, DataType::Int64, false));
        let column = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as _;
        let columns = vec![column(&[7, 7, 7]), column(&[0, 1, 2]), column(&[100, 110, 5_000_000])];
        let rows = [RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns).unwrap()];
        let ends = Ends::from([(7, vec![(90, 0), (400, 2), (5_000_500, 3)])]);
        assert_eq!(latencies(&rows, &ends, 0).unwrap(), [300, 290, 500]);
        assert_eq!(latencies(&rows, &ends, 1).unwrap(), [500]);
    }
}
