//! PREPARE, EXECUTE and DEALLOCATE.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::statement::{PrepareSource, Statement};
use super::cursor::{Cursor, Parsed};

/// `PREPARE name FROM {'text' | @variable}`.
pub(super) fn prepare(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect_word("PREPARE")?;
    let name = cursor.identifier()?;
    cursor.expect_word("FROM")?;
    let source = match variable(cursor)? {
        Some(variable) => PrepareSource::Variable(variable),
        None => PrepareSource::Text(cursor.string()?),
    };
    Ok(Statement::Prepare { name, source })
}

/// `EXECUTE name [USING @a, @b, …]`.
pub(super) fn execute(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect_word("EXECUTE")?;
    let name = cursor.identifier()?;
    let mut arguments = Vec::new();
    if cursor.take_word("USING") {
        loop {
            match variable(cursor)? {
                Some(variable) => arguments.push(variable),
                None => return cursor.expected("a user variable, as in @x"),
            }
            if !cursor.take(&Token::Comma) {
                break;
            }
        }
    }
    Ok(Statement::Execute { name, arguments })
}

/// `DEALLOCATE PREPARE name`.
pub(super) fn deallocate(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect_word("DEALLOCATE")?;
    deallocate_after_verb(cursor)
}

/// The same behind DROP.
pub(super) fn deallocate_after_verb(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect_word("PREPARE")?;
    Ok(Statement::Deallocate(cursor.identifier()?))
}

/// `@name`, where the next is one.
fn variable(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    if cursor.take(&Token::AtSign) {
        return cursor.identifier().map(Some);
    }
    let name = match &cursor.parser.peek_token_ref().token {
        Token::Word(word) => word.value.strip_prefix('@').filter(|name| !name.starts_with('@')).map(str::to_owned),
        _ => None,
    };
    if name.is_some() {
        cursor.parser.advance_token();
    }
    Ok(name)
}
