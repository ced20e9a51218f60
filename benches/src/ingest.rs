//! `ingest`: the real server takes the records in, and what that took of CPU, time and memory is told.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use clap::Args;
use serde_json::{Value, json};
use server::settings::parse_bytes;

use crate::feed::{Feed, Sent};
use crate::machine::Machine;
use crate::meter::{Cost, Meter, Resident, forget_peak, resident};
use crate::report::{mib, print_table};
use crate::subject::{Subject, directory};
use crate::workload::Workload;

/// How often positions are read.
const LOOK: Duration = Duration::from_millis(5);
/// How long nothing may move.
const PATIENCE: Duration = Duration::from_secs(60);

/// The flags of `ingest`.
#[derive(Clone, Debug, Args)]
pub(crate) struct IngestArgs {
    #[command(flatten)]
    pub(crate) workload: Workload,
    /// The server's memory.ingest_limit.
    #[arg(long, value_parser = parse_bytes, default_value = "512MiB")]
    pub(crate) memory_limit: u64,
    /// The pipeline's flush_bytes.
    #[arg(long, default_value = "256MiB")]
    pub(crate) flush_bytes: String,
    /// The pipeline's flush_interval.
    #[arg(long, default_value = "60s")]
    pub(crate) flush_interval: String,
    /// The pipeline's tasks.
    #[arg(long, default_value_t = 1)]
    pub(crate) tasks: u32,
    /// Flush only once all is visible, so that the cost of getting there stands alone. Wants a memory limit above all rows.
    #[arg(long)]
    pub(crate) split: bool,
    /// Where the data directory is made; its disk matters. [default: the temporary files]
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
}

/// What was seen.
struct Seen {
    sent: Sent,
    visible: Cost,
    committed: Cost,
    before: Resident,
    after: Resident,
    charged_peak: u64,
    commits: u64,
    parts: u64,
    part_bytes: u64,
}

/// Measures, and prints what was seen.
pub(crate) async fn run(args: &IngestArgs) -> anyhow::Result<Value> {
    let directory = directory(args.directory.as_deref())?;
    let machine = Machine::probe(directory.path())?;
    let seen = measure(args, directory).await?;
    print(args, &seen, &machine);
    Ok(to_json(args, &seen, &machine))
}

async fn measure(args: &IngestArgs, directory: tempfile::TempDir) -> anyhow::Result<Seen> {
    let dataset = args.workload.dataset();
    let mut feed = Feed::start(&args.workload, None).await?;
    let preloaded = args.workload.brokers.is_some();
    if preloaded {
        feed.go().await?;
        feed.all_sent().await?;
    }
    let limit = ("MILLRACE__MEMORY__INGEST_LIMIT", args.memory_limit.to_string());
    let mut subject = Subject::start(directory, &[limit]).await?;
    let before = resident()?;
    forget_peak()?;

    let meter = Meter::start();
    subject.ingest(dataset, &feed, &args.pipeline_settings()).await?;
    if !preloaded {
        feed.go().await?;
    }
    let (sent, charged_peak) = until_visible(&subject, &mut feed).await?;
    let visible = meter.read();
    let commits = subject.positions().await.commits;
    subject.commit_all().await?;
    let committed = meter.read();
    let after = resident()?;

    let found = subject.committed().await?;
    ensure!(found == sent.records, "{} records were sent, and {found} are committed", sent.records);
    subject.verify(dataset, sent.records).await?;
    let parts = subject.parts(dataset).await?;
    feed.end().await?;
    subject.stop().await;
    let part_bytes = parts.iter().map(|part| part.bytes).sum();
    // The one of PAUSE comes on top.
    let (commits, parts) = (commits + 1, parts.len() as u64);
    Ok(Seen { sent, visible, committed, before, after, charged_peak, commits, parts, part_bytes })
}

/// Waits until all that is sent is visible, and lets the broker drop what is.
async fn until_visible(subject: &Subject, feed: &mut Feed) -> anyhow::Result<(Sent, u64)> {
    let (mut moved, mut records, mut charged_peak) = (Instant::now(), 0, 0);
    loop {
        let positions = subject.positions().await;
        charged_peak = charged_peak.max(positions.memory_used);
        feed.seen(&positions.visible).await?;
        feed.check()?;
        if let Some(sent) = feed.sent().filter(|sent| sent.records <= positions.records()) {
            return Ok((sent, charged_peak));
        }
        if positions.records() > records {
            (moved, records) = (Instant::now(), positions.records());
        } else if moved.elapsed() > PATIENCE {
            bail!("nothing moved for {PATIENCE:?} at {records} visible records; trouble: {:?}", positions.trouble);
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl IngestArgs {
    fn pipeline_settings(&self) -> String {
        let (bytes, interval) = match self.split {
            true => ("64GiB", "3600s"),
            false => (self.flush_bytes.as_str(), self.flush_interval.as_str()),
        };
        format!("tasks = {}, flush_bytes = '{bytes}', flush_interval = '{interval}'", self.tasks)
    }
}

fn print(args: &IngestArgs, seen: &Seen, machine: &Machine) {
    let Sent { records, bytes } = seen.sent;
    println!(
        "ingest: {} MiB of JSON in {records} records of {} bytes; {}; {}",
        mib(bytes),
        bytes / records,
        args.workload.describe(),
        args.pipeline_settings()
    );
    let row = |name: &str, cost: &Cost| {
        vec![
            name.to_owned(),
            format!("{:.2}", cost.cpu.as_secs_f64()),
            format!("{:.2}", cost.ns_per_byte(bytes)),
            format!("{:.0}", 1e3 / cost.ns_per_byte(bytes)),
            format!("{:.2}", cost.wall.as_secs_f64()),
            format!("{:.1}", cost.wall_mb(bytes)),
            format!("{:.0}", records as f64 / cost.wall.as_secs_f64()),
        ]
    };
    let visible =
        if args.split { "broker to visible, no flush yet" } else { "broker to visible, flushes meanwhile included" };
    print_table(
        &["", "CPU s", "CPU ns/byte", "MB/s/core", "wall s", "wall MB/s", "records/s"],
        &[row(visible, &seen.visible), row("broker to committed", &seen.committed)],
    );
    println!(
        "memory: limit {} MiB; resident peak {} MiB ({:.0} % of the limit), {} MiB before the first record; charged at most {} MiB",
        mib(args.memory_limit),
        mib(seen.after.peak),
        100.0 * seen.after.peak as f64 / args.memory_limit as f64,
        mib(seen.before.now),
        mib(seen.charged_peak)
    );
    println!(
        "parts: {} MiB in {} parts of {} commits (JSON / {:.1})",
        mib(seen.part_bytes),
        seen.parts,
        seen.commits,
        bytes as f64 / seen.part_bytes as f64
    );
    println!("checked: each offset is one row\n{}", machine.describe());
}

fn to_json(args: &IngestArgs, seen: &Seen, machine: &Machine) -> Value {
    let Sent { records, bytes } = seen.sent;
    let cost = |cost: &Cost| {
        json!({
            "cpu_seconds": cost.cpu.as_secs_f64(),
            "cpu_ns_per_byte": cost.ns_per_byte(bytes),
            "wall_seconds": cost.wall.as_secs_f64(),
            "records_per_second": records as f64 / cost.wall.as_secs_f64(),
        })
    };
    json!({
        "benchmark": "ingest",
        "workload": args.workload.describe(),
        "pipeline": args.pipeline_settings(),
        "records": records,
        "bytes": bytes,
        "visible": cost(&seen.visible),
        "committed": cost(&seen.committed),
        "memory_limit": args.memory_limit,
        "resident_before": seen.before.now,
        "resident_peak": seen.after.peak,
        "charged_peak": seen.charged_peak,
        "commits": seen.commits,
        "parts": seen.parts,
        "part_bytes": seen.part_bytes,
        "machine": machine.json(),
    })
}
