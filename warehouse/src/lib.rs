//! # millrace-warehouse

pub mod schema;
/// The record's path, up to the commit.
pub mod write {
    pub mod batch;
    pub mod source;
}
/// The read side.
pub mod read {
    pub mod pin;
}
