//! SHOW: which noun, of what, filtered how.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::statement::{Account, Name, Show, ShowFilter, ShowWhat, Statement};
use super::cursor::{Cursor, Parsed};
use super::pipeline::pairs;
use super::{Fault, user};

/// What SHOW can show, for the message about what it cannot.
const NOUNS: &str = "DATABASES, TABLES, COLUMNS, CREATE TABLE, PIPELINES, TOPICS, TASKS, WORKERS, STREAMS, INCIDENTS, SETTINGS, \
                     VARIABLES, STATUS, WARNINGS, GRANTS, USERS or PROCESSLIST";

/// SHOW …
pub(super) fn show(cursor: &mut Cursor<'_>) -> Result<Statement, Fault> {
    cursor.expect_word("SHOW")?;
    let modifiers = modifiers(cursor);
    let what = match cursor.take_word("GRANTS") {
        true => ShowWhat::Grants(if cursor.take_word("FOR") { user::account(cursor)? } else { Account::Current }),
        false => what(cursor, modifiers)?,
    };
    let filter = filter(cursor)?;
    Ok(Statement::Show(Box::new(Show { what, filter })))
}

/// The words before the noun that change something.
#[derive(Clone, Copy, Default)]
struct Modifiers {
    full: bool,
    global: bool,
}

fn modifiers(cursor: &mut Cursor<'_>) -> Modifiers {
    let mut found = Modifiers::default();
    loop {
        if cursor.take_word("FULL") {
            found.full = true;
        } else if cursor.take_word("GLOBAL") {
            found.global = true;
        } else if !["EXTENDED", "SESSION", "LOCAL", "STORAGE"].iter().any(|word| cursor.take_word(word)) {
            return found;
        }
    }
}

fn what(cursor: &mut Cursor<'_>, Modifiers { full, global }: Modifiers) -> Parsed<ShowWhat> {
    let noun = cursor.peek_word().unwrap_or_default();
    if noun == "CREATE" {
        cursor.parser.advance_token();
        return create(cursor);
    }
    if noun == "COUNT" {
        return count(cursor);
    }
    let simple = match noun.as_str() {
        "DATABASES" | "SCHEMAS" => ShowWhat::Databases,
        "TASKS" => ShowWhat::Tasks,
        "WORKERS" => ShowWhat::Workers,
        "STREAMS" => ShowWhat::Streams,
        "INCIDENTS" => ShowWhat::Incidents,
        "SETTINGS" => ShowWhat::Settings,
        "USERS" => ShowWhat::Users,
        "VARIABLES" => ShowWhat::Variables { global },
        "STATUS" => ShowWhat::Status { global },
        "ENGINES" => ShowWhat::Engines,
        "CHARSET" => ShowWhat::Charset,
        "COLLATION" => ShowWhat::Collation,
        "PLUGINS" => ShowWhat::Plugins,
        "PROCESSLIST" => ShowWhat::ProcessList { full },
        _ => return what_of(cursor, &noun, full),
    };
    cursor.parser.advance_token();
    Ok(simple)
}

fn what_of(cursor: &mut Cursor<'_>, noun: &str, full: bool) -> Parsed<ShowWhat> {
    let known = [
        "TABLES",
        "TABLE",
        "COLUMNS",
        "FIELDS",
        "INDEX",
        "INDEXES",
        "KEYS",
        "PIPELINES",
        "TOPICS",
        "CHARACTER",
        "PROCEDURE",
        "FUNCTION",
        "TRIGGERS",
        "EVENTS",
        "WARNINGS",
        "ERRORS",
    ];
    if !known.contains(&noun) {
        return cursor.expected(NOUNS);
    }
    cursor.parser.advance_token();
    match noun {
        "TABLES" => Ok(ShowWhat::Tables { full, database: database(cursor)? }),
        "TABLE" => {
            cursor.expect_word("STATUS")?;
            Ok(ShowWhat::TableStatus { database: database(cursor)? })
        }
        "COLUMNS" | "FIELDS" => Ok(ShowWhat::Columns { full, table: table(cursor)? }),
        "INDEX" | "INDEXES" | "KEYS" => Ok(ShowWhat::Indexes { table: table(cursor)? }),
        "PIPELINES" => Ok(ShowWhat::Pipelines { database: database(cursor)? }),
        "TOPICS" => Ok(ShowWhat::Topics(broker(cursor)?)),
        "CHARACTER" => {
            cursor.expect_word("SET")?;
            Ok(ShowWhat::Charset)
        }
        "PROCEDURE" | "FUNCTION" => {
            cursor.expect_word("STATUS")?;
            Ok(ShowWhat::Routines)
        }
        "TRIGGERS" => database(cursor).map(|_| ShowWhat::Triggers),
        "EVENTS" => database(cursor).map(|_| ShowWhat::Events),
        "ERRORS" => limit(cursor).map(|()| ShowWhat::Errors),
        _ => limit(cursor).map(|()| ShowWhat::Warnings),
    }
}

/// LIMIT of SHOW WARNINGS: there are never so many that it would matter.
fn limit(cursor: &mut Cursor<'_>) -> Parsed<()> {
    if cursor.take_word("LIMIT") {
        cursor.parser.parse_literal_uint()?;
        if cursor.take(&Token::Comma) {
            cursor.parser.parse_literal_uint()?;
        }
    }
    Ok(())
}

fn create(cursor: &mut Cursor<'_>) -> Parsed<ShowWhat> {
    if cursor.take_word("TABLE") {
        return Ok(ShowWhat::CreateTable(cursor.name()?));
    }
    if cursor.take_word("PIPELINE") {
        return Ok(ShowWhat::CreatePipeline(cursor.name()?));
    }
    if cursor.take_word("DATABASE") || cursor.take_word("SCHEMA") {
        let _ = cursor.if_not_exists();
        return Ok(ShowWhat::CreateDatabase(cursor.identifier()?));
    }
    cursor.expected("TABLE, PIPELINE or DATABASE")
}

/// `COUNT(*) WARNINGS`.
fn count(cursor: &mut Cursor<'_>) -> Parsed<ShowWhat> {
    cursor.expect_word("COUNT")?;
    for token in [Token::LParen, Token::Mul, Token::RParen] {
        cursor.expect(&token)?;
    }
    if cursor.take_word("WARNINGS") {
        return Ok(ShowWhat::CountWarnings);
    }
    cursor.expect_word("ERRORS")?;
    Ok(ShowWhat::CountErrors)
}

fn of(cursor: &mut Cursor<'_>) -> bool {
    cursor.take_word("FROM") || cursor.take_word("IN")
}

fn database(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    if of(cursor) { cursor.identifier().map(Some) } else { Ok(None) }
}

/// `FROM 'host:9092'`, or `FROM KAFKA (brokers = 'host:9092', …)` where it takes more than an address.
fn broker(cursor: &mut Cursor<'_>) -> Parsed<BTreeMap<String, String>> {
    if !of(cursor) {
        return cursor.expected("FROM 'host:9092' or FROM KAFKA (…)");
    }
    if cursor.take_word("KAFKA") {
        return pairs(cursor);
    }
    Ok(BTreeMap::from([("brokers".to_owned(), cursor.string()?)]))
}

/// `FROM t`, `FROM db.t`, `FROM t FROM db`.
fn table(cursor: &mut Cursor<'_>) -> Parsed<Name> {
    if !of(cursor) {
        return cursor.expected("FROM and a table");
    }
    let name = cursor.name()?;
    match database(cursor)? {
        Some(database) => Ok(Name { database: Some(database), name: name.name }),
        None => Ok(name),
    }
}

fn filter(cursor: &mut Cursor<'_>) -> Parsed<ShowFilter> {
    if cursor.take_word("LIKE") {
        return Ok(ShowFilter::Like(cursor.string()?));
    }
    if cursor.take_word("WHERE") {
        return Ok(ShowFilter::Where(Box::new(cursor.expr()?)));
    }
    Ok(ShowFilter::All)
}
