//! MySQL's dialect as the parser knows it, with the operators that it reads wrongly. Owns no statement.
//!
//! The parser's own MySQL dialect gives DIV everything to its right (`n DIV 60 * 60` becomes `n DIV 3600`, which is what
//! Grafana's time macros would trip over) and does not know MOD as an operator. It also gives `->` and `->>` all to
//! their right, where MySQL lets them stand between a column and a path only.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Statement};
use datafusion::sql::sqlparser::dialect::{Dialect, MySqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// The dialect of every statement.
#[derive(Debug)]
pub(crate) struct MillraceDialect;

const MYSQL: MySqlDialect = MySqlDialect {};

fn integer_operator(parser: &Parser) -> Option<BinaryOperator> {
    match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style.is_none() => match word.keyword {
            Keyword::DIV => Some(BinaryOperator::MyIntegerDivide),
            Keyword::MOD => Some(BinaryOperator::Modulo),
            _ => None,
        },
        _ => None,
    }
}

macro_rules! as_in_mysql {
    ($($name:ident),* $(,)?) => {
        $(fn $name(&self) -> bool {
            MYSQL.$name()
        })*
    };
}

impl Dialect for MillraceDialect {
    // The parser asks "is this MySQL?" in many places: it is.
    fn dialect(&self) -> TypeId {
        TypeId::of::<MySqlDialect>()
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        let binds = match (integer_operator(parser), &parser.peek_token_ref().token) {
            (Some(_), _) => Precedence::MulDivModOp,
            (None, Token::Arrow | Token::LongArrow) => Precedence::DoubleColon,
            (None, _) => return None,
        };
        Some(Ok(self.prec_value(binds)))
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        let op = integer_operator(parser)?;
        parser.advance_token();
        let right = parser.parse_subexpr(precedence);
        Some(right.map(|right| Expr::BinaryOp { left: Box::new(left.clone()), op, right: Box::new(right) }))
    }

    fn supports_bang_not_operator(&self) -> bool {
        true
    }

    fn parse_statement(&self, parser: &mut Parser) -> Option<Result<Statement, ParserError>> {
        MYSQL.parse_statement(parser)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        MYSQL.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        MYSQL.is_identifier_part(ch)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        MYSQL.is_delimited_identifier_start(ch)
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        MYSQL.identifier_quote_style(identifier)
    }

    fn is_table_factor_alias(&self, explicit: bool, keyword: &Keyword, parser: &mut Parser) -> bool {
        MYSQL.is_table_factor_alias(explicit, keyword, parser)
    }

    as_in_mysql!(
        ignores_wildcard_escapes,
        require_interval_qualifier,
        requires_single_line_comment_whitespace,
        supports_binary_kw_as_cast,
        supports_bitwise_shift_operators,
        supports_comma_separated_set_assignments,
        supports_comment_optimizer_hint,
        supports_constraint_keyword_without_name,
        supports_create_table_select,
        supports_cross_join_constraint,
        supports_data_type_signed_suffix,
        supports_double_ampersand_operator,
        supports_insert_set,
        supports_key_column_option,
        supports_limit_comma,
        supports_match_against,
        supports_multiline_comment_hints,
        supports_numeric_prefix,
        supports_select_modifiers,
        supports_set_names,
        supports_string_literal_backslash_escape,
        supports_string_literal_concatenation,
        supports_table_hints,
        supports_update_order_by,
        supports_user_host_grantee,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parenthesised(expr: &Expr) -> String {
        match expr {
            Expr::BinaryOp { left, op, right } => format!("({} {op} {})", parenthesised(left), parenthesised(right)),
            other => other.to_string(),
        }
    }

    #[test]
    fn operators_bind_as_in_mysql() {
        for (text, meant) in [
            ("n DIV 60 * 60", "((n DIV 60) * 60)"),
            ("1 + 7 mod 3 + 1", "((1 + (7 % 3)) + 1)"),
            ("8 DIV 2 DIV 2", "((8 DIV 2) DIV 2)"),
            ("mod(7, 3)", "mod(7, 3)"),
            ("j->'$.a' = 5 AND k ->> '$.b' + 1 > 2", "(((j -> '$.a') = 5) AND (((k ->> '$.b') + 1) > 2))"),
        ] {
            let mut parser = Parser::new(&MillraceDialect).try_with_sql(text).unwrap();
            assert_eq!(parenthesised(&parser.parse_expr().unwrap()), meant);
        }
    }
}
