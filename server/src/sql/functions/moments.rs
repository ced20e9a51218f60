//! How dates and times meet texts, where the engine's own rules are not MySQL's. In a comparison it counts a text in nanoseconds, which
//! end in the year 2262: `valid_to = '9999-12-31'` would be an error. It compares no TIME with a text. As a text, a moment has a `T` in
//! its middle, and a TIME is a sentence.

use std::mem;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, DurationMicrosecondArray, StringArray};
use arrow::compute::cast as cast_array;
use arrow::datatypes::{DataType, DurationMicrosecondType, Time64MicrosecondType, TimeUnit};
use catalog::{ColumnType, Scalar};
use chrono::{NaiveDateTime, Timelike};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF, cast};
use datafusion::optimizer::AnalyzerRule;
use warehouse::write::decode::value_of_text;

use super::rules::{Rule, compared};
use super::time::Moments;
use super::{Function, Own};
use crate::sql::literal::{MOMENT_MICROS, span_text};

pub(super) fn all() -> Vec<Own> {
    vec![to_time()]
}

fn to_time() -> Own {
    Own { name: "time", arguments: 1..=1, returns: DataType::Duration(TimeUnit::Microsecond), compute: time }
}

/// What is done before the engine brings the types of operands together.
pub(super) fn before() -> Arc<dyn AnalyzerRule + Send + Sync> {
    let function = Arc::new(ScalarUDF::new_from_impl(Function::from(to_time())));
    Arc::new(Rule { name: "times_and_texts", rewrite: Box::new(move |expr, schema| read_all(expr, schema, &function)) })
}

/// What is done after that.
pub(super) fn after() -> Arc<dyn AnalyzerRule + Send + Sync> {
    let own = Own { name: "time_text", arguments: 1..=1, returns: DataType::Utf8, compute: time_text };
    let function = Arc::new(ScalarUDF::new_from_impl(Function::from(own)));
    Arc::new(Rule { name: "texts_of_times", rewrite: Box::new(move |expr, schema| told(expr, schema, &function)) })
}

/// What a column of DATETIME, TIMESTAMP or TIME is of: `None` if the expression is of another type, or of which cannot be told yet, as
/// of a column of a query around this one.
fn time_type(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    expr.get_type(schema).ok().filter(is_time)
}

fn is_time(of: &DataType) -> bool {
    matches!(of, DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Duration(TimeUnit::Microsecond))
}

/// Makes of `operand` what it is compared with, where that is of the type `time` and `operand` is a text, or a time of day; whether it did.
fn read(operand: &mut Expr, time: &DataType, schema: &DFSchema, to_time: &Arc<ScalarUDF>) -> bool {
    let Ok(of) = operand.get_type(schema) else { return false };
    let is_clock = matches!(of, DataType::Time32(_) | DataType::Time64(_));
    let read: &dyn Fn(Expr) -> Expr = match time {
        DataType::Duration(_) if of.is_string() || is_clock => &|operand| called(to_time, operand),
        DataType::Timestamp(..) if of.is_string() => &|operand| cast(operand, time.clone()),
        _ => return false,
    };
    *operand = read(mem::take(operand));
    true
}

fn called(function: &Arc<ScalarUDF>, argument: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), vec![argument]))
}

fn read_all(mut expr: Expr, schema: &DFSchema, to_time: &Arc<ScalarUDF>) -> Result<Transformed<Expr>> {
    let operands = compared(&mut expr);
    let Some(time) = operands.iter().find_map(|operand| time_type(operand, schema)) else {
        return Ok(Transformed::no(expr));
    };
    let mut transformed = false;
    for operand in operands {
        transformed |= read(operand, &time, schema, to_time);
    }
    Ok(Transformed::new_transformed(expr, transformed))
}

fn told(expr: Expr, schema: &DFSchema, to_text: &Arc<ScalarUDF>) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(Cast { expr, field }) if field.data_type().is_string() && time_type(&expr, schema).is_some() => {
            let text = called(to_text, *expr);
            let text = if field.data_type() == &DataType::Utf8 { text } else { cast(text, field.data_type().clone()) };
            Ok(Transformed::yes(text))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn time_text(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    Ok(Arc::new(super::texts(&arguments[0])?))
}

/// As MySQL writes them, with a fraction where there is one; `None` where the values are no times.
pub(super) fn texts(times: &ArrayRef) -> Option<Result<StringArray>> {
    match times.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Some(Moments::of(times).map(|of| of.map(moment_text).collect()))
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            let spans = times.as_primitive::<DurationMicrosecondType>();
            Some(Ok(spans.iter().map(|micros| micros.map(span_text)).collect()))
        }
        _ => None,
    }
}

fn moment_text(moment: NaiveDateTime) -> Option<String> {
    let has_fraction = moment.and_utc().timestamp_subsec_micros() != 0;
    let format = if has_fraction { MOMENT_MICROS } else { "%Y-%m-%d %H:%M:%S" };
    Some(moment.format(format).to_string())
}

/// MySQL's TIME(): the time of day of a moment, and of a text what it says.
fn time(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let values = &arguments[0];
    let micros: DurationMicrosecondArray = match values.data_type() {
        DataType::Duration(TimeUnit::Microsecond) => return Ok(Arc::clone(values)),
        DataType::Time32(_) | DataType::Time64(_) => {
            let of_day = cast_array(values, &DataType::Time64(TimeUnit::Microsecond))?;
            of_day.as_primitive::<Time64MicrosecondType>().iter().collect()
        }
        DataType::Date32 | DataType::Timestamp(..) => Moments::of(values)?.map(|at| Some(of_day(at))).collect(),
        _ => {
            let texts = super::texts(values)?;
            texts.iter().map(|text| text.and_then(micros_of)).collect()
        }
    };
    Ok(Arc::new(micros))
}

fn of_day(moment: NaiveDateTime) -> i64 {
    i64::from(moment.num_seconds_from_midnight()) * 1_000_000 + i64::from(moment.nanosecond() / 1_000)
}

fn micros_of(text: &str) -> Option<i64> {
    match value_of_text(&ColumnType::Time { digits: None }, text) {
        Ok(Scalar::Micros(micros)) => Some(micros),
        // A whole moment.
        _ => match value_of_text(&ColumnType::DateTime { digits: None }, text) {
            Ok(Scalar::Micros(micros)) => Some(micros.rem_euclid(86_400_000_000)),
            _ => None,
        },
    }
}
