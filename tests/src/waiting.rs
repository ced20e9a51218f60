//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Tries until there is an answer; the last reason why there was none is what the panic says.
///
/// # Panics
/// If there is no answer within `within`.
pub async fn eventually<T, E: std::fmt::Display>(
    what: &str,
    within: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        match attempt().await {
            Ok(answer) => return answer,
            Err(reason) if Instant::now() > deadline => panic!("in vain waited {within:?} until {what}: {reason:#}"),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}
