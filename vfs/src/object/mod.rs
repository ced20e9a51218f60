//! The object store's implementations of ours: a local directory that keeps its word, and decorators around any store.
//!
//! In production they are stacked `Retrying(Metered(store))`, so that each attempt is counted, and a retry sees the store's
//! own error. [`FaultyStore`] takes the place of the store, or stands right around it, in tests.

mod durable;
mod faulty;
mod metered;
mod retrying;
mod staged;

pub use durable::DurableLocalStore;
pub use faulty::{Fault, FaultyStore, StoreOp};
pub use metered::MeteredStore;
pub use retrying::{RetrySettings, RetryingStore};
