//! A source in memory, whose broker follows a script: for tests and the simulation. Deterministic: streams are served in
//! order of their ids, and nothing waits for a clock except to say that nothing happened.

mod broker;
mod connector;
mod source;

pub use broker::{MemoryBroker, MemoryRecord};
pub use connector::MemoryConnector;
