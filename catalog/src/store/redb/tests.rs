//! What the embedded store owes beyond the contract: groups, restarts, crashes, damage, failing disks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use vfs::{Clock, Random, SeededRandom, SystemClock};

use super::disk::{Fault, TestDisk};
use super::*;
use crate::store::contract::check_all;
use crate::store::{KeyRange, Read, StoreError, scan};

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

async fn open(path: &Path) -> RedbStore {
    RedbStore::open(path, clock()).await.unwrap()
}

async fn open_disk(disk: &TestDisk) -> Result<RedbStore, StoreError> {
    let disk = disk.clone();
    let open = move |patience: &Patience| Ok((file::open_on(disk, "the test disk", patience)?, None));
    RedbStore::start("the test disk".to_owned(), open, clock()).await
}

async fn put(store: &RedbStore, key: &[u8], value: &[u8]) -> Result<Stamp, StoreError> {
    let mut writer = store.begin().await?;
    writer.set(key, value);
    writer.commit().await
}

async fn all(store: &RedbStore) -> Vec<(Bytes, Bytes)> {
    let mut reader = store.begin().await.unwrap();
    scan(reader.as_mut(), KeyRange::prefix(b""), Read::Snapshot).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let made = std::sync::atomic::AtomicU32::new(0);
    check_all(async |clock| {
        let number = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = directory.path().join(format!("{number}.redb"));
        Arc::new(RedbStore::open(&path, clock).await.unwrap()) as Arc<dyn KvStore>
    })
    .await;
}

#[tokio::test]
async fn a_reopened_store_has_its_data_and_gives_higher_stamps() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.redb");
    let mut last = Stamp::default();
    for n in 0..4_u8 {
        let store = open(&path).await;
        assert_eq!(all(&store).await.len(), usize::from(n));
        assert_eq!(store.begin().await.unwrap().commit().await, Ok(last), "the store is where it was");
        let stamp = put(&store, &[n], b"v").await.unwrap();
        assert!(last < stamp);
        last = stamp;
        store.close().await;
        assert!(matches!(store.begin().await.map(drop), Err(StoreError::Closed { .. })));
    }
}

#[tokio::test]
async fn a_close_answers_the_commits_under_way_and_then_frees_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.redb");
    let store = open(&path).await;
    let mut late = store.begin().await.unwrap();
    late.set(b"late", b"");
    let watching = store.watch(b"k").await.unwrap();
    let commits = join_all((0..16_u8).map(async |n| put(&store, &[n], b"v").await));
    let (outcomes, ()) = futures::join!(commits, store.close());
    assert!(outcomes.iter().all(Result::is_ok), "they were in the queue: {outcomes:?}");
    watching.await;
    assert!(matches!(late.commit().await, Err(StoreError::Closed { .. })));
    assert_eq!(all(&open(&path).await).await.len(), 16);
}

#[tokio::test]
async fn a_file_in_use_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.redb");
    let store = open(&path).await;
    let error = RedbStore::open(&path, clock()).await.unwrap_err();
    assert_eq!(error, StoreError::Locked { place: path.display().to_string() });
    assert!(put(&store, b"k", b"v").await.is_ok(), "the holder goes on");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_named() {
    let error = RedbStore::open(Path::new("/nowhere/catalog.redb"), clock()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable { cause } if cause.contains("/nowhere/catalog.redb")), "{error}");
}

#[tokio::test]
async fn a_file_of_something_else_is_named_damaged_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let garbage = directory.path().join("garbage");
    std::fs::write(&garbage, vec![b'x'; 10_000]).unwrap();
    let alien = directory.path().join("alien");
    {
        let database = ::redb::Database::create(&alien).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(::redb::TableDefinition::<u64, u64>::new("theirs")).unwrap();
        write.commit().unwrap();
    }
    for path in [garbage, alien] {
        let before = std::fs::read(&path).unwrap();
        let error = RedbStore::open(&path, clock()).await.unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { place, .. } if *place == path.display().to_string()), "{error}");
        if path.ends_with("garbage") {
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }
}

/// What the store reads and writes at once.
const PAGE: usize = 4096;

/// Whatever bit is flipped, whatever page is lost or misplaced, and wherever the file is cut: the open either names the damage,
/// or everything is still there, and what is written then is there the next time, beside it.
#[tokio::test]
async fn damage_is_named_or_harmless_and_never_read_as_data() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.redb");
    let store = open(&path).await;
    for n in 0..200_u32 {
        put(&store, &n.to_be_bytes(), &[7; 300]).await.unwrap();
    }
    let written = all(&store).await;
    store.close().await;
    let content = std::fs::read(&path).unwrap();
    let random = SeededRandom::new(3);
    let mut named = 0;
    for round in 0..300 {
        let mut damaged = content.clone();
        let place = usize::try_from(random.next_u64()).unwrap() % content.len();
        let page = place / PAGE * PAGE..(place / PAGE * PAGE + PAGE).min(content.len());
        match round % 10 {
            0 => damaged.truncate(place),
            1..4 => damaged[place] ^= 1 << (round % 8),
            4 => damaged[page].fill(0),
            // A page that was written to the place of another.
            5 => {
                let from = usize::try_from(random.next_u64()).unwrap() % (content.len() - page.len());
                let from = from / PAGE * PAGE..from / PAGE * PAGE + page.len();
                damaged[page].copy_from_slice(&content[from]);
            }
            _ => damaged[place..].iter_mut().take(64).for_each(|byte| *byte ^= 0x55),
        }
        if damaged.is_empty() {
            continue;
        }
        let path = directory.path().join("damaged.redb");
        std::fs::write(&path, &damaged).unwrap();
        match RedbStore::open(&path, clock()).await {
            Ok(store) => {
                assert!(all(&store).await == written, "round {round}: damage at {place} was read as data");
                put(&store, b"later", &[8; 300]).await.unwrap();
                store.close().await;
                let again = open(&path).await;
                let found: Vec<_> = all(&again).await.into_iter().filter(|(key, _)| key[..] != b"later"[..]).collect();
                assert!(found == written, "round {round}: damage at {place} was read as data, or spread");
                again.close().await;
            }
            Err(StoreError::Damaged { .. }) => named += 1,
            Err(other) => panic!("round {round}: damage at {place} was called {other}"),
        }
    }
    assert!(named > 50, "only {named} were in a page that is used");
}

#[tokio::test]
async fn commits_that_wait_together_share_one_fsync() {
    let disk = TestDisk::default();
    let store = open_disk(&disk).await.unwrap();
    let before = disk.syncs();
    let gate = disk.hold_syncs();
    let first = put(&store, b"first", b"");
    let others = async {
        gate.reached().await;
        let all = join_all((0..16_u8).map(async |n| put(&store, &[n], b"v").await));
        let opening = async {
            while QUEUE - store.shared.queue().as_ref().unwrap().capacity() < 16 {
                tokio::task::yield_now().await;
            }
            gate.open();
        };
        futures::join!(all, opening).0
    };
    let (first, others) = futures::join!(first, others);
    assert!(first.is_ok() && others.iter().all(Result::is_ok));
    let syncs = disk.syncs() - before;
    assert!(syncs <= 2, "17 commits cost {syncs} fsyncs");
    let mut stamps: Vec<Stamp> = others.into_iter().map(Result::unwrap).collect();
    stamps.sort_unstable();
    stamps.dedup();
    assert_eq!(stamps.len(), 16, "each has a stamp of its own");
}

#[tokio::test]
async fn a_failed_fsync_leaves_the_whole_group_unknown_and_closes_the_store() {
    let disk = TestDisk::default();
    let store = open_disk(&disk).await.unwrap();
    put(&store, b"before", b"").await.unwrap();
    let gate = disk.hold_syncs();
    disk.set_fault(Fault::Sync);
    let group = async { join_all((0..4_u8).map(async |n| put(&store, &[n], b"v").await)).await };
    let opening = async {
        gate.reached().await;
        gate.open();
    };
    let (outcomes, ()) = futures::join!(group, opening);
    let unknown = outcomes.iter().filter(|outcome| matches!(outcome, Err(StoreError::MaybeCommitted { .. }))).count();
    let closed = outcomes.iter().filter(|outcome| matches!(outcome, Err(StoreError::Closed { .. }))).count();
    assert!(unknown >= 1 && unknown + closed == 4, "{outcomes:?}");
    assert!(
        matches!(store.begin().await.map(drop), Err(StoreError::Closed { cause }) if cause.contains("cannot sync"))
    );
    store.close().await;
    disk.set_fault(Fault::None);
    let reopened = open_disk(&disk.after_crash(&SeededRandom::new(1))).await.unwrap();
    assert_eq!(all(&reopened).await.first().map(|(key, _)| key.clone()), Some(Bytes::from("before")));
}

/// A commit waits for room, and what was committed is read meanwhile.
#[tokio::test]
async fn a_full_disk_lets_a_commit_wait_until_there_is_room() {
    let disk = TestDisk::default();
    let store = open_disk(&disk).await.unwrap();
    put(&store, b"before", b"").await.unwrap();
    for round in 0..3 {
        disk.set_fault(Fault::Write);
        let refused = disk.refused();
        let value = [round; 50_000];
        let mut writing = std::pin::pin!(put(&store, b"waits", &value));
        while disk.refused() < refused + 2 {
            tokio::select! {
                biased;
                done = &mut writing => panic!("round {round}: there was no room, and it is {done:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(all(&store).await[0].0, Bytes::from("before"));
        disk.set_fault(Fault::None);
        writing.await.unwrap();
        assert_eq!(all(&store).await[1], (Bytes::from("waits"), Bytes::copy_from_slice(&value)));
    }
}

/// One that waits for room does not hold up the end: whether it happened is told by the next open.
#[tokio::test]
async fn a_store_on_a_full_disk_closes_and_loses_nothing() {
    let disk = TestDisk::default();
    let store = open_disk(&disk).await.unwrap();
    put(&store, b"before", b"").await.unwrap();
    disk.set_fault(Fault::Write);
    let waiting = async {
        while disk.refused() == 0 {
            tokio::task::yield_now().await;
        }
        store.close().await;
    };
    let (outcome, ()) = futures::join!(put(&store, b"after", &[1; 50_000]), waiting);
    let error = outcome.unwrap_err();
    assert!(error.is_maybe_committed() || matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("no room"), "{error}");
    assert!(matches!(put(&store, b"later", b"").await, Err(StoreError::Closed { .. })));
    let store = open_disk(&disk.after_crash(&SeededRandom::new(2))).await.unwrap();
    assert_eq!(all(&store).await[0], (Bytes::from("before"), Bytes::new()));
    assert!(put(&store, b"later", b"").await.is_ok());
}

#[tokio::test]
async fn a_full_disk_is_told_to_whoever_opens_a_store_on_it() {
    let disk = TestDisk::default();
    disk.set_fault(Fault::Write);
    let error = open_disk(&disk).await.unwrap_err();
    assert!(error.to_string().contains("no room"), "{error}");
}

/// Power cuts: of what was written since the last fsync any part may be there. What was answered must be; each other commit
/// is there whole or not at all; and no stamp is given twice.
#[tokio::test]
async fn after_a_crash_every_answered_commit_is_there_and_every_other_is_whole_or_absent() {
    let random = SeededRandom::new(11);
    let mut disk = TestDisk::default();
    let mut answered: BTreeMap<u64, Stamp> = BTreeMap::new();
    let mut next = 0_u64;
    for round in 0..25 {
        let store = open_disk(&disk).await.unwrap();
        let entries = all(&store).await;
        let mut present: BTreeMap<u64, u8> = BTreeMap::new();
        for (key, _) in &entries {
            *present.entry(u64::from_be_bytes(key[1..].try_into().unwrap())).or_default() += 1;
        }
        assert!(present.values().all(|halves| *halves == 2), "round {round}: half a commit");
        assert!(answered.keys().all(|n| present.contains_key(n)), "round {round}: an answered commit is lost");
        disk.fail_syncs_after(random.next_u64() % 6);
        let burst = next..next + 12;
        next = burst.end;
        let outcomes = join_all(burst.map(async |n| {
            let mut writer = store.begin().await?;
            for half in [0, 1] {
                writer.set(&[&[half][..], &n.to_be_bytes()].concat(), &[half; 2_000]);
            }
            for _ in 0..n % 5 {
                tokio::task::yield_now().await;
            }
            Ok::<_, StoreError>((n, writer.commit().await?))
        }));
        for (n, stamp) in outcomes.await.into_iter().flatten() {
            assert!(answered.values().all(|earlier| *earlier != stamp), "round {round}: a stamp was given twice");
            answered.insert(n, stamp);
        }
        store.close().await;
        disk = disk.after_crash(&random);
    }
    assert!(answered.len() > 50);
}
