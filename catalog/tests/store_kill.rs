//! The embedded store under `kill -9`: what was answered is there, in order, and no stamp is given twice.
//!
//! The test starts itself again as a child process that commits and reports each answer, and kills it at random moments.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use millrace_catalog::store::{KeyRange, KvStore, Read, RedbStore, Stamp, StoreError, scan};
use vfs::{Random, SeededRandom, SystemClock};

const CHILD_PATH: &str = "MILLRACE_STORE_KILL_PATH";
const KILLS: usize = 12;
const PREFIX: &[u8] = b"log/";

/// The child: commits for ever under stamped keys, and reports each stamp once it was answered.
#[tokio::test]
async fn child_that_commits_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD_PATH) else { return };
    let store = RedbStore::open(Path::new(&path), Arc::new(SystemClock::new())).await.unwrap();
    let committer = async || -> () {
        loop {
            let mut writer = store.begin().await.unwrap();
            writer.set_versionstamped_key(PREFIX, b"", &[7; 500]);
            writer.add(b"count", 1);
            let stamp = writer.commit().await.unwrap();
            println!("answered {stamp}");
        }
    };
    futures::join!(committer(), committer(), committer());
}

#[tokio::test]
async fn every_answered_commit_survives_a_kill_and_stamps_go_on_rising() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.redb");
    let random = SeededRandom::new(5);
    let mut answered: Vec<String> = Vec::new();
    for kill in 0..KILLS {
        let answers = run_and_kill(&path, 1 + usize::try_from(random.next_u64() % 60).unwrap());
        let fresh = answers.iter().all(|stamp| answered.iter().all(|earlier| earlier < stamp));
        assert!(fresh, "kill {kill}: a stamp was given again");
        answered.extend(answers);

        let store = reopen(&path).await;
        let mut reader = store.begin().await.unwrap();
        let log = scan(reader.as_mut(), KeyRange::prefix(PREFIX), Read::Snapshot).await.unwrap();
        let count = reader.get(b"count", Read::Snapshot).await.unwrap().unwrap();
        assert_eq!(
            i64::from_le_bytes(count.as_ref().try_into().unwrap()),
            log.len() as i64,
            "kill {kill}: half a commit"
        );
        let present: Vec<String> = log.iter().map(|(key, _)| stamp_of(key).to_string()).collect();
        assert!(answered.iter().all(|stamp| present.contains(stamp)), "kill {kill}: an answered commit is lost");
        drop(reader);
        store.close().await;
    }
}

/// Starts the child, and kills it once it has reported `answers` commits. Returns all that it reported.
fn run_and_kill(path: &Path, answers: usize) -> Vec<String> {
    let mut child: Child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture"])
        .env(CHILD_PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut reported = Vec::new();
    while reported.len() < answers {
        let line = lines.next().expect("the child reports until it is killed").unwrap();
        reported.extend(answer(&line));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had printed before the kill reached it was answered as well; the last line may be torn.
    reported.extend(lines.map_while(Result::ok).filter_map(|line| answer(&line)));
    reported
}

fn answer(line: &str) -> Option<String> {
    let (_, stamp) = line.split_once("answered ")?;
    (stamp.len() == 2 * Stamp::BYTES).then(|| stamp.to_owned())
}

fn stamp_of(key: &[u8]) -> Stamp {
    Stamp(key[PREFIX.len()..].try_into().unwrap())
}

async fn reopen(path: &Path) -> RedbStore {
    match RedbStore::open(path, Arc::new(SystemClock::new())).await {
        Ok(store) => store,
        Err(error @ StoreError::Locked { .. }) => panic!("the killed process still holds the file: {error}"),
        Err(error) => panic!("the store does not open after a kill: {error}"),
    }
}
