//! Damage on disk: found by checksum, named, and never read as data.

use std::path::Path;

use millrace_tests::{Broker, Ledger, events};

use crate::stage::{ALL_EVENTS, Stage, Stopped, assert_says};

/// Flips one bit of a byte.
fn flip(path: &Path, at: usize) {
    let mut content = std::fs::read(path).unwrap();
    content[at] ^= 0x10;
    std::fs::write(path, content).unwrap();
}

/// The length of a file without the zeros that it ends with.
fn used(path: &Path) -> usize {
    let content = std::fs::read(path).unwrap();
    content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// A stopped server with rows of several log records and nothing committed.
async fn logged(broker: &Broker, ledger: &mut Ledger) -> Stopped {
    let stage = Stage::with_events(broker, "flush_interval = '1h'").await;
    let producer = broker.producer(&[]).unwrap();
    for round in 0..8 {
        let payloads = (round * 50..round * 50 + 50).map(|seq| (0, events::payload(seq, "to be logged"))).collect();
        producer.send_all(payloads, ledger).await.unwrap();
        stage.until(ALL_EVENTS, ledger.len() as i64).await;
    }
    stage.kill().await
}

fn largest(files: &[std::path::PathBuf]) -> &Path {
    files.iter().max_by_key(|path| used(path)).expect("there is a file")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_the_middle_of_the_log_is_a_named_error_and_the_way_out_that_it_names_works() {
    let broker = Broker::mock("events", 1).unwrap();
    let mut ledger = Ledger::default();
    let stopped = logged(&broker, &mut ledger).await;
    let segments = stopped.files("wal");
    let segment = largest(&segments);
    flip(segment, used(segment) / 2);

    let error = stopped.refusal().await;
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    let wal = stopped.options.data_dir.join("wal");
    let wal_text = wal.display().to_string();
    assert_says(&error, &["write-ahead log", "damaged", &name, "at byte", &wal_text, "move that directory away"]);
    assert_says(&stopped.refusal().await, &["damaged"]);

    std::fs::rename(&wal, stopped.directory.path().join("wal-damaged")).unwrap();
    let mut stage = stopped.start().await;
    stage.until_all_of(&ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_end_of_the_log_is_cut_and_what_it_held_is_fetched_again() {
    let broker = Broker::mock("events", 1).unwrap();
    let mut ledger = Ledger::default();
    let stopped = logged(&broker, &mut ledger).await;
    let segments = stopped.files("wal");
    let segment = largest(&segments);
    let content = std::fs::read(segment).unwrap();
    std::fs::write(segment, &content[..used(segment) - 30]).unwrap();
    let mut stage = stopped.start().await;
    stage.until_all_of(&ledger).await;
}

/// A stopped server whose rows all lie in parts.
async fn committed(broker: &Broker) -> Stopped {
    let mut stage = Stage::with_events(broker, "flush_interval = '1h'").await;
    let producer = broker.producer(&[]).unwrap();
    let payloads = (0..2_000).map(|seq| (0, events::payload(seq, &format!("{seq:x>40}")))).collect();
    producer.send_all(payloads, &mut Ledger::default()).await.unwrap();
    stage.until(ALL_EVENTS, 2_000).await;
    stage.sql.run("PAUSE PIPELINE events_in").await.unwrap();
    stage.sql.run("CREATE TABLE other (a INT)").await.unwrap();
    stage.stop().await
}

fn the_part(stopped: &Stopped) -> std::path::PathBuf {
    let parts = stopped.files("objects");
    assert_eq!(parts.len(), 1, "{parts:?}");
    parts[0].clone()
}

const EVERYTHING: &str = "SELECT seq, body, _stream, _offset FROM events";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_part_is_named_before_any_of_its_rows_is_returned() {
    let broker = Broker::mock("events", 1).unwrap();
    let mut stopped = committed(&broker).await;
    let part = the_part(&stopped);
    let whole = std::fs::read(&part).unwrap();
    let name = part.file_stem().unwrap().to_string_lossy().into_owned();
    // Row data, and the footer.
    for at in [16, whole.len() / 3, whole.len() - 20] {
        std::fs::write(&part, &whole).unwrap();
        flip(&part, at);
        let mut stage = stopped.start().await;
        let (rows, error) = stage.sql.rows_until_error(EVERYTHING).await;
        let error = format!("{:#}", error.unwrap_or_else(|| panic!("byte {at} is damaged, and nobody noticed")));
        assert_eq!(rows.len(), 0, "byte {at}: rows were returned before {error}");
        assert_says(&error, &["part", "damaged", &name, "restore"]);
        assert_eq!(stage.sql.number("SELECT count(*) FROM other").await.unwrap(), 0, "other tables answer");
        stopped = stage.stop().await;
    }
    std::fs::write(&part, &whole).unwrap();
    let mut stage = stopped.start().await;
    assert_eq!(stage.sql.rows(EVERYTHING).await.unwrap().len(), 2_000, "restoring it is the way out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_cut_or_missing_is_named() {
    let broker = Broker::mock("events", 1).unwrap();
    let stopped = committed(&broker).await;
    let part = the_part(&stopped);
    let whole = std::fs::read(&part).unwrap();
    let name = part.file_stem().unwrap().to_string_lossy().into_owned();
    std::fs::write(&part, &whole[..whole.len() - 100]).unwrap();
    let mut stage = stopped.start().await;
    assert_says(&stage.sql.error(EVERYTHING).await.unwrap(), &["part", "damaged", &name]);
    let stopped = stage.stop().await;
    std::fs::remove_file(&part).unwrap();
    let mut stage = stopped.start().await;
    assert_says(&stage.sql.error(EVERYTHING).await.unwrap(), &["part", "missing", &name, "restore"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_catalog_is_named_at_the_start() {
    let stopped = Stage::open().await.stop().await;
    let catalog = stopped.options.data_dir.join("catalog.redb");
    std::fs::write(&catalog, b"this is no catalog").unwrap();
    assert_says(&stopped.refusal().await, &["catalog", &catalog.display().to_string()]);
}
