//! How a server that does not answer is tried again: with growing random pauses, so that it is not overrun once it is back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vfs::Random;

use super::super::TRANSACTION_AGE_LIMIT;
use super::super::retry::jittered;
use super::address::PostgresAddress;
use super::schema::Purpose;
use super::session::{PgError, Session};

/// The longest pause after the first failed attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause after any.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a transaction's call waits for a server that is away: longer, and the transaction has become too old.
const PATIENCE: Duration = TRANSACTION_AGE_LIMIT;

/// The pauses between the attempts of one caller.
#[derive(Debug)]
pub(super) struct Backoff {
    random: Arc<dyn Random>,
    longest: Duration,
}

impl Backoff {
    /// Before the first pause.
    pub(super) fn new(random: &Arc<dyn Random>) -> Self {
        Self { random: Arc::clone(random), longest: FIRST_PAUSE }
    }

    /// Waits for some part of the longest pause, which then doubles.
    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(jittered(self.longest, &*self.random)).await;
        self.longest = (self.longest * 2).min(LONGEST_PAUSE);
    }
}

/// A new session, waited for where the server is away for a moment.
pub(super) async fn open_patiently(
    address: &PostgresAddress,
    purpose: Purpose,
    random: &Arc<dyn Random>,
) -> Result<Session, PgError> {
    let (begun, mut backoff) = (Instant::now(), Backoff::new(random));
    loop {
        match Session::open(address, purpose).await {
            Err(error) if error.may_pass() && begun.elapsed() < PATIENCE => {
                tracing::debug!(catalog = %address, %error, "no session; trying again");
                backoff.pause().await;
            }
            done => return done,
        }
    }
}
