//! The read side: from a statement's syntax tree to a stream of rows.
//!
//! `snapshot -> plan -> scan`, one direction. [`engine`] is the door. A statement's tables are pinned once each
//! ([`snapshot`]), shown to the engine as tables ([`provider`]), and scanned from parts, verified block by block
//! ([`reader`]), and from the owners' memtables (`memtable_ranges`). Nothing here reads the catalog after the pin: the
//! list of parts and the ranges of offsets travel in the plan. [`topic`] reads topics themselves, beside all of this.

mod bounds;
mod depth;
pub mod engine;
pub mod errors;
mod footers;
mod hidden;
mod interrupt;
mod memory_pool;
mod memtable_ranges;
mod parts_source;
pub mod pin;
pub mod provider;
pub mod prune;
pub mod query_pins;
mod range_exec;
pub mod reader;
pub mod resolver;
mod runtime;
mod schemas;
pub mod session;
pub mod snapshot;
mod statement;
mod stream_columns;
mod threads;
pub mod topic;
pub mod whole_part;
mod wording;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
