//! What a statement may cost before it is understood: checked on its text and its tokens, so that no statement can exhaust
//! the stack, the memory or the processor of a parser and planner that are recursive by nature.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::mysql::SqlError;

/// MySQL's number for a statement that is too complex.
const TOO_COMPLEX: u16 = 1436;
/// MySQL's number for a packet above max_allowed_packet.
const TOO_LONG: u16 = 1153;

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text.
    pub text_bytes: usize,
    /// Words, numbers and signs.
    pub tokens: usize,
    /// Parentheses, CASEs and the like inside each other.
    pub nesting: usize,
    /// Operators in one chain (`a OR b OR …`): each makes the syntax tree one deeper.
    pub chain: usize,
    /// JOINs and UNIONs: each makes the plan one deeper.
    pub joined: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { text_bytes: 16 << 20, tokens: 1_000_000, nesting: 100, chain: 1_000, joined: 300 }
    }
}

/// Constructs that the parser reads a second time when the first reading fails: its time doubles with each level.
const READ_TWICE_MAX: usize = 12;
const READ_TWICE: [&str; 16] = [
    "ARRAY",
    "CAST",
    "CEIL",
    "CONVERT",
    "EXISTS",
    "EXTRACT",
    "FLOOR",
    "NOT",
    "OVERLAY",
    "POSITION",
    "SAFE_CAST",
    "STRUCT",
    "SUBSTR",
    "SUBSTRING",
    "TRIM",
    "TRY_CAST",
];

/// What is open at a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Bracket { read_twice: bool },
    Case,
    Interval,
}

/// One level of nesting, with the operators seen in its present chain.
#[derive(Clone, Copy, Debug)]
struct Level {
    open: Open,
    chain: usize,
}

impl Limits {
    /// Whether the text may be cut into tokens: bounds the memory that this takes.
    pub(crate) fn check_text(&self, text: &str) -> Result<(), SqlError> {
        if text.len() > self.text_bytes {
            let message = format!("the statement has {} bytes, and may have {}; split it", text.len(), self.text_bytes);
            return Err(SqlError::new(TOO_LONG, message));
        }
        let at_most = tokens_at_most(text);
        if at_most > self.tokens {
            let message = format!(
                "the statement has about {at_most} words and signs, and may have {}; split it, or put long lists into a table",
                self.tokens
            );
            return Err(SqlError::new(TOO_COMPLEX, message));
        }
        Ok(())
    }

    /// Whether the tokens may be given to the parser.
    pub(crate) fn check_tokens(&self, tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
        let mut levels = vec![Level { open: Open::Bracket { read_twice: false }, chain: 0 }];
        let mut joined = 0;
        let mut previous = "";
        for token in tokens {
            let place = || format!("at line {}, column {}", token.span.start.line, token.span.start.column);
            match &token.token {
                Token::Whitespace(_) => continue,
                Token::LParen | Token::LBracket | Token::LBrace => {
                    let read_twice = READ_TWICE.iter().any(|word| previous.eq_ignore_ascii_case(word));
                    levels.push(Level { open: Open::Bracket { read_twice }, chain: 0 });
                }
                Token::RParen | Token::RBracket | Token::RBrace => close_bracket(&mut levels),
                Token::Comma | Token::SemiColon => end_of_item(&mut levels),
                Token::Word(word) => joined += word_at(&mut levels, word),
                other if is_operator(other) => top(&mut levels).chain += 1,
                _ => {}
            }
            previous = match &token.token {
                Token::Word(word) if word.quote_style.is_none() => &word.value,
                _ => "",
            };
            if top(&mut levels).chain > self.chain {
                return Err(too_complex(
                    &place(),
                    "operators in a row",
                    self.chain,
                    "use IN (…), or split the condition",
                ));
            }
            if levels.len() > self.nesting {
                return Err(too_complex(
                    &place(),
                    "levels of nesting",
                    self.nesting,
                    "write it with fewer parentheses",
                ));
            }
            if levels.iter().filter(|level| is_read_twice(level.open)).count() > READ_TWICE_MAX {
                let hint = "compute the inner ones in a subquery";
                return Err(too_complex(&place(), "nested CASTs and the like", READ_TWICE_MAX, hint));
            }
            if joined > self.joined {
                return Err(too_complex(&place(), "JOINs and UNIONs", self.joined, "split the statement"));
            }
        }
        Ok(())
    }
}

fn too_complex(place: &str, what: &str, limit: usize, hint: &str) -> SqlError {
    SqlError::new(TOO_COMPLEX, format!("the statement is too complex {place}: more than {limit} {what}; {hint}"))
}

fn is_read_twice(open: Open) -> bool {
    matches!(open, Open::Bracket { read_twice: true } | Open::Interval)
}

fn top(levels: &mut [Level]) -> &mut Level {
    levels.last_mut().expect("the outermost level is never closed")
}

fn close_bracket(levels: &mut Vec<Level>) {
    while levels.len() > 1 {
        let closed = levels.pop();
        if matches!(closed, Some(Level { open: Open::Bracket { .. }, .. })) {
            return;
        }
    }
}

fn end_of_item(levels: &mut Vec<Level>) {
    while levels.len() > 1 && top(levels).open == Open::Interval {
        levels.pop();
    }
    top(levels).chain = 0;
}

/// Counts a word; returns how many more JOINs or UNIONs it makes.
fn word_at(levels: &mut Vec<Level>, word: &Word) -> usize {
    if word.quote_style.is_some() {
        return 0;
    }
    match word.keyword {
        Keyword::CASE => levels.push(Level { open: Open::Case, chain: 0 }),
        Keyword::INTERVAL => levels.push(Level { open: Open::Interval, chain: 0 }),
        Keyword::END => {
            if levels.len() > 1 && top(levels).open == Open::Case {
                levels.pop();
            }
        }
        Keyword::JOIN | Keyword::STRAIGHT_JOIN | Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => return 1,
        Keyword::AND
        | Keyword::OR
        | Keyword::XOR
        | Keyword::NOT
        | Keyword::IS
        | Keyword::LIKE
        | Keyword::ILIKE
        | Keyword::RLIKE
        | Keyword::REGEXP
        | Keyword::BETWEEN
        | Keyword::IN
        | Keyword::DIV
        | Keyword::MOD
        | Keyword::COLLATE
        | Keyword::AT => top(levels).chain += 1,
        _ => {
            if is_unit(&word.value) && levels.len() > 1 && top(levels).open == Open::Interval {
                levels.pop();
            }
        }
    }
    0
}

fn is_unit(word: &str) -> bool {
    const UNITS: [&str; 9] = ["MICROSECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"];
    UNITS.iter().any(|unit| {
        word.get(..unit.len()).is_some_and(|start| start.eq_ignore_ascii_case(unit))
            && matches!(word.as_bytes().get(unit.len()), None | Some(b'_' | b'S' | b's'))
    })
}

fn is_operator(token: &Token) -> bool {
    !matches!(
        token,
        Token::EOF
            | Token::Number(..)
            | Token::Char(_)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::HexStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::DoubleQuotedByteStringLiteral(_)
            | Token::Period
            | Token::Placeholder(_)
    )
}

/// An upper bound of how many tokens `text` has: each begins where a word, or a sign outside a word, begins.
fn tokens_at_most(text: &str) -> usize {
    let mut tokens = 1;
    let mut in_word = false;
    for byte in text.bytes() {
        let is_word = byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'_' | b'$' | b'@');
        tokens += usize::from(!byte.is_ascii_whitespace() && (!is_word || !in_word));
        in_word = is_word;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;
    use crate::sql::dialect::MillraceDialect;

    fn check(text: &str) -> Result<(), String> {
        let limits = Limits::default();
        limits.check_text(text).map_err(|error| error.message)?;
        let tokens = Tokenizer::new(&MillraceDialect, text).tokenize_with_location().unwrap();
        limits.check_tokens(&tokens).map_err(|error| error.message)
    }

    #[test]
    fn ten_thousand_parentheses_are_an_error() {
        let error = check(&format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000))).unwrap_err();
        assert!(error.contains("levels of nesting") && error.contains("column 107"), "{error}");
    }

    #[test]
    fn a_chain_of_twenty_thousand_is_an_error_and_a_list_of_them_is_not() {
        let chain = vec!["a = 1"; 20_000].join(" OR ");
        assert!(check(&format!("SELECT 1 WHERE {chain}")).unwrap_err().contains("use IN (…)"));
        assert!(check(&format!("SELECT {}1", "- ".repeat(20_000))).is_err());
        assert!(check(&format!("SELECT 1{}", " IS NULL".repeat(20_000))).is_err());
        let list = vec!["1"; 100_000].join(", ");
        assert_eq!(check(&format!("SELECT a IN ({list})")), Ok(()));
    }

    #[test]
    fn a_chain_goes_on_over_parentheses_but_not_over_commas() {
        let chain = vec!["(a = 1)"; 2_000].join(" OR ");
        assert!(check(&format!("SELECT {chain}")).is_err());
        let items = vec!["a + b"; 2_000].join(", ");
        assert_eq!(check(&format!("SELECT {items}")), Ok(()));
    }

    #[test]
    fn what_the_parser_reads_twice_may_not_be_nested_deeply() {
        let nested =
            |open: &str, n: usize| format!("SELECT {}1{}", open.repeat(n), ")".repeat(n * open.matches('(').count()));
        assert!(check(&nested("cast(", 25)).unwrap_err().contains("nested CASTs"));
        assert!(check(&nested("interval ", 25)).is_err());
        assert_eq!(check(&nested("lower(", 50)), Ok(()));
        let days = vec!["a > now() - interval 1 day"; 100].join(" AND ");
        assert_eq!(check(&format!("SELECT {days}")), Ok(()));
    }

    #[test]
    fn many_joins_are_an_error() {
        let joins = " JOIN t USING (a)".repeat(400);
        assert!(check(&format!("SELECT 1 FROM t{joins}")).unwrap_err().contains("JOINs and UNIONs"));
    }

    #[test]
    fn a_text_above_its_limit_is_refused_before_it_is_cut_up() {
        assert!(check(&"x".repeat((16 << 20) + 1)).unwrap_err().contains("split it"));
        assert!(check(&"1,".repeat(1_000_000)).unwrap_err().contains("words and signs"));
    }
}
