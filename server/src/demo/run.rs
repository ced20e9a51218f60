//! `millrace demo`: the main job in one process, on real data, with nothing installed.
//!
//! Ingest takes the real path: the flights are produced to a broker over TCP, and come back through SQL like any others.

use std::io::{Cursor, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use catalog::{Catalog, PipelineId};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use vfs::{Clock, World};

use super::broker::DemoBroker;
use crate::cli::DemoArgs;
use crate::compose::Node;
use crate::console::say;
use crate::data_dir::DataDir;
use crate::manager::Manager;
use crate::mysql::handler::{Answer, Login, SqlSession};
use crate::stop_signal::StopSignals;

/// The flights that departed New York's airports in 2013, a JSON object a line (see server/data/README.md).
static FLIGHTS: &[u8] = include_bytes!("../../data/flights.ndjson.zst");
const RECORDS: u64 = 336_776;
const PARTITIONS: i32 = 4;

const TABLE: &str = "\
CREATE TABLE flights (
  time_hour TIMESTAMP NOT NULL COMMENT 'scheduled hour of departure',
  origin VARCHAR(3) NOT NULL, dest VARCHAR(3) NOT NULL,
  carrier VARCHAR(2) NOT NULL, flight INT NOT NULL, tailnum VARCHAR(8),
  year SMALLINT NOT NULL, month TINYINT NOT NULL, day TINYINT NOT NULL, hour TINYINT NOT NULL, minute TINYINT NOT NULL,
  dep_time SMALLINT, sched_dep_time SMALLINT NOT NULL, dep_delay SMALLINT,
  arr_time SMALLINT, sched_arr_time SMALLINT NOT NULL, arr_delay SMALLINT,
  air_time SMALLINT, distance INT NOT NULL
) PARTITION BY month(time_hour) ORDER BY (origin, time_hour)";

/// Starts everything, replays the flights, and serves until Ctrl-C.
///
/// # Errors
/// If a port or the data directory is in the way, or the flights do not arrive.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let settings = args.server.settings()?;
    if settings.catalog.url.is_some() || settings.object_store.url.is_some() {
        bail!(
            "the demo keeps everything in one directory: take catalog.url and object_store.url out of its settings, or try standalone"
        );
    }
    let world = World::system();
    let clock = Arc::clone(&world.clock);
    let started = clock.now();
    // Held to the end of this function: dropping it removes the directory.
    let temporary = match &args.data_dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().context("cannot make a temporary directory")?),
    };
    let path: PathBuf = match (&args.data_dir, &temporary) {
        (Some(path), _) => path.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => bail!("there is no data directory"),
    };
    let mut signals = StopSignals::watch()?;
    let broker = DemoBroker::start("flights", PARTITIONS)?;
    let node = Node::start(settings, DataDir::open(&path, &*world.random)?, world).await?;
    say(format_args!(
        "millrace {}: a broker with the flights of 2013, and a server, in one process",
        env!("CARGO_PKG_VERSION")
    ));
    say(format_args!("  data   {}", path.display()));
    say(format_args!("  kafka  {}   topic flights, {PARTITIONS} partitions", broker.bootstrap_servers()));
    say(format_args!("  mysql  {}", node.mysql_address));
    say(format_args!("  http   {}   /healthz /readyz /metrics", node.http_address));

    let mut session = session(&node).await?;
    // A demo that finds its own leftovers begins again: the broker of the last run, and its offsets, are gone.
    for statement in ["DROP PIPELINE IF EXISTS flights_in", "DROP TABLE IF EXISTS flights", TABLE, &pipeline(&broker)] {
        execute(&mut *session, statement).await?;
    }
    let pipeline = node.catalog.pipeline("default", "flights_in").await?.id;
    let arrival = Arrival { clock: &*clock, manager: &node.manager, catalog: &node.catalog, pipeline };
    let first = tokio::select! {
        first = arrival.watch(broker, started) => first?,
        () = signals.next() => { signals.let_stop(node.stop(), &*clock).await; return Ok(()); }
    };
    let seconds = clock.now().since(started).as_secs_f64();
    say(format_args!(
        "{RECORDS} records committed {seconds:.1} s after the start ({:.0} records/s); the first was queryable after {:.2} s",
        RECORDS as f64 / seconds,
        first.as_secs_f64()
    ));
    if !args.exit_when_done {
        next_steps(node.mysql_address.port());
        node.until_stopped(&mut signals).await?;
    }
    signals.let_stop(node.stop(), &*clock).await;
    Ok(())
}

fn pipeline(broker: &DemoBroker) -> String {
    // The mock broker keeps little: what is not committed soon would be gone before it is read again.
    format!(
        "CREATE PIPELINE flights_in INTO flights AS SELECT * FROM KAFKA (brokers = '{}', topic = 'flights', \
         format = 'json', start = 'earliest') WITH (tasks = 1, flush_bytes = '8MiB', flush_interval = '250ms')",
        broker.bootstrap_servers()
    )
}

async fn session(node: &Node) -> anyhow::Result<Box<dyn SqlSession>> {
    let login = Login {
        user: "root".to_owned(),
        database: Some("default".to_owned()),
        connection_id: 0,
        peer: "demo".to_owned(),
        attributes: Default::default(),
    };
    node.sessions.open(login).await.map_err(|error| anyhow::anyhow!("{}", error.message))
}

async fn execute(session: &mut dyn SqlSession, statement: &str) -> anyhow::Result<()> {
    match session.execute(statement).await {
        Ok(Answer::Done { .. } | Answer::Rows { .. }) => Ok(()),
        Err(error) => bail!("{statement}: {}", error.message),
    }
}

fn next_steps(port: u16) {
    let port = if port == 9030 { String::new() } else { format!(" --port {port}") };
    say(format_args!("\nTry, in a second terminal:"));
    say(format_args!("  millrace sql{port} -e \"SELECT origin, count(*) FROM flights GROUP BY origin\""));
    say(format_args!(
        "  millrace sql{port} -e \"SELECT carrier, round(avg(dep_delay), 1) AS late FROM flights GROUP BY carrier ORDER BY late DESC LIMIT 5\""
    ));
    say(format_args!("  millrace sql{port} -e \"SHOW TASKS\""));
    say(format_args!(
        "(millrace is target/release/millrace; or `cargo run --release -- sql …`.) Ctrl-C ends the demo."
    ));
}

/// Watches the flights arrive.
struct Arrival<'a> {
    clock: &'a dyn Clock,
    manager: &'a Manager,
    catalog: &'a Catalog,
    pipeline: PipelineId,
}

/// Where the pipeline is.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    visible: u64,
    committed: u64,
}

impl Arrival<'_> {
    /// Replays the flights and shows progress until all are committed; how long the first took to be queryable.
    async fn watch(&self, broker: DemoBroker, started: vfs::Moment) -> anyhow::Result<Duration> {
        let (committed, receivers): (Vec<_>, Vec<_>) = (0..PARTITIONS).map(|_| watch::channel(0_u64)).unzip();
        let replay = tokio::task::spawn_blocking(move || broker.replay(flights()?, receivers));
        let mut progress = Progress::new(self.clock, started);
        let mut first = None;
        let mut replay = Some(replay);
        let mut kept_broker = None;
        loop {
            let position = self.position(&committed).await?;
            if position.visible > 0 && first.is_none() {
                first = Some(self.clock.now().since(started));
            }
            progress.show(position);
            if position.committed >= RECORDS {
                break;
            }
            if replay.as_ref().is_some_and(tokio::task::JoinHandle::is_finished)
                && let Some(replay) = replay.take()
            {
                kept_broker = Some(replay.await.context("the replay ended unexpectedly")??);
            }
            self.clock.sleep(Duration::from_millis(25)).await;
        }
        progress.bar.finish_and_clear();
        // The broker stays until the process ends: its clients would complain of its absence.
        std::mem::forget(kept_broker);
        Ok(first.unwrap_or_default())
    }

    /// Reads where the pipeline's streams are, and tells the replay.
    async fn position(&self, committed: &[watch::Sender<u64>]) -> anyhow::Result<Position> {
        let mut position = Position::default();
        for stream in self.catalog.streams(self.pipeline).await? {
            let offset = stream.committed.0;
            position.committed += offset;
            if let Some(sender) = committed.get(stream.stream.partition().partition as usize) {
                sender.send_replace(offset);
            }
        }
        for worker in self.manager.heartbeats().await {
            let tasks = worker.tasks.iter().filter(|task| task.pipeline == self.pipeline);
            position.visible += tasks.flat_map(|task| &task.streams).map(|stream| stream.visible.0).sum::<u64>();
        }
        Ok(position)
    }
}

fn flights() -> anyhow::Result<impl Iterator<Item = Vec<u8>>> {
    use std::io::BufRead;
    let reader = std::io::BufReader::with_capacity(1 << 20, zstd::Decoder::new(Cursor::new(FLIGHTS))?);
    // A broken line would have failed the build's own tests of this data.
    Ok(reader.split(b'\n').map_while(Result::ok))
}

/// A bar on a terminal; a line each second elsewhere.
struct Progress<'a> {
    clock: &'a dyn Clock,
    started: vfs::Moment,
    bar: ProgressBar,
    lines: bool,
    last_line: vfs::Moment,
}

impl<'a> Progress<'a> {
    fn new(clock: &'a dyn Clock, started: vfs::Moment) -> Self {
        let lines = !std::io::stderr().is_terminal();
        let bar = if lines { ProgressBar::hidden() } else { ProgressBar::new(RECORDS) };
        let style = ProgressStyle::with_template("  {bar:32} {pos}/{len} committed, {msg}, {per_sec}, {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { clock, started, bar: bar.with_style(style), lines, last_line: started }
    }

    fn show(&mut self, position: Position) {
        let lag = RECORDS.saturating_sub(position.visible);
        self.bar.set_position(position.committed);
        self.bar.set_message(format!("{} visible, {lag} to come", position.visible));
        let now = self.clock.now();
        if self.lines && now.since(self.last_line) >= Duration::from_secs(1) {
            self.last_line = now;
            let seconds = now.since(self.started).as_secs_f64();
            let rate = position.visible as f64 / seconds;
            say(format_args!(
                "  {seconds:4.1} s  {} visible, {} committed, {lag} to come, {rate:.0} records/s",
                position.visible, position.committed
            ));
        }
    }
}
