//! # millrace-vfs: the outside world
//!
//! Everything that a simulation must be able to replace stands here behind a small trait: the clock, randomness, the
//! local directory under the WAL, the object store under the parts, and the threads that do heavy computing. The crate
//! knows nothing of tables, parts or Parquet.
//!
//! | seam | trait | in production | in a simulation |
//! |---|---|---|---|
//! | time | [`Clock`] | [`SystemClock`] | [`VirtualClock`] |
//! | randomness | [`Random`] | [`OsRandom`] | [`SeededRandom`] |
//! | local directory | [`Disk`], [`DiskFile`] | [`LocalDisk`] | [`MemoryDisk`], which forgets, tears and fills up |
//! | object store | `object_store::ObjectStore` | [`DurableLocalStore`], or one in a cloud ([`open_object_store`]) | an in-memory store under a [`FaultyStore`] |
//! | computing | [`Compute`] | [`ThreadPool`] | [`Inline`] |
//!
//! A [`FileView`] reads a file the same way on either disk; a [`DirectoryLock`] keeps a second process out of a data
//! directory; [`SplittingStore`], [`RetryingStore`] and [`MeteredStore`] stand around the object store, which an
//! [`ObjectStoreAddress`] names. What an implementation of a seam owes its callers is said on the trait, and checked by the suites
//! in [`contract`]. With the feature `s3-server`, `s3_server` is an S3 for tests that fails as it is told to.
//!
//! **Invariant (I10):** nothing outside this crate reads the wall clock or the operating system's randomness.

mod clock;
mod compute;
pub mod contract;
mod directory;
mod disk;
mod error;
mod local_disk;
mod lock;
mod memory_disk;
mod object;
pub mod planted;
mod random;
#[cfg(feature = "s3-server")]
pub mod s3_server;
mod view;
mod virtual_clock;
mod world;

pub use clock::{Clock, Moment, SystemClock, WallTime};
pub use compute::{Compute, Inline, ThreadPool, compute};
pub use disk::{Disk, DiskEntry, DiskFile};
pub use error::{DiskError, LockError};
pub use local_disk::LocalDisk;
pub use lock::DirectoryLock;
pub use memory_disk::{MemoryDisk, Unsynced};
pub use object::{
    AddressError, DurableLocalStore, Fault, FaultyStore, MeteredStore, ObjectStoreAddress, ObjectStoreCredentials,
    ObjectStoreError, ObjectStoreSettings, RetrySettings, RetryingStore, SplitSettings, SplittingStore, StoreOp,
    check_object_store, open_object_store,
};
pub use random::{OsRandom, Random, SeededRandom};
pub use view::FileView;
pub use virtual_clock::VirtualClock;
pub use world::World;
