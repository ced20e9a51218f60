//! The sessions that transactions read through. Each open transaction has one to itself, because a version of the entries is
//! what a session's own transaction sees.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Row;
use vfs::Random;

use super::super::transaction::{PAGE_BYTES, Snapshot};
use super::super::{KeyRange, RangePage, StoreError};
use super::address::PostgresAddress;
use super::backoff::open_patiently;
use super::schema::{BEGIN_READING, GET, GET_MANY, PAGE, PAGE_REVERSE, Purpose, VERSION, explain, version_in};
use super::session::{Answer, Call, Param, PgError, Session};

/// Sessions that are kept while nobody uses them.
const IDLE: usize = 16;
/// How long a transaction waits for a session, where all are in use.
const PLACE_WITHIN: Duration = Duration::from_secs(5);
/// How many entries the first read of a page asks for; further ones by how large those were.
const FIRST_ENTRIES: usize = 128;
const ENTRIES_MIN: usize = 16;

/// Sessions for reading.
#[derive(Debug)]
pub(super) struct Pool {
    address: PostgresAddress,
    random: Arc<dyn Random>,
    idle: Mutex<Vec<Session>>,
    places: Arc<Semaphore>,
}

impl Pool {
    pub(super) fn new(address: PostgresAddress, random: Arc<dyn Random>) -> Self {
        let places = Arc::new(Semaphore::new(address.connections));
        Self { address, random, idle: Mutex::default(), places }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to read the newest version.
    pub(super) async fn begin(self: &Arc<Self>) -> Result<PostgresSnapshot, StoreError> {
        let place = tokio::time::timeout(PLACE_WITHIN, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            let cause = format!(
                "{}: all {} connections of this process are in use; raise connections= of the address",
                self.address, self.address.connections
            );
            return Err(StoreError::Unavailable { cause });
        };
        let failed = |error| explain(&self.address, error);
        // A session that was idle may have died with its server since: then the others have too, and a new one is asked.
        let kept = self.idle().pop();
        if let Some(session) = kept {
            match version(&session).await {
                Ok(version) => return Ok(PostgresSnapshot::new(version, session, self, place)),
                Err(PgError::Lost(_)) => self.idle().clear(),
                Err(error) => return Err(failed(error)),
            }
        }
        let session = open_patiently(&self.address, Purpose::Read, &self.random).await.map_err(failed)?;
        let version = version(&session).await.map_err(failed)?;
        Ok(PostgresSnapshot::new(version, session, self, place))
    }

    fn give_back(&self, session: Session) {
        session.send("ROLLBACK");
        let mut idle = self.idle();
        if session.is_sound() && idle.len() < IDLE && !self.places.is_closed() {
            idle.push(session);
        }
    }

    /// Ends the sessions that nobody uses.
    pub(super) fn close(&self) {
        self.places.close();
        self.idle().clear();
    }
}

/// Fixes what a session's transaction sees, by the first thing that it reads: the version.
async fn version(session: &Session) -> Result<u64, PgError> {
    let answers = session.run(vec![Call::new(BEGIN_READING, []), Call::new(VERSION, [])]).await;
    let answers = answers.into_iter().collect::<Result<Vec<Answer>, PgError>>()?;
    version_in(&answers[1])
}

/// A transaction's hold on one version.
pub(super) struct PostgresSnapshot {
    version: u64,
    /// Taken away when it goes back.
    session: Option<Session>,
    pool: Arc<Pool>,
    _place: OwnedSemaphorePermit,
}

impl PostgresSnapshot {
    fn new(version: u64, session: Session, pool: &Arc<Pool>, place: OwnedSemaphorePermit) -> Self {
        Self { version, session: Some(session), pool: Arc::clone(pool), _place: place }
    }

    async fn call(&self, call: Call) -> Result<Vec<Row>, StoreError> {
        let session = self.session.as_ref().expect("it goes back when this is dropped");
        match session.call(call).await {
            Ok(answer) => Ok(answer.rows),
            // 25P01, 25P02: its transaction is over. Whatever ended it, what it saw cannot be seen again.
            Err(PgError::Refused { code, .. }) if code.starts_with("25P") => Err(StoreError::TooOld),
            Err(error) => Err(explain(&self.pool.address, error)),
        }
    }
}

impl Drop for PostgresSnapshot {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.pool.give_back(session);
        }
    }
}

/// Column `column` of a row. A row is a slice of what came over the wire, which one entry that is kept must not hold in memory as
/// a whole.
fn column(row: &Row, column: usize) -> Result<Bytes, PgError> {
    let bytes =
        row.try_get::<_, &[u8]>(column).map_err(|error| PgError::Damaged(format!("its table entries: {error}")))?;
    Ok(Bytes::copy_from_slice(bytes))
}

fn entry(row: &Row) -> Result<(Bytes, Bytes), PgError> {
    Ok((column(row, 0)?, column(row, 1)?))
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    fn version(&self) -> u64 {
        self.version
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let rows = self.call(Call::new(GET, [Param::Bytes(Bytes::copy_from_slice(key))])).await?;
        let value = rows.first().map(|row| column(row, 0)).transpose();
        value.map_err(|error| explain(&self.pool.address, error))
    }

    async fn page(&self, range: &KeyRange, limit: usize, reverse: bool) -> Result<RangePage, StoreError> {
        let statement = if reverse { PAGE_REVERSE } else { PAGE };
        let mut page = RangePage::default();
        let mut bytes = 0;
        let mut rest = range.clone();
        let mut wanted = FIRST_ENTRIES;
        loop {
            wanted = wanted.min(limit - page.entries.len());
            // One more than wanted, to know whether there are more.
            let asked = i64::try_from(wanted + 1).expect("a small number");
            let ends = [rest.start.clone(), rest.end.clone()].map(Param::Bytes);
            let params: Vec<Param> = ends.into_iter().chain([Param::Number(asked)]).collect();
            let mut rows = self.call(Call::new(statement, params)).await?;
            page.more = rows.len() > wanted;
            rows.truncate(wanted);
            for row in &rows {
                let entry = entry(row).map_err(|error| explain(&self.pool.address, error))?;
                bytes += entry.0.len() + entry.1.len();
                page.entries.push(entry);
            }
            let Some((last, _)) = page.entries.last() else { return Ok(page) };
            if !page.more || page.entries.len() == limit || bytes >= PAGE_BYTES {
                return Ok(page);
            }
            if reverse {
                rest.end = last.clone();
            } else {
                rest.start = super::super::range::successor(last);
            }
            wanted = ((PAGE_BYTES - bytes) / (bytes / page.entries.len()).max(1)).max(ENTRIES_MIN);
        }
    }
}

/// What stands under `keys`, in the transaction of `session`.
pub(super) async fn get_many(session: &Session, keys: Vec<Bytes>) -> Result<BTreeMap<Bytes, Bytes>, PgError> {
    let rows = session.call(Call::new(GET_MANY, [Param::List(keys)])).await?.rows;
    rows.iter().map(entry).collect()
}
