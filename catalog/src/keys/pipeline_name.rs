//! `pipeline_name/<database>\0<pipeline>`, both in lower case: which pipeline has that name.

use super::codec;
use crate::store::KeyRange;
use crate::{CatalogError, PipelineId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "pipeline_name/";

pub(crate) fn ser_key(database: &str, name: &str) -> Vec<u8> {
    codec::two_names_key(PREFIX, database, name)
}

/// The database and the pipeline, in lower case.
pub(crate) fn deser_key(key: &[u8]) -> Result<(String, String), CatalogError> {
    codec::two_names(key, PREFIX)
}

/// Every pipeline of one database, by name.
pub(crate) fn of_database(database: &str) -> KeyRange {
    KeyRange::prefix(&ser_key(database, ""))
}

pub(crate) fn ser_value(id: PipelineId) -> Vec<u8> {
    codec::ser(FORMAT, &id)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<PipelineId, CatalogError> {
    codec::deser(FORMAT, key, value)
}
