//! `commits`: how many commits the embedded catalog takes, and how many of them share one fsync.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use catalog::{
    BlockChecksums, Catalog, CatalogService, CommitOutcome, CommitRequest, CommitToken, KafkaSource, Ledger, Offset,
    OffsetRange, Part, PartId, PartKind, PartStream, Pipeline, RecordFormat, Scalar, SortKeyRange, StartPosition,
    StreamAdvance, Table, UploadIntent, WriterId, commit_settled,
};
use clap::Args;
use serde_json::{Value, json};
use server::http::install_metrics;
use vfs::World;

use crate::dataset::Dataset;
use crate::ground::{Ground, Held};
use crate::machine::Machine;
use crate::meter::{Cost, Meter};
use crate::report::{millis, print_table, quantile};
use crate::subject::directory;

/// The flags of `commits`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CommitsArgs {
    /// How many commit at a time, each to a stream of its own: one run for each number.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64")]
    committers: Vec<u32>,
    /// How long each run takes.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Parts of a commit; their intents are staged before it, in a transaction of their own.
    #[arg(long, default_value_t = 1)]
    parts: u32,
    /// Where the catalog's file is made. [default: the temporary files]
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// One run.
struct Run {
    committers: u32,
    cost: Cost,
    latencies: Vec<Duration>,
    /// Transactions of the store, and the groups that shared an fsync each.
    transactions: f64,
    groups: f64,
}

/// Measures, and prints what was seen.
pub(crate) async fn run(args: &CommitsArgs) -> anyhow::Result<Value> {
    let metrics = install_metrics()?;
    let directory = directory(args.directory.as_deref())?;
    let machine = Machine::probe(directory.path())?;
    let mut runs = Vec::new();
    for committers in &args.committers {
        let file = directory.path().join(format!("catalog-{committers}.redb"));
        let world = World::system();
        let table = Dataset::Flights.new_table();
        let ground = Ground::prepare(&file, &world, table, nowhere(), "", i32::try_from(*committers)?).await?;
        let before = groups(&metrics.render())?;
        let mut run = commit_for(args, &ground, &world).await?;
        let after = groups(&metrics.render())?;
        (run.transactions, run.groups) = (after.0 - before.0, after.1 - before.1);
        runs.push(run);
        ground.close().await;
    }
    print(args, &runs, &machine);
    Ok(
        json!({ "benchmark": "commits", "parts": args.parts, "runs": runs.iter().map(Run::json).collect::<Vec<_>>(), "machine": machine.json() }),
    )
}

/// A source that is never read.
fn nowhere() -> KafkaSource {
    KafkaSource {
        brokers: "127.0.0.1:1".to_owned(),
        topics: "none".into(),
        format: RecordFormat::Json,
        start: StartPosition::Earliest,
        properties: Default::default(),
    }
}

/// The sum and the count of the store's group sizes: each group is one fsync.
fn groups(metrics: &str) -> anyhow::Result<(f64, f64)> {
    let value = |name: &str| -> anyhow::Result<f64> {
        let name = format!("millrace_catalog_group_size_{name} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        Ok(line.with_context(|| format!("the metrics have no {name}"))?.trim().parse()?)
    };
    Ok((value("sum")?, value("count")?))
}

async fn commit_for(args: &CommitsArgs, ground: &Ground, world: &World) -> anyhow::Result<Run> {
    let until = Instant::now() + Duration::from_secs(args.seconds);
    let meter = Meter::start();
    let tasks: Vec<_> = ground
        .streams
        .iter()
        .map(|held| {
            let committer = Committer::new(ground, held, world, args.parts);
            tokio::spawn(committer.run(until))
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    latencies.sort_unstable();
    let committers = u32::try_from(ground.streams.len())?;
    Ok(Run { committers, cost: meter.read(), latencies, transactions: 0.0, groups: 0.0 })
}

/// One of those who commit at a time.
struct Committer {
    catalog: Catalog,
    world: World,
    table: Arc<Table>,
    pipeline: Arc<Pipeline>,
    advance: StreamAdvance,
    writer: WriterId,
    parts: u32,
}

impl Committer {
    fn new(ground: &Ground, held: &Held, world: &World, parts: u32) -> Self {
        let (stream, owner) = (held.stream.id, &held.granted.owner);
        let range = OffsetRange::new(Offset(0), Offset(1_000));
        let ledger = Ledger { rows: 1_000, ..Ledger::default() };
        Self {
            catalog: ground.catalog.clone(),
            world: world.clone(),
            table: Arc::clone(&ground.table),
            pipeline: Arc::clone(&ground.pipeline),
            advance: StreamAdvance { stream, epoch: owner.epoch, range, ledger, gaps: Vec::new() },
            writer: WriterId::Task(ground.pipeline.id, owner.task),
            parts,
        }
    }

    /// Commits a thousand offsets at a time, one commit after the other; how long each took, its intents included.
    async fn run(mut self, until: Instant) -> anyhow::Result<Vec<Duration>> {
        let mut took = Vec::new();
        while Instant::now() < until {
            let parts: Vec<Part> = (0..self.parts).map(|_| self.part()).collect();
            let started = Instant::now();
            let intents: Vec<UploadIntent> = parts.iter().map(|part| self.intent(part)).collect();
            if !intents.is_empty() {
                self.catalog.stage(&intents).await?;
            }
            let request = self.request(parts);
            match commit_settled(&self.catalog, &self.world, &request).await? {
                CommitOutcome::Committed(_) => took.push(started.elapsed()),
                other => bail!("a commit that nobody disturbs ended as {other:?}"),
            }
            let range = self.advance.range;
            self.advance.range = OffsetRange::new(range.end, Offset(range.end.0 + 1_000));
        }
        Ok(took)
    }

    fn part(&self) -> Part {
        let id = PartId(self.world.random.next_u128());
        let bounds = |text: &str| SortKeyRange { min: Scalar::Text(text.into()), max: Some(Scalar::Text(text.into())) };
        let hour = SortKeyRange { min: Scalar::Micros(0), max: Some(Scalar::Micros(3_600_000_000)) };
        Part {
            id,
            table: self.table.id,
            schema: self.table.schema,
            kind: PartKind::Rows,
            path: format!("{:04x}/{}/{id}.parquet", id.0 >> 112, self.table.id),
            bytes: 1 << 20,
            rows: 1_000 / u64::from(self.parts),
            partition: vec![Scalar::Micros(0)],
            sort_key: vec![bounds("EWR"), hour],
            streams: vec![PartStream {
                stream: self.advance.stream,
                range: self.advance.range,
                rows: 1_000 / u64::from(self.parts),
            }],
            checksums: BlockChecksums { block_bytes: 64 << 10, crc32c: vec![0; 16] },
        }
    }

    fn intent(&self, part: &Part) -> UploadIntent {
        let created = self.world.clock.wall().0;
        UploadIntent { part: part.id, table: part.table, path: part.path.clone(), writer: self.writer, created }
    }

    fn request(&self, parts: Vec<Part>) -> CommitRequest {
        let mut advance = self.advance.clone();
        // The rows of the parts are all rows: what does not divide evenly was filtered.
        let rows = parts.iter().map(|part| part.rows).sum();
        advance.ledger = Ledger { rows, filtered: 1_000 - rows, ..Ledger::default() };
        CommitRequest {
            token: CommitToken(self.world.random.next_u128()),
            writer: self.writer,
            table: self.table.id,
            table_fence: self.table.fence,
            pipeline: Some((self.pipeline.id, self.pipeline.fence)),
            schema: self.table.schema,
            streams: vec![advance],
            parts,
            labels: Vec::new(),
        }
    }
}

impl Run {
    fn commits(&self) -> f64 {
        self.latencies.len() as f64
    }

    fn per_second(&self) -> f64 {
        self.commits() / self.cost.wall.as_secs_f64()
    }

    fn cpu_micros(&self) -> f64 {
        self.cost.cpu.as_micros() as f64 / self.commits()
    }

    fn json(&self) -> Value {
        let micros = |share| quantile(&self.latencies, share).as_micros() as u64;
        json!({
            "committers": self.committers,
            "commits": self.latencies.len(),
            "commits_per_second": self.per_second(),
            "commits_per_fsync": self.commits() / self.groups,
            "transactions_per_fsync": self.transactions / self.groups,
            "cpu_us_per_commit": self.cpu_micros(),
            "latency_us": { "p50": micros(0.5), "p99": micros(0.99) },
        })
    }
}

fn print(args: &CommitsArgs, runs: &[Run], machine: &Machine) {
    println!(
        "commits: embedded catalog, {} s each, {} part(s) a commit, staged in a transaction before it",
        args.seconds, args.parts
    );
    let row = |run: &Run| {
        vec![
            run.committers.to_string(),
            format!("{:.0}", run.per_second()),
            format!("{:.1}", run.commits() / run.groups),
            format!("{:.1}", run.transactions / run.groups),
            format!("{:.0}", run.groups / run.cost.wall.as_secs_f64()),
            format!("{:.0}", run.cpu_micros()),
            millis(quantile(&run.latencies, 0.5)),
            millis(quantile(&run.latencies, 0.99)),
        ]
    };
    let heading = [
        "committers",
        "commits/s",
        "commits/fsync",
        "transactions/fsync",
        "fsyncs/s",
        "CPU us/commit",
        "p50 ms",
        "p99 ms",
    ];
    print_table(&heading, &runs.iter().map(row).collect::<Vec<_>>());
    println!("{}", machine.describe());
}
