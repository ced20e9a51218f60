//! Copies: byte for byte, whole or not to be opened, and a catalog on which everything goes on.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::poll;
use millrace_catalog::store::{
    CommitFault, FaultOdds, FaultyStore, KvStore, MemoryStore, PostgresAddress, PostgresStore, RedbStore,
};
use millrace_catalog::tools::{CopyReport, copy, verify};
use millrace_catalog::*;
use serde_json::Value;
use vfs::{Inline, OsRandom, Random, SeededRandom, SystemClock, World};

use crate::dump::{lines, put};
use crate::fixture::{Shop, in_memory, intent, node, range, world};
use crate::town::Town;

fn memory(world: &World) -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(world.clock.clone()))
}

async fn copied(from: &dyn KvStore, to: &dyn KvStore, world: &World) -> Result<CopyReport, CatalogError> {
    copy(from, to, world, &mut |_| {}).await
}

/// What a copy keeps of a dump.
async fn kept(store: &dyn KvStore) -> Vec<Value> {
    let mut lines = lines(store, "").await;
    lines.retain(|line| line["key"] != "format" && line["key"] != "server_lease");
    lines
}

async fn message(copy: impl Future<Output = Result<CopyReport, CatalogError>>) -> String {
    copy.await.unwrap_err().to_string()
}

/// A shop with more keys than a page has.
async fn large() -> Shop {
    let shop = in_memory().await;
    Town::with_everything(&shop).await;
    let writer = WriterId::Task(shop.pipeline.id, TaskIndex(0));
    let intents: Vec<_> = (0..2_200).map(|_| intent(writer, &shop.part(vec![]))).collect();
    shop.catalog.stage(&intents).await.unwrap();
    shop
}

#[tokio::test]
async fn random_catalogs_are_the_same_after_two_copies_and_are_sound() {
    for seed in 0..12 {
        let shop = in_memory().await;
        Town::at_random(&shop, seed, 40).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.redb");
        let redb = RedbStore::open(&path, shop.world.clock.clone()).await.unwrap();
        let first = copied(&*shop.faults, &redb, &shop.world).await.unwrap();
        let last = memory(&shop.world);
        let second = copied(&redb, &*last, &shop.world).await.unwrap();
        redb.close().await;
        assert_eq!((first.era, second.era), (2, 3));
        assert_eq!(
            (&first.checksum, first.keys, &first.id),
            (&second.checksum, second.keys, &shop.catalog.identity().id)
        );
        assert_eq!(kept(&*shop.faults).await, kept(&*last).await, "seed {seed}");
        let report = verify(&*last, &shop.world, &mut |_| {}).await.unwrap();
        assert!(report.is_sound() && report.keys == second.keys + 1, "seed {seed}: {report:?}");
        let catalog = Catalog::open(last, shop.world.clone()).await.unwrap();
        assert_eq!((catalog.identity().era, &catalog.identity().id), (3, &shop.catalog.identity().id));
    }
}

#[tokio::test]
async fn everything_goes_on_in_a_copied_catalog() {
    let shop = in_memory().await;
    let mut town = Town::with_everything(&shop).await;
    let truncations = shop.catalog.truncations(shop.table.id).await.unwrap();
    let history = shop.catalog.commits(shop.table.id, 1_000).await.unwrap();
    let before = shop.snapshot().await;
    let store = memory(&shop.world);
    copied(&*shop.faults, &*store, &shop.world).await.unwrap();
    let moved = shop.moved(store).await;

    let after = moved.snapshot().await;
    assert_eq!((after.version, &after.parts, &after.streams), (before.version, &before.parts, &before.streams));
    assert!(!after.parts.is_empty());
    assert_eq!(moved.catalog.truncations(shop.table.id).await.unwrap(), truncations);
    assert_eq!(moved.catalog.commits(shop.table.id, 1_000).await.unwrap(), history);

    // I6: a writer that asks again for the end of its last commit is told it, and nothing is committed twice.
    let (last, version) = town.committed.iter().rev().find(|(request, _)| request.pipeline.is_none()).unwrap();
    assert_eq!(moved.commit(last).await, CommitOutcome::Committed(*version));
    let labelled = moved.catalog.label(shop.table.id, &last.labels[0].label).await.unwrap().unwrap();
    assert_eq!(labelled.version, *version);

    // I2: what was granted before is so still, and a new grant fences it.
    let (granted, next) = town.streams.pop().unwrap();
    let pipeline = moved.catalog.pipeline("default", "clicks_in").await.unwrap();
    let table_fence = moved.catalog.table_by_id(shop.table.id).await.unwrap().fence;
    let commit = async |granted: &Granted, from: u64, to: u64| CommitRequest {
        table_fence,
        pipeline: Some((pipeline.id, pipeline.fence)),
        ..moved.flush(0, &[(granted, range(from, to))]).await
    };
    let first = moved.committed(&commit(&granted, next, next + 5).await).await;
    assert!(first.era() == 2 && first > before.version, "{first}");
    assert!(first.stamp() < before.version.stamp(), "else this shows nothing");
    let newer = moved.regrant(granted.stream, Some(granted.owner.epoch)).await;
    assert!(newer.owner.epoch > granted.owner.epoch && newer.committed == Offset(next + 5) && newer.version > first);
    let late = commit(&granted, next + 5, next + 6).await;
    assert_eq!(moved.commit(&late).await, CommitOutcome::Fenced(Fenced::Streams(vec![granted.stream])));
    let second = moved.committed(&commit(&newer, next + 5, next + 6).await).await;
    assert!(second > newer.version);

    // Read anew, the log of both eras is one.
    let reopened = moved.reopened().await.snapshot(shop.table.id).await.unwrap();
    assert_eq!((reopened.version, reopened.parts.len()), (second, before.parts.len() + 2));
    let commits = moved.catalog.commits(shop.table.id, 1_000).await.unwrap();
    assert_eq!((commits[0].version, commits[1].version), (second, first));
    assert_eq!(commits[2..], history[..], "newest first, and what was before the copy after it");

    // I7: a TRUNCATE in the new era takes the parts of both, and nothing that comes after it.
    let paths: Vec<String> = reopened.parts.iter().map(|part| part.path.clone()).collect();
    town.streams.push((newer, next + 6));
    let streams = town.streams.iter().map(|(it, next)| (it.stream, (it.owner.epoch, Offset(*next)))).collect();
    let request = TruncateRequest { table: shop.table.id, streams };
    let truncated = moved.catalog.truncate_table(&request).await.unwrap();
    assert!(matches!(truncated, TruncateOutcome::Truncated(Some(version)) if version > second), "{truncated:?}");
    let mut garbage = std::collections::BTreeSet::new();
    loop {
        let found = moved.catalog.garbage(1_000).await.unwrap();
        if found.is_empty() {
            break;
        }
        for path in found {
            moved.catalog.forget_garbage(&path).await.unwrap();
            garbage.insert(path);
        }
    }
    assert!(paths.iter().all(|path| garbage.contains(path)));
    assert!(moved.snapshot().await.parts.is_empty());
    assert_eq!(moved.catalog.truncations(shop.table.id).await.unwrap().len(), truncations.len() + 1);
    let report = verify(&*moved.faults, &shop.world, &mut |_| {}).await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    let table = moved.catalog.create_table(crate::fixture::new_table("later"), false).await.unwrap();
    assert!(table.id > shop.table.id);
}

#[tokio::test]
async fn a_copy_is_whole_or_is_not_to_be_opened() {
    let shop = large().await;
    let expected = kept(&*shop.faults).await;
    let mut given_up = 0;
    for seed in 0..24 {
        let inner = memory(&shop.world);
        let target = FaultyStore::new(inner.clone(), Arc::new(SeededRandom::new(seed)));
        target.set_odds(FaultOdds { fail_before: 300, fail_after: 150, apply_later: 150 });
        {
            let mut copy = pin!(copied(&*shop.faults, &target, &shop.world));
            // Each fault is a pause, at which it may be dropped.
            let mut polls = seed % 8 + 1;
            while polls > 0 && poll!(&mut copy).is_pending() {
                polls -= 1;
            }
        }
        let is_done = lines(&*inner, "format").await.len() == 1;
        let opened = Catalog::open(inner.clone(), shop.world.clone()).await;
        assert_eq!(is_done, opened.is_ok() && !lines(&*inner, "table/").await.is_empty(), "seed {seed}");
        if is_done {
            assert_eq!(kept(&*inner).await, expected, "seed {seed}");
            continue;
        }
        if let Err(error) = opened {
            given_up += 1;
            assert!(error.to_string().contains("was not finished"), "{error}");
            let report = verify(&*inner, &shop.world, &mut |_| {}).await.unwrap();
            assert!(report.findings.iter().any(|finding| finding.key == "copying"), "{report:?}");
        } else {
            continue;
        }
        // What is still on its way arrives while the next copy runs, or after it.
        let late = seed % 2 == 0;
        if late {
            target.release().await;
        }
        target.set_odds(FaultOdds::default());
        copied(&*shop.faults, &target, &shop.world).await.unwrap();
        target.release().await;
        assert_eq!(kept(&*inner).await, expected, "seed {seed}");
        assert_eq!(lines(&*inner, "copying").await.len(), 0);
        assert!(Catalog::open(inner, shop.world.clone()).await.is_ok());
    }
    assert!(given_up > 5, "{given_up} copies were given up in the middle");
}

#[tokio::test]
async fn i6_what_a_copy_writes_may_have_an_unknown_outcome() {
    let shop = large().await;
    let expected = kept(&*shop.faults).await;
    for fault in crate::unknown::UNKNOWN {
        // Of the first write, of one in the middle, and of the last.
        for at in 0..8 {
            let inner = memory(&shop.world);
            let target = FaultyStore::new(inner.clone(), Arc::new(SeededRandom::new(1)));
            target.script(std::iter::repeat_n(CommitFault::None, at).chain([fault]));
            let report = copied(&*shop.faults, &target, &shop.world).await.unwrap();
            target.release().await;
            assert_eq!(
                (report.keys as usize, kept(&*inner).await == expected),
                (expected.len(), true),
                "{fault:?} {at}"
            );
            assert!(Catalog::open(inner, shop.world.clone()).await.is_ok(), "{fault:?} {at}");
        }
    }
}

#[tokio::test]
async fn two_copies_to_one_target_do_not_mix() {
    let shop = large().await;
    let target = memory(&shop.world);
    let mut second = None;
    let mut pages = 0;
    let mut progress = |_| {
        pages += 1;
        if pages == 2 {
            // In the middle of the first one, another begins and ends.
            second = Some(futures::executor::block_on(copied(&*shop.faults, &*target, &shop.world)));
        }
    };
    let first = copy(&*shop.faults, &*target, &shop.world, &mut progress);
    assert!(message(first).await.contains("another copy to the same target has begun"));
    second.unwrap().unwrap();
    assert_eq!(kept(&*target).await, kept(&*shop.faults).await);
}

#[tokio::test]
async fn a_target_that_is_not_empty_and_a_source_without_a_catalog_are_refused() {
    let shop = in_memory().await;
    let world = world();
    let empty = memory(&world);
    assert!(message(copied(&*empty, &*memory(&world), &world)).await.contains("the source holds no catalog"));
    let other = memory(&world);
    let elsewhere = World { random: Arc::new(SeededRandom::new(99)), ..world.clone() };
    Catalog::open(other.clone(), elsewhere).await.unwrap();
    let refused = message(copied(&*shop.faults, &*other, &world)).await;
    assert!(refused.contains("the target is not empty, it holds database/default"), "{refused}");
    assert!(message(copied(&*shop.faults, &*shop.faults, &world)).await.contains("of this catalog"), "onto itself");
    // Half a copy of one catalog is no place for another, and no source.
    let half = memory(&world);
    put(&*half, b"copying", br#"xx{"id":"catalog-1","nonce":1}"#.strip_prefix(b"x").unwrap()).await;
    assert!(copied(&*shop.faults, &*half, &world).await.is_err());
    put(&*half, b"copying", &[&[1], &br#"{"id":"catalog-1","nonce":1}"#[..]].concat()).await;
    assert!(
        message(copied(&*shop.faults, &*half, &world)).await.contains("unfinished copy of another catalog, catalog-1")
    );
    assert!(message(copied(&*half, &*memory(&world), &world)).await.contains("the source is itself a copy"));
}

#[tokio::test]
async fn a_source_that_is_written_to_is_not_copied() {
    let shop = large().await;
    let target = memory(&shop.world);
    let mut n = 0;
    let mut progress = |_| {
        n += 1;
        futures::executor::block_on(put(&*shop.faults, b"user/x", &[n]));
    };
    let moving = copy(&*shop.faults, &*target, &shop.world, &mut progress);
    assert!(message(moving).await.contains("stop the servers of the source first"));
    assert!(Catalog::open(target, shop.world.clone()).await.is_err());
}

#[tokio::test]
async fn a_source_that_is_served_is_found_by_its_lease_and_the_lease_is_not_copied() {
    let shop = in_memory().await;
    let holder = node("n1");
    let duration = Duration::from_secs(5);
    let LeaseOutcome::Held(lease) = shop.catalog.server_lease(&holder, None, duration).await.unwrap() else {
        panic!("nobody else serves it")
    };
    // Its server has ended: the lease stays as it is for as long as it lasts.
    let target = memory(&shop.world);
    let begun = shop.world.clock.now();
    let mut waits = Duration::ZERO;
    copy(&*shop.faults, &*target, &shop.world, &mut |progress| waits = progress.waits).await.unwrap();
    assert!(shop.world.clock.now().since(begun) >= duration && waits == duration);
    assert_eq!(shop.moved(target).await.catalog.read_server_lease().await, Ok(None));
    // It has not: it renews it before that.
    let renews = async {
        // Runs while the copy waits for the lease to run out.
        shop.catalog.server_lease(&holder, Some(&lease), duration).await.unwrap();
    };
    let target = memory(&shop.world);
    let (copied, ()) = futures::join!(copied(&*shop.faults, &*target, &shop.world), renews);
    assert!(copied.unwrap_err().to_string().contains("stop the servers"));
}

/// Whoever runs them may do so in a task of his own.
#[test]
fn what_they_return_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    let world = world();
    let (from, to) = (memory(&world), memory(&world));
    let mut progress = |_| {};
    is_send(&copy(&*from, &*to, &world, &mut progress));
    let mut progress = |_| {};
    is_send(&verify(&*from, &world, &mut progress));
    let mut out = Vec::new();
    is_send(&millrace_catalog::tools::dump(&*from, &world, "", &mut out));
}

/// The move that is made most: out of the file, into a database, and back.
#[tokio::test]
async fn a_catalog_goes_to_postgres_and_back() {
    let Some(server) = std::env::var("MILLRACE_TEST_POSTGRES").ok().filter(|url| !url.is_empty()) else {
        let required = std::env::var("MILLRACE_TEST_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|name| name.trim() == "postgres"), "postgres is required here");
        return println!("skipped: no PostgreSQL (set MILLRACE_TEST_POSTGRES or run tests/components/postgres.sh)");
    };
    let clock = Arc::new(SystemClock::new());
    let world = World { clock: clock.clone(), random: Arc::new(OsRandom), compute: Arc::new(Inline) };
    let schema = format!("test_copy_{}_{:08x}", std::process::id(), OsRandom.next_u64() >> 32);
    let address = PostgresAddress::parse(&format!("{server}?schema={schema}")).unwrap();
    let shop = Shop::open(Arc::new(MemoryStore::new(clock)), world.clone()).await;
    let town = Town::with_everything(&shop).await;
    let writer = WriterId::Task(shop.pipeline.id, TaskIndex(0));
    let intents: Vec<_> = (0..2_200).map(|_| intent(writer, &shop.part(vec![]))).collect();
    shop.catalog.stage(&intents).await.unwrap();
    let postgres = Arc::new(PostgresStore::open(address, &world).await.unwrap());
    let there = copied(&*shop.faults, &*postgres, &world).await.unwrap();
    assert!(verify(&*postgres, &world, &mut |_| {}).await.unwrap().is_sound());
    assert_eq!(kept(&*postgres).await, kept(&*shop.faults).await);
    let moved = shop.moved(postgres.clone()).await;
    let (granted, next) = town.streams.last().unwrap();
    let request = CommitRequest {
        table_fence: moved.catalog.table_by_id(shop.table.id).await.unwrap().fence,
        pipeline: Some((shop.pipeline.id, moved.catalog.pipeline("default", "clicks_in").await.unwrap().fence)),
        ..moved.flush(0, &[(granted, range(*next, next + 5))]).await
    };
    let version = moved.committed(&request).await;
    assert!(version.era() == 2 && moved.snapshot().await.version == version);
    let home = memory(&world);
    let back = copied(&*postgres, &*home, &world).await.unwrap();
    assert_eq!((there.era, back.era, &back.id), (2, 3, &shop.catalog.identity().id));
    assert_eq!(kept(&*home).await, kept(&*postgres).await);
    assert!(verify(&*home, &world, &mut |_| {}).await.unwrap().is_sound());
    postgres.close().await;
}

#[tokio::test]
async fn two_copies_of_one_catalog_are_two_and_a_finished_one_says_that_it_is() {
    let shop = in_memory().await;
    let stores = [memory(&shop.world), memory(&shop.world)];
    assert!(!Catalog::is_in(&*stores[0], &shop.world).await.unwrap(), "looking makes none");
    let mut identities = vec![shop.catalog.identity().clone()];
    for store in &stores {
        copied(&*shop.faults, &**store, &shop.world).await.unwrap();
        assert!(Catalog::is_in(&**store, &shop.world).await.unwrap());
        let catalog = Catalog::open(Arc::clone(store) as _, shop.world.clone()).await.unwrap();
        identities.push(catalog.identity().clone());
    }
    assert!(identities.iter().all(|it| it.id == identities[0].id));
    assert!(identities[1].era == 2 && identities[2].era == 2 && identities[1] != identities[2], "{identities:?}");
    let again = copied(&*shop.faults, &*stores[0], &shop.world).await.unwrap_err().to_string();
    assert!(again.contains("finished copy of this catalog, of era 2"), "{again}");
}
