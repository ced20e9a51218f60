//! Whoever ends a statement, and wherever it is at that moment: pins, charged memory, spilled files, its place among those that run
//! and its entry in the process list are all given back, also while its client does not read.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use millrace_tests::{Broker, Sql};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::files_in;
use crate::stage::{SOON, Stage};

const ROWS: i64 = 10_000;
/// What every statement that is ended says, so that it is found in the process list.
const MARK: &str = "/* ended */";

/// Where a statement is when it is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// It waits for its turn.
    Admission,
    /// It has more joins than are planned in a moment.
    Planning,
    /// It reads rows in memory, and what it does with each takes long.
    ScanOfMemory,
    /// The same with rows of parts.
    ScanOfParts,
    /// It has spilled, and has a long way to go.
    Sort,
    /// It computes without a pause.
    Join,
    /// Its client does not read.
    Sending,
}

const STAGES: [At; 7] =
    [At::Admission, At::Planning, At::ScanOfMemory, At::ScanOfParts, At::Sort, At::Join, At::Sending];

/// Who ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// KILL QUERY from a new connection: what Ctrl-C is in most clients.
    KillQuery,
    /// KILL.
    KillConnection,
    /// Its client goes away: what Ctrl-C is in others, ours among them.
    Leaving,
    /// `max_execution_time`.
    TimeLimit,
}

const ENDS: [By; 4] = [By::KillQuery, By::KillConnection, By::Leaving, By::TimeLimit];

impl At {
    fn statement(self) -> String {
        let select = match self {
            Self::Admission => "count(*) FROM events".to_owned(),
            Self::Planning => {
                let joins = (1..120).map(|n| format!(" JOIN events e{n} ON e{n}.seq = e{}.seq", n - 1));
                format!("count(*) FROM events e0{}", joins.collect::<String>())
            }
            Self::ScanOfMemory => slow_scan("events"),
            Self::ScanOfParts => slow_scan("parts"),
            Self::Sort => {
                "a.seq * b.value % 1000003 AS x, repeat(a.body, 2) AS y FROM events a, generate_series(1, 1000000) b \
                           ORDER BY x, y"
                    .to_owned()
            }
            Self::Join => {
                "count(*) FROM events a, generate_series(1, 1000000) b WHERE a.seq * b.value % 7 = 8".to_owned()
            }
            Self::Sending => "a.body, b.value FROM events a, generate_series(1, 1000000) b".to_owned(),
        };
        format!("SELECT {MARK} {select}")
    }

    /// Whether a statement is there, as far as can be seen from outside.
    fn is_reached(self, now: &Held) -> bool {
        match self {
            Self::Admission => now.waiting > 0,
            Self::Planning | Self::ScanOfParts => now.listed > 0 && now.running > 0,
            Self::ScanOfMemory | Self::Join => now.pinned > 0 && now.running > 0,
            Self::Sort => now.spilled > 0,
            Self::Sending => now.pinned > 0 && now.running > 0 && now.listed > 0,
        }
    }

    fn time_limit(self) -> u64 {
        match self {
            // Planned, it would be answered in a moment.
            Self::Planning => 50,
            // Long enough to be seen before.
            Self::Sending => 3_000,
            _ => 700,
        }
    }
}

/// Each row takes some ten microseconds, and there are many.
fn slow_scan(table: &str) -> String {
    let all = vec![format!("SELECT body FROM {table}"); 100].join(" UNION ALL ");
    format!("count(*) FROM ({all}) AS s WHERE levenshtein(repeat(body, 3), reverse(repeat(body, 3))) < 0")
}

/// What statements hold at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    pinned: u64,
    memory: u64,
    running: u64,
    waiting: u64,
    spilled: usize,
    listed: usize,
}

/// A server of whose two tables one is in memory and one in parts.
struct Ward {
    stage: Stage,
    spill: PathBuf,
    _broker: Broker,
}

impl Ward {
    async fn open(spill_limit: &str) -> Self {
        let broker = Broker::mock("events", 1).unwrap();
        let settings = [
            ("memory.query_limit", "64MiB"),
            ("query.spill_limit", spill_limit),
            ("query.statements_max", "1"),
            ("query.statements_wait_seconds", "600"),
        ];
        let mut stage = Stage::open_with(&settings).await;
        stage.take_events(&broker, "flush_interval = '1h'").await;
        let producer = broker.producer(&[]).unwrap();
        let payloads = (0..ROWS)
            .map(|seq| (0, millrace_tests::events::payload(seq, &format!("{:-^80}", seq * 7_919 % 10_007))))
            .collect();
        producer.send_all(payloads, &mut millrace_tests::Ledger::default()).await.unwrap();
        stage.until("SELECT count(*) FROM events", ROWS).await;
        stage.sql.run("CREATE TABLE parts (seq BIGINT NOT NULL, body VARCHAR(200) NOT NULL)").await.unwrap();
        stage.sql.run("INSERT INTO parts SELECT seq, body FROM events").await.unwrap();
        let spill = stage.options.data_dir.join("spill");
        Self { stage, spill, _broker: broker }
    }

    async fn held(&mut self) -> Held {
        let (_, text) = self.stage.server.http("/metrics").await.unwrap();
        let metric = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.map_or(0.0, |value| value.parse().unwrap()) as u64
        };
        let listed = format!("SELECT ID FROM information_schema.processlist WHERE INFO LIKE 'SELECT {MARK}%'");
        Held {
            pinned: metric("millrace_pinned_queries"),
            memory: metric("millrace_query_memory_bytes"),
            running: metric("millrace_statements_running"),
            waiting: metric("millrace_statements_waiting"),
            spilled: files_in(&self.spill),
            listed: self.stage.sql.rows(&listed).await.unwrap().len(),
        }
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Held) -> bool) {
        let deadline = Instant::now() + SOON;
        loop {
            let now = self.held().await;
            if holds(&now) {
                return;
            }
            assert!(Instant::now() < deadline, "in vain waited for {what}: {now:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Begins a statement; its connection, what makes its client read on, and what it is told in the end.
    async fn begin(
        &self,
        statement: String,
        time_limit: Option<u64>,
    ) -> (i64, oneshot::Sender<()>, JoinHandle<Option<String>>) {
        let mut sql = self.stage.server.sql().await.unwrap();
        let connection = sql.number("SELECT connection_id()").await.unwrap();
        if let Some(milliseconds) = time_limit {
            sql.run(&format!("SET max_execution_time = {milliseconds}")).await.unwrap();
        }
        let (read_on, go) = oneshot::channel();
        let running = tokio::spawn(async move { told(&mut sql, &statement, go).await });
        (connection, read_on, running)
    }
}

/// The error that ends a statement of which one row is read, and the others once that is wished.
async fn told(sql: &mut Sql, statement: &str, go: oneshot::Receiver<()>) -> Option<String> {
    sql.error_behind_first_row(statement, go).await.map(|error| format!("{error:#}"))
}

async fn end(ward: &mut Ward, at: At, by: By) {
    let occupant = match at {
        At::Admission => {
            let other = "SELECT count(*) FROM events a, generate_series(1, 1000000) b WHERE a.seq * b.value % 7 = 8";
            let occupant = ward.begin(other.to_owned(), None).await;
            ward.until("the place to be taken", |now| now.running == 1).await;
            Some(occupant)
        }
        _ => None,
    };
    let limit = (by == By::TimeLimit).then(|| at.time_limit());
    let (connection, read_on, running) = ward.begin(at.statement(), limit).await;
    if by != By::TimeLimit {
        ward.until(&format!("a statement at {at:?}"), |now| at.is_reached(now)).await;
    }
    let began = Instant::now();
    match by {
        By::KillQuery => {
            let mut other = ward.stage.server.sql().await.unwrap();
            other.run(&format!("KILL QUERY {connection}")).await.unwrap();
        }
        By::KillConnection => ward.stage.sql.run(&format!("KILL {connection}")).await.unwrap(),
        By::Leaving => running.abort(),
        By::TimeLimit => {}
    }
    let what = format!("all to be given back: {at:?}, ended by {by:?}");
    match &occupant {
        // The other one goes on.
        Some(_) => ward.until(&what, |now| (now.running, now.waiting, now.listed) == (1, 0, 0)).await,
        // A time limit may not have come yet.
        None if by == By::TimeLimit && at != At::Sending => {}
        None if by == By::TimeLimit => {
            ward.until("the statement to begin", |now| now.listed > 0).await;
            ward.until(&what, |now| *now == Held::default()).await;
        }
        None => ward.until(&what, |now| *now == Held::default()).await,
    }
    // Only now does a client that did not read go on.
    let _ = read_on.send(());
    match by {
        By::Leaving => drop(running.await),
        By::KillConnection => assert!(running.await.unwrap().is_some(), "{what}"),
        By::KillQuery | By::TimeLimit => {
            let (said, code) =
                (running.await.unwrap().unwrap_or_default(), if by == By::KillQuery { "1317" } else { "3024" });
            assert!(said.contains(code), "{what}: {said:?}");
        }
    }
    if let Some((connection, _, running)) = occupant {
        ward.stage.sql.run(&format!("KILL {connection}")).await.unwrap();
        drop(running.await);
    }
    ward.until(&what, |now| *now == Held::default()).await;
    println!("{at:?}, ended by {by:?}: given back after {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_is_ended_anywhere_by_anybody_gives_back_all_that_it_held() {
    let mut ward = Ward::open("64GiB").await;
    ward.until("the beginning", |now| *now == Held::default()).await;
    for at in STAGES {
        for by in ENDS {
            end(&mut ward, at, by).await;
        }
    }
    // And the next one has all that there is.
    assert_eq!(ward.stage.sql.number("SELECT count(*) FROM events").await.unwrap(), ROWS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_fails_in_the_middle_gives_back_all_that_it_held() {
    let mut ward = Ward::open("64MiB").await;
    let fails_at = |of: i64| format!("a.seq / (a.seq - {of})");
    for (statement, code) in [
        (format!("SELECT {MARK} count(*) FROM events a WHERE {} = 5", fails_at(ROWS / 2)), "1365"),
        (format!("SELECT {MARK} count(*) FROM parts a WHERE {} = 5", fails_at(ROWS / 2)), "1365"),
        (format!("SELECT {MARK} a.body, {} FROM events a ORDER BY 1", fails_at(ROWS - 1)), "1365"),
        // More than may be spilled.
        (
            At::Sort.statement(),
            "ERROR 1038 (HY001): the query needs more memory than queries have together, and what it spilled",
        ),
        (
            format!(
                "SELECT {MARK} count(*) FROM events a, generate_series(1, 1000000) b WHERE 1 / (a.seq * b.value - 8191 * 9001) = 5"
            ),
            "1365",
        ),
        // While rows are sent: the client has many of them by then.
        (
            format!(
                "SELECT {MARK} a.body, 1 / (b.value - 900000) FROM generate_series(1, 1000000) b, parts a WHERE a.seq < 3"
            ),
            "1365",
        ),
    ] {
        let (_, read_on, running) = ward.begin(statement.clone(), None).await;
        let _ = read_on.send(());
        let said = running.await.unwrap().unwrap_or_else(|| panic!("it did not fail: {statement}"));
        assert!(said.contains(code), "{statement}: {said}");
        ward.until(&format!("all to be given back: {statement}"), |now| *now == Held::default()).await;
    }
}
