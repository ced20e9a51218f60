//! `counter/<what>`: the last id given out. Read and raised by DDL and by the opening of a stream, never by a commit.

use super::codec;
use crate::CatalogError;

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "counter/";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// Table ids.
    Table,
    /// Pipeline ids.
    Pipeline,
    /// Stream ids.
    Stream,
}

pub(crate) fn ser_key(counter: Counter) -> Vec<u8> {
    let name: &[u8] = match counter {
        Counter::Table => b"table",
        Counter::Pipeline => b"pipeline",
        Counter::Stream => b"stream",
    };
    codec::key(PREFIX, &[name])
}

pub(crate) fn ser_value(last: u64) -> Vec<u8> {
    codec::ser(FORMAT, &last)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<u64, CatalogError> {
    codec::deser(FORMAT, key, value)
}
