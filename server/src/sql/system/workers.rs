//! `system.workers`: the processes that run tasks.

use super::super::seams::WorkerRow;
use super::cells::{Cell, Kind, time};
use super::{ColumnDef, Reader, Rows};

pub(super) const COLUMNS: &[ColumnDef] = &[
    ("worker", Kind::Text),
    ("address", Kind::Text),
    ("state", Kind::Text),
    ("tasks", Kind::Int),
    ("memory_bytes", Kind::Int),
    ("memory_limit_bytes", Kind::Int),
    ("wal_bytes", Kind::Int),
    ("heartbeat", Kind::Time),
];

pub(super) async fn rows(reader: &Reader) -> Rows {
    let row = |worker: WorkerRow| {
        vec![
            Cell::from(worker.node),
            worker.address.into(),
            worker.state.into(),
            worker.tasks.into(),
            worker.memory_bytes.into(),
            worker.memory_limit_bytes.into(),
            worker.wal_bytes.into(),
            time(worker.heartbeat),
        ]
    };
    Ok(reader.runtime.workers().await.into_iter().map(row).collect())
}
