//! The WAL through its public face, on a disk that can be made to do what disks do. Each module shows one group of rules.

mod commit;
mod crash;
mod damage;
mod fence;
mod full;
mod golden;
mod local;
mod megabyte;
mod release;
mod round_trip;

use std::sync::Arc;

use bytes::Bytes;
use millrace_wal::{Durable, Record, Replay, Replayed, Wal, WalError, WalPosition, WalSettings};
use vfs::{Inline, MemoryDisk, SeededRandom, SystemClock, World};

/// Small segments, so that little data shows what much would; no reserve, so that a test says itself when the disk is full.
const SETTINGS: WalSettings = WalSettings { segment_bytes: 400, queue_bytes: 1 << 20, disk_reserve_bytes: 0 };

/// One thread and a seed: the same steps in each run.
fn world() -> World {
    World { clock: Arc::new(SystemClock::new()), random: Arc::new(SeededRandom::new(1)), compute: Arc::new(Inline) }
}

async fn try_open(disk: &MemoryDisk) -> Result<(Wal, Replay), WalError> {
    Wal::open(Arc::new(disk.clone()), SETTINGS, world()).await
}

async fn open(disk: &MemoryDisk) -> (Wal, Replay) {
    try_open(disk).await.expect("a log that was not damaged opens")
}

fn record(stream: u64, epoch: u64, payload: impl Into<Bytes>) -> Record {
    Record { stream, epoch, payload: payload.into() }
}

/// Bytes that do not shrink.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let random = SeededRandom::new(seed);
    (0..bytes.div_ceil(8)).flat_map(|_| vfs::Random::next_u64(&random).to_le_bytes()).take(bytes).collect()
}

/// Accepts the record; the promise is the caller's to await.
async fn accept(wal: &Wal, record: Record) -> Durable {
    wal.append(record).await.expect("an append under the newest epoch is accepted")
}

/// Appends the record and waits until it is durable.
async fn log(wal: &Wal, record: Record) -> WalPosition {
    accept(wal, record).await.await.expect("the disk has no fault")
}

/// All records, without their positions.
fn replayed(replay: &Replay) -> Vec<Record> {
    let strip = |replayed: Replayed| record(replayed.stream, replayed.epoch, replayed.payload);
    replay.records().map(|replayed| strip(replayed.expect("no damage came about since opening"))).collect()
}

/// The names of the segments on the disk, by number.
async fn segments(disk: &MemoryDisk) -> Vec<u64> {
    let entries = vfs::Disk::list(disk).await.expect("the disk can be listed");
    entries.iter().map(|entry| entry.name.trim_end_matches(".wal").parse().expect("a segment's name")).collect()
}

/// The file of segment `number`.
fn file_name(number: u64) -> String {
    format!("{number:020}.wal")
}

/// Gives the log's tasks, which share this test's thread, the turns that they need to come to rest.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
