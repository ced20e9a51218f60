//! # SQL: the statement front
//!
//! From the text of one command to its answer. It owns what statements there are and what they mean to a MySQL client; it
//! never runs a query itself, reads a data file or knows a packet.
//!
//! ```text
//!  text ──limits──> tokens ──parse──> Statement ──session──┬─ query, SHOW ── topics ── rewrite ── resolve ──> QueryEngine ──> rows
//!                                                          ├─ DDL ──────────> Catalog, PipelineControl
//!                                                          ├─ INSERT ───────> Inserts, one commit for many
//!                                                          └─ SET, USE, KILL  (the session's own)
//! ```
//!
//! | file | owns |
//! |---|---|
//! | [`seams`] | **the traits** by which it asks the engine, the manager, the broker and the process |
//! | [`engine`], `session`, `sessions` | what all share; one connection; who is connected |
//! | `limits`, `parse`, `dialect`, `statement` | what is allowed, how it is read, what was said |
//! | `admission` | how many statements read rows at a time |
//! | `types`, `literal`, `units` | column types, DEFAULTs, sizes and durations |
//! | [`accounts`], `redact` | who may log in; statements without their passwords |
//! | `prepared`, `bind` | prepared statements; values in the place of their parameters |
//! | `ddl`, `create_text` | statements that change the catalog; the DDL that makes a thing again |
//! | `topics` | `kafka(…)` in FROM |
//! | `rewrite`, `resolve`, `headings` | MySQL's expressions, names and column headings |
//! | `insert`, `result_type` | from a statement's values to rows of a table; the columns of a table made AS SELECT |
//! | `show`, `system` | SHOW as queries over `system.*` and `information_schema.*` |
//! | `variables`, `diagnostics`, `errors`, `alike` | session variables; warnings; errors in MySQL's words; "did you mean" |
//!
//! What holds: a statement is told apart by its syntax tree, never by patterns over text; no statement, however long or deep,
//! aborts the process; behind every SHOW stands a table; every error names the place, the cause and the next step.

pub mod accounts;
mod admission;
mod alike;
mod bind;
mod create_text;
mod ddl;
mod diagnostics;
mod dialect;
pub mod engine;
mod errors;
pub(crate) mod functions;
mod headings;
mod insert;
mod limits;
mod literal;
mod parse;
mod prepared;
mod redact;
mod resolve;
mod result_type;
mod rewrite;
pub mod seams;
mod session;
mod sessions;
mod show;
mod statement;
mod system;
mod topics;
mod types;
mod units;
mod variables;

#[cfg(test)]
mod fakes;
#[cfg(test)]
mod tests;

pub use admission::StatementLimits;
pub use engine::{Components, Engine, SqlSettings};
pub use limits::Limits;
pub use variables::ServerFacts;

/// Whether a database is one of the system's, whose tables nobody writes.
pub(crate) fn is_system_schema(name: &str) -> bool {
    system::SystemTable::is_schema(name)
}
