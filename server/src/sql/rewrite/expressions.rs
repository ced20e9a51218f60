//! Operators and calls of MySQL in the engine's words.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, TimezoneInfo, UnaryOperator,
};

use super::functions::engine_name;

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
        Expr::Cast { kind, expr, data_type, array, format } => {
            Expr::Cast { kind, expr, data_type: cast_type(data_type), array, format }
        }
        Expr::Convert { expr, data_type: Some(data_type), charset: None, .. } => cast(expr, cast_type(data_type)),
        Expr::Convert { expr, data_type: None, .. } => *expr,
        Expr::Function(function) => call(function),
        other => other,
    };
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
        op => Expr::BinaryOp { left, op, right },
    }
}

pub(super) fn cast(expr: Box<Expr>, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None }
}

fn cast_type(data_type: DataType) -> DataType {
    match data_type {
        DataType::Signed | DataType::SignedInteger => DataType::BigInt(None),
        DataType::Unsigned | DataType::UnsignedInteger => DataType::Decimal(ExactNumberInfo::PrecisionAndScale(20, 0)),
        DataType::Datetime(_) => DataType::Timestamp(None, TimezoneInfo::None),
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
    if name == "locate" {
        return locate(function);
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
