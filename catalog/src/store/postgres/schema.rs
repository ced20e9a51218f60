//! The tables: how they are made and checked, and the statements on them. Makes the schema by itself where there is none.
//!
//! | table | holds |
//! |---|---|
//! | `meta` | one row: the format of these tables, and the version of the last commit |
//! | `entries` | every key and its value |
//! | `commits` | of the last minutes: which versions a group of commits has, and the ranges that each wrote |
//!
//! A key may be longer than what fits into a page of an index: the index has its beginning, by which ranges are read in
//! order, and its digest, by which it is unique.

use bytes::Bytes;

use super::super::StoreError;
use super::address::PostgresAddress;
use super::wire::{Answer, Call, Connection, Param, PgError};

/// The format of the tables that this program makes and reads.
const FORMAT: i64 = 1;
/// The oldest server that sorts the few entries with one beginning without sorting all others.
const SERVER_MIN: i64 = 130_000;

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
    "CREATE TABLE commits (last bigint PRIMARY KEY, first bigint NOT NULL, at timestamptz NOT NULL DEFAULT now(), ranges bytea NOT NULL)",
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
/// Removes the keys from `$1` on and before `$2`.
pub(super) const REMOVE_RANGE: &str = concat!(
    "DELETE FROM entries WHERE ",
    key_start!("key"),
    " >= ",
    key_start!("$1::bytea"),
    " AND ",
    key_start!("key"),
    " <= ",
    key_start!("$2::bytea"),
    " AND key >= $1::bytea AND key < $2::bytea"
);

/// Begins a transaction that reads one version.
pub(super) const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// The version of the last commit.
pub(super) const VERSION: &str = "SELECT version FROM meta";
/// Takes the lock under which one process at a time commits.
pub(super) const LOCK: &str = "SELECT 1::int8 FROM (SELECT pg_advisory_lock($1::int8)) AS locked";
/// Gives it back.
pub(super) const UNLOCK: &str = "SELECT pg_advisory_unlock($1::int8)::int4::int8";
/// Raises the version from `$1` to `$2`: `UPDATE 1`, or `UPDATE 0` if another has. So even where the lock is lost, which a pooler
/// between us and the server can bring about, no two commits get one version.
pub(super) const RAISE_VERSION: &str = "UPDATE meta SET version = $2::int8 WHERE version = $1::int8";
/// Tells others what the commits from `$1` to `$2` wrote.
pub(super) const TELL: &str = "INSERT INTO commits (first, last, ranges) VALUES ($1::int8, $2::int8, $3::bytea)";
/// Wakes those who listen. Whoever has the schema listens to the channel of its name.
pub(super) const NOTIFY: &str = "SELECT 1::int8 FROM (SELECT pg_notify(current_schema(), '')) AS woken";
/// What the groups after version `$1` wrote, oldest first, a few at a time.
pub(super) const LEARN: &str = "SELECT first, last, ranges FROM commits WHERE last > $1::int8 ORDER BY last LIMIT 64";
/// Forgets what nobody young enough can have missed: a process that slept longer knows by the gap that it has.
pub(super) const FORGET: &str = "DELETE FROM commits WHERE at < now() - interval '60 seconds' AND last < $1::int8";

const SERVER: &str = "SELECT current_setting('server_version_num')::int8, pg_is_in_recovery()::int4::int8";
/// Of the schema `$1`: how many tables it has, and how many of them have names of ours.
const TABLES_THERE: &str = "SELECT count(*), count(*) FILTER (WHERE tablename IN ('meta', 'entries', 'commits')) FROM pg_tables \
                            WHERE schemaname = convert_from($1::bytea, 'UTF8')";
const FORMAT_THERE: &str = "SELECT format FROM meta";

/// The number of the advisory lock of a schema: locks are the database's, and so are told apart by the schema's name.
pub(super) fn lock_number(schema: &str) -> i64 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("millrace catalog {schema}"));
    i64::from_be_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
}

/// The version of the last commit, as the session sees it now.
pub(super) async fn version(connection: &mut Connection) -> Result<u64, PgError> {
    version_in(&connection.call(Call::new(VERSION, [])).await?)
}

/// The version that a call of [`VERSION`] was answered.
pub(super) fn version_in(answer: &Answer) -> Result<u64, PgError> {
    let version = answer.number(0).and_then(|version| u64::try_from(version).ok());
    version.ok_or_else(|| PgError::Lost("the catalog's table meta has lost its row".to_owned()))
}

/// Refuses a server that would not keep the contract.
pub(super) async fn check_server(connection: &mut Connection) -> Result<(), PgError> {
    let answer = connection.call(Call::new(SERVER, [])).await?;
    let refused = |message: &str| PgError::Refused { code: "0A000".to_owned(), message: message.to_owned() };
    match (answer.number(0), answer.number(1)) {
        (Some(version), Some(0)) if version >= SERVER_MIN => Ok(()),
        (Some(_), Some(1)) => Err(refused("the server is a standby, which answers what is old: name the primary")),
        _ => Err(refused("PostgreSQL 13 or later is needed")),
    }
}

/// Checks the tables, and makes them where there are none.
pub(super) async fn prepare(connection: &mut Connection, address: &PostgresAddress) -> Result<(), StoreError> {
    let failed = |error: PgError| explain(address, error);
    // One process at a time; the lock goes with the session.
    let lock = [Param::Number(lock_number(&address.schema))];
    connection.call(Call::new(LOCK, lock.clone())).await.map_err(failed)?;
    let schema = Param::Bytes(Bytes::copy_from_slice(address.schema.as_bytes()));
    let there = connection.call(Call::new(TABLES_THERE, [schema])).await.map_err(failed)?;
    match (there.number(0), there.number(1)) {
        (_, Some(3)) => check_format(connection, address).await?,
        (Some(0), _) => make(connection, address).await.map_err(failed)?,
        _ => {
            let detail = format!("the schema \"{}\" holds tables of another program", address.schema);
            return Err(StoreError::Damaged { place: address.to_string(), detail });
        }
    }
    connection.call(Call::new(UNLOCK, lock)).await.map_err(failed).map(drop)
}

async fn make(connection: &mut Connection, address: &PostgresAddress) -> Result<(), PgError> {
    let schema = &address.schema;
    tracing::info!(catalog = %address, "making the catalog's tables");
    connection.batch(&format!("BEGIN; CREATE SCHEMA IF NOT EXISTS \"{schema}\"; {TABLES}; COMMIT")).await
}

async fn check_format(connection: &mut Connection, address: &PostgresAddress) -> Result<(), StoreError> {
    let damaged = |detail: String| StoreError::Damaged { place: address.to_string(), detail };
    let format = connection.call(Call::new(FORMAT_THERE, [])).await.map_err(|error| match error {
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
        PgError::Lost(_) => "is it running, and is host and port right?",
        PgError::Refused { code, .. } => match code.as_str() {
            "28P01" | "28000" => "look at user, password and pg_hba.conf",
            "3D000" => "make the database, or name another: CREATE DATABASE …",
            "42501" => "give the user the right: GRANT CREATE ON DATABASE … TO …, or make the schema for it",
            "53300" => "raise max_connections of the server, or lower connections= of the address",
            _ => "see the server's log",
        },
    };
    StoreError::Unavailable { cause: format!("{address}: {error}; {next}") }
}
