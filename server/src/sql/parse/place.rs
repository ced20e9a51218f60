//! Places in a statement's text: from the parser's lines and columns to bytes, and to a caret under the place.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, TokenizerError, Word};

use super::super::redact::may_hold_secret;
use crate::mysql::SqlError;

/// Characters shown on either side of a faulty place.
const AROUND: usize = 60;
/// Words that begin statements and clauses. Misspelt, most of them are read as an alias, and the parser stumbles a word later.
const BEGINNINGS: [&str; 16] = [
    "CREATE", "DESCRIBE", "DROP", "EXPLAIN", "FROM", "GROUP", "HAVING", "INNER", "JOIN", "LIMIT", "ORDER", "SELECT",
    "SHOW", "UNION", "VALUES", "WHERE",
];

/// Where each line of a text begins.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// The byte at a place; `None` outside the text.
    pub(crate) fn byte(&self, text: &str, place: Location) -> Option<usize> {
        let start = *self.starts.get(usize::try_from(place.line).ok()?.checked_sub(1)?)?;
        let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
        let line = text.get(start..)?;
        let within = line.char_indices().map(|(at, _)| at).chain(std::iter::once(line.len())).nth(column)?;
        Some(start + within)
    }

    /// The text between two places.
    pub(crate) fn slice<'a>(&self, text: &'a str, start: Location, end: Location) -> Option<&'a str> {
        text.get(self.byte(text, start)?..self.byte(text, end)?)
    }
}

/// Finds the bytes of places that come one after the other, each in the time of what lies between it and the one before.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    letters: std::iter::Peekable<std::str::CharIndices<'a>>,
    at: Location,
    length: usize,
}

impl<'a> Walk<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { letters: text.char_indices().peekable(), at: Location::new(1, 1), length: text.len() }
    }

    /// The byte at `place`, or at the place before, where that lies behind it.
    pub(crate) fn byte(&mut self, place: Location) -> usize {
        while self.at < place {
            let Some((_, letter)) = self.letters.next() else { break };
            self.at = match letter {
                '\n' => Location::new(self.at.line + 1, 1),
                _ => Location::new(self.at.line, self.at.column + 1),
            };
        }
        self.letters.peek().map_or(self.length, |(at, _)| *at)
    }
}

/// Error 1064 with the place and a caret under it. `tokens` are those of the text.
pub(crate) fn syntax_error(text: &str, error: &ParserError, tokens: &[TokenWithSpan]) -> SqlError {
    match error {
        ParserError::RecursionLimitExceeded => {
            SqlError::syntax("the statement is nested too deeply; write it with fewer parentheses or subqueries")
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => {
            let (what, place) = split_place(message);
            let place = place.unwrap_or_else(|| end_of(text));
            match misspelt(tokens, place) {
                Some((found, meant, place)) => {
                    syntax_error_at(text, &format!("expected {meant}, found {found}"), place)
                }
                None => syntax_error_at(text, &plain(what), place),
            }
        }
    }
}

/// The word at `place`, or else the one before it, if it is all but the beginning of a clause; and which it is, and where.
fn misspelt(tokens: &[TokenWithSpan], place: Location) -> Option<(&str, &'static str, Location)> {
    let is_word = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF);
    let until: Vec<&TokenWithSpan> =
        tokens.iter().filter(is_word).take_while(|token| token.span.start <= place).collect();
    until.iter().rev().take(2).find_map(|token| match &token.token {
        Token::Word(Word { value, quote_style: None, keyword: Keyword::NoKeyword }) => {
            let typed = value.to_ascii_uppercase();
            let meant = BEGINNINGS.into_iter().find(|word| strsim::damerau_levenshtein(&typed, word) == 1)?;
            Some((value.as_str(), meant, token.span.start))
        }
        _ => None,
    })
}

/// The same for a text that cannot be cut into tokens.
pub(crate) fn token_error(text: &str, error: &TokenizerError) -> SqlError {
    syntax_error_at(text, &plain(&error.message), error.location)
}

/// A fault that is found after the parser.
pub(super) fn fault_at(text: &str, what: &str, place: Location) -> SqlError {
    syntax_error_at(text, what, place)
}

fn syntax_error_at(text: &str, what: &str, place: Location) -> SqlError {
    // What the parser says quotes the text too.
    if may_hold_secret(text) {
        let (line, column) = (place.line, place.column);
        return SqlError::syntax(&format!(
            "it cannot be read at line {line}, column {column}; the text is not shown, because it may hold a password"
        ));
    }
    let line = text.lines().nth(usize::try_from(place.line).unwrap_or(1).saturating_sub(1)).unwrap_or_default();
    let column = usize::try_from(place.column).unwrap_or(1).max(1) - 1;
    let first = column.saturating_sub(AROUND);
    let shown: String = line.chars().skip(first).take(2 * AROUND).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let caret = " ".repeat(column - first);
    SqlError::syntax(&format!("{what} at line {}, column {}\n  {shown}\n  {caret}^", place.line, place.column))
}

/// The parser's words, in ours: it appends the place to its message, and begins with a capital.
fn split_place(message: &str) -> (&str, Option<Location>) {
    let place = |text: &str| -> Option<Location> {
        let (line, column) = text.split_once(", Column: ")?;
        Some(Location::new(line.trim().parse().ok()?, column.trim().parse().ok()?))
    };
    match message.rfind(" at Line: ") {
        Some(at) => (&message[..at], place(&message[at + " at Line: ".len()..])),
        None => (message, None),
    }
}

fn plain(what: &str) -> String {
    let what = what.replace("Expected: ", "expected ").replace("found: EOF", "found the end of the statement");
    let what = what.replace("found: ", "found ");
    let mut letters = what.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => "it cannot be read".to_owned(),
    }
}

fn end_of(text: &str) -> Location {
    let line = text.lines().count().max(1);
    let column = text.lines().last().unwrap_or_default().chars().count() + 1;
    Location::new(line as u64, column as u64)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;
    use crate::sql::dialect::MillraceDialect;

    #[test]
    fn a_place_counts_characters_and_a_slice_bytes() {
        let text = "SELECT 'ä',\n  b";
        let lines = Lines::of(text);
        assert_eq!(lines.slice(text, Location::new(1, 8), Location::new(1, 11)), Some("'ä'"));
        assert_eq!(lines.slice(text, Location::new(2, 3), Location::new(2, 4)), Some("b"));
        assert_eq!(lines.slice(text, Location::new(3, 1), Location::new(3, 2)), None);
        assert_eq!(lines.slice(text, Location::new(0, 0), Location::new(0, 0)), None);
    }

    fn told(text: &str, error: &str) -> String {
        let tokens = Tokenizer::new(&MillraceDialect, text).tokenize_with_location().unwrap();
        syntax_error(text, &ParserError::ParserError(error.into()), &tokens).message
    }

    #[test]
    fn the_caret_stands_under_the_fault() {
        assert_eq!(
            told("SELECT 1\n  2", "Expected: end of statement, found: 2 at Line: 2, Column: 3"),
            "You have an error in your SQL syntax; expected end of statement, found 2 at line 2, column 3\n    2\n    ^"
        );
    }

    #[test]
    fn a_statement_that_ends_too_early_is_marked_at_its_end() {
        assert!(told("SELECT", "Expected: an expression, found: EOF").ends_with(
            "expected an expression, found the end of the statement at line 1, column 7\n  SELECT\n        ^"
        ));
    }

    #[test]
    fn a_clause_whose_first_word_is_misspelt_is_marked_there() {
        for (text, column, words) in [
            ("SELECT 1\nFORM flights", 6, "expected FROM, found FORM at line 2, column 1\n  FORM flights\n  ^"),
            ("SELECT 1\nFROM t WEHRE a = 1", 14, "expected WHERE, found WEHRE at line 2, column 8\n"),
            ("SELECT 1\nFROM t a ODER BY a", 10, "expected ORDER, found ODER at line 2, column 10\n"),
        ] {
            let message = told(text, &format!("Expected: end of statement, found: x at Line: 2, Column: {column}"));
            assert!(message.contains(words), "{message}");
        }
        for text in ["SELECT 1\n`form` flights", "SELECT 1\nfromage flights x"] {
            let message = told(text, "Expected: end of statement, found: flights at Line: 2, Column: 9");
            assert!(message.contains("found flights"), "{message}");
        }
    }
}
