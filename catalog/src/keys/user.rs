//! `user/<name>`: one user. The name is as typed: users are told apart by case, as in MySQL.

use serde::{Deserialize, Serialize};

use super::{Nonce, codec};
use crate::store::KeyRange;
use crate::{CatalogError, User};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "user/";

/// One user. It holds a credential, so it has no Debug.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserRecord {
    /// The user.
    pub(crate) user: User,
    /// The call that made it.
    pub(crate) nonce: Nonce,
}

pub(crate) fn ser_key(name: &str) -> Vec<u8> {
    codec::key(PREFIX, &[name.as_bytes()])
}

/// Every user, by name.
pub(crate) fn all() -> KeyRange {
    KeyRange::prefix(PREFIX.as_bytes())
}

pub(crate) fn ser_value(record: &UserRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<UserRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
