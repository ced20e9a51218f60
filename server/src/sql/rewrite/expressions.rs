//! Operators and calls of MySQL in the engine's words.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CharacterLength, DataType, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, TimezoneInfo, UnaryOperator, Value as Literal,
};

use super::functions::engine_name;
use crate::sql::functions::{EXACT, is_beyond_double};

/// Rewrites one expression whose operands have been rewritten.
pub(super) fn rewrite(expr: &mut Expr, pipes_concat: bool) {
    let taken = std::mem::replace(expr, Expr::Identifier(Ident::new("")));
    *expr = match taken {
        Expr::BinaryOp { left, op, right } => binary(left, op, right, pipes_concat),
        Expr::UnaryOp { op: UnaryOperator::BangNot, expr } => Expr::UnaryOp { op: UnaryOperator::Not, expr },
        Expr::RLike { negated, expr, pattern, .. } => {
            // MySQL's collations do not tell letters apart by case, and neither do its patterns.
            let op = if negated { BinaryOperator::PGRegexNotIMatch } else { BinaryOperator::PGRegexIMatch };
            Expr::BinaryOp { left: expr, op, right: pattern }
        }
        Expr::Cast { expr, data_type: DataType::Binary(None), array: false, .. } => *expr,
        Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None }
        | Expr::Convert { expr, data_type: Some(data_type), charset: None, .. } => as_type(expr, data_type),
        Expr::Convert { expr, data_type: None, .. } => *expr,
        Expr::Substring { expr, substring_from: Some(from), substring_for, special, shorthand } => {
            substring(expr, from, substring_for, special, shorthand)
        }
        Expr::Like { negated, any, expr, pattern, escape_char: Some(escape) } => {
            let (pattern, escape_char) = match backslashed(&pattern, &escape.value) {
                Some(pattern) => (Box::new(pattern), None),
                None => (pattern, Some(escape)),
            };
            Expr::Like { negated, any, expr, pattern, escape_char }
        }
        Expr::Function(function) => call(function),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let below = digits_of(&expr).filter(|digits| is_below_bigint(digits)).map(exact);
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: below.map_or(expr, Box::new) }
        }
        other => digits_of(&other).filter(|digits| is_beyond_double(digits)).map(exact).unwrap_or(other),
    };
}

/// The digits of a number without a sign.
pub(super) fn digits_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Literal::Number(digits, _) => Some(digits),
            _ => None,
        },
        _ => None,
    }
}

/// A number that a DOUBLE does not hold.
fn exact(digits: &str) -> Expr {
    called(EXACT, vec![Expr::value(Literal::SingleQuotedString(digits.to_owned()))])
}

/// Whether a minus before these digits leaves what BIGINT holds, though they themselves are a BIGINT UNSIGNED.
fn is_below_bigint(digits: &str) -> bool {
    digits.parse::<u64>().is_ok_and(|number| number > i64::MIN.unsigned_abs())
}

/// The pattern of a LIKE with another ESCAPE than the backslash, which is the engine's only one; `None` if it is no literal.
fn backslashed(pattern: &Expr, escape: &Literal) -> Option<Expr> {
    let Expr::Value(value) = pattern else { return None };
    let (Literal::SingleQuotedString(text), Literal::SingleQuotedString(escape)) = (&value.value, escape) else {
        return None;
    };
    let mut written = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if escape.starts_with(letter) {
            // At the end it stands for itself.
            written.extend(['\\', letters.next().unwrap_or(letter)]);
        } else if letter == '\\' {
            written.push_str(r"\\");
        } else {
            written.push(letter);
        }
    }
    Some(Expr::value(Literal::SingleQuotedString(written)))
}

fn binary(left: Box<Expr>, op: BinaryOperator, right: Box<Expr>, pipes_concat: bool) -> Expr {
    match op {
        // The cast cuts the fraction off, where there is one.
        BinaryOperator::MyIntegerDivide => {
            let quotient = Expr::BinaryOp { left, op: BinaryOperator::Divide, right };
            cast(Box::new(Expr::Nested(Box::new(quotient))), DataType::BigInt(None))
        }
        BinaryOperator::StringConcat if !pipes_concat => Expr::BinaryOp { left, op: BinaryOperator::Or, right },
        BinaryOperator::Xor => {
            let truth = |expr| Box::new(cast(expr, DataType::Boolean));
            Expr::Nested(Box::new(Expr::BinaryOp { left: truth(left), op: BinaryOperator::NotEq, right: truth(right) }))
        }
        BinaryOperator::Arrow => called("json_extract", vec![*left, *right]),
        BinaryOperator::LongArrow => called("json_unquote", vec![called("json_extract", vec![*left, *right])]),
        op => Expr::BinaryOp { left, op, right },
    }
}

/// A CAST, or a CONVERT.
fn as_type(expr: Box<Expr>, data_type: DataType) -> Expr {
    match data_type {
        // A whole number is not cut off but rounded, and a text is read as far as it is a number.
        DataType::Signed | DataType::SignedInteger => called("signed", vec![*expr]),
        DataType::Char(Some(CharacterLength::IntegerLength { length, .. })) => {
            let length = Expr::value(Literal::Number(length.to_string(), false));
            called("left", vec![cast(expr, DataType::Varchar(None)), length])
        }
        DataType::Time(_, TimezoneInfo::None) => called("time", vec![*expr]),
        data_type => cast(expr, cast_type(data_type)),
    }
}

/// The engine's SUBSTRING counts from the front only, and what lies before the first character too.
fn substring(expr: Box<Expr>, from: Box<Expr>, length: Option<Box<Expr>>, special: bool, shorthand: bool) -> Expr {
    let is_from_front = |digits: &str| digits.parse::<u64>().is_ok_and(|from| from > 0);
    match digits_of(&from) {
        Some(digits) if is_from_front(digits) => {
            Expr::Substring { expr, substring_from: Some(from), substring_for: length, special, shorthand }
        }
        _ => called("mid", [Some(expr), Some(from), length].into_iter().flatten().map(|expr| *expr).collect()),
    }
}

/// A call of one of the engine's functions.
pub(super) fn called(name: &str, arguments: Vec<Expr>) -> Expr {
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    let args = arguments.into_iter().map(argument).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

pub(super) fn cast(expr: Box<Expr>, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None }
}

fn cast_type(data_type: DataType) -> DataType {
    match data_type {
        DataType::Decimal(ExactNumberInfo::None) => DataType::Decimal(ExactNumberInfo::PrecisionAndScale(10, 0)),
        DataType::Unsigned | DataType::UnsignedInteger => DataType::Decimal(ExactNumberInfo::PrecisionAndScale(20, 0)),
        // Without digits the engine takes nanoseconds, which end in the year 2262.
        DataType::Datetime(_) => DataType::Timestamp(Some(6), TimezoneInfo::None),
        DataType::Char(_) | DataType::Nvarchar(_) => DataType::Varchar(None),
        DataType::JSON => DataType::Text,
        other => other,
    }
}

fn call(mut function: Function) -> Expr {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return Expr::Function(function) };
    let name = name.value.to_ascii_lowercase();
    if let Some(replaced) = operands(&function).and_then(|operands| as_expression(&name, &operands)) {
        return replaced;
    }
    match name.as_str() {
        "locate" => return locate(function),
        "group_concat" => return group_concat(function),
        "regexp_replace" => return regexp_replace(function),
        _ => {}
    }
    if let Some(engine) = engine_name(&name) {
        function.name = ObjectName::from(vec![Ident::new(engine)]);
    }
    Expr::Function(function)
}

/// The operands of a plain call.
pub(super) fn operands(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    if list.duplicate_treatment.is_some() || !list.clauses.is_empty() || function.over.is_some() {
        return None;
    }
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect()
}

/// Calls that are operators elsewhere.
fn as_expression(name: &str, operands: &[Expr]) -> Option<Expr> {
    match (name, operands) {
        ("if", [condition, yes, no]) => Some(Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![CaseWhen { condition: condition.clone(), result: yes.clone() }],
            else_result: Some(Box::new(no.clone())),
        }),
        ("mod", [left, right]) => Some(Expr::Nested(Box::new(Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(left.clone()))),
            op: BinaryOperator::Modulo,
            right: Box::new(Expr::Nested(Box::new(right.clone()))),
        }))),
        ("rand", []) => Some(called("random", Vec::new())),
        ("space", [count]) => {
            let blank = Expr::value(Literal::SingleQuotedString(" ".to_owned()));
            Some(called("repeat", vec![blank, count.clone()]))
        }
        // The engine's LOG without a base is that of 10.
        ("log", [number]) => Some(called("ln", vec![number.clone()])),
        ("isnull", [expr]) => {
            Some(Expr::Nested(Box::new(Expr::IsNull(Box::new(Expr::Nested(Box::new(expr.clone())))))))
        }
        _ => None,
    }
}

/// `LOCATE(part, text)` has its arguments the other way round.
fn locate(mut function: Function) -> Expr {
    if let FunctionArguments::List(list) = &mut function.args {
        if list.args.len() == 2 {
            list.args.reverse();
            function.name = ObjectName::from(vec![Ident::new("strpos")]);
        }
    }
    Expr::Function(function)
}

/// `GROUP_CONCAT([DISTINCT] a[, b] [ORDER BY …] [SEPARATOR ','])`: the engine joins texts, and has the separator as an argument.
fn group_concat(mut function: Function) -> Expr {
    let FunctionArguments::List(list) = &mut function.args else { return Expr::Function(function) };
    let mut separator = Expr::value(Literal::SingleQuotedString(",".to_owned()));
    list.clauses.retain(|clause| match clause {
        FunctionArgumentClause::Separator(text) => {
            separator = Expr::Value(text.clone());
            false
        }
        _ => true,
    });
    let mut operands = Vec::new();
    for argument in &list.args {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => operands.push(expr.clone()),
            _ => return Expr::Function(function),
        }
    }
    let joined = match operands.len() {
        0 => return Expr::Function(function),
        1 => operands.remove(0),
        _ => called("concat", operands),
    };
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    list.args = vec![argument(cast(Box::new(joined), DataType::Varchar(None))), argument(separator)];
    function.name = ObjectName::from(vec![Ident::new("string_agg")]);
    Expr::Function(function)
}

/// `REGEXP_REPLACE(text, pattern, by)` replaces each match; the engine's only the first, unless it is told so.
fn regexp_replace(mut function: Function) -> Expr {
    if let FunctionArguments::List(list) = &mut function.args
        && list.args.len() == 3
    {
        let flags = Expr::value(Literal::SingleQuotedString("gi".to_owned()));
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(flags)));
    }
    Expr::Function(function)
}
