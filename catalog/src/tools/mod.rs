//! What an operator does with a catalog as a whole: look into it ([`dump`](fn@dump)), check it
//! ([`verify`](fn@verify)), move it ([`copy`](fn@copy)).
//!
//! They work below [`Catalog`](crate::Catalog), on the keys themselves, so that they also help where a catalog cannot be opened;
//! and over any store. `keys/kind.rs` tells them what there is.

mod copy;
mod dump;
mod reader;
mod verify;

pub use copy::{CopyProgress, CopyReport, copy};
pub use dump::{DumpError, DumpReport, dump};
pub use verify::{Finding, VerifyProgress, VerifyReport, verify};
