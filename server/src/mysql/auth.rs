//! Passwords: what is kept of them, how a client shows that it knows one, and how that is checked. The exchange of packets
//! is in `login`.
//!
//! Kept per user is an unsalted double digest for each plugin that the user may log in by, with which the short exchange of
//! caching_sha2_password always succeeds and no RSA is needed. It is no stronger at rest than MySQL's native one but for
//! SHA-256: keep what holds it as safe as the password. The scramble never shows the password on the wire; the rows are clear
//! text until the port speaks TLS.

use std::collections::BTreeMap;
use std::str::FromStr;

use async_trait::async_trait;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use vfs::Random;

use super::error::SqlError;

/// How many bytes of salt a greeting carries.
pub const SALT_BYTES: usize = 20;

/// A text that must not be shown: it has neither Display nor Debug.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that computes with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// What a client mixes into its answer, so that an answer that was overheard is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salt([u8; SALT_BYTES]);

impl Salt {
    /// A new salt of bytes 1 to 127: clients handle it as a C string, and a NUL would cut it.
    pub fn fresh(random: &dyn Random) -> Self {
        let mut bytes = [0; SALT_BYTES];
        for part in bytes.chunks_mut(8) {
            for (byte, drawn) in part.iter_mut().zip(random.next_u64().to_le_bytes()) {
                *byte = drawn % 127 + 1;
            }
        }
        Self(bytes)
    }

    /// A salt that came over the wire.
    pub fn from_bytes(bytes: [u8; SALT_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; SALT_BYTES] {
        &self.0
    }
}

/// The ways to show a password that both sides here know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// MySQL 8 and 9.
    CachingSha2,
    /// Older clients, and MariaDB's when told so.
    Native,
}

impl Plugin {
    /// All of them.
    pub const ALL: &[Self] = &[Self::CachingSha2, Self::Native];

    /// The plugin called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|plugin| plugin.name() == name)
    }

    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::CachingSha2 => "caching_sha2_password",
            Self::Native => "mysql_native_password",
        }
    }

    /// A client's answer to `salt`; empty for an empty password, by which every client shows that it has none.
    pub fn answer(self, password: &Secret, salt: &Salt) -> Vec<u8> {
        let password = password.expose().as_bytes();
        match self {
            _ if password.is_empty() => Vec::new(),
            Self::CachingSha2 => {
                let once = Sha256::digest(password);
                let mask = Sha256::new().chain_update(Sha256::digest(once)).chain_update(salt.bytes()).finalize();
                xor(&once, &mask)
            }
            Self::Native => {
                let once = Sha1::digest(password);
                let mask = Sha1::new().chain_update(salt.bytes()).chain_update(Sha1::digest(once)).finalize();
                xor(&once, &mask)
            }
        }
    }
}

/// What the server keeps of a password: enough to check an answer, not enough to make one.
#[derive(Clone, PartialEq, Eq)]
pub enum UserVerifier {
    /// There is no password.
    Empty,
    /// A digest for each plugin that the user may log in by; at least one.
    Digests {
        /// SHA256(SHA256(password)).
        sha256_sha256: Option<[u8; 32]>,
        /// SHA1(SHA1(password)).
        sha1_sha1: Option<[u8; 20]>,
    },
}

impl UserVerifier {
    /// The verifier of `password`, which may be empty, by any plugin.
    pub fn of(password: &Secret) -> Self {
        Self::made(password, Plugin::ALL)
    }

    /// The verifier of `password`, which may be empty, by one plugin.
    pub fn by(plugin: Plugin, password: &Secret) -> Self {
        Self::made(password, &[plugin])
    }

    fn made(password: &Secret, plugins: &[Plugin]) -> Self {
        let password = password.expose().as_bytes();
        if password.is_empty() {
            return Self::Empty;
        }
        let sha256 = || Sha256::digest(Sha256::digest(password)).into();
        let sha1 = || Sha1::digest(Sha1::digest(password)).into();
        Self::Digests {
            sha256_sha256: plugins.contains(&Plugin::CachingSha2).then(sha256),
            sha1_sha1: plugins.contains(&Plugin::Native).then(sha1),
        }
    }

    /// A verifier that nobody knows a password for: a login as a user that does not exist runs against it, so that it takes
    /// the same exchange and the same work as one with a wrong password.
    pub(super) fn decoy(random: &dyn Random) -> Self {
        let mut digest = [0; 32];
        for part in digest.chunks_mut(8) {
            part.copy_from_slice(&random.next_u64().to_le_bytes()[..part.len()]);
        }
        Self::Digests { sha256_sha256: Some(digest), sha1_sha1: digest.first_chunk().copied() }
    }

    /// Whether there is no password.
    pub fn is_without_password(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The plugin to judge a client by that would like `named`.
    pub(super) fn plugin(&self, named: Option<Plugin>) -> Plugin {
        let named = named.unwrap_or(Plugin::CachingSha2);
        match self {
            Self::Digests { sha256_sha256: None, .. } => Plugin::Native,
            Self::Digests { sha1_sha1: None, .. } => Plugin::CachingSha2,
            _ => named,
        }
    }

    /// Whether `answer` to `salt` shows the password. No answer, or the single NUL of some clients, shows the empty one.
    pub fn accepts(&self, plugin: Plugin, answer: &[u8], salt: &Salt) -> bool {
        let is_empty = answer.is_empty() || answer == [0];
        let Self::Digests { sha256_sha256, sha1_sha1 } = self else { return is_empty };
        match (plugin, sha256_sha256, sha1_sha1) {
            _ if is_empty => false,
            (Plugin::CachingSha2, Some(kept), _) => {
                let mask = Sha256::new().chain_update(kept).chain_update(salt.bytes()).finalize();
                answer.len() == mask.len() && same(&Sha256::digest(xor(answer, &mask)), kept)
            }
            (Plugin::Native, _, Some(kept)) => {
                let mask = Sha1::new().chain_update(salt.bytes()).chain_update(kept).finalize();
                answer.len() == mask.len() && same(&Sha1::digest(xor(answer, &mask)), kept)
            }
            _ => false,
        }
    }
}

/// Who may log in.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// What is kept of the user's password, or nothing if there is no such user. An error refuses the login with just this
    /// error.
    async fn verifier(&self, user: &str) -> Result<Option<UserVerifier>, SqlError>;
}

/// Accounts that are fixed when the server starts.
#[derive(Clone)]
pub struct FixedAccounts(BTreeMap<String, UserVerifier>);

impl FixedAccounts {
    /// The one account `root`; an empty password lets everybody in who can reach the port.
    pub fn root(password: &Secret) -> Self {
        Self(BTreeMap::from([("root".to_owned(), UserVerifier::of(password))]))
    }
}

#[async_trait]
impl Accounts for FixedAccounts {
    async fn verifier(&self, user: &str) -> Result<Option<UserVerifier>, SqlError> {
        Ok(self.0.get(user).cloned())
    }
}

fn xor(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(left, right)| left ^ right).collect()
}

/// Compares without stopping at the first difference, which would tell a patient client how much of a guess was right.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && std::hint::black_box(left.iter().zip(right).fold(0, |seen, (l, r)| seen | (l ^ r))) == 0
}

#[cfg(test)]
mod tests {
    use vfs::SeededRandom;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    /// Computed with PyMySQL's `_auth.scramble_caching_sha2` and `scramble_native_password` for this salt and password.
    #[test]
    fn answers_are_those_of_other_clients() {
        let salt = Salt::from_bytes(*b"0123456789abcdefghij");
        assert_eq!(hex::encode(Plugin::CachingSha2.answer(&secret("s3cret"), &salt)), SHA2_VECTOR);
        assert_eq!(hex::encode(Plugin::Native.answer(&secret("s3cret"), &salt)), NATIVE_VECTOR);
    }

    const SHA2_VECTOR: &str = "b4e44a5ad3e00e792689879f9e96e7b673cccd90abdfc071692d5225e441d237";
    const NATIVE_VECTOR: &str = "714e266755489c6c1ec8b62d32d3438489aaf42c";

    #[test]
    fn only_the_right_password_is_accepted() {
        let salt = Salt::fresh(&SeededRandom::new(1));
        let other_salt = Salt::fresh(&SeededRandom::new(2));
        let kept = UserVerifier::of(&secret("right"));
        for plugin in [Plugin::CachingSha2, Plugin::Native] {
            assert!(kept.accepts(plugin, &plugin.answer(&secret("right"), &salt), &salt));
            for wrong in ["wrong", "", "right "] {
                assert!(!kept.accepts(plugin, &plugin.answer(&secret(wrong), &salt), &salt), "{wrong:?}");
            }
            assert!(!kept.accepts(plugin, &plugin.answer(&secret("right"), &other_salt), &salt), "a replayed answer");
            assert!(!kept.accepts(plugin, &[0], &salt));
            assert!(!kept.accepts(plugin, &[7; 1000], &salt));
        }
    }

    #[test]
    fn a_user_of_one_plugin_is_judged_by_that_one() {
        let salt = Salt::fresh(&SeededRandom::new(1));
        let native = UserVerifier::by(Plugin::Native, &secret("right"));
        let sha2 = UserVerifier::by(Plugin::CachingSha2, &secret("right"));
        for named in [None, Some(Plugin::Native), Some(Plugin::CachingSha2)] {
            assert_eq!((native.plugin(named), sha2.plugin(named)), (Plugin::Native, Plugin::CachingSha2));
        }
        for (kept, plugin, other) in
            [(native, Plugin::Native, Plugin::CachingSha2), (sha2, Plugin::CachingSha2, Plugin::Native)]
        {
            assert!(kept.accepts(plugin, &plugin.answer(&secret("right"), &salt), &salt));
            assert!(!kept.accepts(other, &other.answer(&secret("right"), &salt), &salt));
            assert!(!kept.is_without_password());
        }
    }

    #[test]
    fn the_empty_password_is_shown_by_no_answer() {
        let salt = Salt::fresh(&SeededRandom::new(1));
        let kept = UserVerifier::of(&secret(""));
        for plugin in [Plugin::CachingSha2, Plugin::Native] {
            assert!(kept.accepts(plugin, &[], &salt) && kept.accepts(plugin, &[0], &salt));
            assert!(!kept.accepts(plugin, &plugin.answer(&secret("x"), &salt), &salt));
            assert!(!UserVerifier::decoy(&SeededRandom::new(3)).accepts(plugin, &[], &salt));
        }
    }

    #[test]
    fn a_salt_has_no_byte_that_would_cut_a_c_string() {
        for seed in 0..200 {
            let salt = Salt::fresh(&SeededRandom::new(seed));
            assert!(salt.bytes().iter().all(|byte| (1..128).contains(byte)));
        }
    }
}
