//! Who may log in, and what is kept of a password: enough to check one, not enough to show one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One user. Users may do everything, for now.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name, compared to the letter.
    pub name: String,
    /// What is kept of the password.
    pub credential: Credential,
    /// When it was made, in microseconds since 1970, for people.
    pub created: i64,
}

/// Its credential has no Debug, so this names the user only.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("created", &self.created).finish_non_exhaustive()
    }
}

/// What is kept of a password. It has neither Display nor Debug.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "plugin", content = "digest")]
pub enum Credential {
    /// There is no password: such a user logs in from the server's own machine only.
    #[default]
    #[serde(rename = "none")]
    None,
    /// SHA256(SHA256(password)).
    #[serde(rename = "caching_sha2_password", with = "digest")]
    CachingSha2([u8; 32]),
    /// SHA1(SHA1(password)).
    #[serde(rename = "mysql_native_password", with = "digest")]
    Native([u8; 20]),
}

/// Digests as hexadecimal digits.
mod digest {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer, const N: usize>(digest: &[u8; N], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(digest))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(from)?;
        let mut digest = [0; N];
        // The digits are not repeated in the error: they are a credential.
        hex::decode_to_slice(&text, &mut digest).map_err(|_| D::Error::custom(format!("no digest of {N} bytes")))?;
        Ok(digest)
    }
}
