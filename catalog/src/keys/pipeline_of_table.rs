//! `pipeline_of_table/<table>/<pipeline>`: that the pipeline writes the table. What DROP TABLE looks at.

use super::codec;
use crate::store::KeyRange;
use crate::{CatalogError, PipelineId, TableId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "pipeline_of_table/";

pub(crate) fn ser_key(table: TableId, pipeline: PipelineId) -> Vec<u8> {
    codec::key(PREFIX, &[&table.0.to_be_bytes(), &pipeline.0.to_be_bytes()])
}

pub(crate) fn deser_key(key: &[u8]) -> Result<(TableId, PipelineId), CatalogError> {
    codec::two_numbers(key, PREFIX).map(|(table, pipeline)| (TableId(table), PipelineId(pipeline)))
}

/// Every pipeline into one table.
pub(crate) fn of_table(table: TableId) -> KeyRange {
    KeyRange::prefix(&codec::number_key(PREFIX, table.0))
}

/// The key says it all.
pub(crate) fn ser_value() -> Vec<u8> {
    codec::ser(FORMAT, &())
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<(), CatalogError> {
    codec::deser(FORMAT, key, value)
}
