//! The catalog over its stores: the commit rule step by step, unknown outcomes, grants, DDL, the sweeper. Each story runs
//! over `memory` and over `redb`, below a store that fails on purpose.

#![expect(clippy::unwrap_used, reason = "what cannot be unwrapped fails the story")]

mod change;
mod channels;
mod commit;
mod copy;
mod cost;
mod counting;
mod ddl;
mod dump;
mod fixture;
mod manager;
mod rewrite;
mod snapshot;
mod sweeper;
mod town;
mod truncate;
mod unknown;
mod users;
mod verify;
