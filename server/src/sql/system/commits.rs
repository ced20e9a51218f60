//! `system.commits`: the newest commits of each table.

use super::cells::{Cell, Kind};
use super::{ColumnDef, Reader, Rows};

/// So many of each table.
const NEWEST: usize = 1_000;

pub(super) const COLUMNS: &[ColumnDef] = &[
    ("database_name", Kind::Text),
    ("table_name", Kind::Text),
    ("version", Kind::Text),
    ("committed_at", Kind::Time),
    ("writer", Kind::Text),
    ("streams", Kind::Int),
    ("offsets", Kind::Int),
    ("rows", Kind::Int),
    ("errors", Kind::Int),
    ("filtered", Kind::Int),
    ("parts_added", Kind::Int),
    ("parts_removed", Kind::Int),
    ("bytes", Kind::Int),
];

pub(super) async fn rows(reader: &Reader) -> Rows {
    let mut rows = Vec::new();
    for table in reader.tables().await? {
        for commit in reader.catalog.commits(table.id, NEWEST).await? {
            let sum =
                |of: fn(&catalog::Ledger) -> u64| commit.streams.iter().map(|stream| of(&stream.ledger)).sum::<u64>();
            rows.push(vec![
                Cell::from(table.database.as_str()),
                table.name.as_str().into(),
                commit.version.to_string().into(),
                Cell::Time(commit.wall),
                commit.writer.to_string().into(),
                commit.streams.len().into(),
                sum(|ledger| ledger.offsets()).into(),
                sum(|ledger| ledger.rows).into(),
                sum(|ledger| ledger.errors).into(),
                sum(|ledger| ledger.filtered).into(),
                commit.parts_added.into(),
                commit.parts_removed.into(),
                commit.bytes.into(),
            ]);
        }
    }
    Ok(rows)
}
