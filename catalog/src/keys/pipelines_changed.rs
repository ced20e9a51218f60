//! `pipelines_changed`: another value after each change to any pipeline. Written blind, and watched by managers.

use super::codec;
use crate::store::VersionstampedValue;
use crate::{CatalogError, Version};

const FORMAT: u8 = 1;
/// The whole key.
pub(super) const PREFIX: &str = "pipelines_changed";

pub(crate) fn ser_key() -> Vec<u8> {
    PREFIX.as_bytes().to_vec()
}

pub(crate) fn ser_value(era: u32) -> VersionstampedValue {
    codec::ser_stamped(FORMAT, era, 0, &())
}

/// The version of the newest change.
pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<Version, CatalogError> {
    codec::deser_stamped::<()>(FORMAT, key, value).map(|(version, ())| version)
}
