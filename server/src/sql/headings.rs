//! How the columns of an answer are headed: by the text that was typed, as in MySQL. The engine would say `count(Int64(1))`.

use datafusion::sql::sqlparser::ast::{self, Expr, SelectItem, SetExpr, Value};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::parse::Lines;

/// The longest heading, in characters; what was typed may be a whole program.
const CHARACTERS_MAX: usize = 256;

/// One item of a SELECT list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heading {
    /// One column, headed so.
    Text(String),
    /// `*` or `t.*`: as many columns as there are, headed by their names.
    Columns,
}

/// The headings of `query`, whose text was cut into `tokens`; empty where they are not known.
pub(crate) fn of(query: &ast::Query, text: &str, tokens: &[TokenWithSpan], lines: &Lines) -> Vec<Heading> {
    let SetExpr::Select(select) = first_body(&query.body) else { return Vec::new() };
    let typed = typed_items(text, tokens, lines);
    let typed = if typed.len() == select.projection.len() { typed } else { vec![None; select.projection.len()] };
    select.projection.iter().zip(typed).map(|(item, typed)| heading(item, typed)).collect()
}

/// The headings of a query of ours, whose items are all names or named.
pub(crate) fn of_names(query: &ast::Query) -> Vec<Heading> {
    let SetExpr::Select(select) = first_body(&query.body) else { return Vec::new() };
    select.projection.iter().map(|item| heading(item, None)).collect()
}

/// The headings of a query are those of its first SELECT.
fn first_body(body: &SetExpr) -> &SetExpr {
    match body {
        SetExpr::SetOperation { left, .. } => first_body(left),
        other => other,
    }
}

fn heading(item: &SelectItem, typed: Option<&str>) -> Heading {
    let text = match item {
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => return Heading::Columns,
        SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
        SelectItem::ExprWithAliases { .. } => return Heading::Columns,
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => name.value.clone(),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) if !names[0].value.starts_with("@@") => {
            names.last().map(|name| name.value.clone()).unwrap_or_default()
        }
        SelectItem::UnnamedExpr(Expr::Value(value)) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            _ => typed.map_or_else(|| item.to_string(), str::to_owned),
        },
        SelectItem::UnnamedExpr(_) => typed.map_or_else(|| item.to_string(), str::to_owned),
    };
    Heading::Text(text.chars().take(CHARACTERS_MAX).collect())
}

/// The text of each item of the outermost SELECT list.
fn typed_items<'a>(text: &'a str, tokens: &[TokenWithSpan], lines: &Lines) -> Vec<Option<&'a str>> {
    let mut items = Vec::new();
    let mut item: Option<(&TokenWithSpan, &TokenWithSpan)> = None;
    let mut depth = 0_usize;
    let mut within = false;
    for token in tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))) {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && !within {
            within = is_keyword(token, &[Keyword::SELECT]);
            continue;
        }
        if !within {
            continue;
        }
        if depth == 0 && ends_list(token) {
            break;
        }
        if depth == 0 && token.token == Token::Comma {
            items.push(item.take());
            continue;
        }
        if item.is_none() && is_keyword(token, &MODIFIERS) {
            continue;
        }
        item = Some((item.map_or(token, |(first, _)| first), token));
    }
    items.push(item);
    let slice = |(first, last): (&TokenWithSpan, &TokenWithSpan)| lines.slice(text, first.span.start, last.span.end);
    items.into_iter().map(|item| item.and_then(slice)).collect()
}

const MODIFIERS: [Keyword; 9] = [
    Keyword::ALL,
    Keyword::DISTINCT,
    Keyword::HIGH_PRIORITY,
    Keyword::STRAIGHT_JOIN,
    Keyword::SQL_SMALL_RESULT,
    Keyword::SQL_BIG_RESULT,
    Keyword::SQL_BUFFER_RESULT,
    Keyword::SQL_NO_CACHE,
    Keyword::SQL_CALC_FOUND_ROWS,
];

fn ends_list(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::SemiColon | Token::EOF)
        || is_keyword(
            token,
            &[
                Keyword::FROM,
                Keyword::WHERE,
                Keyword::GROUP,
                Keyword::HAVING,
                Keyword::ORDER,
                Keyword::LIMIT,
                Keyword::UNION,
                Keyword::EXCEPT,
                Keyword::INTERSECT,
                Keyword::INTO,
                Keyword::FOR,
                Keyword::WINDOW,
            ],
        )
}

fn is_keyword(token: &TokenWithSpan, keywords: &[Keyword]) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && keywords.contains(&word.keyword))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::limits::Limits;
    use crate::sql::parse::parse;
    use crate::sql::statement::Statement;

    fn headings(text: &str) -> Vec<String> {
        let Statement::Query(query) = parse(text, &Limits::default()).unwrap() else { panic!("{text}") };
        let text = |heading| match heading {
            Heading::Text(text) => text,
            Heading::Columns => "*".into(),
        };
        query.headings.into_iter().map(text).collect()
    }

    #[test]
    fn a_column_is_headed_by_what_was_typed() {
        assert_eq!(headings("select count(*), Count( x ) FROM t"), ["count(*)", "Count( x )"]);
        assert_eq!(headings("SELECT @@version_comment limit 1"), ["@@version_comment"]);
        assert_eq!(headings("SELECT @@session.autocommit"), ["@@session.autocommit"]);
        assert_eq!(headings("SELECT DISTINCT a , t.`B`, *, u.*, 'text' , 1+1;"), ["a", "B", "*", "*", "text", "1+1"]);
        assert_eq!(headings("/* note */ SELECT DATABASE(), USER() LIMIT 1"), ["DATABASE()", "USER()"]);
        assert_eq!(headings("WITH x AS (SELECT 1 AS y) SELECT y, max(y) AS `Top` FROM x"), ["y", "Top"]);
        assert_eq!(headings("SELECT 1 UNION SELECT 2"), ["1"]);
        assert_eq!(headings("SELECT trim(both 'x' FROM a), a\n  + b FROM t"), ["trim(both 'x' FROM a)", "a\n  + b"]);
    }
}
