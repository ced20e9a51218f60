//! The pins of one query, at all of its owners: they end with the last thing that holds this value.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::pin::{MemtableReader, QueryId};

/// Plans and result streams of a query hold this; when the last of them is dropped, every owner is told to let go.
pub struct QueryPins {
    query: QueryId,
    reader: Arc<dyn MemtableReader>,
    addresses: Mutex<BTreeSet<String>>,
}

impl QueryPins {
    /// None yet.
    pub fn new(query: QueryId, reader: Arc<dyn MemtableReader>) -> Arc<Self> {
        Arc::new(Self { query, reader, addresses: Mutex::default() })
    }

    /// The query.
    pub fn query(&self) -> QueryId {
        self.query
    }

    /// How its owners are reached.
    pub fn reader(&self) -> &dyn MemtableReader {
        self.reader.as_ref()
    }

    /// Remembers that a pin is about to be asked of `address`: whatever becomes of the answer, it is released in the end.
    pub fn asking(&self, address: &str) {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).insert(address.to_owned());
    }
}

impl Drop for QueryPins {
    fn drop(&mut self) {
        for address in self.addresses.get_mut().unwrap_or_else(PoisonError::into_inner).iter() {
            self.reader.unpin(address, self.query);
        }
    }
}

impl fmt::Debug for QueryPins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryPins").field("query", &self.query).finish_non_exhaustive()
    }
}
