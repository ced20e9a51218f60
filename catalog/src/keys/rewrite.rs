//! `rewrite/<table><place>`: how often parts of that place of a table were replaced. Compared and raised by whoever removes parts;
//! appends never touch it. The place is `errors` for the table's error parts; a partition value is one for its rows.

use serde::{Deserialize, Serialize};

use super::codec;
use crate::{CatalogError, CommitToken, TableId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "rewrite/";

/// The place of a table's error parts.
pub(crate) const ERRORS: &str = "errors";
/// So many of the newest tokens are kept, to tell a rewrite whose outcome was unknown that it has happened (I6).
const TOKENS_KEPT: usize = 64;

/// What was replaced there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RewriteRecord {
    /// How often.
    pub(crate) count: u64,
    /// The newest rewrites, oldest first.
    pub(crate) tokens: Vec<CommitToken>,
}

impl RewriteRecord {
    /// After one more.
    pub(crate) fn with(mut self, token: CommitToken) -> Self {
        self.count += 1;
        self.tokens.push(token);
        let surplus = self.tokens.len().saturating_sub(TOKENS_KEPT);
        self.tokens.drain(..surplus);
        self
    }
}

pub(crate) fn ser_key(table: TableId, place: &str) -> Vec<u8> {
    codec::key(PREFIX, &[&table.0.to_be_bytes(), place.as_bytes()])
}

pub(crate) fn ser_value(record: &RewriteRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<RewriteRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
