//! Torn tails are cut, damage is named, and nothing is passed over in silence.

use vfs::Unsynced;

use super::*;

/// A log of several segments, each of several writes; the records in it; and the names of its files.
async fn small_log(disk: &MemoryDisk, is_closed: bool) -> (Vec<Record>, Vec<u64>) {
    let (wal, _) = open(disk).await;
    wal.fence(9, 9);
    let mut logged = Vec::new();
    for number in 0..10_u64 {
        let payload = if number % 3 == 0 { vec![number as u8; 90] } else { vec![number as u8; 3] };
        let pair = [record(number % 2, 1, payload), record(2, number, "second of its write")];
        let durables = [accept(&wal, pair[0].clone()).await, accept(&wal, pair[1].clone()).await];
        for durable in durables {
            durable.await.expect("no fault");
        }
        logged.extend(pair);
    }
    if is_closed {
        wal.close().await.expect("no fault");
    }
    disk.crash(Unsynced::Lost);
    (logged, segments(disk).await)
}

/// What opening the disk gives, read to its end.
async fn reopen(disk: &MemoryDisk) -> Result<Vec<Record>, WalError> {
    let (_, replay) = try_open(disk).await?;
    Ok(replayed(&replay))
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_leaves_a_prefix_to_which_new_records_are_added() {
    let disk = MemoryDisk::new();
    let (logged, all) = small_log(&disk, true).await;
    let last = file_name(all[all.len() - 1]);
    let whole = disk.contents(&last).expect("it is there");
    let mut shortest = logged.len();
    for length in 0..whole.len() {
        disk.put(&last, whole[..length].to_vec());
        let (wal, replay) = open(&disk).await;
        let kept = replayed(&replay);
        assert_eq!(kept, logged[..kept.len()], "cut to {length}");
        shortest = shortest.min(kept.len());

        log(&wal, record(5, 1, "new")).await;
        disk.crash(Unsynced::Lost);
        let expected = [&kept[..], &[record(5, 1, "new")]].concat();
        assert_eq!(reopen(&disk).await.expect("the tail was cut"), expected, "cut to {length}");
        for added in segments(&disk).await.into_iter().filter(|number| *number > all[all.len() - 1]) {
            vfs::Disk::remove(&disk, &file_name(added)).await.expect("it is there");
        }
    }
    assert_eq!(shortest, logged.len() - 2, "the last segment had one write to lose");
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_a_closed_log_is_named() {
    let disk = MemoryDisk::new();
    let (logged, all) = small_log(&disk, true).await;
    assert!(all.len() >= 3);
    let (mut named, mut cut) = (0, 0);
    for number in &all {
        let file = file_name(*number);
        let whole = disk.contents(&file).expect("it is there");
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            disk.put(&file, flipped);
            match reopen(&disk).await {
                Err(WalError::Damaged { segment, at, .. }) => {
                    assert_eq!(segment, *number);
                    assert!(at <= bit as u64 / 8, "it is named where it is, or at the front of its frame");
                    named += 1;
                }
                Err(other) => panic!("segment {number}, bit {bit}: {other}"),
                // The last mark itself: it is the one thing that nothing comes after.
                Ok(left) => {
                    assert_eq!(left, logged, "segment {number}, bit {bit}");
                    cut += 1;
                }
            }
            disk.put(&file, whole.clone());
        }
    }
    assert_eq!(cut, (40 + 12) * 8, "the bits of one mark");
    assert!(named > 8000, "{named}");
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_a_killed_log_is_named_or_costs_the_last_writes() {
    let disk = MemoryDisk::new();
    let (logged, all) = small_log(&disk, false).await;
    for number in &all {
        let file = file_name(*number);
        let whole = disk.contents(&file).expect("it is there");
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            disk.put(&file, flipped);
            match reopen(&disk).await {
                Err(WalError::Damaged { segment, .. }) => assert_eq!(segment, *number),
                Err(other) => panic!("segment {number}, bit {bit}: {other}"),
                Ok(left) => {
                    assert_eq!(left, logged[..left.len()], "segment {number}, bit {bit}");
                    assert!(left.len() >= logged.len() - 2, "no more than the one write that no mark calls durable");
                }
            }
            disk.put(&file, whole.clone());
        }
    }
}

#[tokio::test]
async fn a_tail_that_a_power_loss_wrote_out_of_order_is_cut() {
    for unsynced in (0..300).map(Unsynced::Hole).chain((0..50).map(Unsynced::Garbage)) {
        let disk = MemoryDisk::new();
        let (wal, _) = open(&disk).await;
        log(&wal, record(1, 1, "durable")).await;
        disk.hold_syncs();
        let first = accept(&wal, record(1, 1, "written")).await;
        disk.sync_is_held().await;
        let second = accept(&wal, record(1, 1, "written behind it")).await;
        settle().await;
        disk.crash(unsynced);
        drop((first, second));

        let left = reopen(&disk).await.expect("nothing that was durable is broken");
        let all = [record(1, 1, "durable"), record(1, 1, "written"), record(1, 1, "written behind it")];
        assert!(!left.is_empty() && left == all[..left.len()], "{unsynced:?}: {left:?}");
    }
}

#[tokio::test]
async fn a_missing_and_a_misplaced_segment_are_named() {
    let disk = MemoryDisk::new();
    let (_, all) = small_log(&disk, true).await;
    let second = disk.contents(&file_name(2)).expect("it is there");
    vfs::Disk::remove(&disk, &file_name(2)).await.expect("it is there");
    let missing = reopen(&disk).await.expect_err("a hole");
    assert!(matches!(missing, WalError::Damaged { segment: 2, at: 0, .. }), "{missing}");
    assert!(missing.to_string().contains(&file_name(2)), "{missing}");

    disk.put(&file_name(2), second.clone());
    disk.put(&file_name(1), second);
    let misplaced = reopen(&disk).await.expect_err("segment 2 in the place of 1");
    assert!(matches!(misplaced, WalError::Damaged { segment: 1, at: 0, .. }), "{misplaced}");

    for number in &all[..all.len() - 1] {
        vfs::Disk::remove(&disk, &file_name(*number)).await.expect("removing");
    }
    let last = all[all.len() - 1];
    disk.put(&file_name(last), vec![0; 20]);
    let lost = reopen(&disk).await.expect_err("its predecessors were removed when its header was durable");
    assert!(matches!(lost, WalError::Damaged { at: 0, .. }), "{lost}");
}

#[tokio::test]
async fn a_later_format_is_named() {
    let disk = MemoryDisk::new();
    small_log(&disk, true).await;
    let mut later = disk.contents(&file_name(1)).expect("it is there");
    later[8..12].copy_from_slice(&3_u32.to_le_bytes());
    let preamble = crc32c(&later[..12]);
    later[12..16].copy_from_slice(&preamble.to_le_bytes());
    disk.put(&file_name(1), later);
    let error = reopen(&disk).await.expect_err("written by a later release");
    assert!(matches!(error, WalError::UnsupportedFormat { segment: 1, version: 3 }), "{error}");
}

/// The checksum, bit by bit: what the format says, rather than what the code calls.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
