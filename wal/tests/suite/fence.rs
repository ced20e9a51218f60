//! I2: no append under an epoch older than the newest that this log knows.

use super::*;

async fn assert_fenced(wal: &Wal, stream: u64, epoch: u64, newest: u64) {
    match wal.append(record(stream, epoch, "too old")).await {
        Err(WalError::Fenced { stream: of, newest: by }) => assert_eq!((of, by), (stream, newest)),
        other => panic!("stream {stream}, epoch {epoch}: {other:?}"),
    }
}

#[tokio::test]
async fn an_older_epoch_is_fenced_by_a_fence_and_by_a_record() {
    let (wal, _) = open(&MemoryDisk::new()).await;
    log(&wal, record(1, 5, "x")).await;
    assert_fenced(&wal, 1, 4, 5).await;
    wal.fence(1, 7);
    assert_fenced(&wal, 1, 6, 7).await;
    wal.fence(1, 6);
    assert_fenced(&wal, 1, 6, 7).await;
    log(&wal, record(1, 7, "the newest may append")).await;
    log(&wal, record(2, 0, "other streams are not concerned")).await;
}

#[tokio::test]
async fn a_fence_raised_while_an_append_waits_for_room_stops_it() {
    let disk = MemoryDisk::new();
    let settings = WalSettings { queue_bytes: 50, ..SETTINGS };
    let (wal, _) = Wal::open(Arc::new(disk), settings, world()).await.expect("an empty disk");
    let first = accept(&wal, record(1, 1, "0123456789")).await;
    let mut second = Box::pin(wal.append(record(1, 1, "waits")));
    assert!(futures::poll!(&mut second).is_pending());
    wal.fence(1, 2);
    first.await.expect("it was accepted before the fence");
    assert!(matches!(second.await, Err(WalError::Fenced { newest: 2, .. })));
}

#[tokio::test]
async fn a_fence_outlives_a_restart_once_something_was_written_after_it() {
    let disk = MemoryDisk::new();
    let (wal, _) = open(&disk).await;
    wal.fence(1, 9);
    log(&wal, record(2, 1, "the next write")).await;
    disk.crash(vfs::Unsynced::Lost);
    let (wal, replay) = open(&disk).await;
    assert_eq!(replay.streams().iter().collect::<Vec<_>>(), [(&1, &9), (&2, &1)]);
    assert_fenced(&wal, 1, 8, 9).await;

    wal.fence(3, 4);
    wal.close().await.expect("no fault");
    let (wal, _) = open(&disk).await;
    assert_fenced(&wal, 3, 3, 4).await;
}

#[tokio::test]
async fn a_fence_outlives_the_removal_of_the_segment_that_recorded_it() {
    let disk = MemoryDisk::new();
    let (wal, replay) = open(&disk).await;
    drop(replay);
    wal.fence(1, 9);
    log(&wal, record(2, 6, "recorded in segment 1")).await;
    for _ in 0..20 {
        let position = log(&wal, record(3, 1, "fills segments")).await;
        wal.release(3, position);
    }
    wal.forget(2); // Gone for good: its fence need not be kept.
    for _ in 0..20 {
        let position = log(&wal, record(3, 1, "fills segments")).await;
        wal.release(3, position);
    }
    settle().await;
    assert!(!segments(&disk).await.contains(&1));
    disk.crash(vfs::Unsynced::Lost);
    let (wal, replay) = open(&disk).await;
    assert_fenced(&wal, 1, 8, 9).await;
    assert_eq!(replay.streams().get(&2), None, "a stream that is gone does not stay in the headers for ever");
    log(&wal, record(2, 1, "and its fence is dropped")).await;
}
