//! The main promise, shown on the real binary: whatever moment it dies at, nothing is lost and nothing is seen twice.
//!
//! `MILLRACE_TEST_KILLS` says how often it is killed at random (default 30).

// A test that cannot go on fails: that is what unwrap is for here.
#![allow(clippy::unwrap_used, unreachable_pub)]
#![allow(clippy::disallowed_methods, missing_docs)]

mod inserts;
mod matrix;
mod random;
mod statements;
