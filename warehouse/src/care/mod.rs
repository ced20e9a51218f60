//! What is done to a table by a statement, beside its ingest and its queries: `verify` proves that every offset is covered once, and
//! `retry` turns error rows that fit by now into rows. Both read parts whole (`read::whole_part`).

mod ledger;
mod offsets;
pub mod retry;
pub mod verify;
