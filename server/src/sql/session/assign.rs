//! SET and SHOW of a session.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use catalog::CatalogError;
use datafusion::sql::sqlparser::ast::{self, Expr, SelectItem, SetExpr, UnaryOperator, Value as Literal};

use super::super::accounts::users;
use super::super::alike::did_you_mean;
use super::super::create_text;
use super::super::ddl::pipeline::no_such_pipeline;
use super::super::errors::of_catalog;
use super::super::parse::parse_own;
use super::super::resolve::{ERRORS_SUFFIX, no_such_table};
use super::super::show::show_query;
use super::super::statement::{Account, Name, Query, Setting, Show, ShowWhat};
use super::super::system::SystemTable;
use super::super::variables::{Kind, Value, definition, unknown};
use super::Session;
use super::rows::{Limit, next_batch, one_row};
use crate::mysql::{Answer, SqlError};

/// MySQL's number for a variable that does not exist.
const UNKNOWN_VARIABLE: u16 = 1193;
/// MySQL's number for a character set that it does not know.
const UNKNOWN_CHARSET: u16 = 1115;
/// MySQL's number for a time zone that it does not know.
const TIME_ZONE: u16 = 1298;
/// MySQL's number for SHOW GRANTS of a user that is not there.
const NO_SUCH_GRANT: u16 = 1141;
/// MySQL's number for SHOW CREATE of something that is another thing.
const NOT_A_TABLE: u16 = 1347;

/// What a SHOW comes down to.
pub(super) enum Shown {
    /// A query.
    Query(Query),
    /// Its one row.
    Answer(Answer),
}

impl Session {
    /// Assigns from left to right; each sees those before it. A fault undoes none of them, as in MySQL.
    pub(super) async fn set(&mut self, settings: Vec<Setting>, limit: &Limit) -> Result<Answer, SqlError> {
        for setting in settings {
            match setting {
                Setting::Variable { name, value } => {
                    let value = self.value_of(value, limit).await?;
                    self.set_variable(&name, value)?;
                }
                Setting::Global { name } => return Err(refuse_global(&name)),
                Setting::User { name, value } => {
                    let value = self.value_of(value, limit).await?.unwrap_or(Value::Null);
                    self.variables.set_user(&name, value);
                }
                Setting::Names { charset, collation } => {
                    self.warn_of_charset(charset.as_deref());
                    self.variables.set_names(charset.as_deref(), collation.as_deref())?;
                }
                Setting::Isolation(level) => {
                    for name in ["transaction_isolation", "tx_isolation"] {
                        self.variables.set(name, Some(Value::Text(level.to_owned())))?;
                    }
                }
                Setting::ReadOnly(read_only) => {
                    for name in ["transaction_read_only", "tx_read_only"] {
                        self.variables.set(name, Some(Value::Bool(read_only)))?;
                    }
                }
            }
        }
        Ok(self.done())
    }

    /// An unknown variable is a warning, not an error: clients set many that mean nothing here.
    fn set_variable(&mut self, name: &str, value: Option<Value>) -> Result<(), SqlError> {
        if name == "time_zone" {
            let zone = value.as_ref().map(Value::shown).unwrap_or_default();
            if !["", "system", "utc", "+00:00", "+0:00", "z"].contains(&zone.to_ascii_lowercase().as_str()) {
                self.diagnostics.warn(TIME_ZONE, format!("time_zone '{zone}' has no effect: times are shown in UTC"));
            }
        }
        if definition(name).is_some_and(|definition| definition.kind == Kind::Charset) {
            self.warn_of_charset(value.as_ref().map(Value::shown).as_deref());
        }
        match self.variables.set(name, value) {
            Err(error) if error.code == UNKNOWN_VARIABLE => {
                self.diagnostics.warn(error.code, error.message);
                Ok(())
            }
            set => set,
        }
    }

    fn warn_of_charset(&mut self, charset: Option<&str>) {
        const AS_UTF8: [&str; 7] = ["", "utf8", "utf8mb3", "utf8mb4", "binary", "ascii", "us-ascii"];
        let charset = charset.unwrap_or_default();
        if !AS_UTF8.iter().any(|known| known.eq_ignore_ascii_case(charset)) {
            let message = format!("character set '{charset}' has no effect: text is read and sent in utf8mb4");
            self.diagnostics.warn(UNKNOWN_CHARSET, message);
        }
    }

    /// The value of an expression on the right of SET; `None` for DEFAULT.
    async fn value_of(&mut self, expr: Expr, limit: &Limit) -> Result<Option<Value>, SqlError> {
        if let Some(value) = plain_value(&expr) {
            return Ok(value);
        }
        // Anything else is computed by the engine: it has the functions.
        let mut query = parse_own("SELECT 1");
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.projection = vec![SelectItem::UnnamedExpr(expr)];
        }
        let mut answer = self.ask(ast::Statement::Query(Box::new(query))).await?;
        match limit.clone().hold(next_batch(&mut answer.batches)).await? {
            Some(batch) if batch.num_rows() > 0 && batch.num_columns() > 0 => Ok(Some(value_at(batch.column(0)))),
            _ => Ok(Some(Value::Null)),
        }
    }

    /// SHOW …
    pub(super) async fn show(&mut self, show: Show, limit: &Limit) -> Result<Answer, SqlError> {
        match self.shown(show).await? {
            Shown::Query(query) => self.query(query, limit).await,
            Shown::Answer(answer) => Ok(answer),
        }
    }

    /// What a SHOW comes down to.
    pub(super) async fn shown(&self, show: Show) -> Result<Shown, SqlError> {
        let database = match &show.what {
            ShowWhat::CreateTable(table) => return self.show_create_table(table).await.map(Shown::Answer),
            ShowWhat::CreatePipeline(pipeline) => {
                return self.show_create_pipeline(pipeline).await.map(Shown::Answer);
            }
            ShowWhat::CreateDatabase(name) => return self.show_create_database(name).await.map(Shown::Answer),
            ShowWhat::Tables { database, .. } | ShowWhat::TableStatus { database } => {
                self.database_for(database.as_deref()).await?
            }
            ShowWhat::Pipelines { database: Some(database) } => self.database_for(Some(database)).await?,
            ShowWhat::Columns { table, .. } | ShowWhat::Indexes { table } => {
                let database = self.database_for(table.database.as_deref()).await?;
                self.require_table(&database, &table.name).await?;
                database
            }
            ShowWhat::Grants(Account::Named(name)) => {
                self.require_user(name).await?;
                String::new()
            }
            _ => String::new(),
        };
        let (query, headings) =
            show_query(&show.what, &database, &show.filter).expect("every other SHOW has been dealt with");
        Ok(Shown::Query(Query { ast: Box::new(ast::Statement::Query(Box::new(query))), headings }))
    }

    /// The database that was named, else the session's.
    pub(super) async fn database_for(&self, named: Option<&str>) -> Result<String, SqlError> {
        match named.or(self.database.as_deref()) {
            Some(name) => self.database_named(name).await,
            None => Err(SqlError::no_database_selected()),
        }
    }

    async fn require_user(&self, name: &str) -> Result<(), SqlError> {
        let users = users(&self.shared.components.catalog).await.map_err(|error| of_catalog(&error))?;
        if users.iter().any(|user| user.name == name) {
            return Ok(());
        }
        let hint = did_you_mean(name, users.iter().map(|user| user.name.as_str()));
        let message = format!("There is no such grant defined for user '{name}' on host '%': there is no such user");
        let message = if hint.is_empty() { message } else { format!("{message}; {hint}") };
        Err(SqlError::new(NO_SUCH_GRANT, message))
    }

    async fn require_table(&self, database: &str, table: &str) -> Result<(), SqlError> {
        if SystemTable::find(database, table).is_some() {
            return Ok(());
        }
        let cut = table.len().saturating_sub(ERRORS_SUFFIX.len());
        let is_errors = table.get(cut..).is_some_and(|suffix| suffix.eq_ignore_ascii_case(ERRORS_SUFFIX));
        let base = if is_errors { &table[..cut] } else { table };
        let catalog = &self.shared.components.catalog;
        match catalog.table(database, base).await {
            Ok(_) => Ok(()),
            Err(CatalogError::NotFound { .. }) => Err(no_such_table(database, table, catalog).await),
            Err(error) => Err(of_catalog(&error)),
        }
    }

    async fn show_create_table(&self, name: &Name) -> Result<Answer, SqlError> {
        let database = self.database_for(name.database.as_deref()).await?;
        self.require_table(&database, &name.name).await?;
        let catalog = &self.shared.components.catalog;
        match catalog.table(&database, &name.name).await {
            Ok(table) => {
                let text = create_text::create_table(&table);
                Ok(one_row(&[("Table", table.name.clone()), ("Create Table", text)]))
            }
            Err(CatalogError::NotFound { .. }) => {
                let message = format!(
                    "'{database}.{}' is not BASE TABLE: it is made by the server; DESCRIBE shows its columns",
                    name.name
                );
                Err(SqlError::new(NOT_A_TABLE, message))
            }
            Err(error) => Err(of_catalog(&error)),
        }
    }

    async fn show_create_pipeline(&self, name: &Name) -> Result<Answer, SqlError> {
        let database = self.database_for(name.database.as_deref()).await?;
        let catalog = &self.shared.components.catalog;
        let pipeline = catalog.pipeline(&database, &name.name).await.map_err(|error| no_such_pipeline(&error))?;
        let table = catalog.table_by_id(pipeline.table).await.map_err(|error| of_catalog(&error))?;
        let text = create_text::create_pipeline(&pipeline, &table);
        Ok(one_row(&[("Pipeline", pipeline.name.clone()), ("Create Pipeline", text)]))
    }

    async fn show_create_database(&self, name: &str) -> Result<Answer, SqlError> {
        let name = self.database_named(name).await?;
        let quoted = super::super::literal::backticked(&name);
        let text = format!("CREATE DATABASE {quoted} /*!40100 DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */");
        Ok(one_row(&[("Database", name), ("Create Database", text)]))
    }
}

/// SET GLOBAL changes nothing here.
fn refuse_global(name: &str) -> SqlError {
    match definition(name) {
        Some(_) => SqlError::not_supported(&format!(
            "SET GLOBAL {name}; SET {name} changes it for this session, and what holds for all of them is in the server's \
             settings (SHOW SETTINGS)"
        )),
        None => unknown(name),
    }
}

/// The value of a literal, or of a word such as ON; the inner `None` is DEFAULT, the outer that it is something else.
fn plain_value(expr: &Expr) -> Option<Option<Value>> {
    match expr {
        Expr::Value(value) => match &value.value {
            Literal::Number(digits, _) => Some(Some(number(digits))),
            Literal::SingleQuotedString(text) | Literal::DoubleQuotedString(text) => {
                Some(Some(Value::Text(text.clone())))
            }
            Literal::Boolean(value) => Some(Some(Value::Bool(*value))),
            Literal::Null => Some(Some(Value::Null)),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match plain_value(expr)?? {
            Value::Int(value) => Some(Some(Value::Int(-value))),
            Value::Float(value) => Some(Some(Value::Float(-value))),
            _ => None,
        },
        Expr::Identifier(word) if word.value.starts_with('@') => None,
        Expr::Identifier(word) if word.value.eq_ignore_ascii_case("DEFAULT") => Some(None),
        Expr::Identifier(word) if word.value.eq_ignore_ascii_case("NULL") => Some(Some(Value::Null)),
        Expr::Identifier(word) => Some(Some(Value::Text(word.value.clone()))),
        _ => None,
    }
}

/// A number that fits no integer stays text: the variable's type decides.
fn number(digits: &str) -> Value {
    match digits.parse::<i64>() {
        Ok(value) => Value::Int(value),
        Err(_) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Value::Text(digits.to_owned()),
        Err(_) => digits.parse().map_or_else(|_| Value::Text(digits.to_owned()), Value::Float),
    }
}

/// The first value of a computed column.
fn value_at(column: &ArrayRef) -> Value {
    if column.is_null(0) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => Value::Bool(column.as_boolean().value(0)),
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(0)),
        DataType::Float64 => Value::Float(column.as_primitive::<Float64Type>().value(0)),
        _ => Value::Text(arrow::util::display::array_value_to_string(column, 0).unwrap_or_default()),
    }
}
