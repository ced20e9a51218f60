//! `system.parts`: the visible parts of every table.

use catalog::{CatalogError, CatalogService, Column, ColumnType, Part, PartKind, PartitionTransform, Scalar, Table};

use super::super::literal::{span_text, time_text};
use super::cells::{Cell, Kind};
use super::{ColumnDef, Reader, Rows};

pub(super) const COLUMNS: &[ColumnDef] = &[
    ("database_name", Kind::Text),
    ("table_name", Kind::Text),
    ("part", Kind::Text),
    ("kind", Kind::Text),
    ("partition", Kind::Text),
    ("rows", Kind::Int),
    ("bytes", Kind::Int),
    ("streams", Kind::Int),
    ("path", Kind::Text),
];

pub(super) async fn rows(reader: &Reader) -> Rows {
    let mut rows = Vec::new();
    for table in reader.tables().await? {
        let snapshot = match reader.catalog.snapshot(table.id).await {
            Err(CatalogError::NotFound { .. }) => continue,
            found => found?,
        };
        rows.extend(snapshot.parts.iter().map(|part| row(&table, part)));
    }
    Ok(rows)
}

fn row(table: &Table, part: &Part) -> Vec<Cell> {
    let kind = match part.kind {
        PartKind::Rows => "rows",
        PartKind::Errors => "errors",
    };
    vec![
        Cell::from(table.database.as_str()),
        table.name.as_str().into(),
        part.id.to_string().into(),
        kind.into(),
        partition(table, part).into(),
        part.rows.into(),
        part.bytes.into(),
        part.streams.len().into(),
        part.path.as_str().into(),
    ]
}

/// `origin=EWR, day(ts)=2013-01-31`.
fn partition(table: &Table, part: &Part) -> String {
    let fields = table.partition_by.iter().zip(&part.partition).map(|(field, value)| {
        let Column { name: column, kind, .. } = table.column_by_id(field.column);
        let name = match transform_name(field.transform) {
            Some(transform) => format!("{transform}({column})"),
            None => column.clone(),
        };
        format!("{name}={}", value_text(kind, value))
    });
    fields.collect::<Vec<_>>().join(", ")
}

fn value_text(kind: &ColumnType, value: &Scalar) -> String {
    match value {
        Scalar::Micros(micros) if matches!(kind, ColumnType::Time { .. }) => span_text(*micros),
        Scalar::Date(_) | Scalar::Micros(_) => time_text(value),
        other => other.to_string(),
    }
}

/// How a transform is called in SQL; the identity is not.
pub(crate) fn transform_name(transform: PartitionTransform) -> Option<&'static str> {
    match transform {
        PartitionTransform::Identity => None,
        PartitionTransform::Year => Some("year"),
        PartitionTransform::Month => Some("month"),
        PartitionTransform::Day => Some("day"),
        PartitionTransform::Hour => Some("hour"),
    }
}
