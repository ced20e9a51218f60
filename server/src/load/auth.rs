//! Who sends a request: HTTP's basic authentication, against the accounts of the MySQL port. A password crosses the wire in clear
//! text: behind a proxy that speaks TLS, or on a network that is one's own.

use axum::http::{HeaderMap, header};
use vfs::World;

use crate::mysql::SqlError;
use crate::mysql::auth::{Accounts, Plugin, Salt, Secret};

/// The user of a request that names none: the one whose password may be empty.
const NOBODY: &str = "root";

/// Whether the request shows the password of its user.
///
/// # Errors
/// If the accounts cannot be looked up.
pub(super) async fn is_known(headers: &HeaderMap, accounts: &dyn Accounts, world: &World) -> Result<bool, SqlError> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (user, password) = match given {
        None => (NOBODY.to_owned(), Secret::new(String::new())),
        Some(given) => match credentials(given) {
            Some(credentials) => credentials,
            None => return Ok(false),
        },
    };
    let Some(verifier) = accounts.verifier(&user).await? else { return Ok(false) };
    let salt = Salt::fresh(&*world.random);
    let shows = |plugin: &Plugin| verifier.accepts(*plugin, &plugin.answer(&password, &salt), &salt);
    Ok(Plugin::ALL.iter().any(shows))
}

/// `Basic base64(user:password)`.
fn credentials(given: &str) -> Option<(String, Secret)> {
    let (scheme, encoded) = given.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(decoded(encoded.trim())?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), Secret::new(password.to_owned())))
}

/// Base64, with its padding or without.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::auth::FixedAccounts;

    async fn knows(password: &str, authorization: Option<&str>) -> bool {
        let accounts = FixedAccounts::root(&Secret::new(password.to_owned()));
        let value = authorization.map(|value| (header::AUTHORIZATION, value.parse().unwrap()));
        is_known(&value.into_iter().collect(), &accounts, &World::system()).await.unwrap()
    }

    #[tokio::test]
    async fn the_password_is_that_of_the_mysql_port() {
        // root:hunter2, root:wrong, other:hunter2, and no colon.
        assert!(knows("hunter2", Some("Basic cm9vdDpodW50ZXIy")).await);
        assert!(knows("hunter2", Some("basic cm9vdDpodW50ZXIy")).await);
        for wrong in
            ["Basic cm9vdDp3cm9uZw==", "Basic b3RoZXI6aHVudGVyMg==", "Basic cm9vdA==", "Basic !", "Bearer x", "Basic"]
        {
            assert!(!knows("hunter2", Some(wrong)).await, "{wrong}");
        }
        assert!(!knows("hunter2", None).await);
        assert!(knows("", None).await && knows("", Some("Basic cm9vdDo=")).await);
    }
}
