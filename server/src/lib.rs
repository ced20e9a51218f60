//! # millrace-server: the front door
//!
//! Roles and `main`, settings, the MySQL port, SQL statements, the manager, HTTP, and the operator's tools. The crate does
//! not know how a part is laid out.
//!
//! | module | owns |
//! |---|---|
//! | [`cli`], [`standalone`], [`demo`], `console`, [`stop_signal`] | the commands, what they say, how they are stopped |
//! | [`settings`], [`data_dir`], [`possession`] | what is configured, where things lie, and whose they are |
//! | [`seat`] | that one server at a time serves a catalog |
//! | [`compose`] | concrete types, in one place |
//! | [`mysql`] | the protocol: packets, logins, result sets |
//! | [`client`] | `millrace sql` |
//! | [`catalog_tools`] | `millrace catalog` |
//! | [`sql`] | statements: parsing, DDL, SHOW, system tables, sessions |
//! | [`query`] | SQL's queries, handed to the warehouse's read side |
//! | [`manager`] | leases, placement, grants |
//! | [`tables`] | TRUNCATE: pipelines held, the table emptied |
//! | [`runtime`] | what statements see and steer of the process |
//! | [`http`] | health and metrics |
//! | [`load`] | files of rows over HTTP |
//!
//! **Invariant:** a statement is routed by its syntax tree, and a secret has no way to be printed.

pub mod allocator;
pub mod care;
pub mod catalog_tools;
pub mod cli;
pub mod client;
pub mod compose;
mod console;
pub mod data_dir;
pub mod demo;
pub mod hints;
pub mod http;
pub mod load;
pub mod manager;
pub mod mysql;
pub mod possession;
pub mod query;
pub mod runtime;
pub mod seat;
pub mod settings;
pub mod sql;
pub mod standalone;
pub mod stop_signal;
pub mod tables;
