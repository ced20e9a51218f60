//! From the values of a statement to rows of its table: which column takes which, and what does not fit, in MySQL's numbers, with the
//! column and the row.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use catalog::{Column, ColumnType, Table};
use warehouse::schema::{mysql_type, row_schema};
use warehouse::write::decode::{ErrorReason, StatementColumn, UnfitValue};
use warehouse::write::insert::InsertError;

use super::alike::did_you_mean;
use crate::mysql::SqlError;

const NULL_IN_NOT_NULL: u16 = 1048;
const COLUMN_TWICE: u16 = 1110;
const COLUMN_COUNT: u16 = 1136;
const DEADLOCK: u16 = 1213;
const OUT_OF_RANGE: u16 = 1264;
const TRUNCATED: u16 = 1265;
const WRONG_TIME: u16 = 1292;
const NO_DEFAULT: u16 = 1364;
const WRONG_VALUE: u16 = 1366;
const TOO_LONG: u16 = 1406;
const NOT_JSON: u16 = 3140;

/// The places in `table` of the columns that an INSERT names; without names, of all.
pub(crate) fn targets(table: &Table, names: Option<&[String]>) -> Result<Vec<usize>, SqlError> {
    let Some(names) = names else { return Ok((0..table.columns.len()).collect()) };
    let mut targets = Vec::with_capacity(names.len());
    for name in names {
        let place =
            table.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
                let known = did_you_mean(name, table.columns.iter().map(|column| column.name.as_str()));
                SqlError::unknown_column(name, "field list", &known)
            })?;
        if targets.contains(&place) {
            return Err(SqlError::new(COLUMN_TWICE, format!("Column '{name}' specified twice")));
        }
        targets.push(place);
    }
    Ok(targets)
}

/// 1136, for row `row`, counted from 1.
pub(crate) fn column_count(given: usize, wanted: usize, row: u64) -> SqlError {
    let message = format!(
        "Column count doesn't match value count at row {row}: there are {given} values for {wanted} columns; name the columns after the table"
    );
    SqlError::new(COLUMN_COUNT, message)
}

/// How rows of a source become rows of a table.
#[derive(Debug)]
pub(crate) struct RowsOf {
    table: Arc<Table>,
    /// For each column of the table: where it is in the source, if there, and how it takes that.
    columns: Vec<(Option<usize>, StatementColumn)>,
}

impl RowsOf {
    /// A source whose columns, of these types, go to the columns `targets` of `table`.
    pub(crate) fn plan(table: &Arc<Table>, targets: &[usize], types: &[DataType]) -> Result<Self, SqlError> {
        let mut columns = Vec::with_capacity(table.columns.len());
        for (place, column) in table.columns.iter().enumerate() {
            let from = targets.iter().position(|target| *target == place);
            let taken = match from {
                Some(from) => StatementColumn::assigned(column, &types[from])
                    .map_err(|cause| SqlError::new(WRONG_VALUE, format!("Column '{}': {cause}", column.name)))?,
                None => absent(column)?,
            };
            columns.push((from, taken));
        }
        Ok(Self { table: Arc::clone(table), columns })
    }

    /// The rows of the table; `before` rows of the statement came before these.
    pub(crate) fn rows(&self, source: &[ArrayRef], rows: usize, before: u64) -> Result<RecordBatch, SqlError> {
        let mut first: Option<(u64, SqlError)> = None;
        let mut columns = Vec::with_capacity(self.columns.len());
        for ((from, column), of) in self.columns.iter().zip(&self.table.columns) {
            let taken = match from {
                Some(from) => column.assign(&source[*from]),
                None => column.defaults(rows),
            };
            match taken {
                Ok(column) => columns.push(column),
                // MySQL tells the first row that does not fit, and in it the first column.
                Err(unfit) => {
                    let row = unfit.row as u64;
                    if first.as_ref().is_none_or(|(known, _)| row < *known) {
                        first = Some((row, refusal(of, &unfit, from.is_some(), before + row + 1)));
                    }
                }
            }
        }
        match first {
            Some((_, error)) => Err(error),
            None => Ok(RecordBatch::try_new(row_schema(&self.table), columns).expect("each is of its column's type")),
        }
    }
}

/// How a column is filled that a statement does not name.
pub(crate) fn absent(column: &Column) -> Result<StatementColumn, SqlError> {
    StatementColumn::absent(column).map_err(|cause| SqlError::other(format!("Column '{}': {cause}", column.name)))
}

/// In MySQL's words: what, in which column, at which row.
pub(crate) fn refusal(column: &Column, unfit: &UnfitValue, was_given: bool, row: u64) -> SqlError {
    let (name, message) = (&column.name, &unfit.message);
    let kind = mysql_kind(column);
    let is_moment = matches!(kind.as_str(), "date" | "datetime" | "timestamp" | "time");
    let is_time = is_moment || kind == "year";
    match unfit.reason {
        ErrorReason::MissingNotNull if was_given => {
            SqlError::new(NULL_IN_NOT_NULL, format!("Column '{name}' cannot be null (row {row})"))
        }
        ErrorReason::MissingNotNull => {
            SqlError::new(NO_DEFAULT, format!("Field '{name}' doesn't have a default value; name it, and give it one"))
        }
        // MySQL's strict mode calls a time beyond its type's range an incorrect one.
        ErrorReason::OutOfRange if !is_moment => {
            SqlError::new(OUT_OF_RANGE, format!("Out of range value for column '{name}' at row {row}: {message}"))
        }
        ErrorReason::TooLong => {
            SqlError::new(TOO_LONG, format!("Data too long for column '{name}' at row {row}: {message}"))
        }
        ErrorReason::MalformedJson | ErrorReason::TruncatedJson => {
            SqlError::new(NOT_JSON, format!("Invalid JSON text for column '{name}' at row {row}: {message}"))
        }
        _ if kind == "enum" => {
            SqlError::new(TRUNCATED, format!("Data truncated for column '{name}' at row {row}: {message}"))
        }
        _ if is_time => {
            SqlError::new(WRONG_TIME, format!("Incorrect {kind} value for column '{name}' at row {row}: {message}"))
        }
        _ => SqlError::new(WRONG_VALUE, format!("Incorrect {kind} value for column '{name}' at row {row}: {message}")),
    }
}

/// The type's name without its size, as MySQL's messages have it.
fn mysql_kind(column: &Column) -> String {
    let name = mysql_type(&column.kind);
    match &column.kind {
        ColumnType::Integer { .. } | ColumnType::Boolean => "integer".to_owned(),
        _ => name.split(['(', ' ']).next().unwrap_or_default().to_owned(),
    }
}

/// What a client is told of an INSERT that was not committed. 1213 is what drivers send again by themselves.
pub(crate) fn of_insert(error: &InsertError) -> SqlError {
    match error {
        InsertError::TryAgain { .. } => SqlError { code: DEADLOCK, state: *b"40001", message: error.to_string() },
        InsertError::Closing => SqlError::shutting_down(),
        InsertError::TableGone
        | InsertError::TooManyParts { .. }
        | InsertError::Failed { .. }
        | InsertError::Unknown { .. } => SqlError::other(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
