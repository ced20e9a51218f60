//! `incident/<pipeline>/<number>`: what needs, or needed, a person.

use super::codec;
use crate::store::KeyRange;
use crate::{CatalogError, Incident, PipelineId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "incident/";

pub(crate) fn ser_key(pipeline: PipelineId, number: u64) -> Vec<u8> {
    codec::key(PREFIX, &[&pipeline.0.to_be_bytes(), &number.to_be_bytes()])
}

/// Every incident of one pipeline, oldest first.
pub(crate) fn of_pipeline(pipeline: PipelineId) -> KeyRange {
    KeyRange::prefix(&codec::number_key(PREFIX, pipeline.0))
}

/// Every incident.
pub(crate) fn all() -> KeyRange {
    KeyRange::prefix(PREFIX.as_bytes())
}

pub(crate) fn ser_value(incident: &Incident) -> Vec<u8> {
    codec::ser(FORMAT, incident)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<Incident, CatalogError> {
    codec::deser(FORMAT, key, value)
}
