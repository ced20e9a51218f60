//! Where we are in a statement: the parser's tokens with the text that they were cut from, so that statements of our own are
//! read by the same machine and text can be kept as it was typed.

use datafusion::sql::sqlparser::ast::{Expr, Ident};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::super::dialect::MillraceDialect;
use super::super::statement::Name;
use super::place::Lines;

/// How deep the parser may recurse; above what [`Limits`](super::super::limits::Limits) lets through.
const RECURSION_MAX: usize = 400;

/// Reads a statement from its front.
pub(crate) struct Cursor<'a> {
    pub(crate) parser: Parser<'static>,
    text: &'a str,
    lines: Lines,
}

pub(crate) type Parsed<T> = Result<T, ParserError>;

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str, tokens: Vec<TokenWithSpan>) -> Self {
        let parser =
            Parser::new(&MillraceDialect).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(tokens);
        Self { parser, text, lines: Lines::of(text) }
    }

    /// The next word in upper case, where it is an unquoted word.
    pub(crate) fn peek_word(&self) -> Option<String> {
        self.peek_nth_word(0)
    }

    pub(crate) fn peek_nth_word(&self, n: usize) -> Option<String> {
        unquoted(&self.parser.peek_nth_token_ref(n).token).map(str::to_ascii_uppercase)
    }

    /// Takes the next word if it is `word`.
    pub(crate) fn take_word(&mut self, word: &str) -> bool {
        let found = unquoted(&self.parser.peek_token_ref().token).is_some_and(|next| next.eq_ignore_ascii_case(word));
        if found {
            self.parser.advance_token();
        }
        found
    }

    /// Takes the next words if they are `words`, or none of them.
    pub(crate) fn take_words(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(n, word)| {
            unquoted(&self.parser.peek_nth_token_ref(n).token).is_some_and(|next| next.eq_ignore_ascii_case(word))
        });
        if found {
            words.iter().for_each(|_| self.parser.advance_token());
        }
        found
    }

    pub(crate) fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.take_word(word) { Ok(()) } else { self.expected(word) }
    }

    pub(crate) fn take(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub(crate) fn peek_token_is(&self, token: &Token) -> bool {
        self.parser.peek_token_ref().token == *token
    }

    pub(crate) fn expect(&mut self, token: &Token) -> Parsed<()> {
        self.parser.expect_token(token).map(|_| ())
    }

    /// An error at the next token.
    pub(crate) fn expected<T>(&self, what: &str) -> Parsed<T> {
        self.parser.expected_ref(what, self.parser.peek_token_ref())
    }

    /// Whether the statement ends here.
    pub(crate) fn at_end(&self) -> bool {
        matches!(self.parser.peek_token_ref().token, Token::EOF | Token::SemiColon)
    }

    /// Takes all that is left of the statement.
    pub(crate) fn skip_statement(&mut self) {
        while !self.at_end() {
            self.parser.advance_token();
        }
    }

    /// A name that may be quoted, with backticks, or with quotes as clients under ANSI_QUOTES do.
    pub(crate) fn identifier(&mut self) -> Parsed<String> {
        self.parser.parse_identifier().map(|ident: Ident| ident.value)
    }

    /// `name` or `database.name`.
    pub(crate) fn name(&mut self) -> Parsed<Name> {
        let first = self.identifier()?;
        if !self.take(&Token::Period) {
            return Ok(Name { database: None, name: first });
        }
        Ok(Name { database: Some(first), name: self.identifier()? })
    }

    pub(crate) fn if_exists(&mut self) -> bool {
        self.take_words(&["IF", "EXISTS"])
    }

    pub(crate) fn if_not_exists(&mut self) -> bool {
        self.take_words(&["IF", "NOT", "EXISTS"])
    }

    /// A string in either kind of quotes.
    pub(crate) fn string(&mut self) -> Parsed<String> {
        match &self.parser.peek_token_ref().token {
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => {
                let text = text.clone();
                self.parser.advance_token();
                Ok(text)
            }
            _ => self.expected("a string in quotes"),
        }
    }

    pub(crate) fn expr(&mut self) -> Parsed<Expr> {
        self.parser.parse_expr()
    }

    /// What `read` reads, and the text of it as it was typed.
    pub(crate) fn with_text<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<(T, String)> {
        let start = self.parser.peek_token_ref().span.start;
        let value = read(self)?;
        // The parser may stand behind white space that it went back over.
        let mut last = self.parser.index().saturating_sub(1);
        while last > 0 && matches!(self.parser.token_at(last).token, Token::Whitespace(_)) {
            last -= 1;
        }
        let end = self.parser.token_at(last).span.end;
        Ok((value, self.lines.slice(self.text, start, end).unwrap_or_default().to_owned()))
    }

    /// A comma-separated list in parentheses, or one without them that ends where `read` can read no further.
    pub(crate) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let parenthesised = self.take(&Token::LParen);
        let mut items = vec![read(self)?];
        while self.take(&Token::Comma) {
            items.push(read(self)?);
        }
        if parenthesised {
            self.expect(&Token::RParen)?;
        }
        Ok(items)
    }

    /// The tokens, and where their lines begin.
    pub(crate) fn into_parts(self) -> (Vec<TokenWithSpan>, Lines) {
        (self.parser.into_tokens(), self.lines)
    }
}

/// A word without quotes.
pub(crate) fn unquoted(token: &Token) -> Option<&str> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
        _ => None,
    }
}

/// Whether the word at hand begins a query.
pub(crate) fn begins_query(keyword: Option<&str>, token: &Token) -> bool {
    matches!(keyword, Some("SELECT" | "WITH" | "VALUES")) || *token == Token::LParen
}
