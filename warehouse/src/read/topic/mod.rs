//! Topics as tables: `kafka(…)` in FROM. A bounded range of each partition is read, once, and nothing is moved: no consumer
//! group is joined, no offset is kept at the broker or here.
//!
//! ```text
//!  TopicQuery ──range──> TopicRange of each partition ──sample──> columns ──table──> plan ──scan──> rows
//!              resolved once: all scans of a statement read the same
//! ```
//!
//! Where a range ends is decided before the first record is read, so that a query ends however much is produced meanwhile.
//! `kafka_topics(…)` lists what there is to read.
//! A record that cannot become a row is an error, a hole or NULLs, as the query says; nothing of it is kept anywhere.

mod list;
mod prune;
mod query;
mod ranges;
mod rows;
mod sample;
mod scan;
mod table;

pub use list::topic_list;
pub use query::{OnError, PayloadFormat, Position, TopicColumn, TopicQuery};
pub use ranges::resolve_ranges;
pub use sample::{SAMPLE_RECORDS, sample};
pub use table::TopicTable;

#[cfg(test)]
mod tests;
