//! INSERT: VALUES go from literals into columns at once, because single rows come often; what is no literal, and every query, goes
//! through the engine. Owns what becomes of the statement; the commit is the warehouse's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, StringArray};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use catalog::{CatalogError, Column, Table};
use datafusion::sql::sqlparser::ast::{self, CastKind, Expr, SelectItem, SetExpr, UnaryOperator, Value as Literal};
use warehouse::read::engine::ReadAnswer;
use warehouse::write::decode::StatementColumn;
use warehouse::write::insert::{Begun, InsertWriter, Inserted};

use super::super::errors::of_catalog;
use super::super::insert::{RowsOf, absent, column_count, of_insert, refusal, targets};
use super::super::parse::parse_own;
use super::super::resolve::{ERRORS_SUFFIX, exact, no_such_table};
use super::super::statement::{Insert, InsertSource, InsertValue, Name};
use super::super::system::SystemTable;
use super::super::variables::Value;
use super::Session;
use super::rows::{Limit, next_batch};
use crate::mysql::{Answer, SqlError};

/// MySQL's number for a table that cannot be written.
const NOT_UPDATABLE: u16 = 1288;
const ACCESS_DENIED: u16 = 1044;
/// Notes of ours have MySQL's number for what has none of its own.
const NOTE: u16 = 1105;
/// The variable that labels the next INSERT.
const LABEL: &str = "insert_label";
/// So many expressions are computed in one query.
const COMPUTED_MAX: usize = 256;
/// Rows of VALUES that become columns at a time.
const ROWS_MAX: usize = 8_192;

/// One value of VALUES.
enum Cell {
    /// As typed; numbers too, so that no digit is lost.
    Text(String),
    Bytes(Vec<u8>),
    Null,
    Default,
    /// Computed: an array of one value.
    Computed(ArrayRef),
}

impl Session {
    pub(super) async fn insert(&mut self, insert: Insert, limit: &Limit) -> Result<Answer, SqlError> {
        let table = self.written_table(&insert.table, "INSERT").await?;
        let places = targets(&table, insert.columns.as_deref())?;
        if let InsertSource::Values(rows) = &insert.source {
            // Before anything is begun: a statement that cannot be right takes no label.
            check_counts(rows, &places, insert.columns.is_none())?;
        }
        let label = insert.label.or_else(|| self.take_label());
        let inserts = Arc::clone(&self.shared.components.inserts);
        let begun = inserts.begin(Arc::clone(&table), label.as_deref()).await.map_err(|error| of_insert(&error))?;
        let mut writer = match begun {
            Begun::Before(inserted) => return Ok(self.inserted(inserted, label.as_deref())),
            Begun::Writer(writer) => writer,
        };
        match insert.source {
            InsertSource::Values(rows) => self.push_values(&mut writer, &places, rows, limit).await?,
            InsertSource::Query(query) => {
                let answer = self.ask(ast::Statement::Query(query)).await?;
                push_answer(&mut writer, &places, answer, limit).await?;
            }
        }
        let inserted = writer.finish().await.map_err(|error| of_insert(&error))?;
        let autocommit = self.variables.get("autocommit") != Some(Value::Bool(false));
        self.transactions.inserted(autocommit);
        Ok(self.inserted(inserted, label.as_deref()))
    }

    /// The label of `SET insert_label`, which is for one INSERT.
    fn take_label(&mut self) -> Option<String> {
        let label = match self.variables.get(LABEL) {
            Some(Value::Text(label)) if !label.is_empty() => label,
            _ => return None,
        };
        // It is there, and takes every text.
        drop(self.variables.set(LABEL, Some(Value::Text(String::new()))));
        Some(label)
    }

    fn inserted(&mut self, inserted: Inserted, label: Option<&str>) -> Answer {
        if inserted.repeated {
            let label = label.unwrap_or_default();
            self.diagnostics.note(
                NOTE,
                format!("an INSERT with the label '{label}' was committed before: this one added nothing, and is answered like it"),
            );
        }
        let warnings = self.diagnostics.warnings();
        let info = match inserted.rows {
            0 | 1 => String::new(),
            rows => format!("Records: {rows}  Duplicates: 0  Warnings: {warnings}"),
        };
        Answer::Done { affected_rows: inserted.rows, warnings, info }
    }

    /// The table of a statement that writes it.
    pub(super) async fn written_table(&self, name: &Name, statement: &str) -> Result<Arc<Table>, SqlError> {
        let database = match name.database.as_deref().or(self.database.as_deref()) {
            Some(database) => database,
            None => return Err(SqlError::no_database_selected()),
        };
        if SystemTable::is_schema(database) {
            let message = format!(
                "Access denied to database '{database}': its tables are made by the server; use another database"
            );
            return Err(SqlError::new(ACCESS_DENIED, message));
        }
        let cut = name.name.len().saturating_sub(ERRORS_SUFFIX.len());
        if let Some(base) = name.name.get(..cut).filter(|_| name.name[cut..].eq_ignore_ascii_case(ERRORS_SUFFIX)) {
            let message = format!(
                "The target table {} of the {statement} is not updatable: it holds what could not become a row of '{base}', and only pipelines write it; {statement} into '{base}'",
                name.name
            );
            return Err(SqlError::new(NOT_UPDATABLE, message));
        }
        let catalog = &self.shared.components.catalog;
        match catalog.table(database, &name.name).await {
            Ok(table) => Ok(table),
            Err(CatalogError::NotFound { .. }) => Err(no_such_table(database, &name.name, catalog).await),
            Err(error) => Err(of_catalog(&error)),
        }
    }

    async fn push_values(
        &mut self,
        writer: &mut InsertWriter,
        places: &[usize],
        rows: Vec<Vec<InsertValue>>,
        limit: &Limit,
    ) -> Result<(), SqlError> {
        let mut before = 0_u64;
        let mut rows = rows.into_iter();
        loop {
            let some: Vec<Vec<InsertValue>> = rows.by_ref().take(ROWS_MAX).collect();
            if some.is_empty() {
                return Ok(());
            }
            let count = some.len();
            let some = self.cells(some, limit).await?;
            let table = Arc::clone(writer.table());
            let batch = rows_of(&table, places, some, before)?;
            before += count as u64;
            writer.push(batch).await.map_err(|error| of_insert(&error))?;
        }
    }

    /// Literals as they are; what is none is computed, many in one query.
    async fn cells(&mut self, rows: Vec<Vec<InsertValue>>, limit: &Limit) -> Result<Vec<Vec<Cell>>, SqlError> {
        let mut cells: Vec<Vec<Cell>> = Vec::with_capacity(rows.len());
        let mut computed: Vec<((usize, usize), Expr)> = Vec::new();
        for (at, row) in rows.into_iter().enumerate() {
            let mut of_row = Vec::with_capacity(row.len());
            for value in row {
                of_row.push(match value {
                    InsertValue::Default => Cell::Default,
                    InsertValue::Expr(expr) => literal(&expr).unwrap_or_else(|| {
                        computed.push(((at, of_row.len()), expr));
                        Cell::Null
                    }),
                });
            }
            cells.push(of_row);
        }
        let mut computed = computed.into_iter();
        loop {
            let (places, exprs): (Vec<_>, Vec<_>) = computed.by_ref().take(COMPUTED_MAX).unzip();
            if places.is_empty() {
                return Ok(cells);
            }
            for ((row, column), value) in places.into_iter().zip(self.compute(exprs, limit).await?) {
                cells[row][column] = Cell::Computed(value);
            }
        }
    }

    /// The value of each expression, in an array of one.
    async fn compute(&mut self, exprs: Vec<Expr>, limit: &Limit) -> Result<Vec<ArrayRef>, SqlError> {
        let mut query = parse_own("SELECT 1");
        if let SetExpr::Select(select) = query.body.as_mut() {
            let item = |(number, expr)| SelectItem::ExprWithAlias { expr, alias: exact(format!("value {number}")) };
            select.projection = exprs.into_iter().enumerate().map(item).collect();
        }
        let mut answer = self.ask(ast::Statement::Query(Box::new(query))).await?;
        match limit.clone().hold(next_batch(&mut answer.batches)).await? {
            Some(batch) if batch.num_rows() == 1 => Ok(batch.columns().to_vec()),
            _ => Err(SqlError::other(
                "VALUES could not be computed: an expression yields no value, or several; write a SELECT",
            )),
        }
    }
}

/// Gives the rows of a query to an INSERT, as fast as it takes them.
pub(super) async fn push_answer(
    writer: &mut InsertWriter,
    places: &[usize],
    mut answer: ReadAnswer,
    limit: &Limit,
) -> Result<(), SqlError> {
    let types: Vec<DataType> = answer.schema.fields().iter().map(|field| field.data_type().clone()).collect();
    if types.len() != places.len() {
        return Err(column_count(types.len(), places.len(), 1));
    }
    let rows_of = RowsOf::plan(writer.table(), places, &types)?;
    while let Some(batch) = limit.clone().hold(next_batch(&mut answer.batches)).await? {
        let rows = rows_of.rows(batch.columns(), batch.num_rows(), writer.rows())?;
        writer.push(rows).await.map_err(|error| of_insert(&error))?;
    }
    Ok(())
}

/// Each row has a value for each column, or, where no columns are named, none at all: then all are defaults.
fn check_counts(rows: &[Vec<InsertValue>], places: &[usize], unnamed: bool) -> Result<(), SqlError> {
    for (row, values) in rows.iter().enumerate() {
        if values.len() != places.len() && !(unnamed && values.is_empty()) {
            return Err(column_count(values.len(), places.len(), row as u64 + 1));
        }
    }
    Ok(())
}

/// What a literal says; `None` where it is none.
fn literal(expr: &Expr) -> Option<Cell> {
    match expr {
        Expr::Value(value) => match &value.value {
            Literal::Number(digits, _) => Some(Cell::Text(digits.clone())),
            Literal::SingleQuotedString(text) | Literal::DoubleQuotedString(text) => Some(Cell::Text(text.clone())),
            Literal::HexStringLiteral(digits) => hex::decode(digits).ok().map(Cell::Bytes),
            Literal::Boolean(value) => Some(Cell::Text(u8::from(*value).to_string())),
            Literal::Null => Some(Cell::Null),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Value(value) => match &value.value {
                Literal::Number(digits, _) => Some(Cell::Text(format!("-{digits}"))),
                _ => None,
            },
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } | Expr::Nested(expr) => literal(expr),
        // `DATE '2024-02-29'`, and how a parameter's decimal keeps its digits: the column reads the text itself.
        Expr::TypedString(typed) => match &typed.value.value {
            Literal::SingleQuotedString(text) if is_time(&typed.data_type) => Some(Cell::Text(text.clone())),
            _ => None,
        },
        Expr::Cast {
            kind: CastKind::Cast,
            expr,
            data_type: ast::DataType::Decimal(_) | ast::DataType::Double(_),
            ..
        } => match expr.as_ref() {
            Expr::Value(value) => match &value.value {
                Literal::SingleQuotedString(text) if text.parse::<f64>().is_ok_and(f64::is_finite) => {
                    Some(Cell::Text(text.clone()))
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn is_time(data_type: &ast::DataType) -> bool {
    matches!(
        data_type,
        ast::DataType::Date | ast::DataType::Time(..) | ast::DataType::Timestamp(..) | ast::DataType::Datetime(_)
    )
}

/// The rows of the table that `rows` are.
fn rows_of(
    table: &Arc<Table>,
    places: &[usize],
    mut rows: Vec<Vec<Cell>>,
    before: u64,
) -> Result<arrow::array::RecordBatch, SqlError> {
    let count = rows.len();
    let mut types = vec![DataType::Null; places.len()];
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(places.len());
    for (place, target) in places.iter().enumerate() {
        let cell =
            |row: &mut Vec<Cell>| row.get_mut(place).map_or(Cell::Default, |cell| std::mem::replace(cell, Cell::Null));
        let cells: Vec<Cell> = rows.iter_mut().map(cell).collect();
        let column = match plain(&cells) {
            Some(plain) => plain,
            None => mixed(&table.columns[*target], cells, before)?,
        };
        types[place] = column.data_type().clone();
        columns.push(column);
    }
    // A column that was put together value by value has its own type already: it goes the same way, and stays as it is.
    RowsOf::plan(table, places, &types)?.rows(&columns, count, before)
}

/// The cells as one array, where they are all of one kind.
fn plain(cells: &[Cell]) -> Option<ArrayRef> {
    if cells.iter().all(|cell| matches!(cell, Cell::Text(_) | Cell::Null)) {
        let texts = cells.iter().map(|cell| if let Cell::Text(text) = cell { Some(text.as_str()) } else { None });
        return Some(Arc::new(texts.collect::<StringArray>()));
    }
    if cells.iter().all(|cell| matches!(cell, Cell::Bytes(_) | Cell::Null)) {
        let bytes = cells.iter().map(|cell| if let Cell::Bytes(bytes) = cell { Some(bytes.as_slice()) } else { None });
        return Some(Arc::new(bytes.collect::<BinaryArray>()));
    }
    None
}

/// Cells of several kinds, each taken by the column by itself.
fn mixed(column: &Column, cells: Vec<Cell>, before: u64) -> Result<ArrayRef, SqlError> {
    let mut values = Vec::with_capacity(cells.len());
    for (row, cell) in cells.into_iter().enumerate() {
        let row = before + row as u64 + 1;
        let given: ArrayRef = match cell {
            Cell::Default => {
                let value = absent(column)?.defaults(1).map_err(|unfit| refusal(column, &unfit, false, row))?;
                values.push(value);
                continue;
            }
            Cell::Computed(value) => value,
            Cell::Text(text) => Arc::new(StringArray::from(vec![text])),
            Cell::Bytes(bytes) => Arc::new(BinaryArray::from(vec![bytes.as_slice()])),
            Cell::Null => Arc::new(StringArray::new_null(1)),
        };
        let taking = StatementColumn::assigned(column, given.data_type())
            .map_err(|cause| SqlError::new(1366, format!("Column '{}' at row {row}: {cause}", column.name)))?;
        values.push(taking.assign(&given).map_err(|unfit| refusal(column, &unfit, true, row))?);
    }
    let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    Ok(concat(&values).expect("each is of the column's type"))
}
