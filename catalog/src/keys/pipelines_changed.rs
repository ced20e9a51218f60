//! `pipelines_changed`: another value after each change to any pipeline. Written blind, and watched by managers.

use super::codec;
use crate::store::VersionstampedValue;

const FORMAT: u8 = 1;

pub(crate) fn ser_key() -> Vec<u8> {
    b"pipelines_changed".to_vec()
}

pub(crate) fn ser_value(era: u32) -> VersionstampedValue {
    codec::ser_stamped(FORMAT, era, 0, &())
}
