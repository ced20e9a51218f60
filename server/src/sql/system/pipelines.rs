//! `system.pipelines`: what runs ingest, and how it does.

use std::collections::BTreeMap;

use catalog::{ChangeKind, Incident, PipelineChange, PipelineId, PipelineState};

use super::super::seams::StreamPosition;
use super::cells::{Cell, Kind, time};
use super::reader::full_name;
use super::{ColumnDef, Reader, Rows};

pub(super) const COLUMNS: &[ColumnDef] = &[
    ("pipeline_id", Kind::Int),
    ("database_name", Kind::Text),
    ("name", Kind::Text),
    ("table_name", Kind::Text),
    ("state", Kind::Text),
    ("brokers", Kind::Text),
    ("topic", Kind::Text),
    ("tasks", Kind::Int),
    ("streams", Kind::Int),
    ("rows", Kind::Int),
    ("errors", Kind::Int),
    ("filtered", Kind::Int),
    ("unknown_fields", Kind::Int),
    ("lag_records", Kind::Int),
    ("lag_seconds", Kind::Float),
    ("rows_per_second", Kind::Float),
    ("bytes_per_second", Kind::Float),
    ("last_error", Kind::Text),
    ("next_retry", Kind::Time),
    ("incident", Kind::Text),
    ("hint", Kind::Text),
    ("created", Kind::Time),
];

/// Sums over a pipeline's streams.
#[derive(Default)]
struct Sums {
    streams: u64,
    rows: u64,
    errors: u64,
    filtered: u64,
    lag_records: Option<u64>,
    lag_seconds: Option<f64>,
    rows_per_second: f64,
}

impl Sums {
    fn add(&mut self, position: &StreamPosition) {
        if let Some(lag) = position.lag_records {
            self.lag_records = Some(self.lag_records.unwrap_or_default() + lag);
        }
        if let Some(lag) = position.lag_seconds {
            self.lag_seconds = Some(self.lag_seconds.unwrap_or_default().max(lag));
        }
        self.rows_per_second += position.rows_per_second.unwrap_or_default();
    }
}

pub(super) async fn rows(reader: &Reader) -> Rows {
    let health = reader.runtime.pipelines().await;
    let positions = reader.runtime.streams().await;
    let incidents = open_incidents(reader).await?;
    let mut rows = Vec::new();
    for (pipeline, table) in reader.pipelines().await? {
        let mut sums = Sums::default();
        for view in super::streams::views(reader, &pipeline).await? {
            sums.streams += 1;
            sums.rows += view.ledger.rows;
            sums.errors += view.ledger.errors;
            sums.filtered += view.ledger.filtered;
            if let Some(position) = positions.get(&view.stream.id) {
                sums.add(position);
            }
        }
        let health = health.get(&pipeline.id).cloned().unwrap_or_default();
        let change = reader.catalog.change(pipeline.id).await?.filter(PipelineChange::is_under_way);
        let state = match (&pipeline.state, health.state) {
            (PipelineState::Running, _) if change.is_some() => match change.map(|change| change.kind) {
                Some(ChangeKind::Seek(_)) => "seeking".to_owned(),
                Some(ChangeKind::Alter(_)) => "altering".to_owned(),
                Some(ChangeKind::Pause) | None => "pausing".to_owned(),
            },
            (PipelineState::Running, Some(state)) => state,
            (PipelineState::Running, None) => "running".to_owned(),
            (PipelineState::Paused, _) => "paused".to_owned(),
            (PipelineState::PausedByIncident, _) => "paused by incident".to_owned(),
        };
        let incident = incidents.get(&pipeline.id);
        let hint = match &pipeline.state {
            PipelineState::Running => health.hint,
            PipelineState::Paused => Some(format!("RESUME PIPELINE {}.{}", pipeline.database, pipeline.name)),
            PipelineState::PausedByIncident => incident.map(|incident| incident.settle.clone()),
        };
        rows.push(vec![
            Cell::from(pipeline.id.0),
            pipeline.database.as_str().into(),
            pipeline.name.as_str().into(),
            table.as_deref().map(full_name).into(),
            state.into(),
            pipeline.source.brokers.as_str().into(),
            pipeline.source.topics.to_string().into(),
            pipeline.settings.tasks.into(),
            sums.streams.into(),
            sums.rows.into(),
            sums.errors.into(),
            sums.filtered.into(),
            health.unknown_fields.into(),
            sums.lag_records.into(),
            sums.lag_seconds.into(),
            sums.rows_per_second.into(),
            health.bytes_per_second.into(),
            health.last_error.into(),
            time(health.next_retry),
            incident.as_ref().map(|incident| format!("{}; to settle it: {}", incident.cause, incident.settle)).into(),
            hint.into(),
            Cell::Time(pipeline.created),
        ]);
    }
    Ok(rows)
}

/// The newest open incident of each pipeline.
async fn open_incidents(reader: &Reader) -> Result<BTreeMap<PipelineId, Incident>, catalog::CatalogError> {
    let incidents = reader.catalog.incidents().await?;
    let open = incidents.into_iter().filter(|incident| incident.settled.is_none());
    Ok(open.map(|incident| (incident.pipeline, incident)).collect())
}
