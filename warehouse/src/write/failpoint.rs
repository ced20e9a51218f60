//! Places where a test may let the process die: before and after each step of the record's path, and of the statements that change
//! what a pipeline has done or does.
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

/// Every crash point that INSERTs pass, in the order of their path; those of a flush lie between the first two.
pub const INSERT_CRASH_POINTS: &[&str] = &[
    "insert.channel_opened",
    "flush.before_stage",
    "flush.after_stage",
    "flush.before_upload",
    "flush.after_upload",
    "insert.before_commit",
    "insert.after_commit",
    "insert.after_answer",
];

/// Every crash point of a SEEK or an ALTER, in the order of its path: the wish, the transaction that makes it true, the answer.
pub const CHANGE_CRASH_POINTS: &[&str] = &[
    "change.before_begin",
    "change.after_begin",
    "change.before_finish",
    "change.after_finish",
    "change.before_answer",
];

/// Those that only an ALTER passes, and only where it is taken up by another process than began it.
pub const FLOOR_CRASH_POINTS: &[&str] = &["change.before_floors", "change.after_floors"];

/// Every crash point of RETRY ERRORS, in the order of its path.
pub const RETRY_CRASH_POINTS: &[&str] = &[
    "flush.before_stage",
    "flush.after_stage",
    "flush.before_upload",
    "flush.after_upload",
    "retry.before_commit",
    "retry.after_commit",
];
