//! The simulation: whole histories of the product on one thread, with simulated time, randomness, disks, object store, catalog
//! store, network and broker. A seed gives a history; the same seed gives the same one, event by event.
//!
//! ```text
//!   history ──draws──> operations, faults ──> stage: broker, stores, disks, network
//!      │                                        └─ processes: workers, managers, readers: the product's own code
//!      └──after each round──> check: what was produced against what is committed and what queries answered
//! ```
//!
//! | file | owns |
//! |---|---|
//! | [`options`] | what histories are like |
//! | [`history`] | one history: rounds, faults, the quiet at the end |
//! | [`stage`], [`process`] | what outlives processes, and the processes |
//! | [`plan`], [`operations`], [`faults`], [`chains`] | what is drawn |
//! | [`script`] | what was produced, and what the broker lost of it |
//! | [`network`], [`objects`], [`catalog_store`], [`disk`] | the ways between processes, to the stores, and to the disks |
//! | [`query`], [`operator`] | readers and the person |
//! | [`clients`], [`server`] | who inserts, and the part of the server that they ask |
//! | [`check`] | the checkers |
//! | [`campaign`], [`planted`] | many histories |
//!
//! Nothing here knows how the product works inside: it starts the product's parts through their public constructors, and checks
//! what they show. Nothing is global but the panic hook: each thread runs histories of its own.

pub mod campaign;
pub mod catalog_store;
pub mod chains;
pub mod check;
pub mod clients;
pub mod clock;
pub mod disk;
pub mod draw;
pub mod faults;
pub mod history;
pub mod log;
pub mod network;
pub mod objects;
pub mod operations;
pub mod operator;
pub mod options;
pub mod panics;
pub mod parts;
pub mod plan;
pub mod planted;
pub mod process;
pub mod query;
pub mod rows;
pub mod script;
pub mod server;
pub mod stage;

pub use campaign::{Campaign, Report};
pub use history::Outcome;
pub use options::{Chains, Options};
