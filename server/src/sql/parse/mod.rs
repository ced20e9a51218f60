//! From text to [`Statement`]: limits, tokens, then one of ours or one of the parser's. Statements are told apart by their
//! tokens, never by patterns over text.
//!
//! Comments are passed over, `/*!40101 … */` is opened, by the tokenizer.

mod alter;
mod care;
mod create;
pub(super) mod cursor;
mod pipeline;
mod place;
mod set;
mod show;
mod table;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::dialect::MillraceDialect;
use super::headings;
use super::limits::Limits;
use super::statement::{Query, Show, ShowFilter, ShowWhat, Statement};
use crate::mysql::SqlError;
use cursor::{Cursor, Parsed, begins_query};

pub(crate) use place::Lines;

/// MySQL's number for a statement without a statement.
const EMPTY: u16 = 1065;

/// Reads one statement.
pub(crate) fn parse(text: &str, limits: &Limits) -> Result<Statement, SqlError> {
    limits.check_text(text)?;
    let tokens = Tokenizer::new(&MillraceDialect, text)
        .tokenize_with_location()
        .map_err(|error| place::token_error(text, &error))?;
    limits.check_tokens(&tokens)?;
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
        other => other,
    }
}

fn read(cursor: &mut Cursor<'_>) -> Result<Statement, Fault> {
    let first = cursor.peek_word();
    if begins_query(first.as_deref(), &cursor.parser.peek_token_ref().token) {
        return Ok(query(*cursor.parser.parse_query()?));
    }
    match first.as_deref().unwrap_or_default() {
        "EXPLAIN" | "DESCRIBE" | "DESC" => Ok(explain(cursor)?),
        "CREATE" => create::create(cursor),
        "DROP" => Ok(create::drop(cursor)?),
        "ALTER" if cursor.peek_nth_word(1).as_deref() == Some("PIPELINE") => Ok(alter::alter_pipeline(cursor, false)?),
        "PAUSE" => Ok(pipeline::pause(cursor)?),
        "RESUME" => Ok(pipeline::resume(cursor)?),
        "SYSTEM" => Ok(care::system(cursor)?),
        "RETRY" => Ok(care::retry(cursor)?),
        "SHOW" => Ok(show::show(cursor)?),
        "SET" => Ok(set::set(cursor)?),
        "USE" => Ok(use_database(cursor)?),
        "KILL" => Ok(kill(cursor)?),
        "BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "LOCK" | "UNLOCK" => {
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
fn explain(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let second = cursor.peek_nth_word(1);
    if second.as_deref() == Some("ALTER") && cursor.peek_nth_word(2).as_deref() == Some("PIPELINE") {
        cursor.parser.advance_token();
        return alter::alter_pipeline(cursor, true);
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
        "INSERT" | "REPLACE" | "LOAD" => "write the rows to a Kafka topic that a pipeline reads (CREATE PIPELINE)",
        "UPDATE" | "DELETE" | "TRUNCATE" => "rows stay as they came; DROP TABLE removes them all",
        "ALTER" | "RENAME" => "create a new table with the columns wanted",
        "PREPARE" | "EXECUTE" | "DEALLOCATE" => "send the statement with its values in it",
        "GRANT" | "REVOKE" => "there is one user, root, whose password is set at the server's start",
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
