//! `pipeline_version/<pipeline><fence>`: a version of an altered pipeline, and the offsets from which on it decoded. Written once;
//! removed by DROP PIPELINE.

use super::codec;
use crate::store::KeyRange;
use crate::{CatalogError, Fence, PipelineId, PipelineVersion};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "pipeline_version/";

pub(crate) fn ser_key(pipeline: PipelineId, fence: Fence) -> Vec<u8> {
    codec::key(PREFIX, &[&pipeline.0.to_be_bytes(), &fence.0.to_be_bytes()])
}

/// Every version of one pipeline, oldest first.
pub(crate) fn of_pipeline(pipeline: PipelineId) -> KeyRange {
    KeyRange::prefix(&codec::number_key(PREFIX, pipeline.0))
}

pub(crate) fn ser_value(version: &PipelineVersion) -> Vec<u8> {
    codec::ser(FORMAT, version)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<PipelineVersion, CatalogError> {
    codec::deser(FORMAT, key, value)
}
