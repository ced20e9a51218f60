//! `stream/<id>`: one stream. Its next offset and its owner, which change often, are keys of their own.

use super::codec;
use crate::{CatalogError, Stream, StreamId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "stream/";

pub(crate) fn ser_key(stream: StreamId) -> Vec<u8> {
    codec::number_key(PREFIX, stream.0)
}

pub(crate) fn ser_value(stream: &Stream) -> Vec<u8> {
    codec::ser(FORMAT, stream)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<Stream, CatalogError> {
    codec::deser(FORMAT, key, value)
}
