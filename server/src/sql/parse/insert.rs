//! INSERT and TRUNCATE. INSERT is read token by token up to its rows, so that what MySQL allows there and means nothing here is
//! refused with what to write instead; values and queries are the parser's.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::statement::{Insert, InsertSource, InsertValue, Statement};
use super::Fault;
use super::cursor::{Cursor, Parsed, begins_query};
use crate::mysql::SqlError;

/// INSERT …
pub(super) fn insert(cursor: &mut Cursor<'_>) -> Result<Statement, Fault> {
    cursor.expect_word("INSERT")?;
    while ["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY"].iter().any(|word| cursor.take_word(word)) {}
    if let Some("IGNORE" | "OVERWRITE") = cursor.peek_word().as_deref() {
        let what = match cursor.take_word("IGNORE") {
            true => "INSERT IGNORE: no row is ever a duplicate, and no value is bent to fit; leave IGNORE out",
            false => "INSERT OVERWRITE; TRUNCATE TABLE it, and then INSERT",
        };
        return Err(SqlError::not_supported(what).into());
    }
    let _ = cursor.take_word("INTO");
    let _ = cursor.take_word("TABLE");
    let table = cursor.name()?;
    if cursor.peek_word().as_deref() == Some("PARTITION") {
        return Err(SqlError::not_supported("INSERT … PARTITION; rows find their partition by their values").into());
    }
    let mut label = with_label(cursor)?;
    let columns = columns(cursor)?;
    if label.is_none() {
        label = with_label(cursor)?;
    }
    let (columns, source) = source(cursor, columns)?;
    if cursor.take_word("AS") {
        // Names of the new row, for ON DUPLICATE KEY.
        let _ = cursor.identifier()?;
    }
    if cursor.peek_word().as_deref() == Some("ON") {
        let what = "ON DUPLICATE KEY UPDATE; a table keeps every row that it is given: leave it out, and take the newest row of each \
                    key in the query";
        return Err(SqlError::not_supported(what).into());
    }
    if cursor.peek_word().as_deref() == Some("RETURNING") {
        return Err(SqlError::not_supported("INSERT … RETURNING; SELECT the rows afterwards").into());
    }
    Ok(Statement::Insert(Box::new(Insert { table, label, columns, source })))
}

fn with_label(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    if !cursor.take_words(&["WITH", "LABEL"]) {
        return Ok(None);
    }
    match &cursor.parser.peek_token_ref().token {
        Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => cursor.string().map(Some),
        _ => cursor.identifier().map(Some),
    }
}

/// The list of columns; a parenthesis may also begin a query.
fn columns(cursor: &mut Cursor<'_>) -> Parsed<Option<Vec<String>>> {
    let second = cursor.parser.peek_nth_token_ref(1).token.clone();
    let is_query = begins_query(cursor.peek_nth_word(1).as_deref(), &second);
    if cursor.parser.peek_token_ref().token != Token::LParen || is_query {
        return Ok(None);
    }
    cursor.expect(&Token::LParen)?;
    let mut columns = Vec::new();
    if !cursor.take(&Token::RParen) {
        loop {
            let mut column = cursor.identifier()?;
            // `t.a`, as some clients write it.
            while cursor.take(&Token::Period) {
                column = cursor.identifier()?;
            }
            columns.push(column);
            if !cursor.take(&Token::Comma) {
                break;
            }
        }
        cursor.expect(&Token::RParen)?;
    }
    Ok(Some(columns))
}

type Columns = Option<Vec<String>>;

fn source(cursor: &mut Cursor<'_>, columns: Columns) -> Result<(Columns, InsertSource), Fault> {
    if cursor.take_word("VALUES") || cursor.take_word("VALUE") {
        let mut rows = vec![row(cursor)?];
        while cursor.take(&Token::Comma) {
            rows.push(row(cursor)?);
        }
        // An empty list of columns is no list, as in MySQL: `INSERT INTO t () VALUES ()`.
        return Ok((
            columns.filter(|columns| !columns.is_empty() || rows.iter().all(Vec::is_empty)),
            InsertSource::Values(rows),
        ));
    }
    if columns.is_none() && cursor.take_word("SET") {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        loop {
            names.push(cursor.identifier()?);
            cursor.expect(&Token::Eq)?;
            values.push(value(cursor)?);
            if !cursor.take(&Token::Comma) {
                break;
            }
        }
        return Ok((Some(names), InsertSource::Values(vec![values])));
    }
    let next = cursor.parser.peek_token_ref().token.clone();
    match begins_query(cursor.peek_word().as_deref(), &next) {
        true => Ok((columns, InsertSource::Query(cursor.parser.parse_query()?))),
        false => Ok(cursor.expected("VALUES (…) or SELECT")?),
    }
}

fn row(cursor: &mut Cursor<'_>) -> Parsed<Vec<InsertValue>> {
    let _ = cursor.take_word("ROW");
    cursor.expect(&Token::LParen)?;
    let mut values = Vec::new();
    if cursor.take(&Token::RParen) {
        return Ok(values);
    }
    loop {
        values.push(value(cursor)?);
        if !cursor.take(&Token::Comma) {
            break;
        }
    }
    cursor.expect(&Token::RParen)?;
    Ok(values)
}

fn value(cursor: &mut Cursor<'_>) -> Parsed<InsertValue> {
    let stands_alone = !matches!(cursor.parser.peek_nth_token_ref(1).token, Token::LParen | Token::Period);
    match stands_alone && cursor.take_word("DEFAULT") {
        true => Ok(InsertValue::Default),
        false => cursor.expr().map(InsertValue::Expr),
    }
}

/// TRUNCATE [TABLE] t
pub(super) fn truncate(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect_word("TRUNCATE")?;
    let _ = cursor.take_word("TABLE");
    Ok(Statement::Truncate(cursor.name()?))
}
