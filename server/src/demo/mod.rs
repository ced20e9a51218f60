//! `millrace demo`: a broker, a year of flights and a server in one process.

pub mod broker;
mod run;

pub use run::run;
