//! `system.streams`: what offsets belong to, how far each has come, and what became of its offsets (I1).

use catalog::{CatalogError, Pipeline, StreamState, StreamView};

use super::super::seams::StreamPosition;
use super::cells::{Cell, Kind};
use super::{ColumnDef, Reader, Rows};

pub(super) const COLUMNS: &[ColumnDef] = &[
    ("stream_id", Kind::Int),
    ("pipeline", Kind::Text),
    ("topic", Kind::Text),
    ("partition", Kind::Int),
    ("incarnation", Kind::Text),
    ("generation", Kind::Int),
    ("state", Kind::Text),
    ("start_offset", Kind::Int),
    ("committed_offset", Kind::Int),
    ("visible_offset", Kind::Int),
    ("high_watermark", Kind::Int),
    ("lag_records", Kind::Int),
    ("lag_seconds", Kind::Float),
    ("rows_per_second", Kind::Float),
    ("epoch", Kind::Int),
    ("owner", Kind::Text),
    ("task", Kind::Int),
    ("rows", Kind::Int),
    ("errors", Kind::Int),
    ("filtered", Kind::Int),
    ("skipped", Kind::Int),
    ("expired", Kind::Int),
    ("truncated", Kind::Int),
    ("hint", Kind::Text),
];

/// A pipeline's streams; none where it was dropped meanwhile.
pub(super) async fn views(reader: &Reader, pipeline: &Pipeline) -> Result<Vec<StreamView>, CatalogError> {
    match reader.catalog.streams(pipeline.id).await {
        Err(CatalogError::NotFound { .. }) => Ok(Vec::new()),
        found => found,
    }
}

pub(super) async fn rows(reader: &Reader) -> Rows {
    let positions = reader.runtime.streams().await;
    let mut rows = Vec::new();
    for pipeline in reader.catalog.pipelines().await? {
        for view in views(reader, &pipeline).await? {
            let position = positions.get(&view.stream.id).cloned().unwrap_or_default();
            rows.push(row(&pipeline, &view, &position));
        }
    }
    Ok(rows)
}

fn row(pipeline: &Pipeline, view: &StreamView, position: &StreamPosition) -> Vec<Cell> {
    let identity = view.stream.partition();
    let state = match view.stream.state {
        StreamState::Open => "open",
        StreamState::Closed => "closed",
    };
    // Rows are seen once they are logged, and at the latest once they are committed.
    let visible = position.visible.map_or(view.committed, |visible| visible.max(view.committed));
    let owner = view.owner.as_ref();
    vec![
        Cell::from(view.stream.id.0),
        format!("{}.{}", pipeline.database, pipeline.name).into(),
        identity.topic.as_str().into(),
        i64::from(identity.partition).into(),
        identity.incarnation.as_str().into(),
        identity.generation.into(),
        state.into(),
        view.stream.start.0.into(),
        view.committed.0.into(),
        visible.0.into(),
        position.high_watermark.map(|offset| offset.0).into(),
        position.lag_records.into(),
        position.lag_seconds.into(),
        position.rows_per_second.into(),
        owner.map(|owner| owner.epoch.0).into(),
        owner.map(|owner| owner.node.0.clone()).into(),
        owner.map(|owner| owner.task.0).into(),
        view.ledger.rows.into(),
        view.ledger.errors.into(),
        view.ledger.filtered.into(),
        view.ledger.skipped.into(),
        view.ledger.expired.into(),
        view.ledger.truncated.into(),
        position.hint.clone().into(),
    ]
}
