//! From the errors of the catalog and the read side to those that a MySQL client knows: its numbers, its words, and the name
//! that was perhaps meant. The read side has taken the engine's own words out before.

use catalog::CatalogError;
use warehouse::read::errors::ReadError;

use super::alike::{did_you_mean, did_you_mean_function};
use super::rewrite::FUNCTIONS;
use crate::mysql::SqlError;

/// MySQL's number for a name that could mean two columns.
const AMBIGUOUS: u16 = 1052;
/// MySQL's number for two columns of one name.
const DUPLICATE_COLUMN: u16 = 1060;
/// MySQL's number for a value out of its type's range.
const OUT_OF_RANGE: u16 = 1690;
/// MySQL's number for a division by zero.
const DIVISION_BY_ZERO: u16 = 1365;
/// MySQL's number for arguments that a function does not take.
const WRONG_ARGUMENTS: u16 = 1210;
/// MySQL's number for a table that is not there.
const NO_SUCH_TABLE: u16 = 1146;

/// An error of the catalog, for whatever was asked of it.
pub(crate) fn of_catalog(error: &CatalogError) -> SqlError {
    SqlError::other(error.to_string())
}

/// An error of a query, before or while rows flow. `functions` are those that the engine has.
pub(crate) fn of_read(error: &ReadError, functions: impl FnOnce() -> Vec<String>) -> SqlError {
    match error {
        ReadError::UnknownTable { .. } => SqlError::new(NO_SUCH_TABLE, error.to_string()),
        ReadError::UnknownColumn { name, known, .. } => {
            let column = name.rsplit('.').next().unwrap_or(name);
            SqlError::unknown_column(name, "field list", &hint(column, known))
        }
        ReadError::AmbiguousColumn { name, .. } => {
            let message =
                format!("Column '{name}' in field list is ambiguous; write its table in front of it, as in t.{name}");
            SqlError::new(AMBIGUOUS, message)
        }
        ReadError::DuplicateColumn { name, .. } => {
            let message = format!("Duplicate column name '{name}'; give one of them another name with AS");
            SqlError::new(DUPLICATE_COLUMN, message)
        }
        ReadError::UnknownFunction { name, .. } => {
            let engine = functions();
            let names = engine.iter().map(String::as_str).chain(FUNCTIONS.iter().copied());
            SqlError::no_such_function(name, &did_you_mean_function(name, names))
        }
        ReadError::Arguments { function, given, .. } => {
            let message = format!(
                "Incorrect arguments to {function}: it does not take {given}; CAST the argument to another type"
            );
            SqlError::new(WRONG_ARGUMENTS, message)
        }
        ReadError::Function { message, .. } => SqlError::new(WRONG_ARGUMENTS, message.clone()),
        ReadError::Syntax { message } => SqlError::syntax(message),
        ReadError::Unsupported { message } => SqlError::not_supported(message),
        ReadError::DivisionByZero => {
            let message = "Division by 0; write NULLIF(divisor, 0) for NULL in its place";
            SqlError { code: DIVISION_BY_ZERO, state: *b"22012", message: message.to_owned() }
        }
        ReadError::OutOfRange { .. } => SqlError { code: OUT_OF_RANGE, state: *b"22003", message: error.to_string() },
        ReadError::Stopping => SqlError::shutting_down(),
        ReadError::Resources { .. } | ReadError::SpillLimit | ReadError::Spill { .. } => {
            SqlError::out_of_memory(error.to_string())
        }
        ReadError::Invalid { .. }
        | ReadError::Value { .. }
        | ReadError::Part(_)
        | ReadError::Snapshot(_)
        | ReadError::Lost(_)
        | ReadError::Catalog(_)
        | ReadError::Defect { .. } => SqlError::other(error.to_string()),
    }
}

/// The name that was perhaps meant, or some of those that there are.
fn hint(name: &str, known: &[String]) -> String {
    const SHOWN: usize = 10;
    let meant = did_you_mean(name, known.iter().map(String::as_str));
    if !meant.is_empty() || known.is_empty() {
        return meant;
    }
    let some: Vec<String> = known.iter().take(SHOWN).map(|name| format!("'{name}'")).collect();
    let more = if known.len() > some.len() { ", …" } else { "" };
    format!("there are {}{more}", some.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: &ReadError) -> (u16, String, String) {
        let functions = || ["cot", "count", "concat"].map(str::to_owned).to_vec();
        let error = of_read(error, functions);
        (error.code, error.state_text(), error.message)
    }

    #[test]
    fn names_have_their_numbers_and_the_one_that_was_perhaps_meant() {
        let known = || ["Origin", "dest"].map(str::to_owned).to_vec();
        let column = |name: &str| ReadError::UnknownColumn { name: name.to_owned(), known: known(), place: None };
        let (code, state, message) = told(&column("f.origni"));
        assert_eq!((code, state.as_str()), (1054, "42S22"));
        assert_eq!(message, "Unknown column 'f.origni' in 'field list'; did you mean 'Origin'?");
        assert!(told(&column("zzzz")).2.ends_with("; there are 'Origin', 'dest'"));
        let (code, state, message) = told(&ReadError::AmbiguousColumn { name: "a".to_owned(), place: None });
        assert_eq!((code, state.as_str()), (1052, "23000"));
        assert!(message.starts_with("Column 'a' in field list is ambiguous"), "{message}");
        let (code, state, message) = told(&ReadError::UnknownFunction { name: "cuont".to_owned(), place: None });
        assert_eq!((code, state.as_str()), (1305, "42000"));
        assert_eq!(message, "FUNCTION cuont does not exist; did you mean 'count'?");
    }

    #[test]
    fn a_function_that_only_mysql_has_can_be_meant_too() {
        let error = ReadError::UnknownFunction { name: "dayofwek".to_owned(), place: None };
        assert!(told(&error).2.ends_with("did you mean 'dayofweek'?"));
    }

    #[test]
    fn values_have_their_numbers() {
        assert_eq!(told(&ReadError::DivisionByZero).0, 1365);
        assert!(told(&ReadError::DivisionByZero).2.contains("NULLIF(divisor, 0)"));
        let (code, state, _) = told(&ReadError::SpillLimit);
        assert_eq!((code, state.as_str()), (1038, "HY001"));
        assert!(told(&ReadError::SpillLimit).2.contains("raise query.spill_limit"));
        assert_eq!(told(&ReadError::OutOfRange { message: "x".to_owned() }).0, 1690);
        assert_eq!(told(&ReadError::Value { message: "x".to_owned() }).0, 1105);
        let arguments = ReadError::Arguments { function: "sum".to_owned(), given: "TEXT".to_owned(), place: None };
        let expected = "Incorrect arguments to sum: it does not take TEXT; CAST the argument to another type";
        assert_eq!((told(&arguments).0, told(&arguments).2.as_str()), (1210, expected));
    }
}
