//! The power fails at each step of a busy log's life, and leaves each thing that it can leave.

use std::collections::BTreeMap;

use vfs::Unsynced;

use super::*;

const STREAMS: u64 = 3;
const RECORDS: u64 = 16;

/// What the log's user knew when the power failed.
#[derive(Debug, Default)]
struct Known {
    /// For each stream, how many records were accepted, durable, and released. Record n has n as its payload.
    streams: BTreeMap<u64, Progress>,
    /// The newest epoch that is surely recorded.
    epochs: BTreeMap<u64, u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    accepted: u64,
    durable: u64,
    released: u64,
}

fn payload(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

/// Appends to all streams, raises epochs and fences, and releases, until it is done or the disk fails. It awaits each round's
/// promises only after the next round was accepted, so that segments change while writes are not yet durable.
async fn live(wal: &Wal, known: &mut Known) -> Result<(), WalError> {
    let mut promised = Vec::new();
    for number in 0..=RECORDS {
        let mut accepted = Vec::new();
        if number < RECORDS {
            wal.fence(100, number);
            for stream in 0..STREAMS {
                let durable = wal.append(record(stream, 1 + number / 4, payload(number))).await?;
                known.streams.entry(stream).or_default().accepted += 1;
                accepted.push((stream, number, durable));
                // Sometimes the batch is all that has come, and sometimes only a part.
                for _ in 0..(number + stream) % 4 {
                    tokio::task::yield_now().await;
                }
            }
        }
        for (stream, number, durable) in std::mem::replace(&mut promised, accepted) {
            let position = durable.await?;
            let progress = known.streams.entry(stream).or_default();
            progress.durable = number + 1;
            known.epochs.extend([(stream, 1 + number / 4), (100, number)]);
            if number >= 4 + stream {
                // As if its part had been committed. What was appended since stays needed.
                progress.released = number + 1;
                wal.release(stream, position);
            }
        }
    }
    settle().await;
    Ok(())
}

/// Checks that `replay` holds what must have survived, in order and without holes, and nothing that was never accepted.
fn check(replay: &Replay, known: &Known, case: &str) {
    let mut numbers: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for record in replayed(replay) {
        let number = u64::from_le_bytes(record.payload[..].try_into().expect("eight bytes"));
        assert_eq!(record.epoch, 1 + number / 4, "{case}");
        numbers.entry(record.stream).or_default().push(number);
    }
    for (stream, progress) in &known.streams {
        let numbers = numbers.remove(stream).unwrap_or_default();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{case}: stream {stream} has {numbers:?}");
        let first = numbers.first().copied().unwrap_or(progress.released);
        let end = numbers.last().map_or(progress.released, |last| last + 1);
        assert!(first <= progress.released, "{case}: stream {stream} of {progress:?} has {numbers:?}");
        assert!(
            (progress.durable..=progress.accepted).contains(&end),
            "{case}: stream {stream} of {progress:?} has {numbers:?}"
        );
    }
    assert!(numbers.is_empty(), "{case}: {numbers:?}");
    for (stream, epoch) in &known.epochs {
        let replayed = replay.streams().get(stream).copied();
        assert!(replayed >= Some(*epoch), "{case}: stream {stream} has lost its fence: {replayed:?} < {epoch}");
    }
}

/// Lives until `steps` have been done, crashes, and opens again twice, the second time after a crash during the first.
async fn crash_after(steps: u64, unsynced: Unsynced) -> bool {
    let disk = MemoryDisk::new();
    let (wal, replay) = open(&disk).await;
    drop(replay);
    disk.stop_after(steps);
    let mut known = Known::default();
    let is_done = live(&wal, &mut known).await.is_ok();
    disk.crash(unsynced);
    drop(wal);
    settle().await;

    let case = format!("after step {steps}, {unsynced:?}");
    for stopped in 0..3 {
        disk.stop_after(stopped);
        let _ = try_open(&disk).await;
        settle().await;
        disk.crash(Unsynced::Lost);
    }
    let (wal, replay) = open(&disk).await;
    check(&replay, &known, &case);
    drop(replay);
    let before = replayed(&open(&disk).await.1);
    log(&wal, record(7, 1, "life goes on")).await;
    disk.crash(Unsynced::Lost);
    let after = replayed(&open(&disk).await.1);
    assert_eq!(after, [&before[..], &[record(7, 1, "life goes on")]].concat(), "{case}");
    is_done
}

#[tokio::test]
async fn a_crash_at_any_step_loses_nothing_that_was_promised() {
    let mut steps = 0;
    let mut is_done = false;
    while !is_done {
        let half_written = (0..8).map(|part| Unsynced::Torn(part * 25)).chain((0..4).map(Unsynced::Garbage));
        for unsynced in half_written.chain([Unsynced::Lost, Unsynced::Kept, Unsynced::Hole(60), Unsynced::Hole(150)]) {
            is_done = crash_after(steps, unsynced).await;
        }
        steps += 1;
    }
    assert!(steps > 50, "the life had only {steps} steps");
}

/// A process's runtime: with it all that the process does is gone.
fn life() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

#[test]
fn what_a_kill_left_unsynced_is_durable_before_anything_stands_behind_it() {
    let disk = MemoryDisk::new();
    let killed = life();
    killed.block_on(async {
        let (wal, _) = open(&disk).await;
        log(&wal, record(1, 1, "durable")).await;
        disk.hold_syncs();
        let _promise = accept(&wal, record(1, 1, "written")).await;
        disk.sync_is_held().await;
    });
    drop(killed);
    disk.release_syncs();
    life().block_on(async {
        let (wal, replay) = open(&disk).await;
        assert_eq!(replayed(&replay).len(), 2, "the kernel still has it");
        log(&wal, record(1, 2, "behind")).await;
    });
    disk.crash(Unsynced::Lost);
    life().block_on(async { assert_eq!(replayed(&open(&disk).await.1).len(), 3) });
}

#[tokio::test]
async fn what_a_failed_sync_left_is_cut_before_anything_stands_behind_it() {
    let disk = MemoryDisk::new();
    let (wal, _) = open(&disk).await;
    log(&wal, record(1, 1, "durable")).await;
    disk.fail_sync(1);
    accept(&wal, record(1, 1, "lost")).await.await.expect_err("its sync fails");
    wal.close().await.expect_err("the log has ended by the failed sync");
    let (wal, replay) = open(&disk).await;
    assert_eq!(replayed(&replay), [record(1, 1, "durable")], "nobody was told of the other");
    log(&wal, record(1, 2, "behind")).await;
    disk.crash(Unsynced::Lost);
    assert_eq!(replayed(&open(&disk).await.1).len(), 2);
}
