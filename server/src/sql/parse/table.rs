//! CREATE TABLE, which is read token by token: most of what SQL allows there has no meaning here, and each refusal should
//! say what to write instead. With FROM KAFKA (…) it is a table and the pipeline that fills it.

use std::collections::BTreeMap;

use catalog::PartitionTransform;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::literal::{Literal, default_of};
use super::super::statement::{ColumnClause, CreateTable, CreateTableFrom, Query, Statement};
use super::super::types;
use super::cursor::{Cursor, Parsed};
use super::{Fault, pipeline};
use crate::mysql::SqlError;

/// CREATE TABLE, after CREATE.
pub(super) fn create_table(cursor: &mut Cursor<'_>) -> Result<Statement, Fault> {
    cursor.expect_word("TABLE")?;
    let if_not_exists = cursor.if_not_exists();
    let table = cursor.name()?;
    refuse_other_forms(cursor)?;
    let mut create = CreateTable {
        table,
        if_not_exists,
        columns: Vec::new(),
        partition_by: Vec::new(),
        order_by: Vec::new(),
        ignored: Vec::new(),
        query: None,
    };
    let is_from = cursor.peek_word().as_deref() == Some("FROM");
    if !is_from && !begins_as(cursor) && !is_option(cursor) {
        cursor.expect(&Token::LParen)?;
        loop {
            element(cursor, &mut create)?;
            if !cursor.take(&Token::Comma) {
                break;
            }
        }
        cursor.expect(&Token::RParen)?;
    }
    if cursor.take_word("FROM") {
        cursor.expect_word("KAFKA")?;
        let source = pipeline::pairs(cursor)?;
        let mut settings = BTreeMap::new();
        while !cursor.at_end() {
            match cursor.peek_word().as_deref() {
                Some("ON") => settings.extend(pipeline::policies(cursor)?),
                Some("WITH") => pipeline::with(cursor, &mut settings)?,
                _ => option(cursor, &mut create)?,
            }
            let _ = cursor.take(&Token::Comma);
        }
        return Ok(Statement::CreateTableFrom(Box::new(CreateTableFrom { create, source, settings, is_dry: false })));
    }
    while !cursor.at_end() && !begins_as(cursor) {
        option(cursor, &mut create)?;
        let _ = cursor.take(&Token::Comma);
    }
    if !cursor.at_end() {
        let _ = cursor.take_word("AS");
        let ast = Box::new(ast::Statement::Query(cursor.parser.parse_query()?));
        create.query = Some(Query { ast, headings: Vec::new() });
    } else if create.columns.is_empty() {
        return Ok(cursor.expected("(column type, …) or AS SELECT")?);
    }
    Ok(Statement::CreateTable(Box::new(create)))
}

/// Whether what follows is a query that fills the table.
fn begins_as(cursor: &Cursor<'_>) -> bool {
    match cursor.peek_word().as_deref() {
        Some("AS") => true,
        Some("SELECT" | "WITH") => true,
        // `CREATE TABLE t (SELECT …)`.
        _ => {
            let second = cursor.peek_nth_word(1);
            cursor.parser.peek_token_ref().token == Token::LParen
                && matches!(second.as_deref(), Some("SELECT" | "WITH"))
        }
    }
}

/// Whether what follows is PARTITION BY or ORDER BY: a table without a list of columns is one AS SELECT.
fn is_option(cursor: &Cursor<'_>) -> bool {
    matches!(cursor.peek_word().as_deref(), Some("PARTITION" | "ORDER" | "COMMENT" | "ENGINE"))
}

fn refuse_other_forms(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    let what = match cursor.peek_word().as_deref() {
        Some("LIKE") => "CREATE TABLE … LIKE; SHOW CREATE TABLE prints a definition that can be run again",
        _ => return Ok(()),
    };
    Err(SqlError::not_supported(what).into())
}

/// A column, or a constraint.
fn element(cursor: &mut Cursor<'_>, create: &mut CreateTable) -> Result<(), Fault> {
    match cursor.peek_word().as_deref() {
        Some("PRIMARY" | "UNIQUE" | "CONSTRAINT" | "FOREIGN" | "CHECK") => Err(constraint_refused(cursor).into()),
        Some("KEY" | "INDEX" | "FULLTEXT" | "SPATIAL") => {
            let (_, text) = cursor.with_text(skip_element)?;
            create.ignored.push(text);
            Ok(())
        }
        _ => {
            let column = column(cursor, &mut create.ignored)?;
            create.columns.push(column);
            Ok(())
        }
    }
}

fn constraint_refused(cursor: &Cursor<'_>) -> SqlError {
    let what = match cursor.peek_word().as_deref() {
        Some("PRIMARY") => "PRIMARY KEY",
        Some("UNIQUE") => "UNIQUE KEY",
        Some("FOREIGN") => "FOREIGN KEY",
        Some("CHECK") => "CHECK",
        _ => "CONSTRAINT",
    };
    not_built(what)
}

fn not_built(what: &str) -> SqlError {
    let hint =
        "a table keeps every row that it is given; leave it out, and sort the rows with ORDER BY (…) after the columns";
    SqlError::not_supported(&format!("{what}: it is not built yet, and {hint}"))
}

/// Passes over what is left of an element, parentheses included.
fn skip_element(cursor: &mut Cursor<'_>) -> Parsed<()> {
    let mut depth = 0_usize;
    loop {
        match cursor.parser.peek_token_ref().token {
            Token::EOF => return cursor.expected(")"),
            Token::Comma | Token::RParen if depth == 0 => return Ok(()),
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        cursor.parser.advance_token();
    }
}

fn column(cursor: &mut Cursor<'_>, ignored: &mut Vec<String>) -> Result<ColumnClause, Fault> {
    let name = cursor.identifier()?;
    let kind = types::read(cursor, &name)?;
    let mut column = ColumnClause { name, kind, nullable: true, default: None, comment: String::new() };
    let mut default = None;
    loop {
        if cursor.take_words(&["NOT", "NULL"]) {
            column.nullable = false;
        } else if cursor.take_word("NULL") {
            column.nullable = true;
        } else if cursor.take_word("DEFAULT") {
            default = Some(literal(cursor, &column.name)?);
        } else if cursor.take_word("COMMENT") {
            column.comment = cursor.string()?;
        } else if cursor.take_words(&["CHARACTER", "SET"]) || cursor.take_word("CHARSET") || cursor.take_word("COLLATE")
        {
            let charset = cursor.identifier()?;
            if !is_ours(&charset) {
                ignored.push(charset);
            }
        } else if matches!(cursor.parser.peek_token_ref().token, Token::Comma | Token::RParen) {
            break;
        } else {
            refuse_attribute(cursor)?;
        }
    }
    // DEFAULT NULL is what a column without DEFAULT has.
    if let Some(literal) = default.filter(|literal| !(column.nullable && *literal == Literal::Null)) {
        column.default = Some(default_of(&column.name, &column.kind, column.nullable, &literal)?);
    }
    Ok(column)
}

fn refuse_attribute(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    let refused = match cursor.peek_word().as_deref() {
        Some("PRIMARY" | "KEY") => not_built("PRIMARY KEY"),
        Some("UNIQUE") => not_built("UNIQUE KEY"),
        Some("AUTO_INCREMENT") => SqlError::not_supported("AUTO_INCREMENT; `_stream` and `_offset` name each row"),
        Some("REFERENCES") => not_built("REFERENCES"),
        Some("CHECK" | "CONSTRAINT") => not_built("CHECK"),
        Some("GENERATED" | "AS") => {
            SqlError::not_supported("generated columns; compute the value in the SELECT of the pipeline")
        }
        Some("ON") => SqlError::not_supported("ON UPDATE; rows are not updated"),
        _ => return Ok(cursor.expected("NOT NULL, DEFAULT, COMMENT, a comma or )")?),
    };
    Err(refused.into())
}

/// The literal after DEFAULT.
fn literal(cursor: &mut Cursor<'_>, column: &str) -> Result<Literal, Fault> {
    let parenthesised = cursor.take(&Token::LParen);
    let negative = cursor.take(&Token::Minus);
    let _ = !negative && cursor.take(&Token::Plus);
    let literal = match cursor.parser.peek_token_ref().token.clone() {
        Token::Number(digits, _) if negative => Literal::Number(format!("-{digits}")),
        Token::Number(digits, _) => Literal::Number(digits),
        Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) if !negative => Literal::Text(text),
        Token::HexStringLiteral(digits) if !negative => match hex::decode(&digits) {
            Ok(bytes) => Literal::Bytes(bytes),
            Err(_) => return Ok(cursor.expected("an even number of hexadecimal digits")?),
        },
        Token::Word(word) if !negative && word.quote_style.is_none() => {
            match word.value.to_ascii_uppercase().as_str() {
                "NULL" => Literal::Null,
                "TRUE" => Literal::Bool(true),
                "FALSE" => Literal::Bool(false),
                "CURRENT_TIMESTAMP" | "NOW" | "CURRENT_DATE" | "LOCALTIME" | "LOCALTIMESTAMP" | "UUID" => {
                    let message = format!(
                        "DEFAULT {} of column '{column}' would be another value each time that a record is read again; take the \
                     time from the record, or write a literal",
                        word.value
                    );
                    return Err(SqlError::new(super::super::literal::INVALID_DEFAULT, message).into());
                }
                // DATE '2013-01-01', TIMESTAMP '…'
                "DATE" | "TIME" | "TIMESTAMP" | "DATETIME" => {
                    cursor.parser.advance_token();
                    return Ok(Literal::Text(cursor.string()?));
                }
                _ => return Ok(cursor.expected("a literal")?),
            }
        }
        _ => return Ok(cursor.expected("a literal")?),
    };
    cursor.parser.advance_token();
    if parenthesised {
        cursor.expect(&Token::RParen)?;
    }
    Ok(literal)
}

/// What follows the columns.
fn option(cursor: &mut Cursor<'_>, create: &mut CreateTable) -> Result<(), Fault> {
    if cursor.take_words(&["PARTITION", "BY"]) {
        create.partition_by = partition_by(cursor)?;
        return Ok(());
    }
    if cursor.take_words(&["ORDER", "BY"]) {
        create.order_by = cursor.list(order_column)?;
        return Ok(());
    }
    match cursor.peek_word().as_deref() {
        Some("UNIQUE") => return Err(not_built("UNIQUE KEY").into()),
        Some("PRIMARY") => return Err(not_built("PRIMARY KEY").into()),
        Some("DISTRIBUTED" | "DUPLICATE" | "AGGREGATE" | "PROPERTIES" | "SETTINGS" | "TTL") => {
            let what = cursor.peek_word().unwrap_or_default();
            let message = format!("{what}; a table is described by its columns, PARTITION BY and ORDER BY");
            return Err(SqlError::not_supported(&message).into());
        }
        Some("AS" | "SELECT") => refuse_other_forms(cursor)?,
        Some(_) => {}
        None => return Ok(cursor.expected("PARTITION BY, ORDER BY or the end of the statement")?),
    }
    let (ours, text) = cursor.with_text(mysql_option)?;
    if !ours {
        create.ignored.push(text);
    }
    Ok(())
}

/// `[DEFAULT] NAME [=] value`, as dumps of MySQL have it. Returns whether it asks for what is anyway.
fn mysql_option(cursor: &mut Cursor<'_>) -> Parsed<bool> {
    const KNOWN: [&str; 14] = [
        "ENGINE",
        "CHARSET",
        "CHARACTER",
        "COLLATE",
        "COMMENT",
        "AUTO_INCREMENT",
        "ROW_FORMAT",
        "KEY_BLOCK_SIZE",
        "STATS_PERSISTENT",
        "AVG_ROW_LENGTH",
        "MAX_ROWS",
        "MIN_ROWS",
        "PACK_KEYS",
        "TABLESPACE",
    ];
    let _ = cursor.take_word("DEFAULT");
    match cursor.peek_word() {
        Some(word) if KNOWN.contains(&word.as_str()) => cursor.parser.advance_token(),
        _ => return cursor.expected("PARTITION BY, ORDER BY or the end of the statement"),
    }
    let _ = cursor.take_word("SET");
    let _ = cursor.take(&Token::Eq);
    let value = match cursor.parser.peek_token_ref().token.clone() {
        Token::Number(digits, _) => {
            cursor.parser.advance_token();
            digits
        }
        _ => cursor.identifier()?,
    };
    Ok(is_ours(&value))
}

/// Engine, character set and collation of every table.
fn is_ours(value: &str) -> bool {
    ["millrace", "utf8mb4", "utf8mb4_bin"].iter().any(|ours| ours.eq_ignore_ascii_case(value))
}

fn partition_by(cursor: &mut Cursor<'_>) -> Result<Vec<(String, PartitionTransform)>, Fault> {
    let native = matches!(cursor.peek_word().as_deref(), Some("RANGE" | "LIST" | "HASH" | "KEY" | "LINEAR"))
        && !matches!(cursor.parser.peek_nth_token_ref(1).token, Token::Comma | Token::EOF);
    if native {
        let what = "PARTITION BY RANGE, LIST, HASH and KEY; write PARTITION BY day(column), or year, month, hour, or the column";
        return Err(SqlError::not_supported(what).into());
    }
    Ok(cursor.list(partition_field)?)
}

fn partition_field(cursor: &mut Cursor<'_>) -> Parsed<(String, PartitionTransform)> {
    let is_call = cursor.parser.peek_nth_token_ref(1).token == Token::LParen;
    if !is_call {
        return Ok((cursor.identifier()?, PartitionTransform::Identity));
    }
    let transform = match cursor.peek_word().as_deref() {
        Some("YEAR" | "YEARS") => PartitionTransform::Year,
        Some("MONTH" | "MONTHS") => PartitionTransform::Month,
        Some("DAY" | "DAYS" | "DATE" | "TO_DAYS") => PartitionTransform::Day,
        Some("HOUR" | "HOURS") => PartitionTransform::Hour,
        _ => return cursor.expected("a column, or year, month, day or hour of one"),
    };
    cursor.parser.advance_token();
    cursor.expect(&Token::LParen)?;
    let column = cursor.identifier()?;
    cursor.expect(&Token::RParen)?;
    Ok((column, transform))
}

fn order_column(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let column = cursor.identifier()?;
    let _ = cursor.take_word("ASC");
    if cursor.peek_word().as_deref() == Some("DESC") {
        return cursor.expected("ascending order; parts are sorted ascending, and a query may still ORDER BY … DESC");
    }
    Ok(column)
}
