//! `system.incidents`: what needs a person, and the statement that settles it.

use std::collections::BTreeMap;

use catalog::{Incident, IncidentKind};

use super::cells::{Cell, Kind, time};
use super::{ColumnDef, Reader, Rows};

pub(super) const COLUMNS: &[ColumnDef] = &[
    ("pipeline", Kind::Text),
    ("number", Kind::Int),
    ("kind", Kind::Text),
    ("stream_id", Kind::Int),
    ("lost_from", Kind::Int),
    ("lost_to", Kind::Int),
    ("cause", Kind::Text),
    ("settle", Kind::Text),
    ("opened", Kind::Time),
    ("settled", Kind::Time),
    ("settled_by", Kind::Text),
];

pub(super) async fn rows(reader: &Reader) -> Rows {
    let names: BTreeMap<_, _> = reader
        .catalog
        .pipelines()
        .await?
        .into_iter()
        .map(|pipeline| (pipeline.id, format!("{}.{}", pipeline.database, pipeline.name)))
        .collect();
    let incidents = reader.catalog.incidents().await?;
    Ok(incidents.into_iter().map(|incident| row(names.get(&incident.pipeline).cloned(), incident)).collect())
}

fn row(pipeline: Option<String>, incident: Incident) -> Vec<Cell> {
    let kind = match incident.kind {
        IncidentKind::Expired => "expired",
        IncidentKind::Truncated => "truncated",
        IncidentKind::TopicRecreated => "topic recreated",
        IncidentKind::BadRecord => "bad record",
        IncidentKind::Source => "source",
    };
    vec![
        Cell::from(pipeline),
        incident.number.into(),
        kind.into(),
        incident.stream.map(|stream| stream.0).into(),
        incident.gap.map(|gap| gap.range.start.0).into(),
        incident.gap.map(|gap| gap.range.end.0).into(),
        incident.cause.into(),
        incident.settle.into(),
        Cell::Time(incident.opened),
        time(incident.settled),
        incident.settled_by.into(),
    ]
}
