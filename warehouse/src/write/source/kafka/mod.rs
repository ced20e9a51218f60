//! The Kafka source: `assign()` only, at offsets that the catalog gave; no consumer group, no offset ever kept at the broker.
//!
//! | file | owns |
//! |---|---|
//! | `connector` | the questions about a topic, and opening a source |
//! | `inquirer` | one client that asks and reads nothing |
//! | `source` | the task's end: events out, wanted streams in |
//! | `mailbox` | what passes between the task and the reader's thread, within a bound (I8) |
//! | `reader` | the thread that reads: positions, back-pressure, errors |
//! | `incarnation` | noticing that a topic was made again |
//! | `errors`, `properties` | words and settings |
//! | `raw` | the one `unsafe` module |

mod client;
mod connector;
mod errors;
mod headers;
mod incarnation;
mod inquirer;
mod mailbox;
mod properties;
mod raw;
mod reader;
mod source;
mod stream;

pub use connector::KafkaConnector;
pub use properties::{ALLOWED_PROPERTIES, RECONNECT_MAX_MS, check_properties};
