//! What can go wrong with a query, sorted by what a client is told, and the way there from the engine's errors.

use std::error::Error;

use arrow::error::ArrowError;
use catalog::CatalogError;
use datafusion::common::{Column, DataFusionError, SchemaError};

use super::pin::PinError;
use super::reader::PartError;
use super::snapshot::SnapshotError;
use super::wording::in_sql;

/// More names than these are too many for a message.
const NAMES_SHOWN: usize = 10;

/// A place in the statement's text, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// Why a query was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A table, or its database, is not there.
    #[error("there is no {what}")]
    UnknownTable {
        /// What, and what was probably meant.
        what: String,
    },
    /// A column is not there.
    #[error("there is no column `{name}` here{}", among(known))]
    UnknownColumn {
        /// As typed, with its table where that was typed.
        name: String,
        /// The columns that there are.
        known: Vec<String>,
        /// Where it stands.
        place: Option<Place>,
    },
    /// A column's name means several columns.
    #[error("column `{name}` is in several of these tables: write which one, as in `t`.`{name}`")]
    AmbiguousColumn {
        /// As typed.
        name: String,
        /// Where it stands.
        place: Option<Place>,
    },
    /// Two columns of a table, or of a subquery, have one name.
    #[error("two columns are named `{name}` here: give one of them another name with AS")]
    DuplicateColumn {
        /// The name.
        name: String,
        /// Where it stands.
        place: Option<Place>,
    },
    /// A function is not there.
    #[error("there is no function `{name}`")]
    UnknownFunction {
        /// As typed.
        name: String,
        /// Where it stands.
        place: Option<Place>,
    },
    /// A function does not take values of these types.
    #[error("`{function}` does not take {given}: CAST the argument to another type")]
    Arguments {
        /// The function.
        function: String,
        /// The types that it was given, as far as the engine tells them.
        given: String,
        /// Where it stands.
        place: Option<Place>,
    },
    /// A function cannot be called so.
    #[error("{message}")]
    Function {
        /// What is wrong.
        message: String,
        /// Where it stands.
        place: Option<Place>,
    },
    /// It is not SQL.
    #[error("{message}")]
    Syntax {
        /// What is wrong.
        message: String,
    },
    /// It is SQL, and means nothing: wrong types, a column that is not grouped by.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// Where it stands.
        place: Option<Place>,
    },
    /// It is known, and not built or not allowed here.
    #[error("{message}")]
    Unsupported {
        /// What.
        message: String,
    },
    /// A row's divisor is zero.
    #[error("division by zero: write NULLIF(divisor, 0) for NULL in its place")]
    DivisionByZero,
    /// A row's value is beyond its type.
    #[error("a value is out of its type's range: {message}; CAST to a wider type first")]
    OutOfRange {
        /// Which.
        message: String,
    },
    /// A row's values cannot be worked with: a text that is no number.
    #[error("{message}")]
    Value {
        /// What is wrong.
        message: String,
    },
    /// A part is damaged, missing or unreadable.
    #[error(transparent)]
    Part(#[from] PartError),
    /// No snapshot was to be had.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Rows in memory were lost while the query ran.
    #[error(transparent)]
    Lost(#[from] PinError),
    /// The catalog did not answer.
    #[error(transparent)]
    Catalog(CatalogError),
    /// It needs more memory than queries have.
    #[error(
        "the query needs more memory than queries have together, and could not spill enough to disk ({cause}); read fewer rows or columns, group by fewer values, or raise memory.limit"
    )]
    Resources {
        /// What the engine says.
        cause: String,
    },
    /// It spills more than queries may at a time.
    #[error(
        "the query needs more memory than queries have together, and what it spilled to disk in its place would pass query.spill_limit; read fewer rows or columns, group by fewer values, or raise query.spill_limit"
    )]
    SpillLimit,
    /// The disk does not take what it spills, or lost it.
    #[error(
        "the query needs more memory than queries have together, and could not spill to disk ({cause}); make room there, or read fewer rows or columns"
    )]
    Spill {
        /// What the system says.
        cause: String,
    },
    /// The process ends, and its queries with it.
    #[error("the server is stopping; connect again once it is back")]
    Stopping,
    /// The engine failed where it should not.
    #[error(
        "the query failed in a way that it should not have: {cause}; please report the statement together with this message"
    )]
    Defect {
        /// What the engine says.
        cause: String,
    },
}

impl ReadError {
    /// Where in the statement's text it is, if that is known.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::UnknownColumn { place, .. }
            | Self::AmbiguousColumn { place, .. }
            | Self::DuplicateColumn { place, .. }
            | Self::UnknownFunction { place, .. }
            | Self::Arguments { place, .. }
            | Self::Function { place, .. }
            | Self::Invalid { place, .. } => *place,
            _ => None,
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), place: None }
    }
}

impl From<CatalogError> for ReadError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NotFound { what } => Self::UnknownTable { what },
            error => Self::Catalog(error),
        }
    }
}

impl From<DataFusionError> for ReadError {
    fn from(error: DataFusionError) -> Self {
        own(&error).unwrap_or_else(|| of_engine(&error, None))
    }
}

/// An error of ours that travelled through the engine.
fn own(error: &DataFusionError) -> Option<ReadError> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<ReadError>() {
            return Some(error.clone());
        }
        if let Some(error) = error.downcast_ref::<PartError>() {
            return Some(ReadError::Part(error.clone()));
        }
        if let Some(error) = error.downcast_ref::<PinError>() {
            return Some(ReadError::Lost(error.clone()));
        }
        // Tables of the system read the catalog when they are scanned.
        if let Some(error) = error.downcast_ref::<CatalogError>() {
            return Some(ReadError::Catalog(error.clone()));
        }
        cause = error.source();
    }
    None
}

fn of_engine(error: &DataFusionError, place: Option<Place>) -> ReadError {
    match error {
        DataFusionError::Context(_, inner) => of_engine(inner, place),
        DataFusionError::Shared(inner) => of_engine(inner, place),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let start = diagnostic.span.map(|span| Place { line: span.start.line, column: span.start.column });
            of_engine(inner, start.or(place))
        }
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => of_engine(first, place),
            None => ReadError::Defect { cause: "it was given no reason".to_owned() },
        },
        DataFusionError::External(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(inner) => of_engine(inner, place),
            None => ReadError::Defect { cause: in_sql(&inner.to_string()) },
        },
        DataFusionError::SchemaError(error, _) => of_schema(error, place),
        DataFusionError::SQL(error, _) => ReadError::Syntax { message: in_sql(&error.to_string()) },
        DataFusionError::Plan(message) => of_plan(in_sql(message), place),
        DataFusionError::NotImplemented(message) => {
            ReadError::Unsupported { message: format!("this is not supported: {}", in_sql(message)) }
        }
        DataFusionError::Execution(message) => ReadError::Value { message: in_sql(message) },
        DataFusionError::ArrowError(error, _) => of_arrow(error),
        DataFusionError::ResourcesExhausted(message) => ReadError::Resources { cause: in_sql(message) },
        DataFusionError::IoError(error) => of_spilling(error),
        other => ReadError::Defect { cause: in_sql(&other.to_string()) },
    }
}

/// The engine tells most of what is wrong with a statement as text.
fn of_plan(message: String, place: Option<Place>) -> ReadError {
    if let Some((_, rest)) = message.split_once("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or_default().to_owned();
        return ReadError::UnknownFunction { name, place };
    }
    // What follows lists every type that the function would have taken, in the engine's words.
    if let Some((before, after)) = message.split_once("' failed to match any signature") {
        let function = before.rsplit('\'').next().unwrap_or_default().to_owned();
        let given = after.rsplit_once("DataType: ").map_or("", |(_, given)| given.trim_end_matches([')', '.']).trim());
        let given = if given.is_empty() { "arguments of these types" } else { given };
        return ReadError::Arguments { function, given: given.to_owned(), place };
    }
    let of_function = ["Failed to coerce arguments", "Function '", "function '", "does not support the following"];
    match of_function.iter().any(|words| message.contains(words)) {
        true => ReadError::Function { message, place },
        false => ReadError::Invalid { message, place },
    }
}

/// Only what is spilled is a file to the engine: parts are fetched, and have errors of their own.
fn of_spilling(error: &std::io::Error) -> ReadError {
    let message = error.to_string();
    // The engine names its own setting of that limit.
    match message.contains("max_temp_directory_size") {
        true => ReadError::SpillLimit,
        false => ReadError::Spill { cause: message },
    }
}

fn of_arrow(error: &ArrowError) -> ReadError {
    match error {
        ArrowError::IoError(_, error) => of_spilling(error),
        ArrowError::DivideByZero => ReadError::DivisionByZero,
        ArrowError::ArithmeticOverflow(message) => ReadError::OutOfRange { message: in_sql(message) },
        ArrowError::CastError(message)
        | ArrowError::ParseError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::InvalidArgumentError(message) => ReadError::Value { message: in_sql(message) },
        other => ReadError::Defect { cause: in_sql(&other.to_string()) },
    }
}

fn of_schema(error: &SchemaError, place: Option<Place>) -> ReadError {
    let name = |column: &Column| match &column.relation {
        Some(relation) => format!("{}.{}", relation.table(), column.name),
        None => column.name.clone(),
    };
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let place = place.or_else(|| {
                field.spans().first().map(|span| Place { line: span.start.line, column: span.start.column })
            });
            let known = valid_fields.iter().map(|column| column.name.clone()).collect();
            ReadError::UnknownColumn { name: name(field), known, place }
        }
        SchemaError::AmbiguousReference { field } => ReadError::AmbiguousColumn { name: name(field), place },
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            ReadError::DuplicateColumn { name: name.clone(), place }
        }
    }
}

/// A few of the names that there are.
fn among(known: &[String]) -> String {
    if known.is_empty() {
        return String::new();
    }
    let some: Vec<String> = known.iter().take(NAMES_SHOWN).map(|name| format!("`{name}`")).collect();
    let more = if known.len() > some.len() { ", …" } else { "" };
    format!("; there are {}{more}", some.join(", "))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catalog::PartId;
    use parquet::errors::ParquetError;

    use super::*;

    #[test]
    fn an_error_of_ours_is_found_however_deep_the_engine_has_wrapped_it() {
        let damaged = PartError::Missing { part: PartId(1), path: "p".to_owned() };
        let parquet = ParquetError::External(Box::new(damaged.clone()));
        let engine = DataFusionError::ParquetError(Box::new(parquet)).context("while scanning");
        let shared = DataFusionError::Shared(Arc::new(engine));
        assert_eq!(ReadError::from(shared), ReadError::Part(damaged));
        let arrow = ArrowError::ExternalError(Box::new(PinError::Released { seconds: 3 }));
        let engine = DataFusionError::ArrowError(Box::new(arrow), None);
        assert_eq!(ReadError::from(engine), ReadError::Lost(PinError::Released { seconds: 3 }));
    }

    #[test]
    fn no_message_names_the_engine() {
        let errors = [
            DataFusionError::Internal("something Int64".to_owned()),
            DataFusionError::Plan("Invalid function 'foo'".to_owned()),
            DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None),
        ];
        for error in errors {
            let message = ReadError::from(error).to_string();
            assert!(
                !message.contains("Internal") && !message.contains("Int64") && !message.contains("DataFusion"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_name_that_is_not_there_is_told_with_some_that_are() {
        let known = (0..12).map(|number| format!("c{number}")).collect();
        let error = ReadError::UnknownColumn { name: "zzz".to_owned(), known, place: None };
        assert!(error.to_string().starts_with("there is no column `zzz` here; there are `c0`, `c1`"), "{error}");
        assert!(error.to_string().ends_with("`c9`, …"), "{error}");
    }

    #[test]
    fn an_unknown_function_is_told_by_its_name_alone() {
        let error = DataFusionError::Plan("Invalid function 'cuont'.\nDid you mean 'cot'?".to_owned());
        assert_eq!(ReadError::from(error), ReadError::UnknownFunction { name: "cuont".to_owned(), place: None });
    }

    #[test]
    fn arguments_that_a_function_does_not_take_are_told_in_a_line() {
        let message = "Internal error: Function 'sum' failed to match any signature, errors: Error during planning: Function 'sum' \
                       requires Decimal, but received String (DataType: .,Error during planning: Function 'sum' requires \
                       Interval, but received String DataType: Utf8View).";
        let error = ReadError::from(DataFusionError::Plan(message.to_owned()));
        assert_eq!(error.to_string(), "`sum` does not take TEXT: CAST the argument to another type");
    }

    #[test]
    fn what_cannot_be_spilled_is_told_by_its_cause() {
        let of = |message: &str| {
            let error = ArrowError::from(std::io::Error::other(message.to_owned()));
            ReadError::from(DataFusionError::ArrowError(Box::new(error), None))
        };
        assert_eq!(
            of("Please try increasing the config: `datafusion.runtime.max_temp_directory_size`."),
            ReadError::SpillLimit
        );
        assert_eq!(of("No space left on device"), ReadError::Spill { cause: "No space left on device".to_owned() });
    }

    #[test]
    fn divisions_and_overflows_are_kinds_of_their_own() {
        let of = |error| ReadError::from(DataFusionError::ArrowError(Box::new(error), None));
        assert_eq!(of(ArrowError::DivideByZero), ReadError::DivisionByZero);
        assert!(matches!(of(ArrowError::ArithmeticOverflow("x".to_owned())), ReadError::OutOfRange { .. }));
    }
}
