//! `channel/<table><process><number>`: an insert channel that is open, or was closed by another than its own process. Makes
//! its opening idempotent, and lets those of dead processes be found.

use serde::{Deserialize, Serialize};

use super::codec;
use crate::store::KeyRange;
use crate::{CatalogError, ChannelIdentity, NodeId, StreamId, TableId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "channel/";

/// What is known of a channel beside its stream's own records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChannelRecord {
    /// Its stream.
    pub(crate) stream: StreamId,
    /// The server whose it is.
    pub(crate) node: NodeId,
}

pub(crate) fn ser_key(table: TableId, identity: &ChannelIdentity) -> Vec<u8> {
    let ChannelIdentity { process, number, .. } = identity;
    codec::key(PREFIX, &[&table.0.to_be_bytes(), &process.to_be_bytes(), &number.to_be_bytes()])
}

/// The table, the process and the number.
pub(crate) fn deser_key(key: &[u8]) -> Result<(TableId, u64, u64), CatalogError> {
    let bytes: [u8; 24] = codec::fixed(key, PREFIX)?;
    let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 of 24 bytes"));
    Ok((TableId(number(0)), number(8), number(16)))
}

/// Every channel into one table.
pub(crate) fn of_table(table: TableId) -> KeyRange {
    KeyRange::prefix(&codec::number_key(PREFIX, table.0))
}

/// Every channel.
pub(crate) fn all() -> KeyRange {
    KeyRange::prefix(PREFIX.as_bytes())
}

pub(crate) fn ser_value(record: &ChannelRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<ChannelRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
