//! SCRAM-SHA-256 (RFC 5802, RFC 7677): how this program shows Postgres that it knows a password without sending it, and is
//! shown that the server knows it too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The mechanism's name.
pub(super) const MECHANISM: &str = "SCRAM-SHA-256";
/// No channel binding: "n,,", in Base64.
const NO_BINDING: &str = "biws";
/// The most rounds that a server may ask for: Postgres asks for 4,096, and a hostile one must not occupy a thread for long.
const ROUNDS_LIMIT: u32 = 1_000_000;

type Hash = [u8; 32];

/// A login under way.
pub(super) struct Scram<'a> {
    password: &'a str,
    nonce: String,
    server_signature: Option<Hash>,
}

impl<'a> Scram<'a> {
    /// A login with `password`; `nonce` must be fresh.
    pub(super) fn new(password: &'a str, nonce: u128) -> Self {
        Self { password, nonce: format!("{nonce:032x}"), server_signature: None }
    }

    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    /// The first message. Postgres knows the user from elsewhere.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare())
    }

    /// The answer to the server's challenge; `None` if that is not one.
    pub(super) fn answer(&mut self, challenge: &str) -> Option<String> {
        let field = |name: &str| challenge.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let nonce = field("r").filter(|nonce| nonce.starts_with(&self.nonce) && *nonce != self.nonce)?;
        let salt = STANDARD.decode(field("s")?).ok()?;
        let rounds = field("i")?.parse().ok().filter(|rounds| (1..=ROUNDS_LIMIT).contains(rounds))?;
        let salted = stretched(self.password.as_bytes(), &salt, rounds);
        let client_key = hmac(&salted, &[b"Client Key"]);
        let stored_key: Hash = Sha256::digest(client_key).into();
        let without_proof = format!("c={NO_BINDING},r={nonce}");
        let all = format!("{},{challenge},{without_proof}", self.bare());
        let signature = hmac(&stored_key, &[all.as_bytes()]);
        self.server_signature = Some(hmac(&hmac(&salted, &[b"Server Key"]), &[all.as_bytes()]));
        let mut proof = client_key;
        proof.iter_mut().zip(signature).for_each(|(byte, other)| *byte ^= other);
        Some(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }

    /// Whether the server's last message shows that it knows the password.
    pub(super) fn is_genuine(&self, last: &str) -> bool {
        let shown = last.strip_prefix("v=").and_then(|signature| STANDARD.decode(signature).ok());
        matches!((shown, self.server_signature), (Some(shown), Some(expected)) if shown == expected)
    }
}

/// HMAC-SHA-256 over the parts, one after another.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Hash {
    const BLOCK: usize = 64;
    let mut padded = [0_u8; BLOCK];
    if key.len() > BLOCK {
        padded[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        padded[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new_with_prefix(padded.map(|byte| byte ^ 0x36));
    parts.iter().for_each(|part| inner.update(part));
    let outer = Sha256::new_with_prefix(padded.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

/// PBKDF2 with one block.
fn stretched(password: &[u8], salt: &[u8], rounds: u32) -> Hash {
    let mut last = hmac(password, &[salt, &1_u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..rounds {
        last = hmac(password, &[&last]);
        sum.iter_mut().zip(last).for_each(|(byte, other)| *byte ^= other);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4231 and RFC 7677.
    #[test]
    fn it_computes_what_the_standards_say() {
        let digest = hmac(b"Jefe", &[b"what do ya ", b"want for nothing?"]);
        assert_eq!(hex::encode(digest), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let salted = stretched(b"pencil", &STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096);
        let all = b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,\
i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac(&hmac(&salted, &[b"Server Key"]), &[all]);
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_challenge_that_does_not_repeat_the_nonce_or_asks_for_too_much_is_refused() {
        let mut login = Scram::new("p", 1);
        let nonce = login.nonce.clone();
        for challenge in [
            "r=other,s=AAAA,i=4096".to_owned(),
            format!("r={nonce},s=AAAA,i=4096"),
            format!("r={nonce}x,s=AAAA,i=1000000000"),
            format!("r={nonce}x,s=!,i=1"),
        ] {
            assert_eq!(login.answer(&challenge), None, "{challenge}");
        }
        assert!(login.answer(&format!("r={nonce}x,s=AAAA,i=2")).is_some());
        assert!(!login.is_genuine("v=AAAA"), "a server that does not know the password");
    }
}
