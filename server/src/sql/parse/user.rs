//! CREATE, ALTER and DROP USER, SET PASSWORD. A password becomes what is kept of it as soon as it is read.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::super::accounts::credential;
use super::super::statement::{Account, Statement, UserClause};
use super::Fault;
use super::cursor::{Cursor, Parsed};
use crate::mysql::auth::Plugin;
use crate::mysql::{Secret, SqlError};

/// `CREATE USER [IF NOT EXISTS] user [IDENTIFIED …], …`, behind CREATE.
pub(super) fn create_user(cursor: &mut Cursor<'_>) -> Result<Statement, Fault> {
    cursor.expect_word("USER")?;
    let if_not_exists = cursor.if_not_exists();
    let users = clauses(cursor)?;
    options(cursor)?;
    Ok(Statement::CreateUser { users, if_not_exists })
}

/// `ALTER USER [IF EXISTS] user IDENTIFIED …, …`, behind ALTER.
pub(super) fn alter_user(cursor: &mut Cursor<'_>) -> Result<Statement, Fault> {
    cursor.expect_word("USER")?;
    let if_exists = cursor.if_exists();
    let users = clauses(cursor)?;
    if users.iter().any(|user| user.credential.is_none()) {
        return Ok(cursor.expected("IDENTIFIED BY and the new password")?);
    }
    options(cursor)?;
    Ok(Statement::AlterUser { users, if_exists })
}

/// `DROP USER [IF EXISTS] user, …`, behind DROP.
pub(super) fn drop_user(cursor: &mut Cursor<'_>) -> Result<Statement, Fault> {
    cursor.expect_word("USER")?;
    let if_exists = cursor.if_exists();
    let mut users = vec![account(cursor)?];
    while cursor.take(&Token::Comma) {
        users.push(account(cursor)?);
    }
    Ok(Statement::DropUser { users, if_exists })
}

/// `SET PASSWORD [FOR user] = 'password'`, behind SET; nothing where it is another SET.
pub(super) fn set_password(cursor: &mut Cursor<'_>) -> Result<Option<Statement>, Fault> {
    if !cursor.take_word("PASSWORD") {
        return Ok(None);
    }
    let account = if cursor.take_word("FOR") { account(cursor)? } else { Account::Current };
    if !cursor.take(&Token::Eq) && !cursor.take_word("TO") {
        return Ok(cursor.expected("= and the new password")?);
    }
    let password = Secret::new(cursor.string()?);
    let users = vec![UserClause { account, credential: Some(credential(Plugin::CachingSha2, &password)) }];
    Ok(Some(Statement::AlterUser { users, if_exists: false }))
}

/// The user of SHOW GRANTS FOR and the like.
pub(super) fn account(cursor: &mut Cursor<'_>) -> Result<Account, Fault> {
    let is_call = cursor.parser.peek_nth_token_ref(1).token == Token::LParen;
    if cursor.take_word("CURRENT_USER") || (is_call && cursor.take_word("USER")) {
        if cursor.take(&Token::LParen) {
            cursor.expect(&Token::RParen)?;
        }
        return Ok(Account::Current);
    }
    let (name, host) = name_and_host(cursor)?;
    match host.as_deref() {
        None | Some("%" | "") => Ok(Account::Named(name)),
        Some(host) => {
            let what = format!(
                "users of one host ('{name}'@'{host}'); write '{name}'@'%': such a user logs in from everywhere, and without a \
                 password only from the server's own machine"
            );
            Err(SqlError::not_supported(&what).into())
        }
    }
}

/// `name`, `name@host`, each with quotes or without. The tokenizer takes an `@` for a letter.
fn name_and_host(cursor: &mut Cursor<'_>) -> Parsed<(String, Option<String>)> {
    let (name, rest) = match &cursor.parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style.is_none() => match word.value.split_once('@') {
            Some((name, host)) => (name.to_owned(), Some(host.to_owned())),
            None => (word.value.clone(), None),
        },
        Token::Word(word) => (word.value.clone(), None),
        Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => (text.clone(), None),
        _ => return cursor.expected("a user, as in 'name'@'%'"),
    };
    cursor.parser.advance_token();
    let rest = match rest {
        Some(rest) => Some(rest),
        None if cursor.take(&Token::AtSign) => Some(String::new()),
        None => match &cursor.parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_none() => match word.value.strip_prefix('@') {
                Some(host) => {
                    let host = host.to_owned();
                    cursor.parser.advance_token();
                    Some(host)
                }
                None => None,
            },
            _ => None,
        },
    };
    match rest {
        // The host stands behind the sign, in quotes of its own.
        Some(host) if host.is_empty() => {
            if cursor.take(&Token::Mod) {
                return Ok((name, Some("%".to_owned())));
            }
            let host = match &cursor.parser.peek_token_ref().token {
                Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => cursor.string()?,
                _ => cursor.identifier()?,
            };
            Ok((name, Some(host)))
        }
        host => Ok((name, host)),
    }
}

fn clauses(cursor: &mut Cursor<'_>) -> Result<Vec<UserClause>, Fault> {
    let mut users = vec![clause(cursor)?];
    while cursor.take(&Token::Comma) {
        users.push(clause(cursor)?);
    }
    Ok(users)
}

/// `user [IDENTIFIED [WITH plugin] BY 'password']`.
fn clause(cursor: &mut Cursor<'_>) -> Result<UserClause, Fault> {
    let account = account(cursor)?;
    if !cursor.take_word("IDENTIFIED") {
        return Ok(UserClause { account, credential: None });
    }
    let mut plugin = Plugin::CachingSha2;
    if cursor.take_word("WITH") {
        let name = match &cursor.parser.peek_token_ref().token {
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => cursor.string()?,
            _ => cursor.identifier()?,
        };
        plugin = Plugin::named(&name.to_ascii_lowercase()).ok_or_else(|| {
            let message = format!(
                "Plugin '{name}' is not loaded; there are caching_sha2_password, which is meant where none is named, and \
                 mysql_native_password"
            );
            Fault::from(SqlError::new(NO_SUCH_PLUGIN, message))
        })?;
    }
    if cursor.take_word("AS") {
        let what = "IDENTIFIED … AS a digest; write IDENTIFIED BY and the password";
        return Err(SqlError::not_supported(what).into());
    }
    cursor.expect_word("BY")?;
    let password = Secret::new(cursor.string()?);
    Ok(UserClause { account, credential: Some(credential(plugin, &password)) })
}

/// MySQL's number for a plugin that is not there.
const NO_SUCH_PLUGIN: u16 = 1524;

/// Options that ask for what is so anyway.
fn options(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    const ANYWAY: [&[&str]; 4] = [
        &["REQUIRE", "NONE"],
        &["ACCOUNT", "UNLOCK"],
        &["PASSWORD", "EXPIRE", "NEVER"],
        &["PASSWORD", "EXPIRE", "DEFAULT"],
    ];
    while ANYWAY.iter().any(|words| cursor.take_words(words)) {}
    let asked = cursor.peek_word();
    if ["REQUIRE", "ACCOUNT", "PASSWORD", "DEFAULT", "FAILED_LOGIN_ATTEMPTS", "WITH", "COMMENT", "ATTRIBUTE", "REPLACE"]
        .iter()
        .any(|known| asked.as_deref() == Some(known))
    {
        let what = format!("the option {} of a user; leave it out", asked.unwrap_or_default());
        return Err(SqlError::not_supported(&what).into());
    }
    Ok(())
}
