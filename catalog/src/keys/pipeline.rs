//! `pipeline/<id>`: one pipeline. Changed by compare-and-set only; removed by DROP PIPELINE.

use serde::{Deserialize, Serialize};

use super::{Nonce, codec};
use crate::store::KeyRange;
use crate::{CatalogError, Pipeline, PipelineId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "pipeline/";

/// One pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PipelineRecord {
    /// The pipeline.
    pub(crate) pipeline: Pipeline,
    /// The call that made it.
    pub(crate) nonce: Nonce,
}

pub(crate) fn ser_key(pipeline: PipelineId) -> Vec<u8> {
    codec::number_key(PREFIX, pipeline.0)
}

/// Every pipeline, by id.
pub(crate) fn all() -> KeyRange {
    KeyRange::prefix(PREFIX.as_bytes())
}

pub(crate) fn ser_value(record: &PipelineRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<PipelineRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
