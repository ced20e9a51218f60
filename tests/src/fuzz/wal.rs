//! The write-ahead log's last segment, as a stranger may have left it: opened, it gives records that were written, in their order and
//! from the first, or a named error.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use vfs::{Disk, Inline, MemoryDisk, SeededRandom, SystemClock, World};
use wal::{Record, Wal, WalError, WalSettings};

use super::Target;

const SETTINGS: WalSettings = WalSettings { segment_bytes: 1 << 20, queue_bytes: 1 << 20, disk_reserve_bytes: 0 };
const RECORDS: u64 = 12;

pub(super) struct WalTarget {
    runtime: Runtime,
    world: World,
    segment: String,
    whole: Vec<u8>,
}

fn record(number: u64) -> Record {
    let length = [0, 1, 40, 700][number as usize % 4];
    let payload: Vec<u8> = (0..length).map(|at| (at * 7 + number) as u8).collect();
    Record { stream: number % 3, epoch: 1, payload: Bytes::from(payload) }
}

impl WalTarget {
    pub(super) fn new() -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let world = World {
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SeededRandom::new(1)),
            compute: Arc::new(Inline),
        };
        let disk = MemoryDisk::new();
        let (segment, whole) = runtime.block_on(async {
            let (wal, replay) = Wal::open(Arc::new(disk.clone()), SETTINGS, world.clone()).await?;
            replay.finish();
            for number in 0..RECORDS {
                wal.append(record(number)).await?.await?;
            }
            wal.close().await?;
            let entries = disk.list().await?;
            let name = entries.into_iter().map(|entry| entry.name).max().unwrap_or_default();
            let whole = disk.contents(&name).unwrap_or_default();
            anyhow::Ok((name, whole))
        })?;
        anyhow::ensure!(!whole.is_empty(), "the log has no segment");
        Ok(Self { runtime, world, segment, whole })
    }
}

impl Target for WalTarget {
    fn seeds(&self) -> Vec<Vec<u8>> {
        vec![self.whole.clone(), Vec::new()]
    }

    fn words(&self) -> &[&[u8]] {
        &[b"MILLRWAL", &[0; 16], &[0xff; 8]]
    }

    fn take(&mut self, input: &[u8]) -> Result<String, String> {
        let disk = MemoryDisk::new();
        disk.put(&self.segment, input.to_vec());
        self.runtime.block_on(async {
            let (_wal, replay) = match Wal::open(Arc::new(disk), SETTINGS, self.world.clone()).await {
                Ok(opened) => opened,
                Err(WalError::Damaged { reason, .. }) => return Ok(reason.to_owned()),
                Err(other) => return Ok(other.to_string().chars().take(40).collect()),
            };
            let mut next = 0;
            for replayed in replay.records() {
                let found = replayed.map_err(|error| format!("the log was opened, and then {error}"))?;
                let expected = record(next);
                if (found.stream, found.epoch, &found.payload) != (expected.stream, expected.epoch, &expected.payload) {
                    return Err(format!("record {next} is not what was written as such"));
                }
                next += 1;
            }
            Ok(format!("{next} records"))
        })
    }
}
