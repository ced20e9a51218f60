//! Group commit, order, and what a failed fsync does.

use futures::future::join_all;

use super::*;

#[tokio::test]
async fn many_appends_share_few_fsyncs_and_the_next_batch_is_written_while_one_syncs() {
    let disk = MemoryDisk::new();
    let (wal, _) = Wal::open(Arc::new(disk.clone()), WalSettings::default(), world()).await.expect("an empty disk");
    log(&wal, record(0, 1, "begins the segment")).await;
    let before = disk.syncs();

    disk.hold_syncs();
    let first = accept(&wal, record(1, 1, "first")).await;
    disk.sync_is_held().await;
    let mut others = Vec::new();
    for stream in 0..100 {
        others.push(accept(&wal, record(stream, 1, "other")).await);
    }
    settle().await;
    assert_eq!(wal.stats().queued_bytes, 0, "they are written while the first one's fsync runs");
    disk.release_syncs();

    first.await.expect("no fault");
    for durable in join_all(others).await {
        durable.expect("no fault");
    }
    assert_eq!(disk.syncs() - before, 2, "one for the first, one for all that came meanwhile");
    assert_eq!(wal.stats().records, 102);
}

#[tokio::test]
async fn a_promise_resolves_only_after_the_fsync_that_covers_it() {
    let disk = MemoryDisk::new();
    let (wal, _) = open(&disk).await;
    log(&wal, record(1, 1, "one")).await;
    disk.hold_syncs();
    let mut second = accept(&wal, record(1, 1, "two")).await;
    disk.sync_is_held().await;
    settle().await;
    assert!(futures::poll!(&mut second).is_pending(), "written, and not yet durable");
    disk.crash(vfs::Unsynced::Lost);
    second.await.expect_err("its process's disk is gone");
    let (_, replay) = open(&disk).await;
    assert_eq!(replayed(&replay), [record(1, 1, "one")]);
}

#[tokio::test]
async fn a_streams_records_are_replayed_in_the_order_of_their_appends() {
    let disk = MemoryDisk::new();
    let (wal, _) = open(&disk).await;
    let writer = |stream: u64| {
        let wal = wal.clone();
        async move {
            let mut durables = Vec::new();
            for number in 0..50_u64 {
                durables.push(accept(&wal, record(stream, 1, number.to_le_bytes().to_vec())).await);
                tokio::task::yield_now().await;
            }
            let positions: Vec<_> =
                join_all(durables).await.into_iter().map(|position| position.expect("no fault")).collect();
            assert!(positions.is_sorted(), "positions rise as the records do");
        }
    };
    join_all((0..5).map(writer)).await;
    wal.close().await.expect("no fault");

    let (_, replay) = open(&disk).await;
    for stream in 0..5 {
        let of_stream = replayed(&replay).into_iter().filter(|record| record.stream == stream);
        let numbers: Vec<_> = of_stream.map(|record| record.payload).collect();
        assert_eq!(numbers, (0..50_u64).map(|number| Bytes::from(number.to_le_bytes().to_vec())).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_segment_is_begun_only_when_all_before_it_is_durable() {
    let disk = MemoryDisk::new();
    let (wal, _) = open(&disk).await;
    log(&wal, record(1, 1, "begins the segment")).await;
    disk.hold_syncs();
    let first = accept(&wal, record(1, 1, noise(500, 1))).await;
    disk.sync_is_held().await;
    let second = accept(&wal, record(1, 1, "belongs into the next segment")).await;
    settle().await;
    assert_eq!(segments(&disk).await, [1], "else a crash now could tear a segment that is not the last");
    disk.release_syncs();
    first.await.expect("no fault");
    second.await.expect("no fault");
    assert_eq!(segments(&disk).await, [1, 2]);
}

#[tokio::test]
async fn an_append_waits_for_room_in_the_queue() {
    let disk = MemoryDisk::new();
    let settings = WalSettings { queue_bytes: 1000, segment_bytes: 1 << 20, disk_reserve_bytes: 0 };
    let (wal, _) = Wal::open(Arc::new(disk.clone()), settings, world()).await.expect("an empty disk");
    let first = accept(&wal, record(1, 1, noise(800, 1))).await;
    let mut second = Box::pin(wal.append(record(1, 1, noise(800, 2))));
    assert!(futures::poll!(&mut second).is_pending(), "840 of 1000 bytes are taken");
    assert!(wal.stats().queued_bytes >= 840);
    first.await.expect("no fault");
    second.await.expect("there is room now").await.expect("no fault");

    let large = noise(13_600, 3);
    log(&wal, record(1, 1, large.clone())).await;
    wal.close().await.expect("no fault");
    let (_, replay) = open(&disk).await;
    assert_eq!(replayed(&replay)[2].payload, large, "a record larger than the queue is accepted alone");
}

#[tokio::test]
async fn a_failed_fsync_fails_every_waiter_and_every_later_append_and_is_not_retried() {
    let disk = MemoryDisk::new();
    let (wal, _) = open(&disk).await;
    log(&wal, record(1, 1, "durable")).await;

    disk.hold_syncs();
    let first = accept(&wal, record(1, 1, "its sync fails")).await;
    disk.sync_is_held().await;
    let second = accept(&wal, record(2, 1, "written meanwhile")).await;
    disk.fail_sync(1);
    let before = disk.syncs();
    disk.release_syncs();
    for waiter in [first, second] {
        let error = waiter.await.expect_err("nothing is known of these bytes");
        assert!(matches!(error, WalError::SyncFailed(_)), "{error}");
    }
    let later = wal.append(record(3, 1, "later")).await.expect_err("the log has ended");
    assert!(matches!(later, WalError::SyncFailed(_)) && later.to_string().contains("restart"), "{later}");
    let closed = wal.close().await.expect_err("it did not end in order");
    assert!(matches!(closed, WalError::SyncFailed(_)));
    assert_eq!(disk.syncs() - before, 1, "no second fsync");

    disk.crash(vfs::Unsynced::Lost);
    let (_, replay) = open(&disk).await;
    assert_eq!(replayed(&replay), [record(1, 1, "durable")]);
}

#[tokio::test]
async fn closing_makes_what_was_accepted_durable_and_refuses_the_rest() {
    let disk = MemoryDisk::new();
    let (wal, _) = open(&disk).await;
    let other = wal.clone();
    let accepted = accept(&wal, record(1, 1, "accepted")).await;
    wal.close().await.expect("no fault");
    accepted.await.expect("it was written before the end");
    assert!(matches!(other.append(record(1, 1, "late")).await, Err(WalError::Closed)));
    other.close().await.expect("closing twice is no error");
    disk.crash(vfs::Unsynced::Lost);
    assert_eq!(replayed(&open(&disk).await.1), [record(1, 1, "accepted")]);
}

#[tokio::test]
async fn dropping_all_handles_writes_what_was_accepted_and_ends_the_tasks() {
    let disk = MemoryDisk::new();
    let (wal, replay) = open(&disk).await;
    let accepted = accept(&wal, record(1, 1, "accepted")).await;
    drop((wal, replay));
    accepted.await.expect("it was written before the end");
    assert_eq!(replayed(&open(&disk).await.1), [record(1, 1, "accepted")]);
}
