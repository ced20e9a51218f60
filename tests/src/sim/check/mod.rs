//! The checkers: they know what was produced, what the catalog's public calls say, what parts hold and what queries answered, and
//! nothing of how any of it came about.

mod bounds;
mod commits;
mod end;
mod inserts;
mod leases;
mod logs;
mod queries;
mod versions;
mod workers;

use std::fmt;

pub use bounds::Bounds;
pub use commits::{Commits, Emptied};
pub use end::{check_end, lag};
pub use inserts::Inserts;
pub use leases::Leases;
pub use logs::check_log;
pub use queries::{Queries, Truth};
pub use versions::Versions;
pub use workers::Workers;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which, by its id in DESIGN.
    pub invariant: &'static str,
    /// What was expected, and what was seen.
    pub message: String,
}

impl Violation {
    /// A violation.
    pub fn new(invariant: &'static str, message: impl Into<String>) -> Self {
        Self { invariant, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.message)
    }
}
