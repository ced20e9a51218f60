//! What a worker shows is in its log (I5), whatever its disk may lose: looked at on what a power loss would leave. And no record
//! stands in a log behind one of a newer epoch of its stream (I2).

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{Epoch, Offset, StreamId, StreamView};
use vfs::{MemoryDisk, World};
use wal::{Wal, WalError, WalSettings};
use warehouse::write::batch::Batch;
use warehouse::write::messages::{Heartbeat, StreamCondition};

use super::Violation;

/// Compares what a worker shows with the log that a power loss would leave on `disk`, a copy of its own.
///
/// # Errors
/// If rows that it had shown are neither durable in its log nor committed, or records are out of the order of their epochs.
pub async fn check_log(
    shown: &Heartbeat,
    streams: &[StreamView],
    disk: MemoryDisk,
    settings: WalSettings,
    world: World,
) -> Result<(), Violation> {
    let who = &shown.address;
    let logged = match read(disk, settings, world).await {
        Ok(logged) => logged?,
        Err(error) => {
            return Err(Violation::new(
                "I9",
                format!("a power loss would leave {who} a log that cannot be opened: {error}"),
            ));
        }
    };
    for report in shown.tasks.iter().flat_map(|task| &task.streams) {
        if matches!(report.condition, StreamCondition::Lost { .. } | StreamCondition::Released) {
            continue;
        }
        let Some(view) = streams.iter().find(|view| view.stream.id == report.stream) else { continue };
        if view.owner.as_ref().map(|owner| owner.epoch) != Some(report.epoch) {
            continue;
        }
        let nothing = BTreeMap::new();
        let end = covered(logged.get(&report.stream).unwrap_or(&nothing), report.epoch, view.committed);
        if end < report.visible {
            let text = format!(
                "{who} shows stream {} up to {}; {} is committed, and its log, as a power loss would leave it, reaches to {end}",
                report.stream, report.visible, view.committed
            );
            return Err(Violation::new("I5", text));
        }
    }
    Ok(())
}

/// The ranges logged of each stream, by start, with the end and the epoch.
type Logged = BTreeMap<StreamId, BTreeMap<(Offset, u64), Offset>>;

async fn read(disk: MemoryDisk, settings: WalSettings, world: World) -> Result<Result<Logged, Violation>, WalError> {
    let (log, replay) = Wal::open(Arc::new(disk), settings, world).await?;
    let mut logged = Logged::new();
    let mut newest: BTreeMap<u64, u64> = BTreeMap::new();
    for record in replay.records() {
        let record = record?;
        let before = newest.insert(record.stream, record.epoch);
        if let Some(before) = before.filter(|before| *before > record.epoch) {
            let text = format!("stream {} is logged under epoch {} behind epoch {before}", record.stream, record.epoch);
            return Ok(Err(Violation::new("I2", text)));
        }
        if let Ok(head) = Batch::decode_head(&record.payload) {
            let of_stream = logged.entry(StreamId(record.stream)).or_default();
            let end = of_stream.entry((head.range.start, record.epoch)).or_insert(head.range.end);
            *end = (*end).max(head.range.end);
        }
    }
    drop(replay);
    log.close().await?;
    Ok(Ok(logged))
}

/// How far the ranges of this epoch, or of those that it was adopted from, reach without a hole.
fn covered(ranges: &BTreeMap<(Offset, u64), Offset>, newest: Epoch, from: Offset) -> Offset {
    let mut reached = from;
    for ((start, epoch), end) in ranges {
        if *epoch <= newest.0 && *start <= reached {
            reached = reached.max(*end);
        }
    }
    reached
}
