//! The object store's implementations of ours: a local directory that keeps its word, stores in clouds by their address, and
//! decorators around any store.
//!
//! In production they are stacked `Retrying(Metered(store))`, so that each attempt is counted, and a retry sees the store's
//! own error; around a cloud's store stands [`SplittingStore`] too. [`FaultyStore`] takes the place of the store, or stands right
//! around it, in tests.

mod address;
mod answers;
mod aws_profile;
mod cloud;
mod credentials;
mod durable;
mod faulty;
mod metered;
mod open;
mod retrying;
mod splitting;
mod staged;
mod trouble;

pub use address::{AddressError, ObjectStoreAddress};
pub use credentials::ObjectStoreCredentials;
pub use durable::DurableLocalStore;
pub use faulty::{Fault, FaultyStore, StoreOp};
pub use metered::MeteredStore;
pub use open::{ObjectStoreError, ObjectStoreSettings, check_object_store, open_object_store};
pub use retrying::{RetrySettings, RetryingStore};
pub use splitting::{SplitSettings, SplittingStore};
