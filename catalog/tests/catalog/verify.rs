//! Verification: a sound catalog has no finding, and each thing that can be wrong has one that names its key.

use std::time::Duration;

use millrace_catalog::store::KvStore;
use millrace_catalog::tools::{VerifyProgress, VerifyReport, verify};
use millrace_catalog::*;

use crate::dump::{get, key, put};
use crate::fixture::{Shop, in_memory, on_every_store, range, with_clock};
use crate::town::Town;

async fn verified(store: &dyn KvStore) -> VerifyReport {
    verify(store, &crate::fixture::world(), &mut |_| {}).await.unwrap()
}

/// Replaces a text within the value of a key.
async fn edit(store: &dyn KvStore, key: &[u8], from: &str, to: &str) {
    let value = get(store, key).await.unwrap_or_else(|| panic!("{} is not there", key.escape_ascii()));
    let at = value.windows(from.len()).position(|window| window == from.as_bytes());
    let at = at.unwrap_or_else(|| panic!("{from} is not in {}", value.escape_ascii()));
    put(store, key, &[&value[..at], to.as_bytes(), &value[at + from.len()..]].concat()).await;
}

async fn clear(store: &dyn KvStore, key: &[u8]) {
    let mut transaction = store.begin().await.unwrap();
    transaction.clear(key);
    transaction.commit().await.unwrap();
}

/// The value of a record.
fn value(json: &str) -> Vec<u8> {
    [&[1], json.as_bytes()].concat()
}

/// The value of a record that holds a version.
fn stamped(version: Version, json: &str) -> Vec<u8> {
    [&[1], &version.0[..], json.as_bytes()].concat()
}

#[tokio::test]
async fn a_sound_catalog_has_no_finding() {
    on_every_store(async |shop: Shop| {
        Town::with_everything(&shop).await;
        let report = verified(&*shop.faults).await;
        assert!(report.is_sound() && report.is_of_one_version, "{report:#?}");
        assert_eq!(report.counts.values().sum::<u64>(), report.keys);
        assert!(report.counts["log"] > 30 && report.counts["stream"] > 3 && report.tables >= 2, "{report:?}");
    })
    .await;
    for seed in 100..130 {
        let shop = in_memory().await;
        Town::at_random(&shop, seed, 50).await;
        let report = verified(&*shop.faults).await;
        assert!(report.is_sound(), "seed {seed}: {report:#?}");
    }
}

#[tokio::test]
async fn what_is_not_a_catalog_is_not_sound() {
    let world = crate::fixture::world();
    let store = millrace_catalog::store::MemoryStore::new(world.clock.clone());
    let report = verified(&store).await;
    assert_eq!((report.findings.len(), report.findings[0].key.as_str()), (1, "format"));
}

/// A catalog in which something is broken, and what must then be found: a key, and words.
struct Broken<'a> {
    shop: &'a Shop,
    store: &'a dyn KvStore,
    /// An open stream that is granted and committed, one that is closed, and an open channel's.
    stream: StreamId,
    closed: StreamId,
    channel: StreamId,
    head: Version,
    version: Version,
}

impl Broken<'_> {
    fn table(&self) -> u64 {
        self.shop.table.id.0
    }

    fn pipeline(&self) -> u64 {
        self.shop.pipeline.id.0
    }

    fn log_key(&self, version: Version) -> Vec<u8> {
        [key("log/", &[self.table()]), b"/".to_vec(), version.0.to_vec()].concat()
    }

    fn identity(&self, partition: u8) -> Vec<u8> {
        [key("stream_of_identity/", &[self.pipeline()]), vec![0, 0, 0, 0, 0, 0, 0, partition], b"clicks\0i1".to_vec()]
            .concat()
    }
}

/// Breaks `what` of a small catalog; answers the key and the words that must be found, or `None` after the last.
async fn break_it(what: usize, it: &Broken<'_>) -> Option<(String, &'static str)> {
    let (store, table, pipeline) = (it.store, it.table(), it.pipeline());
    let (stream, channel) = (it.stream.0, it.channel.0);
    let log = format!("log/{table}/");
    let found = match what {
        0 => {
            put(store, b"zebra", b"").await;
            ("zebra".to_owned(), "no such type of key")
        }
        1 => {
            put(store, b"table/short", &value("{}")).await;
            ("table/short".to_owned(), "the key cannot be read")
        }
        2 => {
            edit(store, &key("offset/", &[stream]), "{", "[").await;
            (format!("offset/{stream}"), "expected")
        }
        3 => {
            put(store, &key("stream/", &[stream]), b"\x02{}").await;
            (format!("stream/{stream}"), "it has format 2")
        }
        4 => {
            edit(store, &it.log_key(it.version), "\"wall\"", "\"wull\"").await;
            (log + &it.version.to_string(), "missing field")
        }
        5 => {
            clear(store, b"format").await;
            ("format".to_owned(), "missing")
        }
        6 => {
            put(store, b"copying", &value(r#"{"id":"c","nonce":1}"#)).await;
            ("copying".to_owned(), "not finished")
        }
        7 => {
            put(store, b"counter/table", &value("0")).await;
            (String::new(), "the last that was given out is 0")
        }
        8 => {
            put(store, b"counter/stream", &value("1")).await;
            (String::new(), "the last that was given out is 1")
        }
        9 => {
            put(store, b"counter/sheep", &value("1")).await;
            ("counter/sheep".to_owned(), "nothing is counted")
        }
        10 => {
            clear(store, &key("fence/table/", &[table])).await;
            (format!("table/{table}"), "is missing")
        }
        11 => {
            edit(store, &key("fence/table/", &[table]), "\"schema\":1", "\"schema\":2").await;
            (format!("table/{table}"), "says")
        }
        12 => {
            put(store, &key("fence/table/", &[77]), &value(r#"{"fence":1,"schema":1}"#)).await;
            ("fence/table/77".to_owned(), "there is no table 77")
        }
        13 => {
            put(store, b"table_name/default\0again", &value(&table.to_string())).await;
            ("table_name/default/again".to_owned(), "a second name")
        }
        14 => {
            put(store, b"table_name/default\0ghost", &value("77")).await;
            ("table_name/default/ghost".to_owned(), "which is not there")
        }
        15 => {
            clear(store, b"table_name/default\0clicks").await;
            (format!("table/{table}"), "is not the name of this table")
        }
        16 => {
            clear(store, b"database/default").await;
            (format!("table/{table}"), "there is no database")
        }
        17 => {
            edit(store, &key("table/", &[table]), &format!("\"id\":{table}"), "\"id\":77").await;
            (format!("table/{table}"), "another table than its key says")
        }
        18 => {
            edit(store, &key("table/", &[table]), "\"name\":\"kind\"", "\"name\":\"TS\"").await;
            (format!("table/{table}"), "one name")
        }
        19 => {
            put(store, &key("unnamed_table/", &[table]), &value(r#"{"node":"n1","process":1}"#)).await;
            (format!("table/{table}"), "is one without")
        }
        20 => {
            put(store, &key("dropped/", &[table]), &value(r#"{"since":1}"#)).await;
            (format!("table/{table}"), "is dropped")
        }
        21 => {
            put(store, &key("truncated/", &[table]), &stamped(it.version, &truncated(Version::ZERO))).await;
            (format!("truncated/{table}"), "no TRUNCATE at")
        }
        22 => {
            clear(store, &key("head/", &[table])).await;
            (format!("head/{table}"), "it is missing, and the table's log ends at")
        }
        23 => {
            put(store, &key("head/", &[table]), &stamped(it.version, "null")).await;
            (format!("head/{table}"), "and the table's log ends at")
        }
        24 => {
            clear(store, &it.log_key(it.head)).await;
            (format!("head/{table}"), "and the table's log ends at")
        }
        25 => {
            put(store, &key("head/", &[77]), &stamped(it.version, "null")).await;
            ("head/77".to_owned(), "the table has no log")
        }
        26 => {
            // A commit is taken out of the middle of the log.
            clear(store, &it.log_key(it.version)).await;
            (log, "(I3)")
        }
        27 => {
            edit(store, &it.log_key(it.version), "\"epoch\":1", "\"epoch\":9").await;
            (log + &it.version.to_string(), "(I2)")
        }
        28 => {
            edit(store, &it.log_key(it.version), "\"ledger\":{\"rows\":5", "\"ledger\":{\"rows\":4").await;
            (log + &it.version.to_string(), "accounts for 4 offsets")
        }
        29 => {
            edit(store, &it.log_key(it.version), "\"rows\":5,\"errors\":0", "\"rows\":4,\"errors\":1").await;
            (log + &it.version.to_string(), "(I1)")
        }
        30 => {
            edit(store, &it.log_key(it.version), "\"rows\":5,\"partition\"", "\"rows\":6,\"partition\"").await;
            (log + &it.version.to_string(), "has 6 rows, and 5 of its streams")
        }
        31 => {
            edit(store, &key("offset/", &[stream]), "\"next\":9", "\"next\":10").await;
            (format!("offset/{stream}"), "it is 10, and by the log of table")
        }
        32 => {
            clear(store, &key("offset/", &[stream])).await;
            (format!("stream/{stream}"), "is missing")
        }
        33 => {
            edit(store, &key("offset/", &[stream]), &format!("\"table\":{table}"), "\"table\":77").await;
            (format!("offset/{stream}"), "it is of table 77")
        }
        34 => {
            clear(store, &key("stream/", &[stream])).await;
            (format!("stream/{stream}"), "has it open")
        }
        35 => {
            clear(store, &key("owner/", &[stream])).await;
            (format!("owner/{stream}"), "has granted the stream")
        }
        36 => {
            edit(store, &key("owner/", &[stream]), "\"epoch\":1", "\"epoch\":7").await;
            (format!("owner/{stream}"), "under epoch 7, and by its table's log to epoch 1 (I2)")
        }
        37 => {
            let owner = get(store, &key("owner/", &[stream])).await.unwrap();
            put(store, &key("owner/", &[it.closed.0]), &owner).await;
            (format!("owner/{}", it.closed), "to nobody (I2)")
        }
        38 => {
            edit(store, &key("stream/", &[it.closed.0]), "Closed", "Open").await;
            (format!("stream/{}", it.closed), "by its table's log Closed")
        }
        39 => {
            edit(store, &key("stream/", &[stream]), "\"start\":0", "\"start\":3").await;
            (format!("stream/{stream}"), "has opened it as another")
        }
        40 => {
            clear(store, &it.identity(0)).await;
            (format!("stream/{stream}"), "does not name it")
        }
        41 => {
            put(store, &it.identity(9), &value("77")).await;
            (format!("stream_of_identity/{pipeline}/0/9/clicks/i1"), "there is no stream 77")
        }
        42 => {
            let found = format!("channel/{table}/77/1");
            edit(
                store,
                &key("channel/", &[table, 77, 1]),
                &format!("\"stream\":{channel}"),
                &format!("\"stream\":{stream}"),
            )
            .await;
            (found, "is not this channel's")
        }
        43 => {
            clear(store, &key("channel/", &[table, 77, 1])).await;
            (format!("stream/{channel}"), "no channel/")
        }
        44 => {
            let token = [&b"token/c"[..], &channel.to_be_bytes()].concat();
            edit(store, &token, "\"0", "\"f").await;
            (format!("token/channel/{channel}"), "has no commit f")
        }
        45 => {
            let token = [&b"token/c"[..], &77_u64.to_be_bytes()].concat();
            put(store, &token, &stamped(it.version, &format!("\"{:032x}\"", 5))).await;
            ("token/channel/77".to_owned(), "there is no stream 77")
        }
        46 => {
            let token = [&b"token/t"[..], &pipeline.to_be_bytes(), &[0; 4]].concat();
            let last = get(store, &token).await.unwrap();
            let last = std::str::from_utf8(&last[18..50]).unwrap();
            let last = u128::from_str_radix(last, 16).unwrap();
            let void = [&b"void/t"[..], &pipeline.to_be_bytes(), &[0; 4], &last.to_be_bytes()].concat();
            put(store, &void, &value("null")).await;
            (format!("token/task/{pipeline}/0"), "is voided")
        }
        47 => {
            let path = it.shop.snapshot().await.parts[0].path.clone();
            put(store, format!("garbage/{path}").as_bytes(), &value(r#"{"since":1}"#)).await;
            (format!("garbage/{path}"), "that is visible")
        }
        48 => {
            let label = [key("label_age/", &[0, table]), b"load".to_vec()].concat();
            let ages = crate::dump::lines(store, "label_age/").await;
            let wall: u64 = ages[0]["key"].as_str().unwrap().split('/').nth(1).unwrap().parse().unwrap();
            let age = [key("label_age/", &[wall, table]), b"load".to_vec()].concat();
            assert_eq!(label.len(), age.len());
            clear(store, &age).await;
            (format!("label/{table}/load"), "is missing")
        }
        49 => {
            let label = [key("label/", &[table]), b"later".to_vec()].concat();
            let wall = 5_u64;
            put(store, &[key("label_age/", &[wall, table]), b"later".to_vec()].concat(), &value("null")).await;
            put(store, &label, &stamped(Version([3; 16]), r#"{"rows":1,"wall":5}"#)).await;
            (format!("label/{table}/later"), "is not in the table's log")
        }
        50 => {
            clear(store, &key("fence/pipeline/", &[pipeline])).await;
            (format!("pipeline/{pipeline}"), "is missing")
        }
        51 => {
            put(store, &key("fence/pipeline/", &[pipeline]), &value("9")).await;
            (format!("pipeline/{pipeline}"), "says 9")
        }
        52 => {
            clear(store, &key("pipeline_of_table/", &[table, pipeline])).await;
            (format!("pipeline/{pipeline}"), "pipeline_of_table/")
        }
        53 => {
            put(store, &key("pipeline_of_table/", &[table, 77]), &value("null")).await;
            (format!("pipeline_of_table/{table}/77"), "does not go into table")
        }
        54 => {
            clear(store, b"pipeline_name/default\0clicks_in").await;
            (format!("pipeline/{pipeline}"), "is not the name of this pipeline")
        }
        55 => {
            put(store, b"pipeline_name/default\0ghost", &value("77")).await;
            ("pipeline_name/default/ghost".to_owned(), "which is not there")
        }
        56 => {
            let lease = get(store, &key("lease/", &[pipeline])).await.unwrap();
            put(store, &key("lease/", &[77]), &lease).await;
            ("lease/77".to_owned(), "there is no pipeline 77")
        }
        57 => {
            // As a copy by other means: the versions are of this era, and the store knows nothing of their stamps.
            edit(store, b"format", "\"era\":1", "\"era\":0").await;
            (String::new(), "and the catalog is of era 0")
        }
        58 => {
            let mut far = it.head;
            far.0[4] = 9;
            put(store, &it.log_key(far), &value(r#"{"Truncated":{"wall":0}}"#)).await;
            put(store, &key("head/", &[table]), &stamped(far, "null")).await;
            (format!("head/{table}"), "the store has given out stamps up to")
        }
        59 => {
            put(store, &key("rewrite/", &[77]), &value(r#"{"count":1,"tokens":[]}"#)).await;
            ("rewrite/77/".to_owned(), "there is no table 77")
        }
        60 => {
            edit(store, b"user/app", "\"name\":\"app\"", "\"name\":\"root\"").await;
            ("user/app".to_owned(), "another user than its key says")
        }
        61 => {
            put(
                store,
                &[key("log/", &[77]), b"/".to_vec(), it.version.0.to_vec()].concat(),
                &value(r#"{"StreamsClosed":[]}"#),
            )
            .await;
            (String::new(), "neither is there nor was dropped")
        }
        62 => {
            let void = [&b"void/c"[..], &77_u64.to_be_bytes(), &[0; 16]].concat();
            put(store, &void, &value("null")).await;
            ("void/channel/77/".to_owned(), "it names stream 77, and the last that was given out is")
        }
        63 => {
            let (commits, parts) =
                (it.shop.catalog.commits(it.shop.table.id, 9).await.unwrap(), it.shop.snapshot().await.parts);
            let [first, second] = [0, 1].map(|at: usize| format!("\"id\":\"{}\"", parts[at].id));
            edit(store, &it.log_key(commits[1].version), &second, &first).await;
            (log, "is visible twice (I1)")
        }
        _ => return None,
    };
    Some(found)
}

fn truncated(done: Version) -> String {
    format!(r#"{{"since":1,"done":"{done}"}}"#)
}

/// A small catalog: a stream that is granted, one that is closed, commits, a channel with a label, a user.
async fn small(shop: &Shop) -> Broken<'_> {
    let (a, b) = (shop.stream(0).await, shop.stream(1).await);
    let version = shop.committed(&shop.flush(0, &[(&a, range(0, 5))]).await).await;
    shop.committed(&shop.flush(0, &[(&a, range(5, 9))]).await).await;
    shop.catalog.close_stream(b.stream, shop.lease.epoch).await.unwrap();
    shop.catalog.create_users(&[("app".to_owned(), Credential::None)], false).await.unwrap();
    let identity = ChannelIdentity { node: crate::fixture::node("n1"), process: 77, number: 1 };
    let channel = shop.catalog.open_channel(shop.table.id, &identity).await.unwrap();
    let (stream, rows) = (channel.stream, 3);
    let request = CommitRequest {
        writer: WriterId::Channel(stream),
        pipeline: None,
        streams: vec![StreamAdvance {
            stream,
            epoch: channel.epoch,
            range: range(0, rows),
            ledger: Ledger { rows, ..Ledger::default() },
            gaps: vec![],
        }],
        parts: vec![shop.part(vec![PartStream { stream, range: range(0, rows), rows }])],
        labels: vec![CommitLabel { label: "load".into(), rows }],
        ..shop.unstaged_flush(0, &[])
    };
    shop.stage(&request).await;
    let head = shop.committed(&request).await;
    Broken { shop, store: &*shop.faults, stream: a.stream, closed: b.stream, channel: stream, head, version }
}

#[tokio::test]
async fn each_thing_that_can_be_wrong_is_found_under_its_key() {
    let mut what = 0;
    loop {
        let shop = in_memory().await;
        let it = small(&shop).await;
        assert!(verified(it.store).await.is_sound(), "before it is broken");
        let Some((key, words)) = break_it(what, &it).await else { break };
        let report = verified(it.store).await;
        let is_found = report.findings.iter().any(|found| found.key.starts_with(&key) && found.what.contains(words));
        assert!(is_found, "{what}: {key} {words} is not in {report:#?}");
        assert!(report.findings.iter().all(|found| !found.means.is_empty()));
        what += 1;
    }
    assert_eq!(what, 64);
}

#[tokio::test]
async fn whatever_bytes_are_wrong_verification_ends() {
    let shop = in_memory().await;
    Town::with_everything(&shop).await;
    let random = vfs::SeededRandom::new(9);
    let below = |limit: usize| (vfs::Random::next_u64(&random) % limit as u64) as usize;
    let store = &*shop.faults;
    let mut sound = 0;
    for _ in 0..300 {
        let mut transaction = store.begin().await.unwrap();
        let all = millrace_catalog::store::KeyRange::prefix(b"");
        let page = transaction.range(all, Default::default()).await.unwrap();
        let (key, value) = page.entries[below(page.entries.len())].clone();
        let mut damaged = value.to_vec();
        let digit = damaged.iter().skip(below(damaged.len())).position(u8::is_ascii_digit);
        match (digit, below(3)) {
            // A digit of a number, which is still one, or any bit.
            (Some(at), 0 | 1) => damaged[at] = b'0' + below(10) as u8,
            _ => {
                let at = below(damaged.len());
                damaged[at] ^= 1 << below(8);
            }
        }
        put(store, &key, &damaged).await;
        sound += u32::from(verified(store).await.is_sound());
        put(store, &key, &value).await;
    }
    assert!(verified(store).await.is_sound());
    assert!(sound < 200, "{sound} of 300 were not noticed: times, sizes, places in memory");
}

#[tokio::test]
async fn a_catalog_that_is_written_to_for_longer_than_a_transaction_lives_is_said_to_be_so() {
    let (shop, clock) = with_clock().await;
    Town::with_everything(&shop).await;
    let writer = WriterId::Task(shop.pipeline.id, TaskIndex(0));
    let intents: Vec<_> = (0..3_000).map(|_| crate::fixture::intent(writer, &shop.part(vec![]))).collect();
    shop.catalog.stage(&intents).await.unwrap();
    for writes in [false, true] {
        let mut seen = VerifyProgress::default();
        let mut progress = |progress: VerifyProgress| {
            assert!(progress.keys >= seen.keys && progress.tables >= seen.tables);
            seen = progress;
            clock.advance(Duration::from_secs(6));
            if writes {
                let users = [(format!("u{}", progress.keys), Credential::None)];
                futures::executor::block_on(shop.catalog.create_users(&users, true)).unwrap();
            }
        };
        let report = verify(&*shop.faults, &shop.world, &mut progress).await.unwrap();
        assert_eq!(report.is_of_one_version, !writes);
        assert!(report.is_sound(), "{report:?}");
        assert_eq!((seen.keys, seen.tables), (report.keys, report.tables));
    }
}
