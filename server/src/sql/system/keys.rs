//! `information_schema.statistics`: what SHOW INDEX shows. A table has one: its ORDER BY, by which queries skip parts and row
//! groups. It is no key, so nothing in it is unique, and it is not called PRIMARY: clients would edit rows by it.

use std::sync::Arc;

use catalog::{ColumnId, Table};

use super::cells::{Cell, Kind};
use super::{ColumnDef, Reader, Rows};

/// The name of a table's only index.
const NAME: &str = "ORDER BY";

pub(super) const STATISTICS: &[ColumnDef] = &[
    ("TABLE_CATALOG", Kind::Text),
    ("TABLE_SCHEMA", Kind::Text),
    ("TABLE_NAME", Kind::Text),
    ("NON_UNIQUE", Kind::Int),
    ("INDEX_SCHEMA", Kind::Text),
    ("INDEX_NAME", Kind::Text),
    ("SEQ_IN_INDEX", Kind::Int),
    ("COLUMN_NAME", Kind::Text),
    ("COLLATION", Kind::Text),
    ("CARDINALITY", Kind::Int),
    ("SUB_PART", Kind::Int),
    ("PACKED", Kind::Text),
    ("NULLABLE", Kind::Text),
    ("INDEX_TYPE", Kind::Text),
    ("COMMENT", Kind::Text),
    ("INDEX_COMMENT", Kind::Text),
    ("IS_VISIBLE", Kind::Text),
    ("EXPRESSION", Kind::Text),
];

pub(super) async fn statistics(reader: &Reader) -> Rows {
    let tables = reader.tables().await?;
    Ok(tables
        .iter()
        .flat_map(|table| table.order_by.iter().zip(1..).map(|(column, at)| row(table, *column, at)))
        .collect())
}

fn row(table: &Arc<Table>, column: ColumnId, at: i64) -> Vec<Cell> {
    let column = table.column_by_id(column);
    vec![
        "def".into(),
        table.database.as_str().into(),
        table.name.as_str().into(),
        Cell::Int(1),
        table.database.as_str().into(),
        NAME.into(),
        Cell::Int(at),
        column.name.as_str().into(),
        "A".into(),
        Cell::Null,
        Cell::Null,
        Cell::Null,
        if column.nullable { "YES" } else { "" }.into(),
        "SORTED".into(),
        "".into(),
        "".into(),
        "YES".into(),
        Cell::Null,
    ]
}

/// What `information_schema.columns` says of a column: `MUL` for the first of an index that is not unique.
pub(super) fn column_key(table: &Table, column: ColumnId) -> &'static str {
    if table.order_by.first() == Some(&column) { "MUL" } else { "" }
}
