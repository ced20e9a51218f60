//! SEEK of a running and of a paused pipeline, and what its preview says of it.

use catalog::Topics;
use vfs::MemoryDisk;

use super::{Stage, TOPIC};
use crate::manager::seek::{PartitionSeek, SeekTo};
use crate::sql::seams::{PipelineControl, Resume};

fn told(rows: &[PartitionSeek]) -> Vec<(i32, u64, u64, u64, u64)> {
    rows.iter().map(|row| (row.partition, row.now.0, row.then.0, row.skipped(), row.repeated())).collect()
}

#[test]
fn i1_a_seek_commits_what_is_visible_and_reads_again_in_new_streams() {
    let stage = Stage::new(2);
    stage.produce(0, 0..100);
    stage.produce(1, 0..30);
    stage.live("w", &MemoryDisk::new(), async |process| {
        let id = process.pipeline.id;
        process.until_visible(&[(0, 100), (1, 30)]).await;
        let to = SeekTo::Offsets([(None, [(0, 40)].into())].into());
        let preview = process.control.preview_seek(id, &to).await.unwrap();
        assert_eq!(told(&preview), [(0, 100, 40, 0, 60)], "partition 1 is not named");
        let rows = process.control.seek(id, &to).await.unwrap();
        assert_eq!(told(&rows), told(&preview), "the statement does what its preview said");
        process.until_visible(&[(0, 100), (1, 30)]).await;
        process.control.pause(id).await.unwrap();
        let seen = process.rows().await;
        assert_eq!(seen.len(), 100 + 30 + 60, "what was visible is committed, and what was sought is read again");
        process.verify().await;
    });
}

#[test]
fn a_seek_forwards_passes_over_what_lies_between() {
    let stage = Stage::new(1);
    stage.produce(0, 0..10);
    stage.live("w", &MemoryDisk::new(), async |process| {
        let id = process.pipeline.id;
        process.until_visible(&[(0, 10)]).await;
        process.control.pause(id).await.unwrap();
        stage.produce(0, 10..60);
        let latest = process.control.preview_seek(id, &SeekTo::Latest).await.unwrap();
        assert_eq!(told(&latest), [(0, 10, 60, 50, 0)]);
        let rows = process.control.seek(id, &SeekTo::Latest).await.unwrap();
        assert_eq!(told(&rows), [(0, 10, 60, 50, 0)], "also of a paused pipeline");
        stage.produce(0, 60..70);
        process.control.resume(id, Resume::default()).await.unwrap();
        process.until_visible(&[(0, 70)]).await;
        process.control.pause(id).await.unwrap();
        assert_eq!(process.rows().await.len(), 10 + 10);
        process.verify().await;
    });
}

#[test]
fn an_offset_that_the_broker_does_not_have_is_refused_with_those_that_it_has() {
    let stage = Stage::new(1);
    stage.produce(0, 0..10);
    stage.live("w", &MemoryDisk::new(), async |process| {
        let id = process.pipeline.id;
        process.until_visible(&[(0, 10)]).await;
        let beyond = process.control.seek(id, &SeekTo::Offsets([(None, [(0, 11)].into())].into())).await.unwrap_err();
        assert!(
            beyond.contains("offsets 0 to 10 of partition 0") && beyond.contains("11 is not among them"),
            "{beyond}"
        );
        let unknown = process.control.seek(id, &SeekTo::Offsets([(None, [(7, 1)].into())].into())).await.unwrap_err();
        assert!(unknown.contains("no partition 7") && unknown.contains("partitions 0"), "{unknown}");
        assert!(!process.control.is_changing(id).await.unwrap(), "nothing has begun");
    });
}

#[test]
fn a_topic_of_a_list_that_is_gone_stays_where_it_is_and_the_others_are_sought() {
    let mut stage = Stage::new(2);
    stage.topics = Topics::List(vec![TOPIC.to_owned(), "views".to_owned()]);
    stage.broker.create_topic("views", 1);
    stage.produce(0, 0..10);
    stage.produce(1, 0..7);
    stage.live("w", &MemoryDisk::new(), async |process| {
        let id = process.pipeline.id;
        process.until("all streams to be there", async || process.catalog.streams(id).await.unwrap().len() == 3).await;
        let shown = async || process.control.visible().await.values().map(|offset| offset.0).sum::<u64>();
        process.until("all rows to be visible", async || shown().await == 17).await;
        stage.broker.delete_topic("views");
        let preview = process.control.preview_seek(id, &SeekTo::Earliest).await.unwrap();
        assert_eq!(told(&preview), [(0, 10, 0, 0, 10), (1, 7, 0, 0, 7)]);
        let rows = process.control.seek(id, &SeekTo::Earliest).await.unwrap();
        assert_eq!(told(&rows), told(&preview));
        assert!(rows.iter().all(|row| row.topic == TOPIC), "{rows:?}");
        let named = SeekTo::Offsets([(Some("views".to_owned()), [(0, 0)].into())].into());
        let error = process.control.seek(id, &named).await.unwrap_err();
        assert!(error.contains("views"), "what is named has to be there: {error}");

        stage.broker.delete_topic(TOPIC);
        let error = process.control.seek(id, &SeekTo::Latest).await.unwrap_err();
        assert!(error.contains("none of the topics that pipeline default.events_in reads"), "{error}");
    });
}

#[test]
fn a_partition_that_the_topic_had_before_it_was_made_again_stays_closed() {
    let stage = Stage::new(2);
    stage.produce(0, 0..10);
    stage.produce(1, 0..7);
    stage.live("w", &MemoryDisk::new(), async |process| {
        let id = process.pipeline.id;
        process.until_visible(&[(0, 10), (1, 7)]).await;
        stage.broker.delete_topic(TOPIC);
        stage.broker.create_topic(TOPIC, 1);
        stage.produce(0, 0..4);
        process.until_visible(&[(0, 4)]).await;
        let rows = process.control.seek(id, &SeekTo::Earliest).await.unwrap();
        assert_eq!(told(&rows), [(0, 4, 0, 0, 4)]);
        process.until_visible(&[(0, 4)]).await;
        process.control.pause(id).await.unwrap();
        assert_eq!(process.rows().await.len(), 10 + 7 + 4 + 4);
        process.verify().await;
    });
}
