//! # millrace-catalog

pub mod model;
pub use model::*;
