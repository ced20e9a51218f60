//! What wakes watches: a session that hears of every commit, whichever process made it. While there is none, or where it may
//! have missed something, all watches wake: they may wake for nothing, and never sleep through a change.

use std::sync::Arc;
use std::time::Duration;

use vfs::Random;

use super::super::KeyRange;
use super::super::watches::Watches;
use super::address::PostgresAddress;
use super::backoff::Backoff;
use super::schema::{Purpose, version};
use super::session::{PgError, Session};
use super::told::{Learned, learn};

/// After so long without a notification it looks all the same, and so finds a dead connection.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Further behind, it does not look what was written.
const BEHIND: u64 = 1_024;

/// The session that listens.
#[derive(Debug)]
pub(super) struct Feed {
    address: PostgresAddress,
    random: Arc<dyn Random>,
    watches: Watches,
    session: Session,
    /// The commits up to here have woken whom they concern.
    seen: u64,
}

impl Feed {
    /// Begins to listen: it hears of each commit from now on.
    pub(super) async fn open(
        address: PostgresAddress,
        random: Arc<dyn Random>,
        watches: Watches,
    ) -> Result<Self, PgError> {
        let (session, seen) = listen(&address).await?;
        Ok(Self { address, random, watches, session, seen })
    }

    /// Wakes watches, until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let Err(error) = self.follow().await;
            tracing::warn!(catalog = %self.address, %error, "not told of changes in the catalog; trying again");
            let mut backoff = Backoff::new(&self.random);
            while let Err(error) = self.listen_again().await {
                tracing::debug!(catalog = %self.address, %error, "still not told of changes in the catalog");
                backoff.pause().await;
            }
        }
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, PgError> {
        loop {
            let version = version(&self.session).await?;
            if version > self.seen + BEHIND {
                self.wake_all();
            } else {
                match learn(&self.session, self.seen, version).await? {
                    Learned::All(groups) => groups.iter().for_each(|told| self.watches.fire(&told.written)),
                    Learned::Gap => self.wake_all(),
                }
            }
            self.seen = version;
            self.session.notified(LOOK_EVERY).await?;
        }
    }

    async fn listen_again(&mut self) -> Result<(), PgError> {
        (self.session, self.seen) = listen(&self.address).await?;
        self.wake_all();
        Ok(())
    }

    fn wake_all(&self) {
        self.watches.fire(&[KeyRange::prefix(b"")]);
    }
}

/// A session that listens, and a version that is not newer than when it began to.
async fn listen(address: &PostgresAddress) -> Result<(Session, u64), PgError> {
    let session = Session::open(address, Purpose::Watch).await?;
    let listening = session.script(&format!("LISTEN \"{}\"", address.schema)).await;
    listening.failure.map_or(Ok(()), Err)?;
    let seen = version(&session).await?;
    Ok((session, seen))
}
