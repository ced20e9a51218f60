//! `SYSTEM VERIFY TABLE t [FULL]` and `RETRY ERRORS FOR p [WHERE …]`.

use super::super::statement::Statement;
use super::cursor::{Cursor, Parsed};

/// SYSTEM …
pub(super) fn system(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect_word("SYSTEM")?;
    cursor.expect_word("VERIFY")?;
    cursor.expect_word("TABLE")?;
    let table = cursor.name()?;
    Ok(Statement::VerifyTable { table, full: cursor.take_word("FULL") })
}

/// RETRY …
pub(super) fn retry(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect_word("RETRY")?;
    cursor.expect_word("ERRORS")?;
    cursor.expect_word("FOR")?;
    let _ = cursor.take_word("PIPELINE");
    let pipeline = cursor.name()?;
    let condition = match cursor.take_word("WHERE") {
        true => Some(Box::new(cursor.expr()?)),
        false => None,
    };
    Ok(Statement::RetryErrors { pipeline, condition })
}
