//! CREATE and DROP: which of them it is.

use super::super::statement::Statement;
use super::cursor::{Cursor, Parsed};
use super::{Fault, pipeline, table, user};
use crate::mysql::SqlError;

/// CREATE …
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Statement, Fault> {
    cursor.expect_word("CREATE")?;
    match cursor.peek_word().as_deref() {
        Some("DATABASE" | "SCHEMA") => Ok(create_database(cursor)?),
        Some("TABLE") => table::create_table(cursor),
        Some("PIPELINE") => Ok(pipeline::create_pipeline(cursor)?),
        Some("OR") => Err(SqlError::not_supported("CREATE OR REPLACE; DROP it first, or use IF NOT EXISTS").into()),
        Some("TEMPORARY") => Err(SqlError::not_supported("temporary tables; use WITH name AS (SELECT …)").into()),
        Some("VIEW" | "ALGORITHM" | "DEFINER" | "SQL") => {
            Err(SqlError::not_supported("views; use WITH name AS (SELECT …)").into())
        }
        Some("INDEX" | "UNIQUE" | "FULLTEXT" | "SPATIAL") => {
            Err(SqlError::not_supported("CREATE INDEX; sort the table by its ORDER BY (…) instead").into())
        }
        Some("USER") => user::create_user(cursor),
        Some("ROLE") => {
            let what = "CREATE ROLE; who may log in may do everything: CREATE USER is enough";
            Err(SqlError::not_supported(what).into())
        }
        Some("FUNCTION" | "PROCEDURE" | "TRIGGER" | "EVENT" | "WAREHOUSE" | "SERVER") => {
            let what = cursor.peek_word().unwrap_or_default();
            Err(SqlError::not_supported(&format!("CREATE {what}")).into())
        }
        _ => Ok(cursor.expected("DATABASE, TABLE, PIPELINE or USER")?),
    }
}

fn create_database(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.parser.advance_token();
    let if_not_exists = cursor.if_not_exists();
    let name = cursor.identifier()?;
    // Character sets and collations: text is UTF-8 and compares as bytes, whatever is asked for.
    cursor.skip_statement();
    Ok(Statement::CreateDatabase { name, if_not_exists })
}

/// DROP …
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement, Fault> {
    cursor.expect_word("DROP")?;
    let what = cursor.peek_word().unwrap_or_default();
    match what.as_str() {
        "DATABASE" | "SCHEMA" => {
            cursor.parser.advance_token();
            let if_exists = cursor.if_exists();
            Ok(Statement::DropDatabase { name: cursor.identifier()?, if_exists })
        }
        "TABLE" | "TEMPORARY" => {
            let _ = cursor.take_word("TEMPORARY");
            cursor.expect_word("TABLE")?;
            let if_exists = cursor.if_exists();
            let mut tables = vec![cursor.name()?];
            while cursor.take(&datafusion::sql::sqlparser::tokenizer::Token::Comma) {
                tables.push(cursor.name()?);
            }
            let _ = cursor.take_word("RESTRICT") || cursor.take_word("CASCADE");
            Ok(Statement::DropTable { tables, if_exists })
        }
        "PREPARE" => Ok(super::prepared::deallocate_after_verb(cursor)?),
        "USER" => user::drop_user(cursor),
        "PIPELINE" => {
            cursor.parser.advance_token();
            let if_exists = cursor.if_exists();
            Ok(Statement::DropPipeline { pipeline: cursor.name()?, if_exists })
        }
        "VIEW" | "INDEX" | "FUNCTION" | "PROCEDURE" | "TRIGGER" | "EVENT" | "ROLE" | "WAREHOUSE" => {
            cursor.skip_statement();
            Ok(Statement::Unsupported { what: format!("DROP {what}"), instead: "there are none" })
        }
        _ => Ok(cursor.expected("DATABASE, TABLE, PIPELINE or USER")?),
    }
}
