//! The main job, shown on the real binary against brokers and clients: what a user can do, and what a user must never see.
//!
//! | module | shows |
//! |---|---|
//! | `flights`, `demo` | the main job on real data |
//! | `moving` | a query counts right while data moves (I1, I3, I5) |
//! | `kafka` | what only a real Kafka does |
//! | `bad_input` | each kind of bad input, and the message that names place, cause and next step |
//! | `clients`, `command_line`, `http` | the doors |
//! | `ending` | a statement that is ended lets go of what it held |
//! | `overload` | each limit overloaded: nothing is lost, and lag drains (I8, I9) |
//! | `control` | ALTER under load and under a kill, hints, the proof of a table |
//! | `inserts` | rows that come from clients: TRUNCATE under a pipeline, files over HTTP |
//! | `golden` | SQL, by `tests/sql/*.slt` |
//! | `stores` | a catalog in Postgres, parts on S3: who may use them, and what happens while they are away |
//! | `types` | every value of every type, by each way in and in each place |

// A test that cannot go on fails: that is what unwrap is for here.
#![allow(clippy::unwrap_used, unreachable_pub)]
#![allow(clippy::disallowed_methods, missing_docs)]

mod bad_input;
mod clients;
mod command_line;
mod control;
mod demo;
mod ending;
mod flights;
mod golden;
mod http;
mod inserts;
mod kafka;
mod moving;
mod overload;
mod small_disk;
mod stage;
mod stores;
mod types;
