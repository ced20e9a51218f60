//! # millrace-tests: what shows that the product works
//!
//! The harness of the end-to-end tests: a real broker or librdkafka's mock, the real binary as a process of its own, a SQL
//! client, and a ledger of what was produced. The checkers know nothing of the code that they check.
//!
//! | target | shows |
//! |---|---|
//! | `e2e` | the main job on mock and real Kafka: SQL, clients, bad input, queries while data moves |
//! | `kill` | `kill -9` at random moments and at each step of the path: nothing lost, nothing twice (I1, I3, I4) |
//! | `model` | the commit protocol, small and explored whole |
//! | `sim` | simulated histories by seed: every invariant under any fault ([`sim`]) |
//! | `fuzz` | damaged inputs for everything that reads bytes of strangers ([`fuzz`]) |
//! | `tidy` | rules of the house: crate edges, `//!`, file sizes |

// Tests wait for real processes: they need the real clock.
#![allow(clippy::disallowed_methods)]

mod broker;
pub mod events;
pub mod fuzz;
pub mod golden;
mod ledger;
mod mock_broker;
mod producer;
mod real_kafka;
mod requirement;
mod server_process;
pub mod sim;
mod sql;
pub mod stores;
mod waiting;

pub use broker::Broker;
pub use ledger::{Ledger, Seen, payload_hash};
pub use mock_broker::MockBroker;
pub use producer::{NewRecord, Producer};
pub use real_kafka::RealKafka;
pub use requirement::{real_kafka, require};
pub use server_process::{ServerOptions, ServerProcess};
pub use sql::{Row, Sql};
pub use waiting::eventually;
