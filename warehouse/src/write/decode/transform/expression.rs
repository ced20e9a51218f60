//! One home of DataFusion: expressions of a pipeline, planned once and evaluated on each batch.
//!
//! Owns which expressions a pipeline may hold: those that are the same function of the record whenever, wherever and
//! however often they are computed. Everything else would make a replayed record another row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_empty_array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, Operator, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Literal, NegativeExpr};
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast;

/// Plans the expressions of one pipeline.
pub(super) struct Planner {
    state: SessionState,
    arguments: SchemaRef,
    schema: DFSchema,
}

/// A planned expression.
#[derive(Debug)]
pub(super) struct Expression {
    /// What its errors are said of.
    pub(super) place: String,
    physical: Arc<dyn PhysicalExpr>,
    data_type: DataType,
}

impl Expression {
    /// The type of its values.
    pub(super) fn data_type(&self) -> &DataType {
        &self.data_type
    }
}

impl Planner {
    /// A planner of expressions over columns named and typed as `arguments`.
    pub(super) fn new(arguments: SchemaRef) -> Result<Self, String> {
        let mut config = SessionConfig::new();
        // Fields of a record keep their case: `userId` is not `userid`.
        config.options_mut().sql_parser.enable_ident_normalization = false;
        let state = SessionStateBuilder::new().with_config(config).with_default_features().build();
        let schema = DFSchema::try_from(Arc::clone(&arguments)).map_err(|error| words(&error))?;
        Ok(Self { state, arguments, schema })
    }

    /// Plans `expression`, or says why it cannot be part of a pipeline.
    pub(super) fn plan(&self, place: &str, expression: &ast::Expr) -> Result<Expression, String> {
        let unnamed = ast::ExprWithAlias { expr: expression.clone(), alias: None };
        let logical =
            self.state.create_logical_expr_from_sql_expr(unnamed, &self.schema).map_err(|error| words(&error))?;
        refuse_impure(&logical)?;
        self.plan_logical(place, logical).map_err(|error| words(&error))
    }

    fn plan_logical(&self, place: &str, logical: Expr) -> Result<Expression, DataFusionError> {
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(self.schema.clone()))
            .with_config_options(Arc::clone(self.state.config_options()))
            .build();
        // Some functions exist only as what they are simplified to.
        let simplifier = ExprSimplifier::new(context);
        let logical = simplifier.simplify(simplifier.coerce(logical, &self.schema)?)?;
        let physical = self.state.create_physical_expr(logical, &self.schema)?;
        let physical = physical.transform_up(|node| checked(node, &self.arguments))?.data;
        let data_type = physical.data_type(&self.arguments)?;
        Ok(Expression { place: place.to_owned(), physical, data_type })
    }
}

/// Arithmetic that fails where it would wrap around: an overflow is an error row, never another number.
fn checked(
    node: Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
) -> Result<Transformed<Arc<dyn PhysicalExpr>>, DataFusionError> {
    if let Some(binary) = node.downcast_ref::<BinaryExpr>() {
        let checked = binary.clone().with_fail_on_overflow(true);
        return Ok(Transformed::yes(Arc::new(checked)));
    }
    if let Some(negative) = node.downcast_ref::<NegativeExpr>() {
        let data_type = negative.arg().data_type(schema)?;
        if data_type.is_integer() {
            let zero = Arc::new(Literal::new(ScalarValue::new_zero(&data_type)?));
            let difference = BinaryExpr::new(zero, Operator::Minus, Arc::clone(negative.arg()));
            return Ok(Transformed::yes(Arc::new(difference.with_fail_on_overflow(true))));
        }
    }
    Ok(Transformed::no(node))
}

/// Refuses all that is not a deterministic function of one record.
fn refuse_impure(expression: &Expr) -> Result<(), String> {
    let mut refused = None;
    let walked = expression.apply(|node| {
        refused = impurity(node);
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    match (refused, walked) {
        (Some(why), _) => Err(why),
        (None, Err(error)) => Err(words(&error)),
        (None, Ok(_)) => Ok(()),
    }
}

fn impurity(node: &Expr) -> Option<String> {
    let aggregates = |what: &str| {
        format!("{what} looks at many records, and a pipeline makes each row from one; compute it when you query")
    };
    match node {
        Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => Some(format!(
            "{}() gives another value each time it is computed, and a record that is read again after a crash must become \
             the same row; take the value from the record, or use _timestamp for its time",
            call.func.name()
        )),
        Expr::AggregateFunction(call) => Some(aggregates(&format!("the aggregate {}()", call.func.name()))),
        Expr::WindowFunction(call) => Some(aggregates(&format!("the window function {}()", call.fun.name()))),
        Expr::Unnest(_) => Some("UNNEST makes several rows of one record; keep the value as a JSON column".to_owned()),
        Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) | Expr::ScalarSubquery(_) => {
            Some(aggregates("a subquery"))
        }
        Expr::OuterReferenceColumn(..) | Expr::ScalarVariable(..) | Expr::Placeholder(_) => {
            Some("variables and parameters have no value in a pipeline; write the value".to_owned())
        }
        #[expect(deprecated, reason = "it is still a variant, and must be refused")]
        Expr::Wildcard { .. } => Some("`*` is no value; write a column's name".to_owned()),
        Expr::GroupingSet(_) => Some(aggregates("GROUPING SETS")),
        _ => None,
    }
}

/// What came of evaluating expressions on some rows.
pub(super) struct Evaluated {
    /// One column an expression, over the rows on which none failed.
    pub(super) columns: Vec<ArrayRef>,
    /// The rows on which one failed, rising, and why.
    pub(super) failures: Vec<(usize, String)>,
}

/// Evaluates `expressions` on `rows`. Where that fails the rows are halved until the failing ones stand alone, so that
/// they cost their own rows only.
pub(super) fn evaluate(expressions: &[&Expression], rows: &RecordBatch) -> Evaluated {
    let mut chunks = vec![Vec::new(); expressions.len()];
    let mut failures = Vec::new();
    // The last is the next to be evaluated, so that rows stay in order.
    let mut spans = vec![(0, rows.num_rows())];
    while let Some((start, length)) = spans.pop() {
        match evaluate_span(expressions, &rows.slice(start, length)) {
            Ok(columns) => chunks.iter_mut().zip(columns).for_each(|(chunks, column)| chunks.push(column)),
            Err(why) if length == 1 => failures.push((start, why)),
            Err(_) => {
                let half = length / 2;
                spans.push((start + half, length - half));
                spans.push((start, half));
            }
        }
    }
    let whole = |(chunks, expression): (Vec<ArrayRef>, &&Expression)| match chunks.as_slice() {
        [] => new_empty_array(&expression.data_type),
        [one] => Arc::clone(one),
        several => {
            let several: Vec<&dyn Array> = several.iter().map(AsRef::as_ref).collect();
            concat(&several).expect("all of the expression's one type, and no longer than the rows were")
        }
    };
    Evaluated { columns: chunks.into_iter().zip(expressions).map(whole).collect(), failures }
}

fn evaluate_span(expressions: &[&Expression], rows: &RecordBatch) -> Result<Vec<ArrayRef>, String> {
    if rows.num_rows() == 0 {
        return Ok(expressions.iter().map(|expression| new_empty_array(&expression.data_type)).collect());
    }
    let evaluate = |expression: &&Expression| {
        let column = expression.physical.evaluate(rows)?.into_array_of_size(rows.num_rows())?;
        if *column.data_type() == expression.data_type { Ok(column) } else { Ok(cast(&column, &expression.data_type)?) }
    };
    let place = |expression: &&Expression, error: DataFusionError| format!("{}: {}", expression.place, words(&error));
    expressions.iter().map(|expression| evaluate(expression).map_err(|error| place(expression, error))).collect()
}

/// Arrow's names of types, and SQL's. Longer names first: a name can begin with another.
const TYPE_NAMES: [(&str, &str); 9] = [
    ("Utf8View", "TEXT"),
    ("LargeUtf8", "TEXT"),
    ("Utf8", "TEXT"),
    ("Int64", "BIGINT"),
    ("Int32", "INT"),
    ("Float64", "DOUBLE"),
    ("Float32", "FLOAT"),
    ("Decimal128", "DECIMAL"),
    ("Date32", "DATE"),
];

/// DataFusion's error in words for people who write SQL.
fn words(error: &DataFusionError) -> String {
    let words = match error.find_root() {
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::DivideByZero => "division by zero".to_owned(),
            ArrowError::CastError(why)
            | ArrowError::ArithmeticOverflow(why)
            | ArrowError::ComputeError(why)
            | ArrowError::ParseError(why)
            | ArrowError::InvalidArgumentError(why) => why.clone(),
            other => other.to_string(),
        },
        other => other.message().into_owned(),
    };
    let line = words.lines().next().unwrap_or_default();
    TYPE_NAMES.iter().fold(line.to_owned(), |words, (arrow, sql)| words.replace(arrow, sql))
}
