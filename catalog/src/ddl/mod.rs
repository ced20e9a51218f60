//! Databases, tables and pipelines: what statements make, change and drop.
//!
//! **Unknown outcomes.** What is made carries the nonce of the call that made it. Run again, a CREATE that finds its own
//! nonce has succeeded, and one that finds another's has not. A DROP first looks up which id it is
//! about: run again, it has succeeded if the name is gone or names another id. Of an attempt that is still on its way and a later one only one can
//! land, because both read the name that both write.

mod columns;
mod database;
pub(crate) mod pipeline;
pub(crate) mod table;
mod table_with_pipeline;

pub use columns::NewColumn;
pub use pipeline::NewPipeline;
pub use table::NewTable;

use crate::keys::{self, counter::Counter};
use crate::store::{KvTransaction, VALUE_BYTES_LIMIT};
use crate::transaction::Failure;
use crate::{CatalogError, Fence};

/// The fence of what was just made.
const FIRST_FENCE: Fence = Fence(1);

/// The next id. Two calls that take one at a time conflict, and the later runs again.
pub(crate) async fn next_id(transaction: &mut dyn KvTransaction, counter: Counter) -> Result<u64, Failure> {
    let key = keys::counter::ser_key(counter);
    let last = keys::get(transaction, &key, keys::counter::deser_value).await?.unwrap_or(0);
    transaction.set(&key, &keys::counter::ser_value(last + 1));
    Ok(last + 1)
}

/// A record that no value can hold is the statement's fault, and is said so before the store says it in its own words.
pub(crate) fn check_size(what: &str, value: &[u8]) -> Result<(), CatalogError> {
    match value.len() {
        bytes if bytes > VALUE_BYTES_LIMIT => Err(CatalogError::invalid(format!(
            "{what} takes {bytes} bytes in the catalog, and may take {VALUE_BYTES_LIMIT}: shorten its texts, or divide it"
        ))),
        _ => Ok(()),
    }
}

/// What is made carries the nonce of the call that made it: was it this one?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Maker {
    /// An earlier attempt of this very call.
    ThisCall,
    /// Somebody else, or this call's caller at another time.
    Another,
}

impl Maker {
    fn of(found: keys::Nonce, mine: keys::Nonce) -> Self {
        if found == mine { Self::ThisCall } else { Self::Another }
    }
}

/// What a CREATE does about what is there already.
fn already<T>(what: impl FnOnce() -> String, found: T, maker: Maker, if_not_exists: bool) -> Result<T, Failure> {
    match maker {
        Maker::ThisCall => Ok(found),
        Maker::Another if if_not_exists => Ok(found),
        Maker::Another => Err(CatalogError::AlreadyExists { what: what() }.into()),
    }
}
