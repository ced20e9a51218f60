//! A statement's text as others may see it: in the process list, and in errors that quote it. Where it may hold a password, no
//! literal of it is shown.

use std::borrow::Cow;

use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::dialect::MillraceDialect;
use super::parse::Walk;

/// Words of statements and settings that hold passwords; also as a part of a word, or within a literal.
const SIGNS: [&str; 3] = ["identified", "password", "secret"];
/// A longer text is not cut into tokens a second time only to be shown.
const BYTES_MAX: usize = 64 << 10;
/// What stands for a literal.
const HIDDEN: &str = "'***'";

/// Whether `text` may hold a password.
pub(crate) fn may_hold_secret(text: &str) -> bool {
    let bytes = text.as_bytes();
    let begins = |at: usize, sign: &str| {
        bytes.get(at..at + sign.len()).is_some_and(|word| word.eq_ignore_ascii_case(sign.as_bytes()))
    };
    bytes.iter().enumerate().any(|(at, byte)| match byte | 0x20 {
        b'i' | b'p' | b's' => SIGNS.iter().any(|sign| begins(at, sign)),
        _ => false,
    })
}

/// `text` as others may see it.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    if !may_hold_secret(text) {
        return Cow::Borrowed(text);
    }
    let first = || Cow::Owned(format!("{} …", text.split_whitespace().next().unwrap_or_default()));
    // What is in a comment that is opened has no place of its own.
    if text.len() > BYTES_MAX || text.contains("/*!") {
        return first();
    }
    let Ok(tokens) = Tokenizer::new(&MillraceDialect, text).tokenize_with_location() else { return first() };
    let mut walk = Walk::of(text);
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for token in &tokens {
        let start = walk.byte(token.span.start);
        let end = walk.byte(token.span.end);
        // What a comment holds is not looked into.
        let is_comment = matches!(&token.token, Token::Whitespace(space) if space.to_string().trim() != "");
        if (is_literal(&token.token) || is_comment) && start >= from {
            shown.push_str(&text[from..start]);
            shown.push_str(if is_comment { " " } else { HIDDEN });
            from = end;
        }
    }
    shown.push_str(&text[from..]);
    Cow::Owned(shown)
}

fn is_literal(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.quote_style == Some('"'),
        Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::NationalStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::SingleQuotedByteStringLiteral(_)
        | Token::DoubleQuotedByteStringLiteral(_)
        | Token::DollarQuotedString(_)
        | Token::Number(..) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown_however_it_is_written() {
        for text in [
            "CREATE USER app IDENTIFIED BY 'hunter2'",
            "create user `app` identified with mysql_native_password by \"hunter2\"",
            "ALTER USER app IDENTIFIED BY 'hunter2' /* hunter2 */ -- hunter2",
            "SET PASSWORD FOR app = 'hunter2'",
            "SET @v = 'CREATE USER app IDENTIFIED BY ''hunter2'''",
            "PREPARE s FROM 'CREATE USER app IDENTIFIED BY \\'hunter2\\''",
            "CREATE PIPELINE p INTO t AS SELECT * FROM KAFKA ('sasl.password' = 'hunter2')",
            "/*!40101 CREATE USER app IDENTIFIED BY 'hunter2' */",
            "CREATE USER app IDENTIFIED BY 'hunter2",
            "ALTER USER app IDENTIFIED BY 'grüße\nhunter2' x",
        ] {
            let shown = shown(text);
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert_eq!(shown("CREATE USER app IDENTIFIED BY 'x'"), "CREATE USER app IDENTIFIED BY '***'");
        assert_eq!(shown("ALTER USER app IDENTIFIED BY 'ä' ;"), "ALTER USER app IDENTIFIED BY '***' ;");
    }

    #[test]
    fn every_other_statement_is_shown_as_it_is() {
        for text in ["SELECT 'x' FROM t", "SELECT 1 -- identify", ""] {
            assert_eq!(shown(text), text);
        }
        let long = format!("SELECT 'hunter2', password {}", "x".repeat(BYTES_MAX));
        assert_eq!(shown(&long), "SELECT …");
    }
}
