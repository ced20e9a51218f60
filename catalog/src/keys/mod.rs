//! The layout of the catalog: every key there is, one file each, with `ser_key`, `deser_key` where a key is ever read
//! back, `ser_value` and `deser_value`. [`kind`] lists them all. Golden files of each stand in `tests/golden`. No logic.
//!
//! | key | value | written by | read by a commit |
//! |---|---|---|---|
//! | `format` | the catalog's id, era | the first open, a copy | |
//! | `copying` | the catalog's id, nonce | a copy that has not ended | |
//! | `counter/<what>` | last id | CREATE, open stream | |
//! | `database/<name>` | name | CREATE DATABASE | |
//! | `table_name/<database>\0<name>` | table id | CREATE, DROP TABLE | |
//! | `table/<table>` | the table | CREATE, DROP TABLE | |
//! | `pipeline_name/<database>\0<name>` | pipeline id | CREATE, DROP PIPELINE | |
//! | `pipeline/<pipeline>` | the pipeline | pipeline DDL, incidents | |
//! | `pipeline_of_table/<table><pipeline>` | | CREATE, DROP PIPELINE | |
//! | `pipeline_change/<pipeline>` | the last PAUSE, SEEK or ALTER | these, and the manager | |
//! | `pipeline_version/<pipeline><fence>` | a version and its cuts | ALTER PIPELINE | |
//! | `pipelines_changed` | a version | pipeline DDL, incidents | |
//! | `fence/table/<table>` | fence, schema | table DDL | compared |
//! | `fence/pipeline/<pipeline>` | fence | pipeline DDL, but not PAUSE | compared |
//! | `stream/<stream>` | the stream | open, close | |
//! | `channel/<table><process><number>` | stream id, node | open and close of an insert channel | |
//! | `label/<table><label>` | version, rows | commit; forgotten by the sweeper | must be absent, written |
//! | `label_age/<wall><table><label>` | | commit; forgotten by the sweeper | written |
//! | `stream_of_identity/<identity>` | stream id | open | |
//! | `offset/<stream>` | next offset, table | open, commit | compared, advanced |
//! | `owner/<stream>` | version, newest grant | grant, close | compared |
//! | `token/<writer>` | version, token | commit | compared, written |
//! | `void/<writer><token>` | | void | must be absent |
//! | `rewrite/<table><place>` | how often parts there were replaced, newest tokens | whoever removes parts | |
//! | `intent/<part>` | the intent | stage; deleted by commit or sweeper | must be there, deleted |
//! | `log/<table>/<version>` | a log record | commit, grant, open, close | appended blind |
//! | `head/<table>` | version | whoever appends to the log | written blind |
//! | `lease/<pipeline>` | the lease | the manager | |
//! | `server_lease` | the lease | the server of a catalog that several could open | |
//! | `incident/<pipeline><number>` | the incident | tasks, RESUME | |
//! | `user/<name>` | the user | CREATE, ALTER, DROP USER | |
//! | `garbage/<path>`, `dropped/<table>` | since when | sweeper, DROP TABLE | |
//! | `truncated/<table>` | version, since when | TRUNCATE, sweeper | |
//! | `unnamed_table/<table>` | node, process | CREATE TABLE AS | |
//!
//! Numbers in keys are big-endian, so that their order is that of the bytes; names are in lower case.

pub(crate) mod channel;
pub(crate) mod checkpoint;
pub(crate) mod copying;
pub(crate) mod counter;
pub(crate) mod database;
pub(crate) mod dropped;
pub(crate) mod format;
pub(crate) mod garbage;
pub(crate) mod head;
pub(crate) mod incident;
pub(crate) mod intent;
pub(crate) mod kind;
pub(crate) mod label;
pub(crate) mod label_age;
pub(crate) mod lease;
pub(crate) mod log;
pub(crate) mod owner;
pub(crate) mod pipeline;
pub(crate) mod pipeline_change;
pub(crate) mod pipeline_fence;
pub(crate) mod pipeline_name;
pub(crate) mod pipeline_of_table;
pub(crate) mod pipeline_version;
pub(crate) mod pipelines_changed;
pub(crate) mod rewrite;
pub(crate) mod server_lease;
pub(crate) mod stream;
pub(crate) mod stream_of_identity;
pub(crate) mod table;
pub(crate) mod table_fence;
pub(crate) mod table_name;
pub(crate) mod token;
pub(crate) mod truncated;
pub(crate) mod unnamed_table;
pub(crate) mod user;
pub(crate) mod void;

mod codec;
mod writer;

#[cfg(test)]
mod golden;

use serde::{Deserialize, Serialize};

pub(crate) use codec::show;

use crate::CatalogError;
use crate::store::{KvTransaction, Read};
use crate::transaction::Failure;

/// Made at random by each call that writes, and kept beside what it wrote: so that the call, run again after an unknown
/// outcome, knows its own work from another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Nonce(pub(crate) u64);

/// Reads the record under `key`, with `deser_value` of its file. The transaction conflicts if it changes.
pub(crate) async fn get<T>(
    transaction: &mut dyn KvTransaction,
    key: &[u8],
    deser_value: fn(&[u8], &[u8]) -> Result<T, CatalogError>,
) -> Result<Option<T>, Failure> {
    let value = transaction.get(key, Read::Serializable).await?;
    Ok(value.map(|value| deser_value(key, &value)).transpose()?)
}
