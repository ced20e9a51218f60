//! Functions of the engine that take nothing but a text, where MySQL's take whatever there is and make a text of it.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::functions::string;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// `lower` and `upper`.
pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let lenient = |function| Lenient { function, signature: Signature::user_defined(Volatility::Immutable) };
    [string::lower(), string::upper()].map(|function| Arc::new(ScalarUDF::new_from_impl(lenient(function)))).into()
}

/// The function, under its own name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Lenient {
    function: Arc<ScalarUDF>,
    signature: Signature,
}

impl ScalarUDFImpl for Lenient {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.function.return_type(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match arguments {
            [text] if is_text(text) => Ok(vec![text.clone()]),
            [_] => Ok(vec![DataType::Utf8]),
            _ => plan_err!("'{}' expects 1 arguments, got {}", self.name(), arguments.len()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.function.inner().invoke_with_args(args)
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}
