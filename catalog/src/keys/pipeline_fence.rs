//! `fence/pipeline/<id>`: what a commit must know of its pipeline. Written only by DDL that a commit must not survive, so
//! not by PAUSE; absent once the pipeline is dropped.

use super::codec;
use crate::{CatalogError, Fence, PipelineId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "fence/pipeline/";

pub(crate) fn ser_key(pipeline: PipelineId) -> Vec<u8> {
    codec::number_key(PREFIX, pipeline.0)
}

pub(crate) fn ser_value(fence: Fence) -> Vec<u8> {
    codec::ser(FORMAT, &fence)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<Fence, CatalogError> {
    codec::deser(FORMAT, key, value)
}
