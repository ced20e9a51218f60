//! From text to [`Statement`]: limits, tokens, then one of ours or one of the parser's. Statements are told apart by their
//! tokens, never by patterns over text.
//!
//! Comments are passed over, `/*!40101 … */` is opened, by the tokenizer.

mod alter;
mod care;
mod create;
pub(super) mod cursor;
mod insert;
mod pipeline;
mod place;
mod prepared;
mod set;
mod show;
mod table;
mod user;

use std::ops::Range;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::bind;
use super::dialect::MillraceDialect;
use super::headings;
use super::limits::Limits;
use super::statement::{CreateTableFrom, Query, Show, ShowFilter, ShowWhat, Statement, Transaction};
use crate::mysql::SqlError;
use cursor::{Parsed, begins_query};

pub(crate) use cursor::Cursor;
pub(crate) use place::{Lines, Walk};

/// MySQL's number for a statement without a statement.
const EMPTY: u16 = 1065;

/// MySQL's number for more parameters than the protocol can count.
const TOO_MANY_PARAMETERS: u16 = 1390;

/// Reads one statement.
pub(crate) fn parse(text: &str, limits: &Limits) -> Result<Statement, SqlError> {
    let tokens = tokens(text, limits)?;
    if let Some(parameter) = tokens.iter().find(|token| is_parameter(&token.token)) {
        let what = "? stands for a value in a prepared statement only; write the value, or prepare the statement";
        return Err(place::fault_at(text, what, parameter.span.start));
    }
    read_whole(text, tokens)
}

/// Reads a statement in which each `?` stands for a value, and how many there are. They are numbered in the syntax tree, from
/// 1 on.
pub(crate) fn parse_prepared(text: &str, limits: &Limits) -> Result<(Statement, u16), SqlError> {
    let mut tokens = tokens(text, limits)?;
    let mut count = 0_usize;
    for token in tokens.iter_mut().filter(|token| is_parameter(&token.token)) {
        if token.token != Token::Placeholder("?".to_owned()) {
            return Err(place::fault_at(text, "write ? without a number behind it", token.span.start));
        }
        count += 1;
        token.token = Token::Placeholder(format!("?{count}"));
    }
    let Ok(parameters) = u16::try_from(count) else {
        let message =
            format!("Prepared statement contains too many placeholders: {count}, and there may be {}", u16::MAX);
        return Err(SqlError::new(TOO_MANY_PARAMETERS, message));
    };
    let first = tokens.iter().find(|token| is_parameter(&token.token)).map(|token| token.span.start);
    let mut statement = read_whole(text, tokens)?;
    match first {
        Some(first) if bind::count(&mut statement) != count => {
            Err(place::fault_at(text, "? stands where this statement has no expression; write the value", first))
        }
        _ => Ok((statement, parameters)),
    }
}

/// Where each statement of `text` stands: between semicolons. A text that cannot be cut into tokens is whole from the last
/// semicolon before the fault on.
pub(crate) fn statements(text: &str, limits: &Limits) -> Vec<Range<usize>> {
    if limits.check_text(text).is_err() {
        return vec![0..text.len()];
    }
    let mut tokens = Vec::new();
    // The fault is told when the statement that has it is executed.
    let fault = Tokenizer::new(&MillraceDialect, text).tokenize_with_location_into_buf(&mut tokens);
    let mut found = Vec::new();
    let (mut start, mut is_empty) = (0, true);
    let mut walk = place::Walk::of(text);
    for token in &tokens {
        match token.token {
            Token::Whitespace(_) | Token::EOF => {}
            Token::SemiColon => {
                let end = walk.byte(token.span.start);
                // A semicolon within a comment that is opened has the comment's place.
                if text.as_bytes().get(end) == Some(&b';') {
                    if !is_empty {
                        found.push(start..end);
                    }
                    (start, is_empty) = (end + 1, true);
                }
            }
            _ => is_empty = false,
        }
    }
    if !is_empty || fault.is_err() {
        found.push(start..text.len());
    }
    if found.is_empty() { vec![0..text.len()] } else { found }
}

fn tokens(text: &str, limits: &Limits) -> Result<Vec<TokenWithSpan>, SqlError> {
    limits.check_text(text)?;
    let tokens = Tokenizer::new(&MillraceDialect, text)
        .tokenize_with_location()
        .map_err(|error| place::token_error(text, &error))?;
    limits.check_tokens(&tokens)?;
    Ok(tokens)
}

fn is_parameter(token: &Token) -> bool {
    matches!(token, Token::Placeholder(name) if name.starts_with('?'))
}

fn read_whole(text: &str, tokens: Vec<TokenWithSpan>) -> Result<Statement, SqlError> {
    let mut cursor = Cursor::new(text, tokens);
    while cursor.take(&Token::SemiColon) {}
    if cursor.at_end() {
        return Err(SqlError::new(EMPTY, "Query was empty"));
    }
    let whole = read(&mut cursor).and_then(|statement| {
        end(&mut cursor)?;
        Ok(statement)
    });
    match whole {
        Ok(statement) => Ok(with_headings(statement, text, cursor)),
        Err(Fault::Meaning(error)) => Err(error),
        Err(Fault::Syntax(error)) => Err(place::syntax_error(text, &error, &cursor.into_parts().0)),
    }
}

/// Why a statement is not read: its syntax, or what it says.
#[derive(Debug)]
pub(super) enum Fault {
    Syntax(datafusion::sql::sqlparser::parser::ParserError),
    Meaning(SqlError),
}

impl From<datafusion::sql::sqlparser::parser::ParserError> for Fault {
    fn from(error: datafusion::sql::sqlparser::parser::ParserError) -> Self {
        Self::Syntax(error)
    }
}

impl From<SqlError> for Fault {
    fn from(error: SqlError) -> Self {
        Self::Meaning(error)
    }
}

/// Reads a query that we wrote ourselves.
pub(crate) fn parse_own(text: &str) -> ast::Query {
    let parser = Parser::new(&MillraceDialect).try_with_sql(text);
    let query = parser.and_then(|mut parser| parser.parse_query());
    *query.unwrap_or_else(|error| panic!("a query of our own cannot be read: {error}: {text}"))
}

fn end(cursor: &mut Cursor<'_>) -> Parsed<()> {
    let semicolon = cursor.take(&Token::SemiColon);
    while cursor.take(&Token::SemiColon) {}
    match (cursor.parser.peek_token_ref().token == Token::EOF, semicolon) {
        (true, _) => Ok(()),
        (false, true) => cursor.expected("one statement at a time"),
        (false, false) => cursor.expected("end of statement"),
    }
}

fn with_headings(statement: Statement, text: &str, cursor: Cursor<'_>) -> Statement {
    match statement {
        Statement::Query(Query { ast, .. }) => {
            let (tokens, lines) = cursor.into_parts();
            let headings = match ast.as_ref() {
                ast::Statement::Query(query) => headings::of(query, text, &tokens, &lines),
                _ => Vec::new(),
            };
            Statement::Query(Query { ast, headings })
        }
        Statement::CreateTable(mut create) => {
            if let Some(Query { ast, headings }) = &mut create.query
                && let ast::Statement::Query(query) = ast.as_ref()
            {
                let (tokens, lines) = cursor.into_parts();
                *headings = headings::of(query, text, &tokens, &lines);
            }
            Statement::CreateTable(create)
        }
        other => other,
    }
}

fn read(cursor: &mut Cursor<'_>) -> Result<Statement, Fault> {
    let first = cursor.peek_word();
    if begins_query(first.as_deref(), &cursor.parser.peek_token_ref().token) {
        return Ok(query(*cursor.parser.parse_query()?));
    }
    match first.as_deref().unwrap_or_default() {
        "EXPLAIN" | "DESCRIBE" | "DESC" => explain(cursor),
        "CREATE" => create::create(cursor),
        "DROP" => create::drop(cursor),
        "INSERT" => insert::insert(cursor),
        "TRUNCATE" => Ok(insert::truncate(cursor)?),
        "ALTER" if cursor.peek_nth_word(1).as_deref() == Some("PIPELINE") => Ok(alter::alter_pipeline(cursor, false)?),
        "PAUSE" => Ok(pipeline::pause(cursor)?),
        "RESUME" => Ok(pipeline::resume(cursor)?),
        "SYSTEM" => Ok(care::system(cursor)?),
        "RETRY" => Ok(care::retry(cursor)?),
        "SHOW" => show::show(cursor),
        "SET" => set::set(cursor),
        "ALTER" if cursor.peek_nth_word(1).as_deref() == Some("USER") => {
            cursor.parser.advance_token();
            user::alter_user(cursor)
        }
        "USE" => Ok(use_database(cursor)?),
        "KILL" => Ok(kill(cursor)?),
        "PREPARE" => Ok(prepared::prepare(cursor)?),
        "EXECUTE" => Ok(prepared::execute(cursor)?),
        "DEALLOCATE" => Ok(prepared::deallocate(cursor)?),
        "BEGIN" | "START" | "COMMIT" | "ROLLBACK" => Ok(transaction(cursor)),
        "SAVEPOINT" | "RELEASE" | "LOCK" | "UNLOCK" => {
            cursor.skip_statement();
            Ok(Statement::Nothing)
        }
        other => Ok(unsupported(other, cursor)?),
    }
}

fn query(query: ast::Query) -> Statement {
    Statement::Query(Query { ast: Box::new(ast::Statement::Query(Box::new(query))), headings: Vec::new() })
}

/// EXPLAIN of a query, or DESCRIBE of a table, whichever of the three words was typed.
fn explain(cursor: &mut Cursor<'_>) -> Result<Statement, Fault> {
    if cursor.peek_nth_word(1).as_deref() == Some("CREATE") && cursor.peek_nth_word(2).as_deref() == Some("TABLE") {
        cursor.parser.advance_token();
        return Ok(match create::create(cursor)? {
            Statement::CreateTableFrom(from) => {
                Statement::CreateTableFrom(Box::new(CreateTableFrom { is_dry: true, ..*from }))
            }
            _ => {
                let (what, instead) = ("EXPLAIN CREATE TABLE".to_owned(), "EXPLAIN CREATE TABLE … FROM KAFKA (…)");
                Statement::Unsupported { what, instead }
            }
        });
    }
    let second = cursor.peek_nth_word(1);
    if second.as_deref() == Some("ALTER") && cursor.peek_nth_word(2).as_deref() == Some("PIPELINE") {
        cursor.parser.advance_token();
        return Ok(alter::alter_pipeline(cursor, true)?);
    }
    let is_plan = begins_query(second.as_deref(), &cursor.parser.peek_nth_token_ref(1).token)
        || matches!(
            second.as_deref(),
            Some("ANALYZE" | "VERBOSE" | "FORMAT" | "INSERT" | "UPDATE" | "DELETE" | "REPLACE")
        );
    if !is_plan {
        cursor.parser.advance_token();
        let table = cursor.name()?;
        let filter = match &cursor.parser.peek_token_ref().token {
            Token::Word(_) => ShowFilter::Like(cursor.identifier()?),
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => ShowFilter::Like(cursor.string()?),
            _ => ShowFilter::All,
        };
        return Ok(Statement::Show(Box::new(Show { what: ShowWhat::Columns { full: false, table }, filter })));
    }
    let ast = cursor.parser.parse_statement()?;
    match &ast {
        ast::Statement::Explain { statement, .. } if matches!(**statement, ast::Statement::Query(_)) => {
            Ok(Statement::Query(Query { ast: Box::new(ast), headings: Vec::new() }))
        }
        _ => Ok(Statement::Unsupported { what: "EXPLAIN of this statement".into(), instead: "EXPLAIN a SELECT" }),
    }
}

fn transaction(cursor: &mut Cursor<'_>) -> Statement {
    let step = if cursor.take_words(&["ROLLBACK", "TO"]) || cursor.take_words(&["ROLLBACK", "WORK", "TO"]) {
        Transaction::RollbackTo
    } else if cursor.take_word("ROLLBACK") {
        Transaction::Rollback
    } else if cursor.take_word("COMMIT") {
        Transaction::Commit
    } else {
        Transaction::Begin
    };
    cursor.skip_statement();
    Statement::Transaction(step)
}

fn use_database(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect_word("USE")?;
    if cursor.peek_word().as_deref() == Some("WAREHOUSE") && cursor.peek_nth_word(1).is_some() {
        cursor.skip_statement();
        let instead = "queries run in this process";
        return Ok(Statement::Unsupported { what: "USE WAREHOUSE".into(), instead });
    }
    Ok(Statement::Use(cursor.identifier()?))
}

fn kill(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect_word("KILL")?;
    let query_only = cursor.take_word("QUERY");
    if !query_only {
        let _ = cursor.take_word("CONNECTION");
    }
    match u32::try_from(cursor.parser.parse_literal_uint()?) {
        Ok(connection) => Ok(Statement::Kill { query_only, connection }),
        Err(_) => cursor.expected("the number of a connection, as SHOW PROCESSLIST shows it"),
    }
}

fn unsupported(word: &str, cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let instead = match word {
        "REPLACE" => {
            "a table keeps every row that it is given: use INSERT, and take the newest row of each key in the query"
        }
        "LOAD" => "send the file with HTTP: PUT /v1/load/database/table",
        "UPDATE" | "DELETE" => "rows stay as they came; TRUNCATE TABLE removes them all",
        "ALTER" | "RENAME" => "create a new table with the columns wanted",
        "GRANT" | "REVOKE" => "who may log in may do everything: CREATE USER is enough",
        "CALL" | "DO" | "HANDLER" | "MERGE" | "TABLE" => "use SELECT",
        "ANALYZE" | "OPTIMIZE" | "CHECK" | "REPAIR" | "FLUSH" | "RESET" | "PURGE" | "CHECKSUM" => {
            "nothing needs to be done: the server keeps its tables by itself"
        }
        _ => return cursor.expected("a statement, such as SELECT, SHOW or CREATE"),
    };
    let what = match cursor.peek_nth_word(1) {
        Some(second) if matches!(second.as_str(), "TABLE" | "PIPELINE" | "DATABASE" | "DATA" | "USER" | "VIEW") => {
            format!("{word} {second}")
        }
        _ => word.to_owned(),
    };
    cursor.skip_statement();
    Ok(Statement::Unsupported { what, instead })
}

#[cfg(test)]
mod tests;
