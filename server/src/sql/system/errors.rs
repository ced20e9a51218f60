//! `system.errors`: which streams have records that could not become rows, and where these are read.

use std::collections::BTreeMap;

use super::super::literal::backticked;
use super::super::resolve::ERRORS_SUFFIX;
use super::cells::{Cell, Kind};
use super::{ColumnDef, Reader, Rows};

pub(super) const COLUMNS: &[ColumnDef] = &[
    ("database_name", Kind::Text),
    ("table_name", Kind::Text),
    ("pipeline", Kind::Text),
    ("stream_id", Kind::Int),
    ("topic", Kind::Text),
    ("partition", Kind::Int),
    ("errors", Kind::Int),
    ("query", Kind::Text),
];

pub(super) async fn rows(reader: &Reader) -> Rows {
    let mut by_table: BTreeMap<(String, String), Vec<Vec<Cell>>> = BTreeMap::new();
    for (pipeline, table) in reader.pipelines().await? {
        let Some(table) = table else { continue };
        for view in super::streams::views(reader, &pipeline).await? {
            if view.ledger.errors == 0 {
                continue;
            }
            let errors_table = backticked(&format!("{}{ERRORS_SUFFIX}", table.name));
            let query = format!(
                "SELECT * FROM {}.{errors_table} WHERE _stream = {}",
                backticked(&table.database),
                view.stream.id
            );
            by_table.entry((table.database.clone(), table.name.clone())).or_default().push(vec![
                Cell::from(table.database.as_str()),
                table.name.as_str().into(),
                format!("{}.{}", pipeline.database, pipeline.name).into(),
                view.stream.id.0.into(),
                view.stream.partition().topic.as_str().into(),
                i64::from(view.stream.partition().partition).into(),
                view.ledger.errors.into(),
                query.into(),
            ]);
        }
    }
    Ok(by_table.into_values().flatten().collect())
}
