//! Prepared statements of a session, by whichever of the two ways they came: the protocol's commands, or PREPARE and EXECUTE.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast;
use warehouse::read::engine::ReadQuery;
use warehouse::read::session::{Freshness, SessionVector};

use super::super::bind::{Values, bind};
use super::super::errors::of_read;
use super::super::parse::parse_prepared;
use super::super::prepared::PreparedStatement;
use super::super::statement::{PrepareSource, Statement};
use super::super::variables::Value;
use super::Session;
use super::assign::Shown;
use super::rows::{Limit, headed};
use crate::mysql::{Answer, Parameter, Prepared, SqlError};

/// MySQL's number for a statement that cannot be prepared.
const NOT_PREPARABLE: u16 = 1295;
/// MySQL's number for parameters that do not fit.
const WRONG_ARGUMENTS: u16 = 1210;
/// What is wrong with a statement whatever its parameters are: syntax, names, what is not supported.
const WRONG_FOR_ALL: [u16; 9] = [1046, 1049, 1052, 1054, 1064, 1146, 1235, 1298, 1305];

impl Session {
    /// COM_STMT_PREPARE.
    pub(super) async fn prepare_numbered(&mut self, text: &str) -> Result<Prepared, SqlError> {
        let prepared = self.read_prepared(text)?;
        let parameters = prepared.parameters;
        let columns = match self.columns_of(&prepared.statement).await {
            Err(error) if WRONG_FOR_ALL.contains(&error.code) => return Err(error),
            // With the values it may well be planned.
            Err(_) => None,
            Ok(columns) => columns,
        };
        let id = self.prepared.add(prepared)?;
        self.presence.set_prepared(self.prepared.len());
        Ok(Prepared { id, parameters, columns })
    }

    /// PREPARE.
    pub(super) fn prepare_named(&mut self, name: &str, source: PrepareSource) -> Result<Answer, SqlError> {
        let text = match source {
            PrepareSource::Text(text) => text,
            PrepareSource::Variable(variable) => self.variables.user(&variable).shown(),
        };
        let prepared = self.read_prepared(&text)?;
        let named = self.prepared.name(name, prepared);
        self.presence.set_prepared(self.prepared.len());
        named.map(|()| self.done())
    }

    /// DEALLOCATE PREPARE.
    pub(super) fn deallocate(&mut self, name: &str) -> Result<Answer, SqlError> {
        self.prepared.deallocate(name)?;
        self.presence.set_prepared(self.prepared.len());
        Ok(self.done())
    }

    /// EXECUTE.
    pub(super) async fn execute_named(
        &mut self,
        name: &str,
        arguments: &[String],
        limit: &Limit,
    ) -> Result<Answer, SqlError> {
        let prepared = self.prepared.named(name)?;
        let values: Vec<Parameter> =
            arguments.iter().map(|argument| parameter_of(self.variables.user(argument))).collect();
        self.execute_bound(&prepared, &values, limit).await
    }

    /// Executes a prepared statement with these values.
    pub(super) async fn execute_bound(
        &mut self,
        prepared: &PreparedStatement,
        values: &[Parameter],
        limit: &Limit,
    ) -> Result<Answer, SqlError> {
        if values.len() != usize::from(prepared.parameters) {
            let message = format!(
                "Incorrect arguments to EXECUTE: the statement has {} parameters, and {} values came",
                prepared.parameters,
                values.len()
            );
            return Err(SqlError::new(WRONG_ARGUMENTS, message));
        }
        let mut statement = prepared.statement.clone();
        bind(&mut statement, Values::Given(values))?;
        self.carry_out(statement, limit).await
    }

    fn read_prepared(&self, text: &str) -> Result<PreparedStatement, SqlError> {
        let (statement, parameters) = parse_prepared(text, &self.shared.settings.limits)?;
        let refused = match &statement {
            Statement::Prepare { .. } => "PREPARE",
            Statement::Execute { .. } => "EXECUTE",
            Statement::Deallocate(_) => "DEALLOCATE",
            Statement::Unsupported { what, instead } => {
                return Err(SqlError::not_supported(&format!("{what}; {instead}")));
            }
            _ => return Ok(PreparedStatement { text: text.to_owned(), statement, parameters }),
        };
        let message = format!(
            "This command is not supported in the prepared statement protocol yet: {refused}; send it as it is"
        );
        Err(SqlError::new(NOT_PREPARABLE, message))
    }

    /// The columns of a statement's rows while its parameters are not known; nothing where it yields no rows. No row is read,
    /// and no owner of rows in memory is asked.
    async fn columns_of(&mut self, statement: &Statement) -> Result<Option<SchemaRef>, SqlError> {
        let mut statement = statement.clone();
        bind(&mut statement, Values::Unknown)?;
        let query = match statement {
            Statement::Query(query) => query,
            Statement::Show(show) => match self.shown(*show).await? {
                Shown::Query(query) => query,
                Shown::Answer(Answer::Rows { schema, .. }) => return Ok(Some(schema)),
                Shown::Answer(Answer::Done { .. }) => return Ok(None),
            },
            _ => return Ok(None),
        };
        let ast: ast::Statement = *query.ast;
        let read = self.read_query(ast, Freshness::Committed).await?;
        let read = ReadQuery { seen: Arc::new(SessionVector::default()), ..read };
        let queries = &self.shared.components.queries;
        let schema = queries.describe(read).await.map_err(|error| of_read(&error, || queries.functions()))?;
        Ok(Some(headed(&schema, &query.headings)))
    }
}

/// A user variable as a parameter.
fn parameter_of(value: Value) -> Parameter {
    match value {
        Value::Null => Parameter::Null,
        Value::Bool(value) => Parameter::Int(i64::from(value)),
        Value::Int(value) => Parameter::Int(value),
        Value::Float(value) => Parameter::Double(value),
        Value::Text(text) => Parameter::Text(text),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use bytes::Bytes;
    use chrono::NaiveDate;

    use super::super::super::fakes::{Client, Front};
    use super::*;

    async fn client() -> (Front, Client) {
        let front = Front::new().await;
        let mut client = front.session(1, None).await;
        client.ask("CREATE TABLE t (a INT, b VARCHAR(9), at DATETIME) ORDER BY (a)").await;
        (front, client)
    }

    fn columns(prepared: &Prepared) -> Vec<String> {
        let schema = prepared.columns.as_ref().unwrap();
        schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    #[tokio::test]
    async fn a_statement_is_described_before_its_parameters_are_known() {
        let (_front, mut client) = client().await;
        let mut prepare = async |sql: &str| client.session.prepare(sql).await;
        let prepared =
            prepare("SELECT a, B, a + ?, count(*) FROM t WHERE at < ? GROUP BY 1, 2, 3 LIMIT ?").await.unwrap();
        assert_eq!(prepared.parameters, 3);
        assert_eq!(columns(&prepared), ["a", "B", "a + ?", "count(*)"]);
        assert_eq!(prepared.columns.unwrap().field(0).data_type(), &DataType::Int32);
        assert_eq!(columns(&prepare("SHOW TABLES").await.unwrap()), ["Tables_in_default"]);
        assert_eq!(columns(&prepare("SHOW CREATE TABLE t").await.unwrap()), ["Table", "Create Table"]);
        assert!(prepare("SET @x = ?").await.unwrap().columns.is_none());
        for (sql, code) in
            [("SELECT * FROM nothing WHERE a = ?", 1146), ("SELECT nothing FROM t", 1054), ("SELEC ?", 1064)]
        {
            assert_eq!(prepare(sql).await.unwrap_err().code, code, "{sql}");
        }
    }

    #[tokio::test]
    async fn an_execution_has_values_of_every_type_and_outlives_ddl() {
        let (_front, mut client) = client().await;
        let day = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
        for (value, shown) in [
            (Parameter::Null, "NULL"),
            (Parameter::Int(i64::MIN), "-9223372036854775808"),
            (Parameter::Unsigned(u64::MAX), "18446744073709551615"),
            (Parameter::Double(-0.5), "-0.5"),
            (Parameter::Decimal("-12345678901234567890.10".into()), "-12345678901234567890.10"),
            (Parameter::Text("it's; -- \\".into()), "it's; -- \\"),
            (Parameter::Bytes(Bytes::from_static(b"\xFF\0")), "ff00"),
            (Parameter::Date(day), "2024-02-29"),
            (Parameter::DateTime(day.and_hms_micro_opt(1, 2, 3, 4).unwrap()), "2024-02-29T01:02:03.000004"),
        ] {
            assert_eq!(client.execute("SELECT ?", vec![value]).await.unwrap().rows, [[shown]]);
        }
        let id = client.session.prepare("SELECT * FROM t").await.unwrap().id;
        assert_eq!(client.execute_id(id, Vec::new()).await.unwrap().headings, ["a", "b", "at"]);
        for sql in ["DROP TABLE t", "CREATE TABLE t (z INT)"] {
            client.ask(sql).await;
        }
        assert_eq!(client.execute_id(id, Vec::new()).await.unwrap().headings, ["z"]);
        client.ask("DROP TABLE t").await;
        assert_eq!(client.execute_id(id, Vec::new()).await.unwrap_err().code, 1146);
        client.session.close_prepared(id);
        assert_eq!(client.execute_id(id, Vec::new()).await.unwrap_err().code, 1243);
        assert_eq!(client.execute("SELECT ?", Vec::new()).await.unwrap_err().code, 1210);
    }

    #[tokio::test]
    async fn prepare_execute_and_deallocate_do_the_same_by_name() {
        let (_front, mut client) = client().await;
        client.ask("SET @a = 20, @b = 'x', @sql = 'SELECT ? || ?'").await;
        client.ask("PREPARE Plus FROM 'SELECT ? + 1'").await;
        assert_eq!(client.row("EXECUTE plus USING @a").await, ["21"]);
        client.ask("SET @a = 1.5, sql_mode = 'PIPES_AS_CONCAT'").await;
        assert_eq!(client.row("EXECUTE plus USING @a").await, ["2.5"]);
        client.ask("PREPARE plus FROM @sql").await;
        assert_eq!(client.row("EXECUTE plus USING @b, @b").await, ["xx"]);
        assert_eq!(client.fail("EXECUTE plus USING @b").await.0, 1210);
        assert_eq!(client.fail("PREPARE s FROM 'EXECUTE plus'").await.0, 1295);
        assert_eq!(client.fail("PREPARE s FROM 'SELEC'").await.0, 1064);
        assert_eq!(client.row("SHOW STATUS LIKE 'Prepared_stmt_count'").await[1], "1");
        client.ask("DEALLOCATE PREPARE plus").await;
        assert_eq!(client.fail("EXECUTE plus").await.0, 1243);
        client.ask("PREPARE s FROM 'SELECT 1'").await;
        client.session.reset().await;
        assert_eq!(client.fail("EXECUTE s").await.0, 1243, "a reset forgets it");
        assert_eq!(client.row("SELECT @a").await, ["NULL"]);
    }

    #[tokio::test]
    async fn a_prepared_show_warnings_shows_those_of_the_statement_before() {
        let (_front, mut client) = client().await;
        let id = client.session.prepare("SHOW WARNINGS").await.unwrap().id;
        client.ask("SET nothing_such = 1").await;
        assert_eq!(client.execute_id(id, Vec::new()).await.unwrap().rows.len(), 1);
    }
}
