//! SEEK of a running and of a paused pipeline, and what its preview says of it.

use vfs::MemoryDisk;

use super::Stage;
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
