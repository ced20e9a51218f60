//! ALTER PIPELINE:
//!
//! ```sql
//! [EXPLAIN] ALTER PIPELINE p SEEK TO EARLIEST | LATEST | TIMESTAMP '…' | OFFSETS (['topic':] partition = offset, …)
//! [EXPLAIN] ALTER PIPELINE p [AS SELECT … [FROM KAFKA] [WHERE …]] [SOURCE (key = value, …)] [SET (key = value, …)]
//!   [ON GAP SKIP | PAUSE] [ON ERROR TABLE | PAUSE]
//! ```

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::seams::OffsetsByTopic;
use super::super::statement::{AlterClauses, AlterPipeline, DefinitionClauses, SeekClause, Statement};
use super::cursor::{Cursor, Parsed};
use super::pipeline::{pairs, policies};

/// ALTER PIPELINE, from its first word.
pub(super) fn alter_pipeline(cursor: &mut Cursor<'_>, explain: bool) -> Parsed<Statement> {
    cursor.expect_word("ALTER")?;
    cursor.expect_word("PIPELINE")?;
    let pipeline = cursor.name()?;
    let what = match cursor.take_word("SEEK") {
        true => AlterClauses::Seek(seek(cursor)?),
        false => AlterClauses::Definition(Box::new(definition(cursor)?)),
    };
    Ok(Statement::AlterPipeline(Box::new(AlterPipeline { pipeline, explain, what })))
}

fn seek(cursor: &mut Cursor<'_>) -> Parsed<SeekClause> {
    let _ = cursor.take_word("TO");
    match cursor.peek_word().unwrap_or_default().as_str() {
        "EARLIEST" => cursor.parser.advance_token(),
        "LATEST" => {
            cursor.parser.advance_token();
            return Ok(SeekClause::Latest);
        }
        "TIMESTAMP" => {
            cursor.parser.advance_token();
            return cursor.string().map(SeekClause::Timestamp);
        }
        "OFFSETS" | "OFFSET" => {
            cursor.parser.advance_token();
            return offsets(cursor).map(SeekClause::Offsets);
        }
        _ => return cursor.expected("EARLIEST, LATEST, TIMESTAMP '…' or OFFSETS (partition = offset, …)"),
    }
    Ok(SeekClause::Earliest)
}

/// `(0 = 100, 3 = 7)` of the only topic, or `('clicks': 0 = 100, 1 = 20, 'views': 0 = 7)`. A colon stands for `=` too.
fn offsets(cursor: &mut Cursor<'_>) -> Parsed<OffsetsByTopic> {
    let mut offsets = OffsetsByTopic::new();
    let mut topic = None;
    cursor.expect(&Token::LParen)?;
    loop {
        if !matches!(cursor.parser.peek_token_ref().token, Token::Number(..)) {
            topic = Some(cursor.identifier()?);
            cursor.expect(&Token::Colon)?;
        }
        let Ok(partition) = i32::try_from(cursor.parser.parse_literal_uint()?) else {
            return cursor.expected("the number of a partition");
        };
        if !cursor.take(&Token::Colon) {
            cursor.expect(&Token::Eq)?;
        }
        let offset = cursor.parser.parse_literal_uint()?;
        if offsets.entry(topic.clone()).or_default().insert(partition, offset).is_some() {
            return cursor.expected(&format!("partition {partition} only once"));
        }
        if !cursor.take(&Token::Comma) {
            break;
        }
    }
    cursor.expect(&Token::RParen)?;
    Ok(offsets)
}

fn definition(cursor: &mut Cursor<'_>) -> Parsed<DefinitionClauses> {
    let mut clauses = DefinitionClauses::default();
    while !cursor.at_end() {
        if clauses.select.is_none() && cursor.take_word("AS") {
            clauses.select = Some(select(cursor)?);
        } else if clauses.source.is_empty() && cursor.take_word("SOURCE") {
            clauses.source = pairs(cursor)?;
        } else if cursor.take_word("SET") || cursor.take_word("WITH") {
            let more = pairs(cursor)?;
            add(cursor, &mut clauses.settings, more)?;
        } else {
            let more = policies(cursor)?;
            if more.is_empty() {
                break;
            }
            add(cursor, &mut clauses.settings, more)?;
        }
    }
    match clauses == DefinitionClauses::default() || !cursor.at_end() {
        true => cursor.expected("SEEK TO, AS SELECT, SET (…), SOURCE (…), ON GAP or ON ERROR"),
        false => Ok(clauses),
    }
}

fn add(cursor: &Cursor<'_>, settings: &mut BTreeMap<String, String>, more: BTreeMap<String, String>) -> Parsed<()> {
    for (key, value) in more {
        if settings.insert(key.clone(), value).is_some() {
            return cursor.expected(&format!("{key} only once"));
        }
    }
    Ok(())
}

/// The SELECT list and the WHERE. The source is the pipeline's, so FROM KAFKA may be left out.
fn select(cursor: &mut Cursor<'_>) -> Parsed<(String, Option<String>)> {
    cursor.expect_word("SELECT")?;
    let (_, projection) = cursor.with_text(|cursor| cursor.parser.parse_projection())?;
    if cursor.take_word("FROM") {
        cursor.expect_word("KAFKA")?;
        if cursor.peek_token_is(&Token::LParen) {
            return cursor.expected("no source after FROM KAFKA: SOURCE (…) changes it");
        }
    }
    let filter = match cursor.take_word("WHERE") {
        true => Some(cursor.with_text(Cursor::expr)?.1),
        false => None,
    };
    Ok((projection, filter))
}
