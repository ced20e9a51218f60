//! Dumps: every key as a line, whatever is in it, and no secret.

use std::io::{self, Write};
use std::time::Duration;

use millrace_catalog::store::contract::ManualClock;
use millrace_catalog::store::{KvStore, Read};
use millrace_catalog::tools::{DumpError, DumpReport, dump};
use millrace_catalog::{CatalogService, TaskIndex, WriterId};
use serde_json::Value;

use crate::fixture::{Shop, in_memory, on_every_store, with_clock};
use crate::town::Town;

/// The lines of a dump whose keys begin with `prefix`.
pub(crate) async fn lines(store: &dyn KvStore, prefix: &str) -> Vec<Value> {
    let (text, _) = dumped(store, prefix).await;
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn dumped(store: &dyn KvStore, prefix: &str) -> (String, DumpReport) {
    let mut text = Vec::new();
    let report = dump(store, &crate::fixture::world(), prefix, &mut text).await.unwrap();
    (String::from_utf8(text).unwrap(), report)
}

/// Writes a key as no program should.
pub(crate) async fn put(store: &dyn KvStore, key: &[u8], value: &[u8]) {
    let mut transaction = store.begin().await.unwrap();
    transaction.set(key, value);
    transaction.commit().await.unwrap();
}

pub(crate) async fn get(store: &dyn KvStore, key: &[u8]) -> Option<Vec<u8>> {
    let value = store.begin().await.unwrap().get(key, Read::Snapshot).await.unwrap();
    value.map(|value| value.to_vec())
}

/// A key of a type, with numbers after it.
pub(crate) fn key(prefix: &str, numbers: &[u64]) -> Vec<u8> {
    let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
    prefix.bytes().chain(numbers).collect()
}

#[tokio::test]
async fn every_key_is_a_line_in_the_order_of_keys() {
    on_every_store(async |shop: Shop| {
        Town::with_everything(&shop).await;
        let (text, report) = dumped(&*shop.faults, "").await;
        let lines = lines(&*shop.faults, "").await;
        assert_eq!((report.keys, report.unreadable, report.is_of_one_version), (lines.len() as u64, 0, true), "{text}");
        for line in &lines {
            assert!(line.get("error").is_none() && line.get("record").is_some(), "{line}");
        }
        let types: std::collections::BTreeSet<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
        assert!(types.len() >= 30, "{types:?}");
        let log = lines.iter().find(|line| line["type"] == "log").unwrap();
        let (key, version) = (log["key"].as_str().unwrap(), log["version"].as_str().unwrap());
        assert_eq!(key, format!("log/{}/{version}", shop.table.id));
        let head = lines.iter().find(|line| line["key"] == format!("head/{}", shop.table.id)).unwrap();
        assert_eq!(head["version"], shop.snapshot().await.version.to_string());
    })
    .await;
}

#[tokio::test]
async fn a_prefix_is_one_of_what_is_shown() {
    let shop = in_memory().await;
    Town::with_everything(&shop).await;
    let all = lines(&*shop.faults, "").await;
    for prefix in
        ["table", "table/", "log/1/", "log/1", "label/1/load", "fence/", "pipelines_changed", "token/task", "nothing"]
    {
        let expected: Vec<&Value> =
            all.iter().filter(|line| line["key"].as_str().unwrap().starts_with(prefix)).collect();
        assert_eq!(lines(&*shop.faults, prefix).await.iter().collect::<Vec<_>>(), expected, "{prefix}");
    }
}

#[tokio::test]
async fn secrets_are_hidden_also_in_what_cannot_be_read() {
    let shop = in_memory().await;
    Town::with_everything(&shop).await;
    let store = &*shop.faults;
    let secret_pipeline = br#"{"pipeline":{"source":{"properties":{"sasl.password":"hunter2"}},"id":"hunter2"}}"#;
    put(store, &key("pipeline/", &[99]), &[&[1], &secret_pipeline[..]].concat()).await;
    put(store, &key("pipeline/", &[98]), &[&[9], &secret_pipeline[..]].concat()).await;
    put(store, b"user/broken", b"\x01{\"user\":\"hunter2\"}").await;
    let (text, report) = dumped(store, "").await;
    assert!(!text.contains("hunter2") && !text.contains(&hex::encode("hunter2")), "{text}");
    assert!(!text.contains(&"07".repeat(32)), "a digest is shown");
    assert!(text.contains(r#""sasl.password":"(hidden)""#) && text.contains(r#""digest":"(hidden)""#), "{text}");
    assert_eq!(report.unreadable, 3);
    assert!(text.contains("it has format 9, and this program reads formats up to 1"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_read_is_a_line_with_its_bytes_and_the_dump_goes_on() {
    let shop = in_memory().await;
    let store = &*shop.faults;
    put(store, &key("table/", &[9]), b"\x01{").await;
    put(store, b"table/xy", b"\x01{}").await;
    put(store, &key("head/", &[9]), b"\x02later").await;
    put(store, b"zebra", b"stripes").await;
    put(store, b"empty", b"").await;
    let lines = lines(store, "").await;
    let of = |key: &str| lines.iter().find(|line| line["key"] == key).unwrap_or_else(|| panic!("{key}"));
    for (shown, kind, error, raw) in [
        ("table/9", "table", "EOF", "017b"),
        ("table/xy", "table", "the key cannot be read", "017b7d"),
        ("head/9", "head", "it has format 2", "026c61746572"),
        ("zebra", "unknown", "no such type", "73747269706573"),
        ("empty", "unknown", "no such type", ""),
    ] {
        let line = of(shown);
        assert_eq!((&line["type"], &line["raw_value"]), (&kind.into(), &raw.into()), "{line}");
        assert!(line["error"].as_str().unwrap().contains(error) && line.get("record").is_none(), "{line}");
    }
    assert_eq!(of("zebra")["raw_key"], hex::encode("zebra"));
    assert!(of("format").get("record").is_some());
}

/// A sink that takes so long that no transaction lives to the end.
struct Slow<'a>(&'a ManualClock, usize);

impl Write for Slow<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1 += bytes.iter().filter(|byte| **byte == b'\n').count();
        self.0.advance(Duration::from_millis(1));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_dump_that_takes_longer_than_a_transaction_goes_on_and_says_what_it_is_of() {
    let (shop, clock) = with_clock().await;
    let writer = WriterId::Task(shop.pipeline.id, TaskIndex(0));
    let part = |_| crate::fixture::intent(writer, &shop.part(vec![]));
    let intents: Vec<_> = (0..2_500).map(part).collect();
    shop.catalog.stage(&intents).await.unwrap();
    let mut slow = Slow(&clock, 0);
    let report = dump(&*shop.faults, &shop.world, "intent/", &mut slow).await.unwrap();
    assert_eq!((report.keys, report.is_of_one_version, slow.1), (2_500, true, 2_500), "nobody wrote meanwhile");
}

#[tokio::test]
async fn a_sink_that_takes_no_more_ends_it() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let shop = in_memory().await;
    match dump(&*shop.faults, &shop.world, "", &mut Full).await {
        Err(DumpError::Write(error)) => assert_eq!(error.kind(), io::ErrorKind::BrokenPipe),
        other => panic!("{other:?}"),
    }
}
