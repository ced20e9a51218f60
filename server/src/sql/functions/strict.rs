//! Functions of the engine that pass NULL over, where MySQL's answer NULL if any argument is.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::{is_null, nullif, or};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::{core, string};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

/// `concat`, `greatest` and `least`.
pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let engine = [string::concat(), core::greatest(), core::least()];
    engine.map(|function| Arc::new(ScalarUDF::new_from_impl(Strict(function)))).into()
}

/// The function, under its own name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Strict(Arc<ScalarUDF>);

impl ScalarUDFImpl for Strict {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.0.return_type(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.0.coerce_types(arguments)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (given, rows, returns) = (args.args.clone(), args.number_rows, args.return_type().clone());
        let result = self.0.inner().invoke_with_args(args)?;
        let mut nulls: Option<BooleanArray> = None;
        for argument in &given {
            match argument {
                ColumnarValue::Scalar(value) if value.is_null() => {
                    return Ok(ColumnarValue::Scalar(ScalarValue::try_from(&returns)?));
                }
                ColumnarValue::Scalar(_) => {}
                ColumnarValue::Array(values) => {
                    let more = is_null(values)?;
                    nulls = Some(match nulls {
                        Some(nulls) => or(&nulls, &more)?,
                        None => more,
                    });
                }
            }
        }
        match nulls.filter(|nulls| nulls.true_count() > 0) {
            Some(nulls) => {
                let values: ArrayRef = result.into_array(rows)?;
                Ok(ColumnarValue::Array(nullif(&values, &nulls)?))
            }
            None => Ok(result),
        }
    }
}
