//! PAUSE and ALTER, under load and with deaths in between: what was visible is committed as it was decoded, and each offset is decoded
//! by the version that the recorded cut-over says.

use std::collections::BTreeMap;
use std::time::Duration;

use catalog::{ChangeKind, PipelineDefinition, PipelineState, StreamId};
use vfs::{MemoryDisk, Unsynced};

use super::{Process, Stage};
use crate::sql::seams::{PipelineControl, Resume};

fn second(process: &Process<'_>) -> PipelineDefinition {
    PipelineDefinition { projection: "seq, 'two' AS kind".to_owned(), ..PipelineDefinition::of(&process.pipeline) }
}

/// The recorded cut-over of each stream.
async fn cuts(process: &Process<'_>) -> BTreeMap<StreamId, u64> {
    let versions = process.catalog.pipeline_versions(process.pipeline.id).await.unwrap();
    let last = versions.last().expect("it was altered");
    last.cuts.iter().map(|cut| (cut.stream, cut.offset.0)).collect()
}

async fn check_decoding(process: &Process<'_>, count: usize) {
    let (cuts, rows) = (cuts(process).await, process.rows().await);
    assert_eq!(rows.len(), count);
    for ((stream, offset), kind) in rows {
        let expected = if offset < cuts[&stream] { "one" } else { "two" };
        assert_eq!(kind, expected, "offset {offset} of stream {stream}, which was cut at {}", cuts[&stream]);
    }
    process.verify().await;
}

async fn until_altered(process: &Process<'_>) {
    process.until("the ALTER", async || !process.control.is_changing(process.pipeline.id).await.unwrap()).await;
}

#[test]
fn an_alter_under_load_cuts_each_stream_exactly() {
    let stage = Stage::new(3);
    stage.live("w", &MemoryDisk::new(), async |process| {
        let id = process.pipeline.id;
        (0..3).for_each(|partition| stage.produce(partition, 0..200));
        process.until_visible(&[(0, 200), (1, 200), (2, 200)]).await;
        let load = async {
            for round in 0..50 {
                (0..3).for_each(|partition| stage.produce(partition, 200 + round * 10..210 + round * 10));
                process.pass(Duration::from_millis(3)).await;
            }
        };
        let mut definition = second(&process);
        definition.settings.tasks = 3;
        let (altered, ()) = tokio::join!(process.control.alter(id, definition), load);
        let told: BTreeMap<StreamId, u64> =
            altered.unwrap().into_iter().map(|cut| (cut.stream, cut.cut_over.0)).collect();
        assert_eq!(told, cuts(&process).await, "the statement tells what is recorded");
        assert!(told.values().all(|cut| *cut >= 200), "what was visible is of the version before: {told:?}");
        process.until_visible(&[(0, 700), (1, 700), (2, 700)]).await;
        let tasks = process.control.manager.heartbeats().await[0].tasks.len();
        assert_eq!(tasks, 3, "the streams are spread over the tasks that there are now");
        process.control.pause(id).await.unwrap();
        check_decoding(&process, 2_100).await;
    });
}

#[test]
fn i5_an_alter_that_dies_anywhere_is_taken_up_again_and_rows_seen_stay_as_they_were() {
    for (millis, is_log_lost) in
        [0, 5, 20, 60, 150, 400, 900, 1_800].into_iter().flat_map(|at| [(at, false), (at, true)])
    {
        let stage = Stage::new(2);
        let disk = MemoryDisk::new();
        let definition = stage.live("w", &disk, async |process| {
            (0..2).for_each(|partition| stage.produce(partition, 0..200));
            process.until_visible(&[(0, 200), (1, 200)]).await;
            let definition = second(&process);
            let change = ChangeKind::Alter(Box::new(definition.clone()));
            process.catalog.begin_change(process.pipeline.id, change).await.unwrap();
            (0..2).for_each(|partition| stage.produce(partition, 200..250));
            process.pass(Duration::from_millis(millis)).await;
            definition
        });
        disk.crash(Unsynced::Lost);
        (0..2).for_each(|partition| stage.produce(partition, 250..300));
        // Whoever comes next has the log of before, or has never heard of it.
        let (node, disk) = if is_log_lost { ("other", MemoryDisk::new()) } else { ("w", disk) };
        stage.live(node, &disk, async |process| {
            until_altered(&process).await;
            let now = process.catalog.pipeline_by_id(process.pipeline.id).await.unwrap();
            assert_eq!(PipelineDefinition::of(&now), definition, "after {millis} ms");
            let cuts = cuts(&process).await;
            assert!(cuts.values().all(|cut| *cut >= 200), "after {millis} ms: rows seen would change: {cuts:?}");
            process.until_visible(&[(0, 300), (1, 300)]).await;
            process.control.pause(process.pipeline.id).await.unwrap();
            check_decoding(&process, 600).await;
        });
    }
}

#[test]
fn a_pause_that_dies_anywhere_commits_what_was_visible_all_the_same() {
    for millis in [0, 5, 20, 60, 150, 400, 900] {
        let stage = Stage::new(1);
        let disk = MemoryDisk::new();
        stage.live("w", &disk, async |process| {
            stage.produce(0, 0..200);
            process.until_visible(&[(0, 200)]).await;
            process.catalog.begin_change(process.pipeline.id, ChangeKind::Pause).await.unwrap();
            process.pass(Duration::from_millis(millis)).await;
        });
        disk.crash(Unsynced::Lost);
        stage.live("w", &disk, async |process| {
            until_altered(&process).await;
            let now = process.catalog.pipeline_by_id(process.pipeline.id).await.unwrap();
            assert_eq!(now.state, PipelineState::Paused);
            process.until_committed(&[(0, 200)]).await;
            process.verify().await;
        });
    }
}

#[test]
fn a_change_that_waits_says_for_what_and_is_given_up_by_resume() {
    let stage = Stage::new(1);
    let disk = MemoryDisk::new();
    stage.produce(0, 0..20);
    stage.live("w", &disk, async |process| process.until_visible(&[(0, 20)]).await);
    // Nobody can be asked how far it was shown.
    stage.broker.set_reachable(false);
    stage.live("other", &MemoryDisk::new(), async |process| {
        let id = process.pipeline.id;
        let error = process.control.alter(id, second(&process)).await.unwrap_err();
        assert!(error.contains("still under way") && error.contains("partition 0 of topic"), "{error}");
        assert!(error.contains("RESUME PIPELINE gives it up"), "{error}");
        process.control.resume(id, Resume::default()).await.unwrap();
        stage.broker.set_reachable(true);
        process.until_visible(&[(0, 20)]).await;
        process.control.pause(id).await.unwrap();
        assert!(process.rows().await.values().all(|kind| kind == "one"), "nothing has changed");
    });
}
