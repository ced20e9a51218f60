//! CREATE, PAUSE and RESUME PIPELINE:
//!
//! ```sql
//! RESUME PIPELINE p [ON GAP SKIP | PAUSE] [ON ERROR TABLE | PAUSE]
//! CREATE PIPELINE [IF NOT EXISTS] p INTO t AS SELECT … FROM KAFKA (key = value, …) [WHERE …]
//!   [ON GAP SKIP | PAUSE] [ON ERROR TABLE | PAUSE] [WITH (key = value, …)]
//! ```

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::statement::{CreatePipeline, Statement};
use super::cursor::{Cursor, Parsed};

/// PAUSE PIPELINE p.
pub(super) fn pause(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect_word("PAUSE")?;
    cursor.expect_word("PIPELINE")?;
    Ok(Statement::PausePipeline(cursor.name()?))
}

/// RESUME PIPELINE p [ON GAP …] [ON ERROR …].
pub(super) fn resume(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect_word("RESUME")?;
    cursor.expect_word("PIPELINE")?;
    let pipeline = cursor.name()?;
    let how = policies(cursor)?;
    Ok(Statement::ResumePipeline { pipeline, how })
}

/// ON GAP … and ON ERROR …, as the settings that they stand for.
pub(super) fn policies(cursor: &mut Cursor<'_>) -> Parsed<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    loop {
        let key = if cursor.take_words(&["ON", "GAP"]) {
            "on_gap"
        } else if cursor.take_words(&["ON", "ERROR"]) {
            "errors"
        } else {
            return Ok(settings);
        };
        settings.insert(key.to_owned(), cursor.identifier()?.to_ascii_lowercase());
    }
}

/// CREATE PIPELINE, after CREATE.
pub(super) fn create_pipeline(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect_word("PIPELINE")?;
    let if_not_exists = cursor.if_not_exists();
    let pipeline = cursor.name()?;
    cursor.expect_word("INTO")?;
    let table = cursor.name()?;
    cursor.expect_word("AS")?;
    cursor.expect_word("SELECT")?;
    let (_, projection) = cursor.with_text(|cursor| cursor.parser.parse_projection())?;
    cursor.expect_word("FROM")?;
    cursor.expect_word("KAFKA")?;
    let source = pairs(cursor)?;
    let filter = match cursor.take_word("WHERE") {
        true => Some(cursor.with_text(Cursor::expr)?.1),
        false => None,
    };
    let mut settings = policies(cursor)?;
    with(cursor, &mut settings)?;
    let create = CreatePipeline { pipeline, if_not_exists, table, projection, source, filter, settings };
    Ok(Statement::CreatePipeline(Box::new(create)))
}

/// WITH (…), where it stands here.
pub(super) fn with(cursor: &mut Cursor<'_>, settings: &mut BTreeMap<String, String>) -> Parsed<()> {
    if cursor.take_word("WITH") {
        for (key, value) in pairs(cursor)? {
            if settings.insert(key.clone(), value).is_some() {
                return cursor.expected(&format!("{key} once, in ON GAP or in WITH"));
            }
        }
    }
    Ok(())
}

/// `(key = value, …)`: a key is a word, words joined by dots, or a string; a value is a string, a number or a word.
pub(super) fn pairs(cursor: &mut Cursor<'_>) -> Parsed<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    cursor.expect(&Token::LParen)?;
    while !cursor.take(&Token::RParen) {
        if !pairs.is_empty() {
            cursor.expect(&Token::Comma)?;
        }
        let key = key(cursor)?;
        cursor.expect(&Token::Eq)?;
        let value = value(cursor)?;
        if pairs.insert(key.clone(), value).is_some() {
            return cursor.expected(&format!("{key} only once"));
        }
    }
    Ok(pairs)
}

fn key(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let mut key = match &cursor.parser.peek_token_ref().token {
        Token::Word(_) | Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => cursor.identifier()?,
        _ => return cursor.expected("key = value"),
    };
    while cursor.take(&Token::Period) {
        key = format!("{key}.{}", cursor.identifier()?);
    }
    Ok(key.to_ascii_lowercase())
}

fn value(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let sign = if cursor.take(&Token::Minus) { "-" } else { "" };
    match cursor.parser.peek_token_ref().token.clone() {
        Token::Number(digits, _) => {
            cursor.parser.advance_token();
            // `256MiB` without quotes is cut into a number and a word.
            let unit = match &cursor.parser.peek_token_no_skip().token {
                Token::Word(word) => word.value.clone(),
                _ => String::new(),
            };
            if !unit.is_empty() {
                cursor.parser.advance_token();
            }
            Ok(format!("{sign}{digits}{unit}"))
        }
        Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) if sign.is_empty() => cursor.string(),
        Token::Word(_) if sign.is_empty() => cursor.identifier(),
        _ => cursor.expected("a value in quotes, or a number"),
    }
}
