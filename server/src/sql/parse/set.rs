//! SET in all its forms, with several assignments.

use datafusion::sql::sqlparser::ast::{Expr, Ident};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::statement::{Setting, Statement};
use super::cursor::{Cursor, Parsed};
use super::{Fault, user};

/// SET …
pub(super) fn set(cursor: &mut Cursor<'_>) -> Result<Statement, Fault> {
    cursor.expect_word("SET")?;
    if let Some(password) = user::set_password(cursor)? {
        return Ok(password);
    }
    let mut settings = setting(cursor)?;
    while cursor.take(&Token::Comma) {
        settings.extend(setting(cursor)?);
    }
    Ok(Statement::Set(settings))
}

fn setting(cursor: &mut Cursor<'_>) -> Parsed<Vec<Setting>> {
    if cursor.take_word("NAMES") {
        return Ok(vec![names(cursor)?]);
    }
    if cursor.take_words(&["CHARACTER", "SET"]) || cursor.take_word("CHARSET") {
        return Ok(vec![Setting::Names { charset: charset(cursor)?, collation: None }]);
    }
    let mut is_global = false;
    let scope = cursor.peek_word();
    if matches!(scope.as_deref(), Some("GLOBAL" | "SESSION" | "LOCAL" | "PERSIST" | "PERSIST_ONLY"))
        && !matches!(cursor.parser.peek_nth_token_ref(1).token, Token::Eq | Token::Assignment)
    {
        cursor.parser.advance_token();
        is_global = scope.as_deref().is_some_and(is_of_all);
    }
    if cursor.take_word("TRANSACTION") {
        let settings = transaction(cursor)?;
        let global = Setting::Global { name: "transaction_isolation".into() };
        return Ok(if is_global { vec![global] } else { settings });
    }
    if cursor.take_words(&["TIME", "ZONE"]) {
        let value = value(cursor)?;
        return Ok(vec![Setting::Variable { name: "time_zone".into(), value }]);
    }
    let setting = assignment(cursor)?;
    Ok(vec![match setting {
        Setting::Variable { name, .. } if is_global => Setting::Global { name },
        setting => setting,
    }])
}

/// Whether a word is the scope of all sessions.
fn is_of_all(scope: &str) -> bool {
    ["GLOBAL", "PERSIST", "PERSIST_ONLY"].iter().any(|known| known.eq_ignore_ascii_case(scope))
}

fn names(cursor: &mut Cursor<'_>) -> Parsed<Setting> {
    let charset = charset(cursor)?;
    let collation = match cursor.take_word("COLLATE") {
        true => Some(cursor.identifier()?),
        false => None,
    };
    Ok(Setting::Names { charset, collation })
}

fn charset(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    if cursor.take_word("DEFAULT") { Ok(None) } else { cursor.identifier().map(Some) }
}

/// `name = value`, with all the ways in which a scope is written: `SESSION x`, `@@x`, `@@session.x`.
fn assignment(cursor: &mut Cursor<'_>) -> Parsed<Setting> {
    if cursor.take(&Token::AtSign) {
        let name = cursor.identifier()?;
        return user_variable(cursor, name);
    }
    let mut name = cursor.identifier()?;
    let is_user_variable = name.starts_with('@') && !name.starts_with("@@");
    if is_user_variable {
        let name = name.split_off(1);
        return user_variable(cursor, name);
    }
    let mut is_global = false;
    while cursor.take(&Token::Period) {
        is_global |= is_of_all(name.trim_start_matches('@'));
        name = cursor.identifier()?;
    }
    let name = name.trim_start_matches('@').to_ascii_lowercase();
    expect_assignment(cursor)?;
    let value = value(cursor)?;
    Ok(if is_global { Setting::Global { name } } else { Setting::Variable { name, value } })
}

fn user_variable(cursor: &mut Cursor<'_>, name: String) -> Parsed<Setting> {
    expect_assignment(cursor)?;
    Ok(Setting::User { name: name.to_ascii_lowercase(), value: value(cursor)? })
}

fn expect_assignment(cursor: &mut Cursor<'_>) -> Parsed<()> {
    if cursor.take(&Token::Eq) || cursor.take(&Token::Assignment) || cursor.take_word("TO") {
        return Ok(());
    }
    cursor.expected("=")
}

/// An expression; words such as ON, BINARY and DEFAULT stand for themselves.
fn value(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let alone = matches!(cursor.parser.peek_nth_token_ref(1).token, Token::Comma | Token::EOF | Token::SemiColon);
    match &cursor.parser.peek_token_ref().token {
        Token::Word(word) if alone && word.quote_style.is_none() => {
            let ident = Ident::new(word.value.clone());
            cursor.parser.advance_token();
            Ok(Expr::Identifier(ident))
        }
        _ => cursor.expr(),
    }
}

fn transaction(cursor: &mut Cursor<'_>) -> Parsed<Vec<Setting>> {
    let mut settings = Vec::new();
    loop {
        if cursor.take_words(&["ISOLATION", "LEVEL"]) {
            settings.push(Setting::Isolation(isolation(cursor)?));
        } else if cursor.take_words(&["READ", "ONLY"]) {
            settings.push(Setting::ReadOnly(true));
        } else if cursor.take_words(&["READ", "WRITE"]) {
            settings.push(Setting::ReadOnly(false));
        } else {
            return cursor.expected("ISOLATION LEVEL, READ ONLY or READ WRITE");
        }
        if !cursor.take(&Token::Comma) {
            return Ok(settings);
        }
    }
}

fn isolation(cursor: &mut Cursor<'_>) -> Parsed<&'static str> {
    const LEVELS: [(&[&str], &str); 4] = [
        (&["READ", "UNCOMMITTED"], "READ-UNCOMMITTED"),
        (&["READ", "COMMITTED"], "READ-COMMITTED"),
        (&["REPEATABLE", "READ"], "REPEATABLE-READ"),
        (&["SERIALIZABLE"], "SERIALIZABLE"),
    ];
    match LEVELS.iter().find(|(words, _)| cursor.take_words(words)) {
        Some((_, level)) => Ok(level),
        None => cursor.expected("an isolation level"),
    }
}
