//! `pipeline_change/<pipeline>`: the last PAUSE, SEEK or ALTER of a pipeline, under way or done. Changed by compare-and-set only;
//! removed by DROP PIPELINE.

use super::codec;
use crate::{CatalogError, PipelineChange, PipelineId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "pipeline_change/";

pub(crate) fn ser_key(pipeline: PipelineId) -> Vec<u8> {
    codec::number_key(PREFIX, pipeline.0)
}

pub(crate) fn ser_value(change: &PipelineChange) -> Vec<u8> {
    codec::ser(FORMAT, change)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<PipelineChange, CatalogError> {
    codec::deser(FORMAT, key, value)
}
