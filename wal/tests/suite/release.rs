//! Releasing removes segments that nobody needs, and only those.

use super::*;

/// Twelve records of streams 1 and 2 in turn, over several segments.
async fn logged(wal: &Wal) -> Vec<(u64, WalPosition)> {
    let mut logged = Vec::new();
    for number in 0..12 {
        let stream = 1 + number % 2;
        logged.push((stream, log(wal, record(stream, 1, number.to_string())).await));
    }
    logged
}

#[tokio::test]
async fn a_segment_goes_when_all_of_its_records_are_released_and_not_before() {
    let disk = MemoryDisk::new();
    let (wal, replay) = open(&disk).await;
    drop(replay);
    let logged = logged(&wal).await;
    let of = |stream: u64| logged.iter().filter(move |(of, _)| *of == stream).map(|(_, position)| *position);
    let all = segments(&disk).await;
    assert!(all.len() >= 3, "{all:?}");

    wal.release(1, of(1).next_back().expect("it has records"));
    settle().await;
    assert_eq!(segments(&disk).await, all, "stream 2 needs them");
    assert_eq!(wal.stats().oldest_needed, Some((2, of(2).next().expect("it has records"))));

    for position in of(2) {
        wal.release(2, position);
        settle().await;
        let oldest = wal.stats().oldest_needed.map(|(stream, at)| {
            assert_eq!(stream, 2);
            at
        });
        assert!(oldest.is_none_or(|at| at > position));
    }
    assert_eq!(segments(&disk).await, all[all.len() - 1..], "the newest stays: its header has the fences");
    let stats = wal.stats();
    assert_eq!((stats.segments, stats.oldest_needed), (1, None));
    assert_eq!(stats.bytes_on_disk, disk.contents(&file_name(all[all.len() - 1])).expect("it is there").len() as u64);

    wal.close().await.expect("no fault");
    disk.crash(vfs::Unsynced::Lost);
    assert!(replayed(&open(&disk).await.1).len() < 4, "what was removed is not replayed");
}

#[tokio::test]
async fn replayed_records_are_needed_until_released_and_viewed_segments_stay() {
    let disk = MemoryDisk::new();
    let (wal, _) = open(&disk).await;
    logged(&wal).await;
    wal.close().await.expect("no fault");
    let all = segments(&disk).await;

    let (wal, replay) = open(&disk).await;
    let records: Vec<Replayed> = replay.records().collect::<Result<_, _>>().expect("no damage");
    assert_eq!(records.len(), 12);
    assert_eq!(wal.stats().oldest_needed, Some((1, records[0].position)));
    for record in &records {
        wal.release(record.stream, record.position);
    }
    log(&wal, record(1, 1, "new")).await;
    settle().await;
    assert_eq!(segments(&disk).await.len(), all.len() + 1, "the replay still looks at them");
    replay.finish();
    settle().await;
    assert_eq!(segments(&disk).await, [all.len() as u64 + 1]);
}

#[tokio::test]
async fn a_forgotten_stream_holds_nothing_back() {
    let disk = MemoryDisk::new();
    let (wal, replay) = open(&disk).await;
    drop(replay);
    let last = logged(&wal).await.into_iter().rfind(|(stream, _)| *stream == 1).expect("it has records").1;
    wal.release(1, last);
    wal.forget(2);
    settle().await;
    assert_eq!(segments(&disk).await.len(), 1);
}

#[tokio::test]
async fn an_idle_log_begins_no_segments() {
    let disk = MemoryDisk::new();
    for _ in 0..5 {
        let (wal, _) = open(&disk).await;
        wal.close().await.expect("no fault");
    }
    assert_eq!(segments(&disk).await, Vec::<u64>::new());
}
