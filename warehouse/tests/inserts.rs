//! INSERTs: what is in flight shares a commit, all rows of one or none, once for each label, through every fault.

#![expect(clippy::unwrap_used, reason = "what cannot be unwrapped fails the story")]

mod write_harness;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use catalog::store::CommitFault;
use catalog::{CatalogService, ChannelService, NodeId, StreamState, TruncateOutcome, TruncateRequest};
use futures::future::join_all;
use millrace_warehouse::memory::MemoryBudget;
use millrace_warehouse::schema::row_schema;
use millrace_warehouse::write::insert::{Begun, InsertError, InsertParts, InsertSettings, Inserted, Inserts};
use millrace_warehouse::write::sweeper::Sweeper;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use vfs::{Fault, StoreOp};

use write_harness::{Life, Outside, Setup};

fn outside() -> Outside {
    Outside::new(1, Setup::unflushed())
}

fn by_seq() -> Outside {
    Outside::new(1, Setup { partition_by: Some("seq"), ..Setup::unflushed() })
}

fn inserts_with(life: &Life<'_>, settings: InsertSettings) -> (Arc<Inserts>, Arc<MemoryBudget>) {
    let budget = MemoryBudget::new(1 << 30);
    let parts = InsertParts {
        world: life.world.clone(),
        catalog: Arc::new(life.catalog.clone()),
        objects: Arc::new(life.objects.clone()),
        budget: Arc::clone(&budget),
        node: NodeId("n".to_owned()),
    };
    (Inserts::new(parts, settings), budget)
}

fn inserts(life: &Life<'_>) -> Arc<Inserts> {
    inserts_with(life, InsertSettings::default()).0
}

/// A kilobyte makes an INSERT large, and eight make it write parts.
fn small_settings() -> InsertSettings {
    InsertSettings { group_bytes: 1 << 10, flush_bytes: 8 << 10, ..InsertSettings::default() }
}

fn rows(life: &Life<'_>, seqs: Range<i64>) -> RecordBatch {
    let kinds: StringArray = seqs.clone().map(|seq| Some(format!("kind-{}", seq % 3))).collect();
    let columns = vec![Arc::new(Int64Array::from_iter_values(seqs)) as _, Arc::new(kinds) as _];
    RecordBatch::try_new(row_schema(&life.table), columns).unwrap()
}

async fn insert(
    life: &Life<'_>,
    inserts: &Arc<Inserts>,
    seqs: Range<i64>,
    label: Option<&str>,
) -> Result<Inserted, InsertError> {
    let table = life.catalog.table_by_id(life.table.id).await?;
    match inserts.begin(table, label).await? {
        Begun::Before(inserted) => Ok(inserted),
        Begun::Writer(mut writer) => {
            writer.push(rows(life, seqs)).await?;
            writer.finish().await
        }
    }
}

/// The `seq` of every visible row, sorted.
async fn seen(life: &Life<'_>) -> Vec<i64> {
    let mut seqs = Vec::new();
    for part in life.catalog.snapshot(life.table.id).await.unwrap().parts.iter() {
        let bytes = life.objects.get(&Path::from(part.path.as_str())).await.unwrap().bytes().await.unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            seqs.extend(batch.column_by_name("seq").unwrap().as_primitive::<Int64Type>().values());
        }
    }
    seqs.sort_unstable();
    seqs
}

async fn commits(life: &Life<'_>) -> usize {
    life.catalog.commits(life.table.id, 10_000).await.unwrap().len()
}

async fn open_channels(life: &Life<'_>) -> usize {
    let snapshot = life.catalog.snapshot(life.table.id).await.unwrap();
    let open = |view: &&catalog::StreamView| view.stream.is_channel() && view.stream.state == StreamState::Open;
    snapshot.streams.values().filter(open).count()
}

fn sweeper(life: &Life<'_>, intent_age: Duration) -> Sweeper {
    Sweeper {
        catalog: life.catalog.clone(),
        objects: Arc::new(life.objects.clone()),
        world: life.world.clone(),
        intent_age,
        label_age: Duration::from_secs(3 * 24 * 3_600),
    }
}

#[test]
fn what_is_in_flight_shares_a_commit() {
    outside().live(async |life| {
        let (inserts, budget) = inserts_with(&life, InsertSettings::default());
        // While the first one's part is on its way, the others come.
        life.objects.script(StoreOp::Put, [Fault::Slow(Duration::from_secs(1))]);
        let all = (0..64).map(|seq| insert(&life, &inserts, seq..seq + 1, None));
        for inserted in join_all(all).await {
            let inserted = inserted.unwrap();
            assert_eq!((inserted.rows, inserted.repeated, inserted.version.is_some()), (1, false, true));
        }
        assert!(commits(&life).await <= 2, "{} commits", commits(&life).await);
        assert_eq!(seen(&life).await, (0..64).collect::<Vec<_>>());
        assert_eq!((open_channels(&life).await, budget.used()), (1, 0));
        inserts.shut_down().await;
        assert_eq!(open_channels(&life).await, 0);
        assert_eq!(insert(&life, &inserts, 0..1, None).await, Err(InsertError::Closing));
    });
}

#[test]
fn a_store_that_is_away_for_too_long_ends_an_insert_and_nothing_of_it_is_seen() {
    outside().live(async |life| {
        let settings = InsertSettings { store_wait: Duration::from_secs(2), ..InsertSettings::default() };
        let inserts = inserts_with(&life, settings).0;
        life.objects.script(StoreOp::Put, vec![Fault::ErrorBefore; 3]);
        assert_eq!(insert(&life, &inserts, 0..5, None).await.unwrap().rows, 5, "it was away, but not for long");
        life.objects.script(StoreOp::Put, vec![Fault::ErrorAfter; 100]);
        let error = insert(&life, &inserts, 5..9, None).await.unwrap_err();
        assert!(matches!(error, InsertError::TryAgain { .. }), "{error}");
        assert_eq!(seen(&life).await, (0..5).collect::<Vec<_>>());
    });
}

#[test]
fn i6_a_commit_whose_outcome_is_unknown_is_carried_to_its_end_before_anybody_is_answered() {
    let later = |begins| CommitFault::ApplyLater { begins };
    for fault in [CommitFault::FailBefore, CommitFault::FailAfter, later(Some(1)), later(None)] {
        outside().live(async |life| {
            let inserts = inserts(&life);
            insert(&life, &inserts, 0..1, None).await.unwrap();
            // The intents, then the commit, and once more the commit.
            life.outside.store.script([CommitFault::None, fault, fault]);
            let inserted = insert(&life, &inserts, 1..4, Some("x")).await.unwrap();
            life.outside.store.release().await;
            assert_eq!((inserted.rows, seen(&life).await), (3, vec![0, 1, 2, 3]), "{fault:?}");
            insert(&life, &inserts, 4..5, None).await.unwrap();
            assert_eq!(seen(&life).await.len(), 5, "{fault:?}");
        });
    }
}

#[test]
fn an_insert_with_a_label_happens_once_however_often_it_is_sent() {
    let outside = outside();
    outside.live(async |life| {
        let inserts = inserts(&life);
        life.objects.script(StoreOp::Put, [Fault::Slow(Duration::from_secs(1))]);
        // At the same time: the later one waits for the end of the earlier.
        let both = join_all((0..2).map(|_| insert(&life, &inserts, 0..3, Some("a")))).await;
        let mut repeated: Vec<bool> = both.iter().map(|end| end.as_ref().unwrap().repeated).collect();
        repeated.sort_unstable();
        assert_eq!(repeated, [false, true]);
        assert_eq!(both[0].as_ref().unwrap().version, both[1].as_ref().unwrap().version);
        // An INSERT of no rows ends as one too.
        assert_eq!(insert(&life, &inserts, 0..0, Some("none")).await.unwrap().rows, 0);
        assert!(insert(&life, &inserts, 0..9, Some("none")).await.unwrap().repeated);
        assert!(matches!(insert(&life, &inserts, 0..1, Some("")).await, Err(InsertError::Failed { .. })));
        assert_eq!(seen(&life).await, [0, 1, 2]);
    });
    outside.live(async |life| {
        let again = insert(&life, &inserts(&life), 0..3, Some("a")).await.unwrap();
        assert_eq!(
            (again.rows, again.repeated, seen(&life).await),
            (3, true, vec![0, 1, 2]),
            "the next process knows it"
        );
    });
}

#[test]
fn a_label_of_an_insert_that_failed_is_free_again() {
    outside().live(async |life| {
        let inserts = inserts_with(&life, InsertSettings { store_wait: Duration::ZERO, ..small_settings() }).0;
        life.objects.script(StoreOp::Put, [Fault::ErrorBefore]);
        assert!(insert(&life, &inserts, 0..3, Some("a")).await.is_err());
        assert!(!insert(&life, &inserts, 0..3, Some("a")).await.unwrap().repeated);
        assert_eq!(seen(&life).await, [0, 1, 2]);
    });
}

#[test]
fn two_processes_with_one_label_commit_it_once_and_what_shares_the_commit_is_not_lost() {
    outside().live(async |life| {
        let (one, other) = (inserts(&life), inserts(&life));
        // Both have looked and found no such label; the other's unlabelled INSERTs share the commit that will be refused.
        life.objects.script(StoreOp::Put, vec![Fault::Slow(Duration::from_secs(1)); 2]);
        let warm = insert(&life, &other, 100..101, None);
        let first = insert(&life, &one, 0..3, Some("a"));
        let second = insert(&life, &other, 0..3, Some("a"));
        let beside = insert(&life, &other, 3..5, None);
        let (warm, first, second, beside) = futures::join!(warm, first, second, beside);
        assert_eq!((warm.unwrap().rows, beside.unwrap().rows), (1, 2));
        assert!(first.unwrap().repeated ^ second.unwrap().repeated);
        assert_eq!(seen(&life).await, [0, 1, 2, 3, 4, 100]);
    });
}

#[test]
fn i4_a_large_insert_becomes_many_parts_in_one_commit_and_small_ones_go_on_meanwhile() {
    outside().live(async |life| {
        let (inserts, budget) = inserts_with(&life, small_settings());
        let Begun::Writer(mut writer) = inserts.begin(Arc::clone(&life.table), Some("big")).await.unwrap() else {
            panic!("the label is new")
        };
        for start in (0..6_000).step_by(100) {
            writer.push(rows(&life, start..start + 100)).await.unwrap();
            assert!(budget.used() < 64 << 10, "{} bytes", budget.used());
        }
        insert(&life, &inserts, 9_000..9_001, None).await.unwrap();
        assert_eq!(seen(&life).await, [9_000], "the small one's");
        let inserted = writer.finish().await.unwrap();
        assert_eq!((inserted.rows, seen(&life).await.len(), commits(&life).await), (6_000, 6_001, 2));
        let last = &life.catalog.commits(life.table.id, 1).await.unwrap()[0];
        assert!(last.parts_added > 5, "{}", last.parts_added);
        assert!(insert(&life, &inserts, 0..1, Some("big")).await.unwrap().repeated);
        inserts.shut_down().await;
        assert_eq!((open_channels(&life).await, budget.used()), (0, 0));
    });
}

#[test]
fn i4_a_large_insert_that_ends_in_the_middle_leaves_nothing_but_uploads_for_the_sweeper() {
    outside().live(async |life| {
        let inserts = inserts_with(&life, InsertSettings { store_wait: Duration::ZERO, ..small_settings() }).0;
        for gives_up in [true, false] {
            let Begun::Writer(mut writer) = inserts.begin(Arc::clone(&life.table), None).await.unwrap() else {
                panic!()
            };
            for start in (0..2_000).step_by(100) {
                writer.push(rows(&life, start..start + 100)).await.unwrap();
            }
            if gives_up {
                drop(writer);
            } else {
                writer.push(rows(&life, 2_000..2_001)).await.unwrap();
                life.objects.script(StoreOp::Put, [Fault::ErrorBefore]);
                assert!(matches!(writer.finish().await, Err(InsertError::TryAgain { .. })));
            }
        }
        let is_closed = async || {
            while open_channels(&life).await > 0 {
                life.world.clock.sleep(Duration::from_millis(10)).await;
            }
        };
        is_closed().await;
        assert_eq!((seen(&life).await.len(), commits(&life).await), (0, 0));
        let swept = sweeper(&life, Duration::ZERO).sweep().await.unwrap();
        assert!(swept.intents > 2 && swept.objects == swept.intents, "{swept:?}");
    });
}

#[test]
fn a_commit_of_a_thousand_parts_is_one_commit() {
    by_seq().live(async |life| {
        let inserts = inserts(&life);
        assert_eq!(insert(&life, &inserts, 0..1_000, None).await.unwrap().rows, 1_000);
        let commits = life.catalog.commits(life.table.id, 10).await.unwrap();
        assert_eq!((commits.len(), commits[0].parts_added), (1, 1_000));
        assert_eq!(seen(&life).await, (0..1_000).collect::<Vec<_>>());
    });
}

#[test]
fn rows_of_more_partitions_than_a_commit_holds_are_refused_alone_and_parted_from_others() {
    by_seq().live(async |life| {
        let inserts = inserts(&life);
        let error = insert(&life, &inserts, 0..4_500, None).await.unwrap_err();
        assert!(
            matches!(error, InsertError::TooManyParts { .. }) && error.to_string().contains("PARTITION BY"),
            "{error}"
        );
        life.objects.script(StoreOp::Put, [Fault::Slow(Duration::from_secs(1))]);
        let all = [0..1, 0..2_500, 2_500..5_000].map(|seqs| insert(&life, &inserts, seqs, None));
        assert!(join_all(all).await.into_iter().all(|end| end.is_ok()));
        assert_eq!((commits(&life).await, life.catalog.commits(life.table.id, 1).await.unwrap()[0].rows), (3, 2_500));
    });
}

#[test]
fn an_insert_that_meets_a_truncate_comes_after_it() {
    outside().live(async |life| {
        let inserts = inserts(&life);
        insert(&life, &inserts, 0..5, None).await.unwrap();
        life.objects.script(StoreOp::Put, [Fault::Slow(Duration::from_secs(5))]);
        let truncate = async {
            life.world.clock.sleep(Duration::from_secs(1)).await;
            let request = TruncateRequest { table: life.table.id, streams: Default::default() };
            life.catalog.truncate_table(&request).await.unwrap()
        };
        let (inserted, truncated) = futures::join!(insert(&life, &inserts, 5..7, None), truncate);
        assert!(
            matches!(truncated, TruncateOutcome::Truncated(Some(version)) if Some(version) < inserted.unwrap().version)
        );
        assert_eq!(seen(&life).await, [5, 6]);
    });
}

#[test]
fn an_insert_into_a_dropped_table_says_so() {
    outside().live(async |life| {
        let inserts = inserts(&life);
        insert(&life, &inserts, 0..5, None).await.unwrap();
        life.objects.script(StoreOp::Put, [Fault::Slow(Duration::from_secs(5))]);
        let drop_it = async {
            life.world.clock.sleep(Duration::from_secs(1)).await;
            life.catalog.drop_pipeline("default", &life.pipeline.name, false).await.unwrap();
            life.catalog.drop_table("default", &life.table.name, false).await.unwrap();
        };
        let (inserted, ()) = futures::join!(insert(&life, &inserts, 5..7, None), drop_it);
        assert_eq!(inserted, Err(InsertError::TableGone));
        inserts.shut_down().await;
    });
}

#[test]
fn i7_uploads_that_the_sweeper_took_are_written_again_under_other_names() {
    outside().live(async |life| {
        let inserts = inserts(&life);
        life.objects.script(StoreOp::Put, [Fault::Slow(Duration::from_secs(5))]);
        let sweep = async {
            life.world.clock.sleep(Duration::from_secs(1)).await;
            sweeper(&life, Duration::ZERO).sweep().await.unwrap()
        };
        let (inserted, swept) = futures::join!(insert(&life, &inserts, 0..3, None), sweep);
        assert_eq!((inserted.unwrap().rows, swept.intents, seen(&life).await), (3, 1, vec![0, 1, 2]));
    });
}

#[test]
fn i7_a_large_insert_that_takes_longer_than_intents_live_keeps_its_own_young() {
    outside().live(async |life| {
        let inserts = inserts_with(&life, small_settings()).0;
        let sweeper = sweeper(&life, Duration::from_secs(100));
        let Begun::Writer(mut writer) = inserts.begin(Arc::clone(&life.table), None).await.unwrap() else { panic!() };
        for start in (0..3_000).step_by(100) {
            life.world.clock.sleep(Duration::from_secs(20)).await;
            assert_eq!(sweeper.sweep().await.unwrap().intents, 0);
            writer.push(rows(&life, start..start + 100)).await.unwrap();
        }
        assert_eq!(writer.finish().await.unwrap().rows, 3_000);
        // And one that could not: its commit is refused, and nothing is there.
        let Begun::Writer(mut writer) = inserts.begin(Arc::clone(&life.table), None).await.unwrap() else { panic!() };
        for start in (0..2_000).step_by(100) {
            writer.push(rows(&life, start..start + 100)).await.unwrap();
        }
        life.world.clock.sleep(Duration::from_secs(101)).await;
        assert!(sweeper.sweep().await.unwrap().intents > 0);
        let error = writer.finish().await.unwrap_err();
        assert!(error.to_string().contains("intent_age"), "{error}");
        assert_eq!(seen(&life).await.len(), 3_000);
    });
}

#[test]
fn i2_a_channel_that_another_closed_is_followed_by_a_new_one() {
    outside().live(async |life| {
        let inserts = inserts(&life);
        insert(&life, &inserts, 0..1, None).await.unwrap();
        let dead = life.catalog.channels_of_dead(inserts.node(), inserts.process() + 1).await.unwrap();
        assert_eq!(dead.len(), 1);
        inserts.close_dead(&dead).await.unwrap();
        assert_eq!(insert(&life, &inserts, 1..2, None).await.unwrap().rows, 1);
        assert_eq!((seen(&life).await, open_channels(&life).await), (vec![0, 1], 1));
    });
}

#[test]
fn a_channel_at_rest_is_closed_and_the_next_insert_opens_another() {
    outside().live(async |life| {
        let inserts = inserts(&life);
        for seq in 0..3 {
            insert(&life, &inserts, seq..seq + 1, None).await.unwrap();
            life.world.clock.sleep(Duration::from_secs(61)).await;
            while open_channels(&life).await > 0 {
                life.world.clock.sleep(Duration::from_millis(10)).await;
            }
        }
        assert_eq!(seen(&life).await, [0, 1, 2]);
    });
}

#[test]
fn what_a_process_leaves_when_it_dies_is_closed_by_the_next_and_never_shown() {
    let outside = outside();
    outside.live(async |life| {
        let inserts = inserts(&life);
        insert(&life, &inserts, 0..1, None).await.unwrap();
        life.objects.script(StoreOp::Put, [Fault::Slow(Duration::from_secs(5))]);
        let dies = life.world.clock.sleep(Duration::from_secs(1));
        futures::future::select(Box::pin(insert(&life, &inserts, 1..2, Some("x"))), dies).await;
    });
    outside.live(async |life| {
        let inserts = inserts(&life);
        let dead = life.catalog.channels_of_dead(inserts.node(), inserts.process()).await.unwrap();
        assert_eq!((dead.len(), open_channels(&life).await), (1, 1));
        inserts.close_dead(&dead).await.unwrap();
        assert_eq!((open_channels(&life).await, seen(&life).await), (0, vec![0]));
        assert!(!insert(&life, &inserts, 1..2, Some("x")).await.unwrap().repeated);
        assert_eq!(seen(&life).await, [0, 1]);
        assert!(life.catalog.label(life.table.id, "x").await.unwrap().is_some());
    });
}
