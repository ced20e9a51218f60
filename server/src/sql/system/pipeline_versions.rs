//! `system.pipeline_versions`: what each version of an altered pipeline did, and from which offset of each stream on.

use catalog::{Pipeline, PipelineVersion};

use super::super::create_text::definition;
use super::cells::{Cell, Kind};
use super::{ColumnDef, Reader, Rows};

pub(super) const COLUMNS: &[ColumnDef] = &[
    ("pipeline_id", Kind::Int),
    ("pipeline", Kind::Text),
    ("version", Kind::Int),
    ("since", Kind::Time),
    ("stream_id", Kind::Int),
    ("cut_over", Kind::Int),
    ("select_list", Kind::Text),
    ("where_clause", Kind::Text),
    ("source", Kind::Text),
    ("settings", Kind::Text),
];

pub(super) async fn rows(reader: &Reader) -> Rows {
    let mut rows = Vec::new();
    for pipeline in reader.catalog.pipelines().await? {
        for version in reader.catalog.pipeline_versions(pipeline.id).await? {
            // A version without cuts is the first: it has a row all the same.
            let cuts = version.cuts.iter().map(|cut| (Some(cut.stream.0), Some(cut.offset.0)));
            let cuts: Vec<_> = if version.cuts.is_empty() { vec![(None, None)] } else { cuts.collect() };
            for (stream, offset) in cuts {
                rows.push(row(&pipeline, &version, stream, offset));
            }
        }
    }
    Ok(rows)
}

fn row(pipeline: &Pipeline, version: &PipelineVersion, stream: Option<u64>, offset: Option<u64>) -> Vec<Cell> {
    let mut cells = vec![
        Cell::from(pipeline.id.0),
        format!("{}.{}", pipeline.database, pipeline.name).into(),
        version.fence.0.into(),
        Cell::Time(version.since),
        stream.into(),
        offset.into(),
    ];
    let clauses = definition(&version.definition.applied_to(pipeline));
    cells.extend(clauses.into_iter().map(|(_, text)| Cell::from(text)));
    cells
}
