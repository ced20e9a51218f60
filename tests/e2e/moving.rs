//! A query counts right while data moves: every answer is a prefix of each stream, during flush, commit and restart, and no
//! session ever goes back (I1, I3, I5).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use millrace_tests::{Broker, Producer, Sql, events};

use crate::stage::{ALL_EVENTS, Stage};

const PARTITIONS: i32 = 3;
/// With their records these stay within what the mock keeps of a partition, 5 MiB.
const RECORDS_PER_PARTITION: i64 = 12_000;
const RECORDS_AT_ONCE: i64 = 60;
const SESSIONS: usize = 4;
const RESTARTS: u32 = 2;

const PREFIXES: &str = "SELECT _stream, count(*), sum(seq), max(_offset) FROM events GROUP BY _stream";

/// Rows of each stream that an answer holds, once it has been checked that these are the first ones.
fn prefixes(rows: &[Vec<Option<String>>]) -> BTreeMap<i64, i64> {
    let mut seen = BTreeMap::new();
    for row in rows {
        let numbers: Vec<i64> = row.iter().map(|cell| cell.as_deref().unwrap().parse().unwrap()).collect();
        let [stream, count, sum, last] = numbers[..] else { panic!("four columns, not {row:?}") };
        assert_eq!(last, count - 1, "I3: stream {stream} has a hole: {count} rows up to offset {last}");
        assert_eq!(sum, count * (count - 1) / 2, "I1: stream {stream} does not hold its first {count} records");
        assert_eq!(seen.insert(stream, count), None, "one group a stream");
    }
    seen
}

fn assert_never_back(before: &BTreeMap<i64, i64>, now: &BTreeMap<i64, i64>, when: &str) {
    for (stream, count) in before {
        let now = now.get(stream).copied().unwrap_or_default();
        assert!(now >= *count, "I5: stream {stream} went back from {count} rows to {now}, {when}");
    }
}

/// What the watchers are told.
#[derive(Debug, Default)]
struct Signals {
    end: AtomicBool,
    /// From now on the server may be gone.
    restarting: AtomicBool,
}

impl Signals {
    /// The answer; nothing where the server may be gone. Any other failure is the test's.
    fn answer<T>(&self, answer: anyhow::Result<T>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(_) if self.restarting.load(Ordering::Relaxed) => None,
            Err(error) => panic!("a query failed while data moved: {error:#}"),
        }
    }

    fn go_on(&self) -> bool {
        !self.end.load(Ordering::Relaxed)
    }
}

/// Asks until it is told to end or the server is gone; returns how often it was answered.
async fn watch(mut sql: Sql, freshness: &str, signals: Arc<Signals>) -> u64 {
    let mut answers = 0;
    let mut before = BTreeMap::new();
    sql.run(&format!("SET freshness = '{freshness}'")).await.unwrap();
    while signals.go_on() {
        let Some(rows) = signals.answer(sql.rows(PREFIXES).await) else { break };
        let now = prefixes(&rows);
        assert_never_back(&before, &now, &format!("within a session, freshness {freshness}"));
        before = now;
        answers += 1;
    }
    answers
}

/// One scan of a table sees what another of the same statement sees.
async fn watch_joins(mut sql: Sql, signals: Arc<Signals>) -> u64 {
    let join = "SELECT (SELECT count(*) FROM events), \
                (SELECT count(*) FROM events a JOIN events b ON a._stream = b._stream AND a._offset = b._offset), \
                (SELECT sum(seq) FROM events), (SELECT sum(seq) FROM events WHERE seq >= 0)";
    let mut answers = 0;
    while signals.go_on() {
        let Some(row) = signals.answer(sql.row(join).await) else { break };
        assert_eq!((&row[0], &row[2]), (&row[1], &row[3]), "the scans of one statement saw different ends");
        answers += 1;
    }
    answers
}

/// `seq` is the offset, because nobody else writes to the partition.
async fn produce(producer: Producer, sent: Arc<AtomicU64>) {
    for from in (0..RECORDS_PER_PARTITION).step_by(RECORDS_AT_ONCE as usize) {
        let payloads =
            (from..from + RECORDS_AT_ONCE).flat_map(|seq| (0..PARTITIONS).map(move |partition| (partition, seq)));
        let sending = payloads.map(|(partition, seq)| {
            let producer = &producer;
            async move {
                let payload = events::payload(seq, "some text, so that parts have a size");
                assert_eq!(producer.send(partition, Some(&payload)).await.unwrap(), seq as u64);
            }
        });
        futures::future::join_all(sending).await;
        sent.fetch_add((RECORDS_AT_ONCE * i64::from(PARTITIONS)) as u64, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

struct Watchers {
    signals: Arc<Signals>,
    running: Vec<tokio::task::JoinHandle<u64>>,
}

impl Watchers {
    async fn start(stage: &Stage) -> Self {
        let (signals, mut running) = (Arc::new(Signals::default()), Vec::new());
        for number in 0..SESSIONS {
            let freshness = if number == 0 { "committed" } else { "latest" };
            let sql = stage.server.sql().await.unwrap();
            running.push(tokio::spawn(watch(sql, freshness, Arc::clone(&signals))));
        }
        running.push(tokio::spawn(watch_joins(stage.server.sql().await.unwrap(), Arc::clone(&signals))));
        Self { signals, running }
    }

    fn expect_a_restart(&self) {
        self.signals.restarting.store(true, Ordering::Relaxed);
    }

    /// Ends them all; each must have been answered at least once.
    async fn finish(self) {
        self.signals.end.store(true, Ordering::Relaxed);
        for watcher in self.running {
            assert!(watcher.await.unwrap() > 0, "a session was never answered");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_a_prefix_of_each_stream_during_flush_commit_and_restart() {
    let broker = Broker::mock("events", PARTITIONS).unwrap();
    let mut stage = Stage::with_events(&broker, "tasks = 2, flush_bytes = '32KiB', flush_interval = '100ms'").await;
    let total = RECORDS_PER_PARTITION * i64::from(PARTITIONS);
    let sent = Arc::new(AtomicU64::new(0));
    let producing = tokio::spawn(produce(broker.producer(&[]).unwrap(), Arc::clone(&sent)));

    for restart in 1..=RESTARTS {
        let until = total as u64 * u64::from(restart) / u64::from(RESTARTS + 1);
        let watchers = Watchers::start(&stage).await;
        while sent.load(Ordering::Relaxed) < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut session = stage.server.sql().await.unwrap();
        session.run("SET freshness = 'committed'").await.unwrap();
        let committed = prefixes(&session.rows(PREFIXES).await.unwrap());
        watchers.expect_a_restart();
        // Half of the restarts are killings: the others commit what is visible first.
        stage = if restart % 2 == 1 { stage.kill_and_start().await } else { stage.stop().await.start().await };
        watchers.finish().await;
        let after = prefixes(&stage.sql.rows(PREFIXES).await.unwrap());
        assert_never_back(&committed, &after, "across a restart, committed rows");
    }

    let watchers = Watchers::start(&stage).await;
    producing.await.unwrap();
    stage.until(ALL_EVENTS, total).await;
    watchers.finish().await;
    let seen = prefixes(&stage.sql.rows(PREFIXES).await.unwrap());
    assert_eq!(seen.values().copied().collect::<Vec<_>>(), vec![RECORDS_PER_PARTITION; PARTITIONS as usize]);
    let commits = stage.sql.number("SELECT count(*) FROM system.commits").await.unwrap();
    assert!(commits > 10, "only {commits} commits: nothing moved under the queries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pause_commits_is_what_was_seen() {
    let broker = Broker::mock("events", 1).unwrap();
    let mut stage = Stage::with_events(&broker, "flush_interval = '1h'").await;
    let producer = broker.producer(&[]).unwrap();
    for seq in 0..500 {
        producer.send(0, Some(&events::payload(seq, "paused"))).await.unwrap();
    }
    stage.until("SELECT count(*) FROM events", 500).await;
    let mut committed = stage.server.sql().await.unwrap();
    committed.run("SET freshness = 'committed'").await.unwrap();
    assert_eq!(committed.number("SELECT count(*) FROM events").await.unwrap(), 0, "nothing was flushed yet");
    stage.sql.run("PAUSE PIPELINE events_in").await.unwrap();
    assert_eq!(committed.number("SELECT count(*) FROM events").await.unwrap(), 500);
    producer.send(0, Some(&events::payload(500, "meanwhile"))).await.unwrap();
    assert_eq!(stage.sql.value("SELECT state FROM system.pipelines").await.unwrap(), "paused");
    stage.sql.run("RESUME PIPELINE events_in").await.unwrap();
    stage.until("SELECT count(*) FROM events", 501).await;
}
