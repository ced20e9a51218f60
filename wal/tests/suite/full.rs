//! A full disk: nothing happened, waiting helps, and no stream gets a hole.

use super::*;

fn is_full<T: std::fmt::Debug>(result: Result<T, WalError>) -> bool {
    match result {
        Err(WalError::DiskFull) => true,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_write_that_did_not_fit_leaves_nothing_and_goes_through_when_there_is_room() {
    // Every capacity within the write of the second record, and within the beginning of the segment.
    for capacity in 1..250 {
        let disk = MemoryDisk::new();
        disk.set_capacity(Some(capacity));
        let (wal, _) = open(&disk).await;
        let mut expected = Vec::new();
        for payload in ["first", "second"] {
            let durable = accept(&wal, record(1, 1, payload)).await;
            if durable.await.is_err_and(|error| is_full::<()>(Err(error))) {
                disk.set_capacity(None);
                log(&wal, record(1, 1, payload)).await;
                disk.set_capacity(Some(capacity));
            }
            expected.push(record(1, 1, payload));
        }
        disk.crash(vfs::Unsynced::Lost);
        assert_eq!(replayed(&open(&disk).await.1), expected, "capacity {capacity}");
    }
}

#[tokio::test]
async fn a_reserve_is_kept_free() {
    let disk = MemoryDisk::new();
    disk.set_capacity(Some(10_000));
    let settings = WalSettings { disk_reserve_bytes: 9_000, ..SETTINGS };
    let (wal, _) = Wal::open(Arc::new(disk.clone()), settings, world()).await.expect("an empty disk");
    let mut logged = 0;
    while accept(&wal, record(1, 1, "0123456789")).await.await.is_ok() {
        logged += 1;
    }
    assert!(logged > 5, "{logged}");
    assert!(vfs::Disk::free_bytes(&disk).await.expect("it answers") >= 8_900);
}

#[tokio::test]
async fn a_refused_stream_takes_nothing_until_each_of_its_refusals_was_seen() {
    let disk = MemoryDisk::new();
    let (wal, _) = open(&disk).await;
    log(&wal, record(1, 1, "before")).await;
    disk.set_capacity(Some(0));
    let first = accept(&wal, record(1, 1, "first")).await;
    let second = accept(&wal, record(1, 1, "second")).await;
    settle().await;
    disk.set_capacity(None);

    // A later record must not be logged while its appender believes that the earlier ones are on their way.
    assert!(is_full(wal.append(record(1, 1, "third")).await));
    log(&wal, record(2, 1, "another stream has lost nothing")).await;
    assert!(is_full(first.await));
    assert!(is_full(wal.append(record(1, 1, "first again")).await));
    drop(second);
    log(&wal, record(1, 1, "first again")).await;
    wal.close().await.expect("no fault");
    let of_one: Vec<_> = replayed(&open(&disk).await.1).into_iter().filter(|record| record.stream == 1).collect();
    assert_eq!(of_one, [record(1, 1, "before"), record(1, 1, "first again")]);
}

#[tokio::test]
async fn what_waits_behind_a_refused_record_is_refused_with_it() {
    let disk = MemoryDisk::new();
    disk.set_capacity(Some(1000));
    let settings = WalSettings { queue_bytes: 64 << 20, ..SETTINGS };
    let (wal, _) = Wal::open(Arc::new(disk.clone()), settings, world()).await.expect("an empty disk");
    // Larger than what is written at once, so that the second is not in its batch; and for the second alone there is room.
    let first = accept(&wal, record(1, 1, noise(5 << 20, 1))).await;
    let second = accept(&wal, record(1, 1, "small")).await;
    assert!(is_full(second.await), "else the stream had a hole");
    assert!(is_full(first.await));
    log(&wal, record(1, 1, "small")).await;
}

#[tokio::test]
async fn a_full_disk_can_be_opened_replayed_and_emptied() {
    let disk = MemoryDisk::new();
    let (wal, _) = open(&disk).await;
    for _ in 0..20 {
        log(&wal, record(1, 1, "fills segments")).await;
    }
    wal.close().await.expect("no fault");
    let before = segments(&disk).await.len();
    disk.set_capacity(Some(0));

    let (wal, replay) = open(&disk).await;
    let last = replay.records().last().expect("there are records").expect("no damage");
    drop(replay);
    wal.release(1, last.position);
    settle().await;
    assert!(before > 3 && segments(&disk).await.len() == 1, "all but the newest are removed");
    disk.set_capacity(Some(10_000));
    log(&wal, record(1, 1, "and there is room again")).await;
}

#[tokio::test]
async fn a_fence_that_came_with_a_refused_write_is_recorded_with_the_next() {
    let disk = MemoryDisk::new();
    let (wal, _) = open(&disk).await;
    disk.set_capacity(Some(0));
    wal.fence(7, 3);
    assert!(is_full(accept(&wal, record(1, 1, "refused")).await.await));
    disk.set_capacity(None);
    log(&wal, record(1, 1, "logged")).await;
    disk.crash(vfs::Unsynced::Lost);
    assert_eq!(open(&disk).await.1.streams().get(&7), Some(&3));
}
