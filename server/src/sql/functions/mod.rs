//! MySQL's functions of one row that the engine does not have, or has with another result. Owns what they compute; what calls look
//! like is `rewrite`'s.
//!
//! Each takes any types, as MySQL's do, and makes of them what it needs: what cannot be made one is NULL.

mod exact;
mod json;
mod lenient;
mod moments;
mod number;
mod rules;
mod strict;
mod text;
mod time;
mod week;

use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use warehouse::read::engine::Functions;

pub(crate) use exact::{EXACT, is_beyond_double};
pub(crate) use time::parts as parts_of_format;

/// A function: what it is called, how many arguments it takes, what it gives, and how.
#[derive(Debug)]
struct Own {
    name: &'static str,
    arguments: RangeInclusive<usize>,
    returns: DataType,
    /// From a column for each argument, all of one length, to a column of that length.
    compute: fn(&[ArrayRef]) -> Result<ArrayRef>,
}

/// All of them, as the engine takes them.
pub(crate) fn functions() -> Functions {
    let own = [text::all(), time::all(), moments::all(), json::all(), number::all(), exact::all()];
    let own = own.into_iter().flatten();
    let own = own.map(|own| Arc::new(ScalarUDF::new_from_impl(Function::from(own))));
    let scalar = own.chain(strict::all()).chain(lenient::all());
    let before = exact::before().into_iter().chain([moments::before()]).collect();
    let after = vec![moments::after()];
    Functions { scalar: scalar.collect(), aggregate: Vec::new(), before, after }
}

/// One of them as the engine sees it. Two of one name are the same.
#[derive(Debug)]
struct Function {
    own: Own,
    signature: Signature,
}

impl From<Own> for Function {
    fn from(own: Own) -> Self {
        let counts = own.arguments.clone().map(TypeSignature::Any).collect();
        Self { own, signature: Signature::one_of(counts, Volatility::Immutable) }
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.own.name == other.own.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.own.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.own.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.own.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let values = (self.own.compute)(&arrays)?;
        match is_scalar {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?)),
            false => Ok(ColumnarValue::Array(values)),
        }
    }
}

/// The values as texts.
fn texts(values: &ArrayRef) -> Result<StringArray> {
    match moments::texts(values) {
        Some(texts) => texts,
        None => Ok(cast(values, &DataType::Utf8)?.as_string::<i32>().clone()),
    }
}

/// The values as whole numbers.
fn integers(values: &ArrayRef) -> Result<Int64Array> {
    Ok(cast(values, &DataType::Int64)?.as_primitive().clone())
}

/// The value of a row, if there is one.
fn text_at(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

fn integer_at(integers: &Int64Array, row: usize) -> Option<i64> {
    integers.is_valid(row).then(|| integers.value(row))
}
