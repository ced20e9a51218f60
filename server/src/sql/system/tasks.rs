//! `system.tasks`: each pipeline's shares, and the workers that run them.

use std::collections::BTreeMap;

use super::cells::{Cell, Kind, time};
use super::{ColumnDef, Reader, Rows};

pub(super) const COLUMNS: &[ColumnDef] = &[
    ("pipeline_id", Kind::Int),
    ("pipeline", Kind::Text),
    ("task", Kind::Int),
    ("worker", Kind::Text),
    ("state", Kind::Text),
    ("streams", Kind::Int),
    ("memtable_bytes", Kind::Int),
    ("uncommitted_offsets", Kind::Int),
    ("lag_records", Kind::Int),
    ("lag_seconds", Kind::Float),
    ("rows_per_second", Kind::Float),
    ("bytes_per_second", Kind::Float),
    ("last_error", Kind::Text),
    ("next_retry", Kind::Time),
    ("hint", Kind::Text),
];

pub(super) async fn rows(reader: &Reader) -> Rows {
    let names: BTreeMap<_, _> = reader
        .catalog
        .pipelines()
        .await?
        .into_iter()
        .map(|pipeline| (pipeline.id, format!("{}.{}", pipeline.database, pipeline.name)))
        .collect();
    let tasks = reader.runtime.tasks().await;
    let row = |task: super::super::seams::TaskRow| {
        vec![
            Cell::from(task.pipeline.0),
            names.get(&task.pipeline).cloned().into(),
            task.task.0.into(),
            task.worker.into(),
            task.state.into(),
            task.streams.into(),
            task.memtable_bytes.into(),
            task.uncommitted_offsets.into(),
            task.lag_records.into(),
            task.lag_seconds.into(),
            task.rows_per_second.into(),
            task.bytes_per_second.into(),
            task.last_error.into(),
            time(task.next_retry),
            task.hint.into(),
        ]
    };
    Ok(tasks.into_iter().map(row).collect())
}
