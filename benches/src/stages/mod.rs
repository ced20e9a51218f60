//! `stages`: the same bytes through each step of the way alone, one step after the other, on one thread.
//!
//! What the step hands off to threads of its own (librdkafka, the WAL's file, the catalog's file) counts as its own.

mod meters;
mod walk;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use server::settings::parse_bytes;

use crate::feed::Feed;
use crate::machine::Machine;
use crate::report::{mib, print_table};
use crate::subject::directory;
use crate::workload::Workload;
use walk::{Stage, Walk, Walked};

/// The flags of `stages`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StagesArgs {
    #[command(flatten)]
    workload: Workload,
    /// Bytes of memory in which rows are gathered before a flush.
    #[arg(long, value_parser = parse_bytes, default_value = "256MiB")]
    flush_bytes: u64,
    /// Where the data is written. [default: the temporary files]
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// Measures, and prints what was seen.
pub(crate) async fn run(args: &StagesArgs) -> anyhow::Result<Value> {
    let directory = directory(args.directory.as_deref())?;
    let machine = Machine::probe(directory.path())?;
    // All of it is held in memory between two steps.
    let mut workload = args.workload.clone();
    workload.bytes = Some(workload.bytes.unwrap_or(workload.bytes().min(256 << 20)));
    let feed = Feed::start(&workload, None).await?;
    let walked = Walk::prepare(&workload, feed, directory.path(), args.flush_bytes).await?.go().await?;
    print(&workload, &walked, &machine);
    Ok(to_json(&workload, &walked, &machine))
}

fn print(workload: &Workload, walked: &Walked, machine: &Machine) {
    println!(
        "stages: {} MiB of JSON in {} records of {} columns; {}; one step after the other, one thread",
        mib(walked.bytes),
        walked.records,
        workload.dataset().columns(),
        workload.describe()
    );
    let all = walked.nanos();
    let mut rows: Vec<Vec<String>> =
        walked.stages.iter().map(|stage| row(stage.name, stage.nanos(), walked, all)).collect();
    rows.push(row("all", all, walked, all));
    print_table(&["step", "CPU s", "CPU ns/byte", "share", "MB/s/core"], &rows);
    println!(
        "bytes for each of JSON: memtable {:.2}, WAL {:.2} with {} fsyncs, parts {:.3} in {} parts of {} commits",
        walked.memtable_bytes as f64 / walked.bytes as f64,
        walked.wal_bytes as f64 / walked.bytes as f64,
        walked.fsyncs,
        walked.part_bytes as f64 / walked.bytes as f64,
        walked.parts,
        walked.commits
    );
    println!("{}", machine.describe());
}

fn row(name: &str, nanos: f64, walked: &Walked, all: f64) -> Vec<String> {
    let per_byte = nanos / walked.bytes as f64;
    vec![
        name.to_owned(),
        format!("{:.3}", nanos / 1e9),
        format!("{per_byte:.3}"),
        format!("{:.0} %", 100.0 * nanos / all),
        format!("{:.0}", 1e3 / per_byte),
    ]
}

fn to_json(workload: &Workload, walked: &Walked, machine: &Machine) -> Value {
    let per_byte = |stage: &Stage| (stage.name.to_owned(), Value::from(stage.nanos() / walked.bytes as f64));
    json!({
        "benchmark": "stages",
        "workload": workload.describe(),
        "records": walked.records,
        "bytes": walked.bytes,
        "cpu_ns_per_byte": walked.stages.iter().map(per_byte).collect::<serde_json::Map<_, _>>(),
        "cpu_ns_per_byte_all": walked.nanos() / walked.bytes as f64,
        "memtable_bytes": walked.memtable_bytes,
        "wal_bytes": walked.wal_bytes,
        "fsyncs": walked.fsyncs,
        "part_bytes": walked.part_bytes,
        "parts": walked.parts,
        "commits": walked.commits,
        "machine": machine.json(),
    })
}
