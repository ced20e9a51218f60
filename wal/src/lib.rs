//! # millrace-wal: the worker's write-ahead log
//!
//! A worker logs each batch here before it shows it to readers, so that a restart has the rows again without fetching them.
//! One log serves all of a worker's streams, and one fsync all that was written meanwhile. A payload is opaque bytes: the
//! crate knows no SQL, no offsets and no catalog.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use millrace_wal as wal;
//! use std::sync::Arc;
//! use vfs::{MemoryDisk, World};
//! use wal::{Record, Wal, WalSettings};
//!
//! let disk = Arc::new(MemoryDisk::new()); // In production: LocalDisk::open("data/wal").await?
//! let settings = WalSettings::default();
//! let (log, _) = Wal::open(disk.clone(), settings, World::system()).await?;
//! let durable = log.append(Record { stream: 1, epoch: 7, payload: "rows".into() }).await?; // Accepted, in this order.
//! durable.await?; // Survives this process.
//! log.close().await?;
//!
//! let (log, replay) = Wal::open(disk, settings, World::system()).await?;
//! for record in replay.records() {
//!     let record = record?;
//!     assert_eq!((record.stream, record.epoch, &record.payload[..]), (1, 7, &b"rows"[..]));
//!     log.release(record.stream, record.position); // Committed elsewhere: its segment may go.
//! }
//! # Ok(()) }
//! ```
//!
//! ## A record's states
//!
//! ```text
//! append ──> accepted ──> written ──> durable ──> released ──> removed with its segment
//!            (queue)      (page       (Durable    (release,
//!                          cache)      resolves)   forget)
//! ```
//!
//! If the process dies, a durable record is replayed; an accepted or written one may be, or may not; and a released one is, until
//! its segment is removed. So a caller treats a replayed record as "perhaps already committed" and asks the catalog.
//!
//! ## Obligations of the caller
//!
//! - One process opens a log at a time (`vfs::DirectoryLock`), on a disk directory that holds nothing else of its `.wal` names.
//! - Appends of one stream are awaited one after the other; their order is the log's. The [`Durable`]s may be awaited later.
//! - After [`WalError::DiskFull`] wait and append the same record again. A refusal takes all that was accepted behind it along,
//!   and until every one of a stream's refused [`Durable`]s was awaited or dropped, the stream's appends are refused too: a
//!   stream never has a hole.
//! - After [`WalError::SyncFailed`] or [`WalError::Disk`] the streams are given up; only a restart opens the log again.
//! - The [`Replay`] is dropped as soon as it has been read: no segment is removed before.
//!
//! ## Invariants
//!
//! - **I2 fence** no append is accepted under an epoch older than the newest that this log knows for its stream. Epochs are
//!   recorded by records, by the mark that each write begins with, and by each segment's header, which is synced before any
//!   earlier segment is removed.
//! - **I3 order** a stream's records are replayed in the order in which their appends returned, and without holes between them
//!   except those that [`Wal::release`] allows.
//! - **I8 bound** what waits to be written is at most `queue_bytes`; what is written and not yet synced is a fixed number of
//!   batches. The log's disk is bounded by its caller, which flushes the owner of [`WalStats::oldest_needed`].
//! - A [`Durable`] resolves only after the fsync that covers it; a failed fsync is never retried.
//! - Only the last segment can have a torn tail, because a segment is begun when all before it is durable, and says how long
//!   that is. On opening the tail is cut, with a warning; all else that is not as it was written is [`WalError::Damaged`].
//!
//! **Torn or damaged?** A crash may leave the pages after the last fsync in any state, whole frames behind broken ones included,
//! so that alone proves nothing. Each write begins with a mark that says how much of the segment was durable by then: bytes that
//! are broken although a later mark calls them durable are damage. Without such a mark the bytes may never have been durable,
//! and the log is cut there. What an unlucky bit in the very last writes of a killed process can cost is thus rows that their
//! source still has; [`Wal::close`] ends with a mark, after which nothing is cut.
//!
//! ## Files
//!
//! `00000000000000000001.wal` and so on, numbered without holes. Their format, with golden files in `tests/golden`, is in
//! `segment.rs` (header), `frame.rs` (what follows) and `mark.rs`.

mod durable;
mod error;
mod fences;
mod frame;
mod intake;
mod ledger;
mod mark;
mod payload;
mod record;
mod recovery;
mod replay;
mod retire;
mod scan;
mod segment;
mod settings;
mod shared;
mod syncer;
mod wal;
mod writer;

pub use durable::Durable;
pub use error::WalError;
pub use payload::MAX_PAYLOAD_BYTES;
pub use record::{Record, Replayed, WalPosition};
pub use replay::Replay;
pub use settings::WalSettings;
pub use wal::{Wal, WalStats};
