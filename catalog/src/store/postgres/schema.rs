//! The tables: how they are made and checked, and the statements on them. Makes the schema by itself where there is none.
//!
//! | table | holds |
//! |---|---|
//! | `meta` | one row: the format of these tables, and the version of the last commit |
//! | `entries` | every key and its value |
//! | `commits` | of the last minute: which versions a group of commits has, and the ranges that it wrote |
//!
//! A key may be longer than what fits into a page of an index: the index has its beginning, by which ranges are read in
//! order, and its digest, by which it is unique.

use super::super::StoreError;
use super::address::PostgresAddress;
use super::session::{Answer, Call, Param, PgError, Script, Session};

/// The format of the tables that this program makes and reads.
const FORMAT: i64 = 1;
/// The oldest server that sorts the few entries with one beginning without sorting all others.
pub(super) const SERVER_MIN: u32 = 130_000;

/// Bytes of a key in the index: with its digest a third of a page, which is what an index entry may have.
macro_rules! key_start {
    ($key:literal) => {
        concat!("substr(", $key, ", 1, 2600)")
    };
}

const TABLES: &str = concat!(
    "CREATE TABLE meta (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), format bigint NOT NULL, version bigint NOT NULL); ",
    "INSERT INTO meta (format, version) VALUES (1, 0); ",
    "CREATE TABLE entries (key bytea NOT NULL, value bytea NOT NULL); ",
    "CREATE UNIQUE INDEX entries_key ON entries (",
    key_start!("key"),
    ", sha256(key)); ",
    "CREATE TABLE commits (last bigint PRIMARY KEY, first bigint NOT NULL, at timestamptz NOT NULL DEFAULT now(), \
     starts bytea[] NOT NULL, ends bytea[] NOT NULL)",
);

/// Bytes of one value; one row or none. `$1`: the key.
pub(super) const GET: &str = concat!(
    "SELECT value FROM entries WHERE ",
    key_start!("key"),
    " = ",
    key_start!("$1::bytea"),
    " AND key = $1::bytea"
);

macro_rules! page {
    ($order:literal) => {
        concat!(
            "SELECT key, value FROM entries WHERE ",
            key_start!("key"),
            " >= ",
            key_start!("$1::bytea"),
            " AND ",
            key_start!("key"),
            " <= ",
            key_start!("$2::bytea"),
            " AND key >= $1::bytea AND key < $2::bytea ORDER BY ",
            key_start!("key"),
            $order,
            ", key",
            $order,
            " LIMIT $3::int8"
        )
    };
}

/// Keys and values of a range in order. `$1`: its start, `$2`: its end, `$3`: how many.
pub(super) const PAGE: &str = page!("");
/// As [`PAGE`], from its end.
pub(super) const PAGE_REVERSE: &str = page!(" DESC");

/// The keys of `$1` that are there, and their values.
pub(super) const GET_MANY: &str = concat!(
    "SELECT entries.key, entries.value FROM unnest($1::bytea[]) AS wanted(key) JOIN entries ON ",
    key_start!("entries.key"),
    " = ",
    key_start!("wanted.key"),
    " AND entries.key = wanted.key"
);
/// Writes the values `$2` under the keys `$1`, each key once.
pub(super) const PUT_MANY: &str = concat!(
    "INSERT INTO entries (key, value) SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT (",
    key_start!("key"),
    ", sha256(key)) DO UPDATE SET value = excluded.value"
);
/// Removes the keys `$1`.
pub(super) const REMOVE_MANY: &str = concat!(
    "DELETE FROM entries USING unnest($1::bytea[]) AS gone(key) WHERE ",
    key_start!("entries.key"),
    " = ",
    key_start!("gone.key"),
    " AND entries.key = gone.key"
);
/// Removes the keys from each of `$1` on and before the one of `$2` beside it.
pub(super) const REMOVE_RANGES: &str = concat!(
    "DELETE FROM entries USING unnest($1::bytea[], $2::bytea[]) AS gone(first, beyond) WHERE ",
    key_start!("entries.key"),
    " >= ",
    key_start!("gone.first"),
    " AND ",
    key_start!("entries.key"),
    " <= ",
    key_start!("gone.beyond"),
    " AND entries.key >= gone.first AND entries.key < gone.beyond"
);

/// Begins a transaction that reads one version.
pub(super) const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Begins one that writes. Under the lock it needs no isolation; what the server's settings say is no matter.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// The version of the last commit.
pub(super) const VERSION: &str = "SELECT version FROM meta";
/// Takes the lock under which one process at a time commits.
pub(super) const LOCK: &str = "SELECT 1::int8 FROM (SELECT pg_advisory_lock($1::int8)) AS locked";
/// Gives it back.
const UNLOCK: &str = "SELECT pg_advisory_unlock($1::int8)";
/// Raises the version from `$1` to `$2`; of no row, if another has. So even where the lock is lost, which a pooler between us and
/// the server can bring about, no two commits get one version.
pub(super) const RAISE_VERSION: &str = "UPDATE meta SET version = $2::int8 WHERE version = $1::int8";
/// Tells others what the commits from `$1` to `$2` wrote: ranges that start at `$3` and end at `$4`.
pub(super) const TELL: &str =
    "INSERT INTO commits (first, last, starts, ends) VALUES ($1::int8, $2::int8, $3::bytea[], $4::bytea[])";
/// Wakes those who listen. Whoever has the schema listens to the channel of its name.
pub(super) const NOTIFY: &str = "SELECT 1::int8 FROM (SELECT pg_notify(current_schema(), '')) AS woken";
/// What the groups after version `$1` wrote, oldest first, a few at a time.
pub(super) const LEARN: &str =
    "SELECT first, last, starts, ends FROM commits WHERE last > $1::int8 ORDER BY last LIMIT 16";
/// Forgets what nobody young enough can have missed: a process that slept longer knows by the gap that it has.
pub(super) const FORGET: &str = "DELETE FROM commits WHERE at < now() - interval '60 seconds' AND last < $1::int8";

/// Of the schema `$1`: how many tables it has, and how many of them have names of ours.
const TABLES_THERE: &str = "SELECT count(*), count(*) FILTER (WHERE tablename IN ('meta', 'entries', 'commits')) FROM pg_tables \
                            WHERE schemaname = $1::text";
const FORMAT_THERE: &str = "SELECT format FROM meta";

/// What every session asks for. Plans go along the index whatever the statistics say.
const SETTINGS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; \
    SET enable_mergejoin = off; SET enable_sort = off; SET jit = off; SET plan_cache_mode = force_generic_plan; \
    SET synchronous_commit = on; SET lock_timeout = '20s'; \
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";
/// A process that hangs holds no old version for long.
const SETTINGS_OF_READERS: &str = "SET idle_in_transaction_session_timeout = '15s'; SET statement_timeout = '25s'";
/// Nor the lock: its transaction is ended by when all others have become too old. Statements take as long as they need: a COMMIT
/// that is cancelled while it waits for a synchronous standby is answered as if the standby had it.
const SETTINGS_OF_COMMITTERS: &str = "SET idle_in_transaction_session_timeout = '5s'; SET statement_timeout = 0";

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Looks what is there, and makes it.
    Open,
    /// Reads for transactions.
    Read,
    /// Commits.
    Commit,
    /// Listens for commits.
    Watch,
    /// Does what a test wants.
    #[cfg(test)]
    Test,
}

impl Purpose {
    /// By which the server's operator tells sessions apart.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Commit => "commit",
            Self::Watch => "watch",
            #[cfg(test)]
            Self::Test => "test",
        }
    }

    /// What it calls again and again, once the tables are there.
    pub(super) fn statements(self) -> &'static [&'static str] {
        match self {
            Self::Open => &[],
            Self::Read => &[BEGIN_READING, VERSION, GET, PAGE, PAGE_REVERSE],
            Self::Commit => &[
                LOCK,
                BEGIN,
                VERSION,
                LEARN,
                GET_MANY,
                RAISE_VERSION,
                REMOVE_RANGES,
                REMOVE_MANY,
                PUT_MANY,
                TELL,
                NOTIFY,
                FORGET,
            ],
            Self::Watch => &[VERSION, LEARN],
            #[cfg(test)]
            Self::Test => &[],
        }
    }
}

/// What sets a session up. Its one row: the server's version, whether it is a standby, and the number of the advisory lock of
/// the schema. Locks are the database's, so schemas have different ones.
pub(super) fn set_up(purpose: Purpose, schema: &str) -> String {
    let own = if purpose == Purpose::Commit { SETTINGS_OF_COMMITTERS } else { SETTINGS_OF_READERS };
    format!(
        "{SETTINGS}; {own}; SET search_path = \"{schema}\"; \
         SELECT current_setting('server_version_num'), pg_is_in_recovery(), hashtextextended('millrace catalog {schema}', 0)"
    )
}

/// Commits, reads the version that is there then, and gives the lock back.
pub(super) fn commit_and_unlock(lock: i64) -> String {
    format!("COMMIT; {VERSION}; SELECT pg_advisory_unlock({lock})")
}

/// Gives up the transaction and the lock.
pub(super) fn roll_back_and_unlock(lock: i64) -> String {
    format!("ROLLBACK; SELECT pg_advisory_unlock({lock})")
}

/// The version of the last commit, as the session sees it now.
pub(super) async fn version(session: &Session) -> Result<u64, PgError> {
    version_in(&session.call(Call::new(VERSION, [])).await?)
}

/// The version that a call of [`VERSION`] was answered.
pub(super) fn version_in(answer: &Answer) -> Result<u64, PgError> {
    let version = answer.number(0).and_then(|version| u64::try_from(version).ok());
    version.ok_or_else(|| PgError::Damaged("its table meta has lost its row".to_owned()))
}

/// Checks the tables, and `makes` them where there are none.
pub(super) async fn prepare(session: &Session, address: &PostgresAddress, makes: bool) -> Result<(), StoreError> {
    let failed = |error: PgError| explain(address, error);
    // One process at a time; the lock goes with the session.
    let lock = [Param::Number(session.lock_number())];
    session.call(Call::new(LOCK, lock.clone())).await.map_err(failed)?;
    let schema = Param::Text(address.schema.clone());
    let there = session.call(Call::new(TABLES_THERE, [schema])).await.map_err(failed)?;
    match (there.number(0), there.number(1)) {
        (_, Some(3)) => check_format(session, address).await?,
        (Some(0), _) if makes => make(session, address).await.map_err(failed)?,
        (Some(0), _) => {
            let cause =
                format!("{address}: there is no catalog in the schema \"{}\"; is its name right?", address.schema);
            return Err(StoreError::Unavailable { cause });
        }
        _ => {
            let detail = format!("the schema \"{}\" holds tables of another program", address.schema);
            return Err(StoreError::Damaged { place: address.to_string(), detail });
        }
    }
    session.call(Call::new(UNLOCK, lock)).await.map_err(failed).map(drop)
}

async fn make(session: &Session, address: &PostgresAddress) -> Result<(), PgError> {
    let schema = &address.schema;
    tracing::info!(catalog = %address, "making the catalog's tables");
    let all = format!("BEGIN; CREATE SCHEMA IF NOT EXISTS \"{schema}\"; {TABLES}; COMMIT");
    let Script { failure, .. } = session.script(&all).await;
    failure.map_or(Ok(()), Err)
}

async fn check_format(session: &Session, address: &PostgresAddress) -> Result<(), StoreError> {
    let damaged = |detail: String| StoreError::Damaged { place: address.to_string(), detail };
    let format = session.call(Call::new(FORMAT_THERE, [])).await.map_err(|error| match error {
        PgError::Refused { code, .. } if code.starts_with("42") && code != "42501" => {
            damaged("its tables are not this program's".to_owned())
        }
        other => explain(address, other),
    })?;
    match format.number(0) {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => Err(StoreError::Newer {
            place: address.to_string(),
            found: newer.unsigned_abs(),
            newest: FORMAT.unsigned_abs(),
        }),
        _ => Err(damaged("its table meta has no row that says which format it is".to_owned())),
    }
}

/// What a failure before any commit means to a caller: place, cause, next step.
pub(super) fn explain(address: &PostgresAddress, error: PgError) -> StoreError {
    let next = match &error {
        PgError::Damaged(detail) => {
            return StoreError::Damaged { place: address.to_string(), detail: detail.clone() };
        }
        PgError::Lost(_) => "is it running, and are host and port right?",
        PgError::Refused { code, .. } => match code.as_str() {
            "28P01" | "28000" => "look at user, password and pg_hba.conf",
            "3D000" => "make the database, or name another: CREATE DATABASE …",
            "42501" => "give the user the right: GRANT CREATE ON DATABASE … TO …, or make the schema for it",
            "55P03" => "another process has held the catalog's lock for 20 s: look at pg_locks and pg_stat_activity",
            "53300" => "raise max_connections of the server, or lower connections= of the address",
            _ => "see the server's log",
        },
    };
    StoreError::Unavailable { cause: format!("{address}: {error}; {next}") }
}
