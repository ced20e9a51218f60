//! Places where a test may let the process die: before and after each step of the record's path.
//!
//! In the product these are empty functions; the tests' own build switches them on (feature `failpoints`).

/// Dies here, without any clean-up, if the environment's FAILPOINTS says `NAME=return` (with `fail`'s counts and chances).
pub fn crash_point(name: &'static str) {
    let _ = name;
    fail::fail_point!(name, |_| std::process::abort());
}

/// Every crash point, in the order of the path.
pub const CRASH_POINTS: &[&str] = &[
    "fetch.before",
    "decode.before",
    "log.before",
    "log.after",
    "memtable.after",
    "flush.before_stage",
    "flush.after_stage",
    "flush.before_upload",
    "flush.after_upload",
    "commit.before",
    "commit.after",
    "retire.before",
    "retire.after",
    "grant.after",
    "recover.before",
    "recover.after",
];
