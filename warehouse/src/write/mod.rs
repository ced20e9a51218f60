//! The write side: the way of a record, up to the commit.
//!
//! `source -> decode -> (WAL) -> memtable -> flush -> commit`, one direction. [`intake`] does the first three steps,
//! [`task`] the rest; [`worker`] holds a process's tasks. Three signals travel back: back-pressure ([`crate::memory`]), "safe to
//! truncate" (`Wal::release`), and "you are fenced".

pub mod batch;
pub mod commit;
pub mod decode;
pub mod failpoint;
pub mod flush;
pub mod flush_policy;
pub mod insert;
mod intake;
mod launch;
pub mod load;
pub mod local;
mod log_keeper;
mod logged;
pub mod memtable;
pub mod messages;
pub mod pins;
pub mod recovery;
pub mod source;
pub mod sweeper;
mod takeover;
mod task;
#[cfg(test)]
mod testing;
pub mod trouble;
pub mod worker;
