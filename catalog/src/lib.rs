//! # millrace-catalog: what is true of tables, pipelines and streams
//!
//! Ids and nouns ([`model`]), the one atomic commit, grants, leases, snapshots and DDL, all written once above a thin
//! ordered key-value transaction trait ([`store`]). The crate does not know how a data file is read or written.
//!
//! ```text
//!   worker  ── stage, commit, void, snapshot ──> [CatalogService]
//!   manager ── lease, open_stream, grant ──────> [Catalog] ──> keys ──> [store::KvStore]: memory, redb, postgres
//!   server  ── create, drop, tables, watch ────>
//!   operator ─ dump, verify, copy ─────────────> [tools] ──────> keys ──> …
//! ```
//!
//! A table is a log. A commit appends to it and moves the table's head, both blind; a snapshot folds it. A commit reads only
//! the keys of its own streams, parts and writer, and two fences, so commits of different tasks of one table never
//! conflict, and none grows with what was committed before.
//!
//! ```text
//!   a part:    staged (an intent) ──commit──> visible ──DROP or TRUNCATE TABLE──> garbage ──sweeper──> gone
//!                     └──claimed by the sweeper──> garbage
//!   a stream:  opened (start resolved) ──grant──> owned under an epoch ──grant──> … ──> closed
//!   a channel: opened and granted to its process at once ──> committed to ──> closed, by it or by whoever starts after it
//!   a commit:  sent ──> Committed | Fenced | Conflict
//!                └────> MaybeCommitted ──same request again, or void──> one of these
//! ```
//!
//! **Invariants**, each checked where it is named: I1 by the request's ledger (`commit/check.rs`); I2, I3, I4, I6 by the
//! commit rule (`commit/admit.rs`) and once more when the log is folded (`snapshot/fold.rs`); I7 by intents
//! (`intents.rs`). No outcome depends on a clock (I10). An unknown outcome is never passed off as another
//! (`transaction.rs`).
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(async {
//! use std::sync::Arc;
//!
//! use millrace_catalog::store::MemoryStore;
//! use millrace_catalog::{Catalog, ColumnType, NewColumn, NewTable};
//!
//! let world = vfs::World::system();
//! let catalog = Catalog::open(Arc::new(MemoryStore::new(world.clock.clone())), world).await?;
//! let name = NewColumn::new("name", ColumnType::Text { characters_max: None }, true);
//! let new = NewTable {
//!     database: "default".into(),
//!     name: "people".into(),
//!     columns: vec![name],
//!     partition_by: vec![],
//!     order_by: vec!["name".into()],
//! };
//! let table = catalog.create_table(new, false).await?;
//! assert_eq!(catalog.table("DEFAULT", "People").await?, table);
//! # Ok::<_, millrace_catalog::CatalogError>(())
//! # }).expect("the example runs");
//! ```

mod audit;
mod catalog;
mod change;
mod channels;
mod commit;
mod ddl;
mod error;
mod garbage;
mod grant;
mod history;
mod incidents;
mod intents;
mod keys;
mod labels;
mod lease;
pub mod model;
mod names;
mod service;
mod settle;
mod snapshot;
pub mod store;
mod streams;
pub mod tools;
mod transaction;
mod truncate;
mod users;
mod version;
mod void;
mod watch;

pub use audit::{AuditEntry, AuditPage, AuditRecord};
pub use catalog::Catalog;
pub use ddl::{NewColumn, NewPipeline, NewTable};
pub use error::CatalogError;
pub use garbage::Garbage;
pub use model::*;
pub use names::check_column as check_column_name;
pub use service::{CatalogService, ChannelService, VoidOutcome};
pub use settle::commit_settled;
pub use watch::Watch;
