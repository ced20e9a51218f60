//! The stores that last, under `kill -9`: what was answered is there, in order, whole, and no stamp is given twice.
//!
//! The test starts itself again as a child process that commits and reports each answer, and kills it at random moments; in
//! Postgres also the server that it commits to, while the child goes on.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use millrace_catalog::store::{
    KeyRange, KvStore, PostgresAddress, PostgresStore, Read, RedbStore, Stamp, StoreError, scan,
};
use tokio::sync::Mutex;
use vfs::{Inline, OsRandom, Random, SeededRandom, SystemClock, World};

const CHILD_PLACE: &str = "MILLRACE_STORE_KILL_PLACE";
const KILLS: usize = 12;
const PREFIX: &[u8] = b"log/";
/// How long a child may say nothing: a server that was killed is back long before.
const SILENT_WITHIN: Duration = Duration::from_secs(60);

/// One test at a time uses the server, which one of them kills.
static SERVER: Mutex<()> = Mutex::const_new(());

/// The store at `place`: a file, or the URL of a Postgres.
async fn open(place: &str) -> Result<Arc<dyn KvStore>, StoreError> {
    let clock = Arc::new(SystemClock::new());
    if place.starts_with("postgres://") {
        let world = World { clock, random: Arc::new(OsRandom), compute: Arc::new(Inline) };
        return Ok(Arc::new(PostgresStore::open(PostgresAddress::parse(place)?, &world).await?));
    }
    Ok(Arc::new(RedbStore::open(Path::new(place), clock).await?))
}

/// One commit: a record under its stamp, and a count of all.
async fn append(store: &dyn KvStore) -> Result<Stamp, StoreError> {
    let mut writer = store.begin().await?;
    writer.set_versionstamped_key(PREFIX, b"", &[7; 500]);
    writer.add(b"count", 1);
    writer.commit().await
}

/// The child: commits for ever under stamped keys, and reports each stamp once it was answered.
#[tokio::test]
async fn child_that_commits_until_it_is_killed() {
    let Ok(place) = std::env::var(CHILD_PLACE) else { return };
    let store = open(&place).await.unwrap();
    let committer = async || -> () {
        loop {
            match append(store.as_ref()).await {
                Ok(stamp) => println!("answered {stamp}"),
                Err(error) if error.is_maybe_committed() => println!("unknown"),
                // Its server is away, or it waited too long for it.
                Err(error) if error.is_retryable() && place.starts_with("postgres://") => {
                    println!("tries again: {error}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    futures::join!(committer(), committer(), committer());
}

#[tokio::test]
async fn every_answered_commit_survives_a_kill_and_stamps_go_on_rising() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.redb");
    survives_kills(path.to_str().unwrap()).await;
}

#[tokio::test]
async fn every_commit_answered_by_postgres_survives_a_kill_and_stamps_go_on_rising() {
    let Some(url) = required("MILLRACE_TEST_POSTGRES", "no PostgreSQL") else { return };
    let _alone = SERVER.lock().await;
    survives_kills(&schema_of_ones_own(&url)).await;
}

/// Kills the child again and again, and after each kill looks at what it left.
async fn survives_kills(place: &str) {
    let random = SeededRandom::new(5);
    let mut answered: Vec<String> = Vec::new();
    for kill in 0..KILLS {
        let mut child = Reporter::start(place);
        child.wait_for(1 + usize::try_from(random.next_u64() % 60).unwrap());
        child.kill();
        let fresh = child.answered.iter().all(|stamp| answered.iter().all(|earlier| earlier < stamp));
        assert!(fresh, "kill {kill}: a stamp was given again");
        answered.append(&mut child.answered);
        assert_eq!(child.unknown, 0, "nothing but the child was killed");

        let store = reopen(place).await;
        check(store.as_ref(), &answered, &format!("kill {kill}")).await;
        store.close().await;
    }
}

/// The server dies in the middle of commits, again and again. The child and this process go on with it when it is back, without
/// being started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_commit_answered_by_postgres_survives_the_kill_of_the_server() {
    const ROUNDS: usize = 6;
    let Some(url) = required("MILLRACE_TEST_POSTGRES", "no PostgreSQL") else { return };
    let Some(control) = required("MILLRACE_TEST_POSTGRES_CONTROL", "the PostgreSQL cannot be stopped") else { return };
    let _alone = SERVER.lock().await;
    let place = schema_of_ones_own(&url);
    let steer = |verb: &str| assert!(Command::new(&control).arg(verb).status().unwrap().success(), "{control} {verb}");
    let store = open(&place).await.unwrap();
    let random = SeededRandom::new(6);
    let mut child = Reporter::start(&place);
    for round in 0..ROUNDS {
        child.wait_for(1 + usize::try_from(random.next_u64() % 60).unwrap());
        let watching = store.watch(b"count").await.unwrap();
        if round % 3 == 2 {
            steer("restart");
        } else {
            steer("kill");
            steer("start");
        }
        // What it says from here on came from the server that was started again.
        child.catch_up();
        child.wait_for(10);
        append_patiently(store.as_ref()).await;
        // Whatever it missed meanwhile, it wakes.
        assert!(
            tokio::time::timeout(SILENT_WITHIN, watching).await.is_ok(),
            "round {round}: a watch slept through a change"
        );
        check(store.as_ref(), &child.answered, &format!("round {round}")).await;
    }
    child.kill();
    let there = check(store.as_ref(), &child.answered, "the end").await;
    // Its own commits, those of this process, those that were unknown, and those that it was killed in.
    let (answered, most) = (child.answered.len(), child.answered.len() + ROUNDS + child.unknown + 3);
    assert!((answered..=most).contains(&there), "{there} are there, {answered} were answered, at most {most} can be");
    println!("{there} commits are there, {answered} were answered, {} were unknown", child.unknown);
    store.close().await;
}

/// One commit of this process, tried until it is answered: what was unknown is counted by nobody here.
async fn append_patiently(store: &dyn KvStore) {
    loop {
        match append(store).await {
            Ok(_) => return,
            Err(error) if error.is_retryable() => {}
            Err(error) => panic!("nobody interferes: {error}"),
        }
    }
}

/// Nothing is half there, and all of `answered` is; how many commits there are.
async fn check(store: &dyn KvStore, answered: &[String], when: &str) -> usize {
    let mut reader = store.begin().await.unwrap();
    let log = scan(reader.as_mut(), KeyRange::prefix(PREFIX), Read::Snapshot).await.unwrap();
    let count = reader.get(b"count", Read::Snapshot).await.unwrap().unwrap();
    assert_eq!(i64::from_le_bytes(count.as_ref().try_into().unwrap()), log.len() as i64, "{when}: half a commit");
    let present: Vec<String> = log.iter().map(|(key, _)| stamp_of(key).to_string()).collect();
    assert!(answered.iter().all(|stamp| present.contains(stamp)), "{when}: an answered commit is lost");
    log.len()
}

/// A child, and what it has reported so far.
struct Reporter {
    child: Child,
    lines: Receiver<String>,
    answered: Vec<String>,
    unknown: usize,
}

impl Reporter {
    fn start(place: &str) -> Self {
        let mut child: Child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture"])
            .env(CHILD_PLACE, place)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, answered: Vec::new(), unknown: 0 }
    }

    /// Waits until it has reported so many further commits.
    fn wait_for(&mut self, answers: usize) {
        let wanted = self.answered.len() + answers;
        while self.answered.len() < wanted {
            let line = self.lines.recv_timeout(SILENT_WITHIN).expect("the child reports until it is killed");
            self.note(&line);
        }
    }

    /// Notes what it has reported up to now.
    fn catch_up(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.note(&line);
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // What it had printed before the kill reached it was answered as well; the last line may be torn.
        while let Ok(line) = self.lines.recv() {
            self.note(&line);
        }
    }

    fn note(&mut self, line: &str) {
        self.unknown += usize::from(line.ends_with("unknown"));
        if let Some((_, stamp)) = line.split_once("answered ")
            && stamp.len() == 2 * Stamp::BYTES
        {
            self.answered.push(stamp.to_owned());
        }
    }
}

/// However the test ends, nobody goes on committing.
impl Drop for Reporter {
    fn drop(&mut self) {
        let (_killed, _waited) = (self.child.kill(), self.child.wait());
    }
}

fn stamp_of(key: &[u8]) -> Stamp {
    Stamp(key[PREFIX.len()..].try_into().unwrap())
}

async fn reopen(place: &str) -> Arc<dyn KvStore> {
    match open(place).await {
        Ok(store) => store,
        Err(error @ StoreError::Locked { .. }) => panic!("the killed process still holds the file: {error}"),
        Err(error) => panic!("the store does not open after a kill: {error}"),
    }
}

/// A catalog of the test's own on the server. It is left behind: a server that tests may kill is theirs.
fn schema_of_ones_own(url: &str) -> String {
    format!("{url}?schema=kill_{}_{:08x}", std::process::id(), OsRandom.next_u64() >> 32)
}

/// The value of `variable`, or `None` after saying what is missing.
fn required(variable: &str, missing: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let required = std::env::var("MILLRACE_TEST_REQUIRE").unwrap_or_default();
        let hint = format!("skipped: {missing} (set {variable} or run tests/components/postgres.sh)");
        assert!(!required.split(',').any(|name| name.trim() == "postgres"), "postgres is required here; {hint}");
        println!("{hint}");
    }
    value
}
