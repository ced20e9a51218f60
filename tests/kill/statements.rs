//! Deaths of SEEK, ALTER and RETRY ERRORS, before and after each step that lasts: after the next start the statement has happened whole,
//! or not at all; and each offset is there once, as it was seen before.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_tests::{Broker, Ledger, Producer, ServerOptions, ServerProcess, Sql, events, eventually};
use rand::SeedableRng;
use rand::rngs::StdRng;
use warehouse::write::failpoint::{CHANGE_CRASH_POINTS, FLOOR_CRASH_POINTS, RETRY_CRASH_POINTS};

const SOON: Duration = Duration::from_secs(30);
const TABLE: &str =
    "CREATE TABLE events (seq BIGINT NOT NULL, body VARCHAR(200) NOT NULL, version INT NOT NULL) ORDER BY (seq)";
/// What the first version makes an error row, and the second a row.
const TOO_EARLY: &str = "too early";
const SEEK: &str = "ALTER PIPELINE events_in SEEK TO EARLIEST";
const ALTER: &str = "ALTER PIPELINE events_in AS SELECT seq, body, 2 AS version SET (tasks = 2)";
const RETRY: &str = "RETRY ERRORS FOR events_in";
/// Rows that another version has decoded than the recorded cut-over says.
const DECODED_OTHERWISE: &str = "SELECT count(*) FROM events JOIN system.pipeline_versions AS cuts ON events._stream = cuts.stream_id \
                                 WHERE (events.version = 1) <> (events._offset < cuts.cut_over)";

/// A pipeline of two partitions, what was produced into it, and the server that dies.
struct Story {
    broker: Broker,
    producer: Producer,
    options: ServerOptions,
    ledger: Ledger,
    random: StdRng,
    next: i64,
    _directory: tempfile::TempDir,
}

impl Story {
    /// 400 records are visible, and none is committed, when this returns.
    async fn begin(failpoints: &str) -> (Self, ServerProcess) {
        let directory = tempfile::tempdir().unwrap();
        let broker = Broker::mock("events", 2).unwrap();
        let mut options = ServerOptions::new(env!("CARGO_BIN_EXE_millrace-under-test"), &directory.path().join("data"));
        options.failpoints = failpoints.to_owned();
        let producer = broker.producer(&[]).unwrap();
        let (ledger, random) = (Ledger::default(), StdRng::seed_from_u64(7));
        let mut story = Self { broker, producer, options, ledger, random, next: 0, _directory: directory };
        let server = story.start().await;
        let mut sql = server.sql().await.unwrap();
        sql.run(TABLE).await.unwrap();
        let pipeline = format!(
            "CREATE PIPELINE events_in INTO events AS SELECT seq, nullif(body, '{TOO_EARLY}') AS body, 1 AS version FROM KAFKA \
             (brokers = '{}', topic = 'events', format = 'json') WITH (flush_interval = '1h')",
            story.broker.bootstrap
        );
        sql.run(&pipeline).await.unwrap();
        story.produce(400).await;
        story.until_all_seen(&server, "true").await;
        (story, server)
    }

    /// Good ones, cut ones that never become rows, and such as the first version does not take.
    async fn produce(&mut self, count: i64) {
        let (from, random) = (self.next, &mut self.random);
        self.next += count;
        let mut payload = |seq: i64| match seq % 10 {
            0 => events::payload(seq, TOO_EARLY),
            _ => events::random_payload(random, seq, 20),
        };
        let payloads = (from..self.next).map(|seq| ((seq / 10 % 2) as i32, payload(seq))).collect();
        self.producer.send_all(payloads, &mut self.ledger).await.unwrap();
    }

    async fn start(&self) -> ServerProcess {
        ServerProcess::start(&self.options).await.unwrap()
    }

    /// Runs a statement, beside which records come in, on a server that is to die of it.
    async fn die_of(&mut self, statement: &str, mut server: ServerProcess) {
        let mut sql = server.sql().await.unwrap();
        let (answer, ()) = tokio::join!(sql.run(statement), self.produce(200));
        assert!(server.died(SOON).await.unwrap(), "it lives, and answered {answer:?}");
    }

    /// Starts the server again, to die of what it finds.
    async fn die_again(&mut self, point: &str) {
        self.options.failpoints = format!("{point}=return");
        // It may die so early that it is never ready.
        if let Ok(mut server) = ServerProcess::start(&self.options).await {
            assert!(server.died(SOON).await.unwrap(), "the server never reached {point}");
        }
    }

    /// Waits until streams of that kind show every record, and each once.
    async fn until_all_seen(&self, server: &ServerProcess, which: &str) {
        let mut sql = server.sql().await.unwrap();
        let seen = eventually("every record is seen", SOON, async || match events::seen_of(&mut sql, which).await {
            Ok(seen) if seen.len() >= self.ledger.len() => Ok(seen),
            other => Err(format!("{:?} of {}", other.map(|seen| seen.len()), self.ledger.len())),
        });
        self.ledger.check(&seen.await).unwrap();
    }

    /// What was wished is done, or given up, and records flow again.
    async fn settled(&mut self) -> (ServerProcess, Sql) {
        self.options.failpoints.clear();
        let server = self.start().await;
        server.until("SELECT count(*) FROM system.pipelines WHERE state = 'running'", 1, SOON).await.unwrap();
        self.produce(100).await;
        let sql = server.sql().await.unwrap();
        (server, sql)
    }
}

/// The table adds up, from its log and from its rows.
async fn assert_proved(sql: &mut Sql) {
    let verdicts = sql.rows("SYSTEM VERIFY TABLE events FULL").await.unwrap();
    assert!(!verdicts.is_empty());
    for verdict in verdicts {
        assert_eq!(verdict[9].as_deref(), Some("ok"), "{verdict:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_that_dies_anywhere_has_moved_every_stream_or_none_and_loses_nothing_of_either() {
    for point in CHANGE_CRASH_POINTS {
        println!("dying at {point}");
        let (mut story, server) = Story::begin(&format!("{point}=return")).await;
        story.die_of(SEEK, server).await;
        let (server, mut sql) = story.settled().await;
        let moved = sql.number("SELECT count(*) FROM system.streams WHERE generation = 1").await.unwrap();
        // Before it is written down it never was; afterwards it happens whether or not anybody is left to be answered.
        assert_eq!(moved, if *point == "change.before_begin" { 0 } else { 2 }, "{point}");
        story.until_all_seen(&server, if moved == 0 { "generation = 0" } else { "generation = 1" }).await;
        if moved > 0 {
            // What was read before the cut stays, and nothing behind it is there.
            let cuts = "SELECT `partition`, committed_offset FROM system.streams WHERE generation = 0";
            let number = |cell: &Option<String>| cell.as_deref().unwrap().parse::<u64>().unwrap();
            let cuts: BTreeMap<i32, u64> =
                sql.rows(cuts).await.unwrap().iter().map(|row| (number(&row[0]) as i32, number(&row[1]))).collect();
            assert!(cuts.values().all(|cut| *cut >= 200), "{point}: rows that were seen are gone: {cuts:?}");
            let before = events::seen_of(&mut sql, "generation = 0").await.unwrap();
            story.ledger.before(&cuts).check(&before).unwrap_or_else(|faults| panic!("{point}: {faults}"));
        }
        sql.run("PAUSE PIPELINE events_in").await.unwrap();
        assert_proved(&mut sql).await;
        server.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alter_that_dies_anywhere_cuts_each_stream_exactly_or_not_at_all() {
    // The last two are passed by whoever takes it up after a first death.
    let once = CHANGE_CRASH_POINTS.iter().map(|point| (*point, None));
    let twice = FLOOR_CRASH_POINTS.iter().map(|point| ("change.before_finish", Some(*point)));
    for (point, then) in once.chain(twice) {
        println!("dying at {point}, then at {then:?}");
        let (mut story, server) = Story::begin(&format!("{point}=return")).await;
        story.die_of(ALTER, server).await;
        if let Some(then) = then {
            story.die_again(then).await;
        }
        let (server, mut sql) = story.settled().await;
        let recorded = sql.number("SELECT count(*) FROM system.pipeline_versions WHERE cut_over > 0").await.unwrap();
        assert_eq!(recorded, if point == "change.before_begin" { 0 } else { 2 }, "{point}, then {then:?}");
        story.until_all_seen(&server, "true").await;
        sql.run("PAUSE PIPELINE events_in").await.unwrap();
        assert_eq!(sql.number(DECODED_OTHERWISE).await.unwrap(), 0, "{point}, then {then:?}");
        let (old, new) = ("SELECT min(version) FROM events", "SELECT max(version) FROM events");
        let versions = (sql.number(old).await.unwrap(), sql.number(new).await.unwrap());
        assert_eq!(versions, (1, if recorded == 0 { 1 } else { 2 }), "{point}, then {then:?}");
        assert_proved(&mut sql).await;
        server.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_errors_that_dies_anywhere_has_moved_all_that_fits_or_nothing() {
    let (mut story, server) = Story::begin("").await;
    let mut sql = server.sql().await.unwrap();
    sql.run(ALTER).await.unwrap();
    // Nothing but the statement writes parts from here on.
    sql.run("PAUSE PIPELINE events_in").await.unwrap();
    let errors = "SELECT count(*) FROM `events$errors`";
    let all = sql.number(errors).await.unwrap();
    let fitting = format!("SELECT count(*) FROM events WHERE body = '{TOO_EARLY}'");
    server.kill().await.unwrap();

    // One after the other in the same place: what each leaves is in nobody's way.
    for point in RETRY_CRASH_POINTS {
        println!("dying at {point}");
        story.options.failpoints = format!("{point}=return");
        let mut server = story.start().await;
        let mut sql = server.sql().await.unwrap();
        assert_eq!(
            (sql.number(errors).await.unwrap(), sql.number(&fitting).await.unwrap()),
            (all, 0),
            "before {point}"
        );
        story.until_all_seen(&server, "true").await;
        assert_proved(&mut sql).await;
        let answer = sql.run(RETRY).await;
        assert!(server.died(SOON).await.unwrap(), "it lives, and answered {answer:?}");
    }
    story.options.failpoints.clear();
    let server = story.start().await;
    let mut sql = server.sql().await.unwrap();
    // The last death came after the commit.
    assert_eq!((sql.number(errors).await.unwrap(), sql.number(&fitting).await.unwrap()), (all - 40, 40));
    sql.run(RETRY).await.unwrap();
    assert_eq!(sql.number(&fitting).await.unwrap(), 40, "run again, it moves nothing twice");
    sql.run("RESUME PIPELINE events_in").await.unwrap();
    story.produce(100).await;
    story.until_all_seen(&server, "true").await;
    sql.run("PAUSE PIPELINE events_in").await.unwrap();
    assert_proved(&mut sql).await;
    server.kill().await.unwrap();
}
