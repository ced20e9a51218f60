//! From the errors of the catalog and the engine to those that a MySQL client knows. Nothing of how we are built gets out:
//! no type names, no "internal error".

use catalog::CatalogError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;

use super::alike::did_you_mean;
use super::seams::QueryError;
use crate::mysql::SqlError;

/// MySQL's number for a name that could mean two columns.
const AMBIGUOUS: u16 = 1052;
/// MySQL's number for memory that is used up.
const OUT_OF_MEMORY: u16 = 1038;
/// MySQL's number for a value out of its type's range.
const OUT_OF_RANGE: u16 = 1690;
/// MySQL's number for a division by zero.
const DIVISION_BY_ZERO: u16 = 1365;
/// MySQL's number for arguments that a function does not take.
const WRONG_ARGUMENTS: u16 = 1210;
/// Why an engine error of ours may be asked about.
const REPORT: &str = "please report it with the statement";

/// An error of the catalog, for whatever was asked of it.
pub(crate) fn of_catalog(error: &CatalogError) -> SqlError {
    SqlError::other(error.to_string())
}

/// An error of a query.
pub(crate) fn of_query(error: &QueryError) -> SqlError {
    match error {
        QueryError::Engine(error) => of_engine(error),
        QueryError::Unavailable(message) => SqlError::other(message.clone()),
    }
}

/// An error of the engine, before or while rows flow.
pub(crate) fn of_engine(error: &DataFusionError) -> SqlError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => of_engine(inner),
        DataFusionError::Shared(inner) => of_engine(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => of_engine(first),
            None => SqlError::other("the query failed without a reason; run it again"),
        },
        DataFusionError::External(inner) => of_external(inner.as_ref()),
        DataFusionError::SchemaError(error, _) => of_schema(error),
        DataFusionError::Plan(message) => of_plan(message),
        DataFusionError::NotImplemented(message) => SqlError::not_supported(&plain(message)),
        DataFusionError::SQL(error, _) => SqlError::syntax(&plain(&error.to_string())),
        DataFusionError::ResourcesExhausted(message) => SqlError::new(
            OUT_OF_MEMORY,
            format!("the query needs more memory than it may have: {}; select fewer rows or columns", plain(message)),
        ),
        DataFusionError::ArrowError(error, _) => of_arrow(&error.to_string()),
        DataFusionError::Internal(message) => {
            let cause = message.split("\nThis issue was likely caused by").next().unwrap_or_default();
            SqlError::other(format!("the query cannot be run: {}; {REPORT}", plain(cause)))
        }
        DataFusionError::Configuration(message) | DataFusionError::Execution(message) => {
            SqlError::other(plain(message))
        }
        other => SqlError::other(plain(&other.strip_backtrace())),
    }
}

/// An error of ours that has travelled through the engine, or that the read side has put into words already.
fn of_external(error: &(dyn std::error::Error + 'static)) -> SqlError {
    if let Some(error) = error.downcast_ref::<SqlError>() {
        return wrong_arguments(&error.message).unwrap_or_else(|| error.clone());
    }
    if let Some(error) = error.downcast_ref::<CatalogError>() {
        return of_catalog(error);
    }
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        return of_engine(error);
    }
    SqlError::other(plain(&error.to_string()))
}

fn of_schema(error: &SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names = valid_fields.iter().map(|column| column.name.as_str());
            SqlError::unknown_column(&shown(field), "field list", &did_you_mean(&field.name, names))
        }
        SchemaError::AmbiguousReference { field } => {
            let message =
                format!("Column '{}' in field list is ambiguous; write it with its table in front", shown(field));
            SqlError::new(AMBIGUOUS, message)
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            SqlError::new(1060, format!("Duplicate column name '{name}'; give one of them another name with AS"))
        }
    }
}

fn shown(column: &Column) -> String {
    match &column.relation {
        Some(relation) => format!("{}.{}", relation.table(), column.name),
        None => column.name.clone(),
    }
}

/// The engine tells most of what is wrong with a statement as text.
fn of_plan(message: &str) -> SqlError {
    if let Some(error) = wrong_arguments(message) {
        return error;
    }
    let quoted = |prefix: &str| {
        let rest = message.split_once(prefix)?.1;
        rest.split_once('\'').map(|(name, _)| name.to_owned())
    };
    if let Some(function) = quoted("Invalid function '") {
        return SqlError::no_such_function(&function, &hint_of(message));
    }
    if let Some(table) = quoted("table '") {
        if message.contains("not found") {
            let mut parts = table.rsplitn(3, '.');
            let table = parts.next().unwrap_or_default();
            return SqlError::no_such_table(parts.next().unwrap_or_default(), table, "");
        }
    }
    if message.contains("Divide by zero") {
        return of_arrow(message);
    }
    SqlError::other(plain(message))
}

/// The engine lists every type that a function would have taken, in words of its own.
fn wrong_arguments(message: &str) -> Option<SqlError> {
    let (before, after) = message.split_once("' failed to match any signature")?;
    let function = before.rsplit('\'').next().unwrap_or_default();
    let given = after.rsplit_once("DataType: ").map_or("", |(_, given)| given.trim_end_matches([')', '.']).trim());
    let given = if given.is_empty() { String::new() } else { format!(" {}", plain(given)) };
    let message =
        format!("Incorrect arguments to {function}: it does not take{given}; CAST the argument to another type");
    Some(SqlError::new(WRONG_ARGUMENTS, message))
}

fn hint_of(message: &str) -> String {
    match message.split_once("Did you mean ") {
        Some((_, rest)) => format!("did you mean {}?", rest.trim_end_matches('?')),
        None => String::new(),
    }
}

fn of_arrow(message: &str) -> SqlError {
    if message.contains("Divide by zero") {
        let message = "Division by 0; write NULLIF(divisor, 0) for NULL in its place";
        return SqlError { code: DIVISION_BY_ZERO, state: *b"22012", message: message.to_owned() };
    }
    if message.contains("verflow") {
        let message = format!("a value is out of its type's range: {}", plain(message));
        return SqlError { code: OUT_OF_RANGE, state: *b"22003", message };
    }
    SqlError::other(plain(message))
}

/// A message without the engine's kinds of errors, and without what the engine calls its types.
fn plain(message: &str) -> String {
    const PREFIXES: [&str; 13] = [
        "Error during planning: ",
        "This feature is not implemented: ",
        "Execution error: ",
        "Arrow error: ",
        "Optimizer rule ",
        "Schema error: ",
        "External error: ",
        "SQL error: ",
        "sql parser error: ",
        "Invalid argument error: ",
        "Compute error: ",
        "Cast error: ",
        "Internal error: ",
    ];
    const TYPES: [(&str, &str); 14] = [
        ("Utf8View", "TEXT"),
        ("LargeUtf8", "TEXT"),
        ("Utf8", "TEXT"),
        ("Int64", "BIGINT"),
        ("UInt64", "BIGINT UNSIGNED"),
        ("Int32", "INT"),
        ("UInt32", "INT UNSIGNED"),
        ("Float64", "DOUBLE"),
        ("Float32", "FLOAT"),
        ("Date32", "DATE"),
        ("Decimal128", "DECIMAL"),
        ("Timestamp(ns)", "DATETIME"),
        ("Timestamp(µs)", "DATETIME"),
        ("Timestamp(Microsecond, None)", "DATETIME"),
    ];
    let mut rest = message.trim();
    while let Some(shorter) = PREFIXES.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = shorter;
    }
    let first_part = rest.split("\n\nbacktrace:").next().unwrap_or_default().trim();
    TYPES.iter().fold(first_part.to_owned(), |text, (type_name, sql)| replace_word(&text, type_name, sql))
}

/// Replaces `word` where it does not go on as a longer word.
fn replace_word(text: &str, word: &str, by: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, found) = rest.split_at(at);
        let after = &found[word.len()..];
        let is_part = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
        let whole = !is_part(before.chars().next_back()) && !is_part(after.chars().next());
        replaced.push_str(before);
        replaced.push_str(if whole { by } else { word });
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_how_the_engine_is_built_gets_out() {
        for error in [
            DataFusionError::Internal("foo\nThis issue was likely caused by a bug in DataFusion's code".into()),
            DataFusionError::Plan("Cannot coerce Utf8View to Int64".into()),
            DataFusionError::Execution("Execution error: it broke".into()),
            DataFusionError::Context("while".into(), Box::new(DataFusionError::NotImplemented("GROUPS".into()))),
        ] {
            let message = of_engine(&error).message;
            for word in ["Internal", "DataFusion", "Utf8", "Int64", "Execution error", "Error during"] {
                assert!(!message.contains(word), "{message}");
            }
        }
    }

    #[test]
    fn an_error_of_ours_passes_through_the_engine_unchanged() {
        let ours = SqlError::no_such_table("a", "b", "");
        let error = DataFusionError::External(Box::new(ours.clone())).context("scanning");
        assert_eq!(of_engine(&error), ours);
    }

    #[test]
    fn arguments_that_a_function_does_not_take_are_told_in_a_line() {
        let message = "Internal error: Function 'sum' failed to match any signature, errors: Error during planning: Function 'sum' \
                       requires Decimal, but received String (DataType: .,Error during planning: Function 'sum' requires \
                       Interval, but received String DataType: Utf8View).";
        for error in [
            DataFusionError::Plan(message.into()),
            DataFusionError::External(Box::new(SqlError::new(1305, message.replace("Utf8View", "TEXT")))),
        ] {
            let error = of_engine(&error);
            assert_eq!(error.code, 1210);
            assert_eq!(
                error.message,
                "Incorrect arguments to sum: it does not take TEXT; CAST the argument to another type"
            );
        }
    }

    #[test]
    fn functions_and_divisions_have_their_numbers() {
        let error = of_engine(&DataFusionError::Plan("Invalid function 'cuont'.\nDid you mean 'count'?".into()));
        assert_eq!(
            (error.code, error.message.as_str()),
            (1305, "FUNCTION cuont does not exist; did you mean 'count'?")
        );
        assert_eq!(of_engine(&DataFusionError::Execution("x".into())).code, 1105);
    }
}
