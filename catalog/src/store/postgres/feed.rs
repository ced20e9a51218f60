//! What wakes watches: a session that hears of every commit, whichever process made it. While there is none, or where it may
//! have missed something, all watches wake: they may wake for nothing, and never sleep through a change.

use std::sync::Arc;
use std::time::Duration;

use vfs::Random;

use super::super::KeyRange;
use super::super::watches::Watches;
use super::address::PostgresAddress;
use super::schema::{check_server, version};
use super::told::{Learned, learn};
use super::wire::{Connection, PgError};

/// After so long without a notification it looks all the same, and so finds a dead connection.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The pause before the server is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// The session that listens.
#[derive(Debug)]
pub(super) struct Feed {
    address: PostgresAddress,
    random: Arc<dyn Random>,
    watches: Watches,
    connection: Connection,
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
        let (connection, seen) = listen(&address, &*random).await?;
        Ok(Self { address, random, watches, connection, seen })
    }

    /// Wakes watches, until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let Err(error) = self.follow().await;
            tracing::warn!(catalog = %self.address, %error, "not told of changes in the catalog; trying again");
            while let Err(error) = self.listen_again().await {
                tracing::debug!(catalog = %self.address, %error, "still not told of changes in the catalog");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, PgError> {
        loop {
            let version = version(&mut self.connection).await?;
            match learn(&mut self.connection, self.seen, version).await? {
                Learned::All(commits) => commits.iter().for_each(|written| self.watches.fire(written)),
                Learned::Gap => self.wake_all(),
            }
            self.seen = version;
            self.connection.notified(LOOK_EVERY).await?;
        }
    }

    async fn listen_again(&mut self) -> Result<(), PgError> {
        (self.connection, self.seen) = listen(&self.address, &*self.random).await?;
        self.wake_all();
        Ok(())
    }

    fn wake_all(&self) {
        self.watches.fire(&[KeyRange::prefix(b"")]);
    }
}

async fn listen(address: &PostgresAddress, random: &dyn Random) -> Result<(Connection, u64), PgError> {
    let mut connection = Connection::open(address, "watch", random).await?;
    check_server(&mut connection).await?;
    connection.batch(&format!("LISTEN \"{}\"", address.schema)).await?;
    let seen = version(&mut connection).await?;
    Ok((connection, seen))
}
