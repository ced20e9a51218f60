//! What can go wrong with a query, sorted by what a client is told, and the way there from the engine's errors.

use std::error::Error;

use arrow::error::ArrowError;
use catalog::CatalogError;
use datafusion::common::utils::datafusion_strsim::normalized_levenshtein;
use datafusion::common::{Column, DataFusionError, SchemaError};

use super::pin::PinError;
use super::reader::PartError;
use super::snapshot::SnapshotError;
use super::wording::in_sql;

/// How alike two names must be for one to be offered in place of the other: 1 is the same.
const ALIKE: f64 = 0.6;

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
    #[error("there is no column `{name}` here{hint}")]
    UnknownColumn {
        /// As typed.
        name: String,
        /// What was probably meant, or what there is.
        hint: String,
        /// Where it stands.
        place: Option<Place>,
    },
    /// A function is not there, or not with these arguments.
    #[error("{message}")]
    Function {
        /// What, and what there is.
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
    /// It is SQL, and means nothing: wrong types, a name for two things, a column that is not grouped by.
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
    /// A row's values cannot be worked with: a division by zero, an overflow, a text that is no number.
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
    /// It needs more memory or spill space than queries have.
    #[error(
        "the query needs more memory than queries have together, and could not spill enough to disk ({cause}); read fewer rows or columns, group by fewer values, or raise the limit"
    )]
    Resources {
        /// What the engine says.
        cause: String,
    },
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
            Self::UnknownColumn { place, .. } | Self::Function { place, .. } | Self::Invalid { place, .. } => *place,
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
        DataFusionError::IoError(error) => ReadError::Resources { cause: format!("spilling failed: {error}") },
        other => ReadError::Defect { cause: in_sql(&other.to_string()) },
    }
}

fn of_plan(message: String, place: Option<Place>) -> ReadError {
    // What follows lists the engine's own types, one by one.
    if let Some((function, _)) = message.split_once(" failed to match any signature") {
        return ReadError::Function { message: format!("{function} does not take arguments of these types"), place };
    }
    let of_function = [
        "Invalid function",
        "Failed to coerce arguments",
        "Function '",
        "function '",
        "does not support the following",
    ];
    match of_function.iter().any(|words| message.contains(words)) {
        true => ReadError::Function { message, place },
        false => ReadError::Invalid { message, place },
    }
}

fn of_arrow(error: &ArrowError) -> ReadError {
    let message = match error {
        ArrowError::DivideByZero => "division by zero".to_owned(),
        ArrowError::CastError(message)
        | ArrowError::ParseError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::InvalidArgumentError(message)
        | ArrowError::ArithmeticOverflow(message) => in_sql(message),
        other => return ReadError::Defect { cause: in_sql(&other.to_string()) },
    };
    ReadError::Value { message }
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
            let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
            ReadError::UnknownColumn { name: name(field), hint: hint(&field.name, &names), place }
        }
        SchemaError::AmbiguousReference { field } => {
            let message = format!(
                "column `{}` is in several of these tables: write which one, as in `t.{}`",
                name(field),
                field.name
            );
            ReadError::Invalid { message, place }
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            let message = format!("two columns are named `{name}` here: give one of them another name with AS");
            ReadError::Invalid { message, place }
        }
    }
}

/// The nearest of `names`, or a few of them.
pub(super) fn hint(name: &str, names: &[&str]) -> String {
    let folded = name.to_ascii_lowercase();
    let alike = |candidate: &str| normalized_levenshtein(&folded, &candidate.to_ascii_lowercase());
    let nearest = names.iter().map(|candidate| (alike(candidate), candidate)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, candidate)) if likeness >= ALIKE => format!("; did you mean `{candidate}`?"),
        Some(_) => {
            let some: Vec<String> = names.iter().take(10).map(|name| format!("`{name}`")).collect();
            let more = if names.len() > some.len() { ", …" } else { "" };
            format!("; there are {}{more}", some.join(", "))
        }
        None => String::new(),
    }
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
    fn a_near_name_is_offered_and_otherwise_what_there_is() {
        assert_eq!(hint("orgin", &["dest", "origin"]), "; did you mean `origin`?");
        assert_eq!(hint("zzz", &["a", "b"]), "; there are `a`, `b`");
    }
}
