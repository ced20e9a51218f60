//! SYSTEM VERIFY of what was damaged, and RETRY ERRORS beside ingest, beside itself, and with stores that fail.

use std::collections::BTreeSet;
use std::sync::Arc;

use catalog::store::CommitFault;
use catalog::{CatalogService, Offset, Part, PartKind, PipelineDefinition, StreamId};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use vfs::{Fault, FaultyStore, MemoryDisk, StoreOp};
use warehouse::care::retry::{ErrorRetry, Retried, RetryError, Selection};
use warehouse::care::verify::{Depth, Verifier, VerifyError};
use warehouse::memory::{MemoryBudget, MemoryLimits};

use super::{Process, Stage, memory};
use crate::sql::seams::PipelineControl;

async fn parts(process: &Process<'_>) -> Vec<Arc<Part>> {
    process.catalog.snapshot(process.pipeline.table).await.unwrap().parts.to_vec()
}

/// What is wrong, as VERIFY tells it.
async fn faults(process: &Process<'_>, depth: Depth) -> String {
    let (catalog, objects) = (process.catalog.clone(), Arc::clone(&process.stage.objects) as _);
    let verifier = Verifier { catalog, objects, world: process.world.clone(), memory: memory() };
    let verdicts = verifier.verify(process.pipeline.table, depth, &|_| {}).await.unwrap();
    verdicts.iter().map(warehouse::care::verify::StreamVerdict::detail).collect::<Vec<_>>().join("|")
}

fn retry(process: &Process<'_>) -> ErrorRetry {
    let (catalog, objects) = (process.catalog.clone(), Arc::clone(&process.stage.objects) as _);
    ErrorRetry { catalog, objects, world: process.world.clone(), memory: memory() }
}

/// Every error row that is committed.
async fn all_errors(process: &Process<'_>) -> Selection {
    let errors = parts(process).await.into_iter().filter(|part| part.kind == PartKind::Errors);
    let of = |part: &Arc<Part>| part.streams.clone();
    errors
        .flat_map(|part| of(&part))
        .flat_map(|covered| (covered.range.start.0..covered.range.end.0).map(move |at| (covered.stream, Offset(at))))
        .collect()
}

/// 6 records: 3 rows, 2 that will fit once the SELECT takes `m`, 1 that never does; committed as such.
async fn with_errors(process: &Process<'_>) {
    process.stage.produce(0, 0..3);
    for text in [r#"{"m": 10}"#, r#"{"m": 11}"#, r#"{"m": "no number"}"#] {
        process.stage.produce_text(0, text);
    }
    process.until_visible(&[(0, 6)]).await;
    let projection = "coalesce(seq, m) AS seq, 'two' AS kind".to_owned();
    let definition = PipelineDefinition { projection, ..PipelineDefinition::of(&process.pipeline) };
    process.control.alter(process.pipeline.id, definition).await.unwrap();
}

async fn ledger(process: &Process<'_>) -> (u64, u64) {
    let streams = process.catalog.streams(process.pipeline.id).await.unwrap();
    (streams.iter().map(|view| view.ledger.rows).sum(), streams.iter().map(|view| view.ledger.errors).sum())
}

fn moved(retried: &Retried) -> (u64, u64, u64) {
    (retried.retried, retried.moved, retried.failing.values().sum())
}

#[test]
fn i1_verify_names_each_kind_of_damage_with_its_place() {
    let stage = Stage::new(1);
    stage.live("w", &MemoryDisk::new(), async |process| {
        with_errors(&process).await;
        assert_eq!(
            (faults(&process, Depth::Parts).await, faults(&process, Depth::Full).await),
            (String::new(), String::new())
        );
        let part = parts(&process).await.into_iter().find(|part| part.kind == PartKind::Rows).unwrap();
        let path = Path::from(part.path.as_str());
        let whole = stage.objects.get(&path).await.unwrap().bytes().await.unwrap();

        let mut flipped = whole.to_vec();
        flipped[whole.len() / 2] ^= 1;
        stage.objects.put(&path, flipped.into()).await.unwrap();
        assert_eq!(faults(&process, Depth::Parts).await, "", "the length is right: only FULL reads it");
        let damaged = faults(&process, Depth::Full).await;
        assert!(damaged.contains(&part.id.to_string()) && damaged.contains("are damaged (block 0)"), "{damaged}");

        stage.objects.put(&path, whole.slice(..whole.len() - 1).into()).await.unwrap();
        for depth in [Depth::Parts, Depth::Full] {
            let cut = faults(&process, depth).await;
            assert!(cut.contains(&format!("has {} bytes, and {} were written", whole.len() - 1, whole.len())), "{cut}");
        }

        stage.objects.delete(&path).await.unwrap();
        let missing = faults(&process, Depth::Parts).await;
        assert!(missing.contains(&part.path) && missing.contains("is missing"), "{missing}");

        // Another part's object in its place: right in itself, and not this one.
        let other = parts(&process).await.into_iter().find(|part| part.kind == PartKind::Errors).unwrap();
        let bytes = stage.objects.get(&Path::from(other.path.as_str())).await.unwrap().bytes().await.unwrap();
        stage.objects.put(&path, bytes.into()).await.unwrap();
        assert!(!faults(&process, Depth::Full).await.is_empty());
        stage.objects.put(&path, whole.into()).await.unwrap();
        assert_eq!(faults(&process, Depth::Full).await, "");
    });
}

#[test]
fn i1_error_rows_that_fit_by_now_become_rows_under_their_own_offsets() {
    let stage = Stage::new(1);
    stage.live("w", &MemoryDisk::new(), async |process| {
        with_errors(&process).await;
        assert_eq!(ledger(&process).await, (3, 3));
        let before = process.rows().await;
        let retried = retry(&process).run(process.pipeline.id, &all_errors(&process).await).await.unwrap();
        assert_eq!(moved(&retried), (3, 2, 1));
        assert_eq!(ledger(&process).await, (5, 1), "errors became rows");
        let after = process.rows().await;
        let new: Vec<u64> = after.keys().filter(|key| !before.contains_key(*key)).map(|(_, offset)| *offset).collect();
        assert_eq!(new, [3, 4], "an offset is a row or an error row");
        process.verify().await;
        let again = retry(&process).run(process.pipeline.id, &all_errors(&process).await).await.unwrap();
        assert_eq!(moved(&again), (1, 0, 1), "run again, it finds what is left");
        process.verify().await;
    });
}

#[test]
fn i1_i6_retries_beside_each_other_beside_ingest_and_of_unknown_outcome_move_each_row_once() {
    for fault in [None, Some(CommitFault::FailAfter), Some(CommitFault::ApplyLater { begins: Some(1) })] {
        let stage = Stage::new(1);
        stage.live("w", &MemoryDisk::new(), async |process| {
            with_errors(&process).await;
            let id = process.pipeline.id;
            let errors = all_errors(&process).await;
            stage.produce(0, 100..120);
            stage.produce_text(0, r#"{"m": "bad"}"#);
            let (one, two) = (retry(&process), retry(&process));
            if let Some(fault) = fault {
                stage.store.script([fault]);
            }
            let (one, two, paused) =
                tokio::join!(one.run(id, &errors), two.run(id, &errors), process.control.pause(id));
            paused.unwrap();
            let moved = |outcome: Result<Retried, RetryError>| outcome.map_or(0, |retried| retried.moved);
            assert!(moved(one) + moved(two) >= 2, "{fault:?}");
            stage.store.release().await;
            let rest = retry(&process).run(id, &all_errors(&process).await).await.unwrap();
            assert_eq!(rest.moved, 0, "{fault:?}");
            assert_eq!(process.rows().await.len(), 5 + 20, "{fault:?}");
            process.verify().await;
        });
    }
}

#[test]
fn i8_a_retry_and_a_proof_that_get_too_little_memory_say_so_and_change_nothing() {
    let stage = Stage::new(1);
    stage.live("w", &MemoryDisk::new(), async |process| {
        with_errors(&process).await;
        // A part of which much more is in memory than in its object.
        stage.produce_text(0, &format!(r#"{{"m": "{}"}}"#, "x".repeat(20 << 10)));
        process.until_visible(&[(0, 7)]).await;
        let id = process.pipeline.id;
        process.control.pause(id).await.unwrap();
        let errors = all_errors(&process).await;
        let mut held_when_refused = BTreeSet::new();
        let mut bytes = 0;
        // Wherever it comes to its end: when a part is fetched, read, copied into records, when these are decoded.
        let retried = loop {
            let memory = MemoryBudget::shared(MemoryLimits::of_queries(bytes));
            let little = ErrorRetry { memory: Arc::clone(&memory), ..retry(&process) };
            let retried = little.run(id, &errors).await;
            assert_eq!(memory.query_used(), 0, "all is given back");
            match retried {
                Err(RetryError::Memory { bytes }) => drop(held_when_refused.insert(bytes)),
                other => break other.unwrap(),
            }
            assert_eq!(ledger(&process).await, (3, 4), "{bytes} bytes");
            bytes += 512;
        };
        assert_eq!(retried.moved, 2);
        assert!(held_when_refused.len() >= 5, "of two parts: {held_when_refused:?}");
        let (catalog, objects) = (process.catalog.clone(), Arc::clone(&process.stage.objects) as _);
        let memory = MemoryBudget::shared(MemoryLimits::of_queries(1 << 10));
        let verifier = Verifier { catalog, objects, world: process.world.clone(), memory: Arc::clone(&memory) };
        let table = process.pipeline.table;
        assert!(matches!(verifier.verify(table, Depth::Full, &|_| {}).await, Err(VerifyError::Memory { .. })));
        assert!(verifier.verify(table, Depth::Parts, &|_| {}).await.is_ok(), "which reads no part");
        assert_eq!(memory.query_used(), 0);
        process.verify().await;
    });
}

#[test]
fn i4_a_retry_that_cannot_write_changes_nothing() {
    let stage = Stage::new(1);
    stage.live("w", &MemoryDisk::new(), async |process| {
        with_errors(&process).await;
        let id = process.pipeline.id;
        let errors = all_errors(&process).await;
        let failing = FaultyStore::new(Arc::clone(&stage.objects) as _, Arc::clone(&process.world.clock));
        failing.script(StoreOp::Put, [Fault::ErrorBefore]);
        let objects: Arc<dyn ObjectStore> = Arc::new(failing);
        let cut_short = ErrorRetry { objects, ..retry(&process) };
        let error = cut_short.run(id, &errors).await.unwrap_err();
        assert!(error.to_string().contains("nothing was moved"), "{error}");
        assert_eq!((ledger(&process).await, process.rows().await.len()), ((3, 3), 3));
        process.verify().await;
        assert_eq!(retry(&process).run(id, &errors).await.unwrap().moved, 2);
        process.verify().await;
    });
}

#[test]
fn rows_that_were_not_selected_or_are_of_others_stay() {
    let stage = Stage::new(1);
    stage.live("w", &MemoryDisk::new(), async |process| {
        with_errors(&process).await;
        let stream = process.catalog.streams(process.pipeline.id).await.unwrap()[0].stream.id;
        let selection = Selection::from([(stream, Offset(4)), (StreamId(999), Offset(3))]);
        let retried = retry(&process).run(process.pipeline.id, &selection).await.unwrap();
        assert_eq!(moved(&retried), (1, 1, 0));
        assert_eq!(ledger(&process).await, (4, 2));
        process.verify().await;
    });
}
