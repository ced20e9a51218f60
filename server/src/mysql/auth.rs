//! Passwords: what is kept of them, how a client shows that it knows one, and how that is checked. The exchange of packets
//! is in `login`.
//!
//! Kept per user are two unsalted double digests, with which the short exchange of caching_sha2_password always succeeds and
//! no RSA is needed. They are no stronger at rest than MySQL's native ones but for SHA-256: keep the file or the environment
//! that holds the password as safe as the password. The scramble never shows the password on the wire; the rows are clear
//! text until the port speaks TLS.

use std::collections::BTreeMap;
use std::str::FromStr;

use sha1::Sha1;
use sha2::{Digest, Sha256};
use vfs::Random;

/// How many bytes of salt a greeting carries.
pub const SALT_BYTES: usize = 20;

/// A text that must not be shown: it has neither Display nor Debug.
#[derive(Clone, PartialEq, Eq)]
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
    /// The plugin called `name`.
    pub fn named(name: &str) -> Option<Self> {
        [Self::CachingSha2, Self::Native].into_iter().find(|plugin| plugin.name() == name)
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
pub struct UserVerifier {
    /// SHA256(SHA256(password)).
    pub sha256_sha256: [u8; 32],
    /// SHA1(SHA1(password)).
    pub sha1_sha1: [u8; 20],
}

impl UserVerifier {
    /// The verifier of `password`, which may be empty.
    pub fn of(password: &Secret) -> Self {
        let password = password.expose().as_bytes();
        Self {
            sha256_sha256: Sha256::digest(Sha256::digest(password)).into(),
            sha1_sha1: Sha1::digest(Sha1::digest(password)).into(),
        }
    }

    /// A verifier that nobody knows a password for: a login as a user that does not exist runs against it, so that it takes
    /// the same exchange and the same work as one with a wrong password.
    pub(super) fn decoy(random: &dyn Random) -> Self {
        let mut verifier = Self { sha256_sha256: [0; 32], sha1_sha1: [0; 20] };
        for part in verifier.sha256_sha256.chunks_mut(8) {
            part.copy_from_slice(&random.next_u64().to_le_bytes()[..part.len()]);
        }
        verifier.sha1_sha1.copy_from_slice(&verifier.sha256_sha256[..20]);
        verifier
    }

    /// Whether `answer` to `salt` shows the password. No answer, or the single NUL of some clients, shows the empty one.
    pub fn accepts(&self, plugin: Plugin, answer: &[u8], salt: &Salt) -> bool {
        if answer.is_empty() || answer == [0] {
            let empty = Self::of(&Secret::new(String::new()));
            return same(&self.sha256_sha256, &empty.sha256_sha256);
        }
        match plugin {
            Plugin::CachingSha2 => {
                let mask = Sha256::new().chain_update(self.sha256_sha256).chain_update(salt.bytes()).finalize();
                answer.len() == mask.len() && same(&Sha256::digest(xor(answer, &mask)), &self.sha256_sha256)
            }
            Plugin::Native => {
                let mask = Sha1::new().chain_update(salt.bytes()).chain_update(self.sha1_sha1).finalize();
                answer.len() == mask.len() && same(&Sha1::digest(xor(answer, &mask)), &self.sha1_sha1)
            }
        }
    }
}

/// Who may log in.
pub trait Accounts: Send + Sync {
    /// What is kept of the user's password, or nothing if there is no such user.
    fn verifier(&self, user: &str) -> Option<UserVerifier>;
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

impl Accounts for FixedAccounts {
    fn verifier(&self, user: &str) -> Option<UserVerifier> {
        self.0.get(user).cloned()
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
