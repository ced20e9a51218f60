//! `inserts`: many clients with single rows through the MySQL port, and one INSERT SELECT of many.
//!
//! The clients run in this process, so their CPU time is counted too: what is told for a row is what a row costs on both sides of
//! the wire. Each row that was answered is counted afterwards, by a query.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use clap::Args;
use serde_json::{Value, json};
use server::client::{ConnectOptions, Connection, Reply};
use server::mysql::Secret;
use server::mysql::auth::Plugin;

use crate::machine::Machine;
use crate::meter::{Cost, Meter};
use crate::report::{millis, print_table, quantile};
use crate::subject::{Subject, directory};

/// The flags of `inserts`.
#[derive(Clone, Debug, Args)]
pub(crate) struct InsertsArgs {
    /// Clients that insert single rows, each waiting for its answer.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// For how long.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Rows of the INSERT SELECT.
    #[arg(long, default_value_t = 4_000_000)]
    rows: u64,
    /// Where the data directory is made. [default: the temporary files]
    #[arg(long)]
    directory: Option<PathBuf>,
}

const TABLE: &str =
    "CREATE TABLE single (client INT NOT NULL, n BIGINT NOT NULL, at DATETIME, note VARCHAR(100)) ORDER BY (client, n)";
const COPY: &str =
    "CREATE TABLE copy (n BIGINT NOT NULL, bucket INT, price DECIMAL(12, 2), note TEXT) ORDER BY (bucket, n)";
/// About what a row of `copy` takes in memory: two numbers, a decimal and a text of 32 characters.
const COPY_ROW_BYTES: u64 = 8 + 4 + 16 + 36;

/// Measures, and prints what was seen.
pub(crate) async fn run(args: &InsertsArgs) -> anyhow::Result<Value> {
    let directory = directory(args.directory.as_deref())?;
    let machine = Machine::probe(directory.path())?;
    let mut subject = Subject::start(directory, &[]).await?;
    subject.sql(TABLE).await?;
    subject.sql(COPY).await?;
    let single = single(args, &mut subject).await?;
    let copied = copy(args, &mut subject).await?;
    subject.stop().await;
    print(args, &single, &copied);
    println!("{}", machine.describe());
    Ok(json!({ "single": single.json(), "select": copied.json(args.rows), "machine": machine.json() }))
}

/// Single rows by many clients.
struct Single {
    cost: Cost,
    commits: u64,
    latencies: Vec<Duration>,
}

async fn single(args: &InsertsArgs, subject: &mut Subject) -> anyhow::Result<Single> {
    let port = subject.mysql_port();
    let meter = Meter::start();
    let until = Instant::now() + Duration::from_secs(args.seconds);
    let clients = (0..args.clients).map(|client| tokio::spawn(insert_until(port, client, until)));
    let mut latencies = Vec::new();
    for client in futures::future::join_all(clients).await {
        latencies.extend(client??);
    }
    let cost = meter.read();
    latencies.sort_unstable();
    let commits = subject.commits("single").await?;
    let found = number(subject, "SELECT count(*) FROM (SELECT DISTINCT client, n FROM single) AS rows_of_all").await?;
    let answered = latencies.len() as i64;
    ensure!(found == answered, "{answered} INSERTs were answered, and {found} rows are there");
    Ok(Single { cost, commits, latencies })
}

async fn insert_until(port: u16, client: usize, until: Instant) -> anyhow::Result<Vec<Duration>> {
    let options = ConnectOptions {
        host: "127.0.0.1".to_owned(),
        port,
        user: "root".to_owned(),
        password: Secret::new(String::new()),
        database: Some("default".to_owned()),
        plugin: Plugin::CachingSha2,
    };
    let mut connection = Connection::open(&options).await?;
    let mut latencies = Vec::new();
    for n in 0.. {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        let sql =
            format!("INSERT INTO single VALUES ({client}, {n}, '2024-02-29 12:00:00', 'a note that a client leaves')");
        match connection.query(&sql).await? {
            Reply::Done(_) => latencies.push(begun.elapsed()),
            Reply::Rows(_) => bail!("an INSERT was answered with rows"),
        }
    }
    Ok(latencies)
}

/// One INSERT SELECT.
struct Copied {
    cost: Cost,
    parts: usize,
    stored: u64,
}

async fn copy(args: &InsertsArgs, subject: &mut Subject) -> anyhow::Result<Copied> {
    let rows = args.rows;
    // Made by the engine, so that what is measured is the way of the rows and not that of a file.
    let select = format!(
        "INSERT INTO copy SELECT value, CAST(value % 1000 AS INT), CAST(value AS DECIMAL(12, 2)), md5(CAST(value AS TEXT)) \
         FROM generate_series(1, {rows})"
    );
    let meter = Meter::start();
    subject.sql(&select).await?;
    let cost = meter.read();
    let found = number(subject, "SELECT count(*) FROM copy").await?;
    ensure!(found.unsigned_abs() == rows, "{rows} rows were inserted, and {found} are there");
    let (parts, stored) = subject.stored("copy").await?;
    Ok(Copied { cost, parts, stored })
}

async fn number(subject: &mut Subject, sql: &str) -> anyhow::Result<i64> {
    let answer = subject.sql(sql).await?;
    let batch = answer.iter().find(|batch| batch.num_rows() > 0).context("one row")?;
    Ok(batch.column(0).as_primitive::<Int64Type>().value(0))
}

impl Single {
    fn rows(&self) -> f64 {
        self.latencies.len() as f64
    }

    fn seconds(&self) -> f64 {
        self.cost.wall.as_secs_f64()
    }

    fn json(&self) -> Value {
        json!({
            "rows_per_second": self.rows() / self.seconds(),
            "commits_per_second": self.commits as f64 / self.seconds(),
            "rows_per_commit": self.rows() / self.commits as f64,
            "cpu_us_per_row": self.cost.cpu.as_micros() as f64 / self.rows(),
            "p50_ms": quantile(&self.latencies, 0.5).as_secs_f64() * 1e3,
            "p99_ms": quantile(&self.latencies, 0.99).as_secs_f64() * 1e3,
        })
    }
}

impl Copied {
    fn json(&self, rows: u64) -> Value {
        let bytes = rows * COPY_ROW_BYTES;
        json!({
            "rows_per_second": rows as f64 / self.cost.wall.as_secs_f64(),
            "mb_per_second": self.cost.wall_mb(bytes),
            "cpu_ns_per_byte": self.cost.ns_per_byte(bytes),
            "parts": self.parts,
            "stored_bytes": self.stored,
        })
    }
}

fn print(args: &InsertsArgs, single: &Single, copied: &Copied) {
    println!("inserts: {} clients with single rows for {} s, through the MySQL port", args.clients, args.seconds);
    let per_second = |count: f64| format!("{:.0}", count / single.seconds());
    print_table(
        &["", "rows/s", "commits/s", "rows/commit", "p50 ms", "p99 ms", "CPU us/row"],
        &[vec![
            "single rows".to_owned(),
            per_second(single.rows()),
            per_second(single.commits as f64),
            format!("{:.1}", single.rows() / single.commits as f64),
            millis(quantile(&single.latencies, 0.5)),
            millis(quantile(&single.latencies, 0.99)),
            format!("{:.0}", single.cost.cpu.as_micros() as f64 / single.rows()),
        ]],
    );
    let bytes = args.rows * COPY_ROW_BYTES;
    println!("INSERT SELECT of {} rows, {} MiB in memory", args.rows, bytes >> 20);
    print_table(
        &["", "rows/s", "MB/s", "CPU ns/byte", "parts", "MiB stored"],
        &[vec![
            "select".to_owned(),
            format!("{:.0}", args.rows as f64 / copied.cost.wall.as_secs_f64()),
            format!("{:.1}", copied.cost.wall_mb(bytes)),
            format!("{:.1}", copied.cost.ns_per_byte(bytes)),
            copied.parts.to_string(),
            format!("{:.1}", copied.stored as f64 / f64::from(1 << 20)),
        ]],
    );
}
