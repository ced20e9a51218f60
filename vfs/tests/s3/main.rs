//! Objects on S3: what a store in a cloud promises, kept through every fault that an S3 has, and told in words where it cannot be.
//!
//! All of it runs against the test server of this crate. The contract runs against another server too, if there is one
//! (`tests/components/README.md`, `MILLRACE_TEST_S3`).

// A test that cannot go on fails: that is what unwrap is for here.
#![allow(clippy::unwrap_used)]

mod contract;
mod faults;
mod metering;
mod rig;
mod secrets;
mod words;
