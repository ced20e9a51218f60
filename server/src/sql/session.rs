//! One session: its database, variables, diagnostics, and what it has seen. Owns the routing of a statement to whoever
//! carries it out, and its time limit; the statements themselves are elsewhere.

mod assign;
mod care;
mod control;
mod create_as;
mod insert;
mod prepared;
mod rows;
mod transaction;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use datafusion::sql::sqlparser::ast;
use futures::stream::{self, StreamExt};
use warehouse::read::engine::{ReadAnswer, ReadQuery};
use warehouse::read::session::{Freshness, SessionVector};

use super::ddl::{Ddl, Sampler};
use super::diagnostics::Diagnostics;
use super::engine::Shared;
use super::errors::{of_catalog, of_read};
use super::headings::Heading;
use super::parse::{parse, statements};
use super::prepared::PreparedStatements;
use super::resolve::{resolve, unknown_database};
use super::rewrite::{SessionValues, rewrite};
use super::sessions::Presence;
use super::statement::{CreateTableFrom, Query, Statement};
use super::system::{Reader, SessionView, SystemTable, schemas};
use super::topics::TopicCalls;
use super::variables::Variables;
use crate::mysql::{Answer, Login, Parameter, Prepared, SqlError, SqlSession};
pub(crate) use rows::headed;
use rows::{LateError, Limit, answer_rows};
use tokio_util::sync::CancellationToken;
use transaction::Transactions;

/// The database that a new catalog has.
const FIRST_DATABASE: &str = "default";
const UNKNOWN_DATABASE: u16 = 1049;

/// MySQL's number for a connection that does not exist.
const NO_SUCH_THREAD: u16 = 1094;

/// The state of one connection.
pub(crate) struct Session {
    shared: Arc<Shared>,
    presence: Arc<Presence>,
    login: Login,
    /// `root@host`.
    account: String,
    database: Option<String>,
    variables: Variables,
    diagnostics: Diagnostics,
    prepared: PreparedStatements,
    transactions: Transactions,
    /// What ended the rows of the last statement, if anything did.
    late: LateError,
    /// It is never answered behind this (I5).
    seen: Arc<SessionVector>,
}

impl Session {
    /// A session for `login`; 1049 where its database is not there.
    pub(crate) async fn open(shared: Arc<Shared>, login: Login) -> Result<Self, SqlError> {
        let presence = Arc::new(shared.sessions.enter(&login));
        let host = login.peer.rsplit_once(':').map_or(login.peer.as_str(), |(host, _)| host);
        let mut session = Self {
            account: format!("{}@{host}", login.user),
            variables: Variables::new(Arc::clone(&shared.facts)),
            shared,
            presence,
            database: None,
            diagnostics: Diagnostics::default(),
            prepared: PreparedStatements::default(),
            transactions: Transactions::default(),
            late: LateError::default(),
            seen: Arc::default(),
            login,
        };
        session.back_to_login().await?;
        Ok(session)
    }

    /// The state after the login. What the session has seen stays seen (I5).
    async fn back_to_login(&mut self) -> Result<(), SqlError> {
        self.variables = Variables::new(Arc::clone(&self.shared.facts));
        self.prepared = PreparedStatements::default();
        self.transactions = Transactions::default();
        self.presence.set_prepared(0);
        self.clear_diagnostics();
        self.set_database(None);
        match self.login.database.clone().filter(|name| !name.is_empty()) {
            Some(name) => self.switch_to(&name).await,
            // Who names none is in the one that every catalog begins with, so that a first query needs no USE.
            None => match self.switch_to(FIRST_DATABASE).await {
                Err(error) if error.code != UNKNOWN_DATABASE => Err(error),
                _ => Ok(()),
            },
        }
    }

    fn clear_diagnostics(&mut self) {
        self.late.take();
        self.diagnostics.clear();
    }

    fn set_database(&mut self, database: Option<String>) {
        self.presence.set_database(database.as_deref());
        self.database = database;
    }

    /// The database `name` as it is spelled where it is kept.
    async fn database_named(&self, name: &str) -> Result<String, SqlError> {
        if let Some(schema) = SystemTable::schemas().iter().find(|schema| schema.eq_ignore_ascii_case(name)) {
            return Ok((*schema).to_owned());
        }
        let catalog = &self.shared.components.catalog;
        let databases = catalog.databases().await.map_err(|error| of_catalog(&error))?;
        match databases.into_iter().find(|known| known.eq_ignore_ascii_case(name)) {
            Some(known) => Ok(known),
            None => Err(unknown_database(name, catalog).await),
        }
    }

    async fn switch_to(&mut self, name: &str) -> Result<(), SqlError> {
        let database = self.database_named(name).await?;
        self.set_database(Some(database));
        Ok(())
    }

    async fn run(&mut self, text: &str, limit: &Limit) -> Result<Answer, SqlError> {
        let parsed = parse(text, &self.shared.settings.limits);
        self.begin_diagnostics(parsed.as_ref().ok());
        self.carry_out(parsed?, limit).await
    }

    /// Forgets what was said of the statement before, unless this one asks for it.
    fn begin_diagnostics(&mut self, statement: Option<&Statement>) {
        if !statement.is_some_and(is_about_diagnostics) {
            self.clear_diagnostics();
        } else if let Some(error) = self.late.take() {
            self.diagnostics.error(&error);
        }
    }

    async fn carry_out(&mut self, statement: Statement, limit: &Limit) -> Result<Answer, SqlError> {
        match statement {
            Statement::Query(mut query) => {
                if let Some(rows) = self.variables.select_limit() {
                    limit_rows(&mut query.ast, rows);
                }
                self.query(query, limit).await
            }
            Statement::Show(show) => self.show(*show, limit).await,
            Statement::Set(settings) => self.set(settings, limit).await,
            Statement::Use(name) => self.switch_to(&name).await.map(|()| self.done()),
            Statement::Kill { query_only, connection } => self.kill(connection, query_only),
            Statement::AlterPipeline(alter) => Box::pin(self.alter_pipeline(*alter)).await,
            Statement::VerifyTable { table, full } => Box::pin(self.verify_table(&table, full)).await,
            Statement::RetryErrors { pipeline, condition } => {
                Box::pin(self.retry_errors(&pipeline, condition, limit)).await
            }
            Statement::Prepare { name, source } => self.prepare_named(&name, source),
            // The statement that it names is no EXECUTE, so this goes one level deep.
            Statement::Execute { name, arguments } => Box::pin(self.execute_named(&name, &arguments, limit)).await,
            Statement::Deallocate(name) => self.deallocate(&name),
            Statement::Insert(insert) => Box::pin(self.insert(*insert, limit)).await,
            Statement::Truncate(table) => Box::pin(self.truncate(&table)).await,
            Statement::CreateTable(create) if create.query.is_some() => {
                Box::pin(self.create_table_as(*create, limit)).await
            }
            Statement::Transaction(step) => {
                self.transactions.step(step, &mut self.diagnostics);
                Ok(self.done())
            }
            Statement::Nothing => Ok(self.done()),
            Statement::Unsupported { what, instead } => Err(SqlError::not_supported(&format!("{what}; {instead}"))),
            Statement::CreateTableFrom(from) => self.create_table_from(&from, limit).await,
            ddl => self.ddl(&ddl).await,
        }
    }

    /// CREATE TABLE … FROM KAFKA: DDL that answers with what it chose.
    async fn create_table_from(&mut self, from: &CreateTableFrom, limit: &Limit) -> Result<Answer, SqlError> {
        let components = &self.shared.components;
        let sampler = Sampler { connector: &components.sources, clock: &components.world.clock };
        let mut ddl = Ddl {
            catalog: &components.catalog,
            control: &components.control,
            probe: &components.probe,
            database: self.database.as_deref(),
            user: &self.login.user,
            root_password: self.shared.settings.root_password,
            account: &self.account,
            diagnostics: &mut self.diagnostics,
        };
        let Some(batch) = ddl.create_table_from(from, sampler).await? else { return Ok(self.done()) };
        let schema = batch.schema();
        let answer = ReadAnswer { schema, batches: stream::iter([Ok(batch)]).boxed() };
        Ok(answer_rows(answer, &[], limit.clone(), Arc::clone(&self.presence), self.late.clone()))
    }

    fn done(&self) -> Answer {
        Answer::Done { affected_rows: 0, warnings: self.diagnostics.warnings(), info: String::new() }
    }

    async fn ddl(&mut self, statement: &Statement) -> Result<Answer, SqlError> {
        let components = &self.shared.components;
        let mut ddl = Ddl {
            catalog: &components.catalog,
            control: &components.control,
            probe: &components.probe,
            account: &self.account,
            database: self.database.as_deref(),
            user: &self.login.user,
            root_password: self.shared.settings.root_password,
            diagnostics: &mut self.diagnostics,
        };
        ddl.execute(statement).await.expect("every other statement has been dealt with")?;
        if let Statement::DropDatabase { name, .. } = statement {
            if self.database.as_deref().is_some_and(|used| used.eq_ignore_ascii_case(name)) {
                self.set_database(None);
            }
        }
        Ok(self.done())
    }

    fn kill(&mut self, connection: u32, query_only: bool) -> Result<Answer, SqlError> {
        if self.shared.sessions.kill(connection, query_only) {
            return Ok(self.done());
        }
        let message = format!("Unknown thread id: {connection}; SHOW PROCESSLIST lists those that there are");
        Err(SqlError::new(NO_SUCH_THREAD, message))
    }

    async fn query(&mut self, query: Query, limit: &Limit) -> Result<Answer, SqlError> {
        let answer = self.ask(*query.ast).await?;
        Ok(answer_rows(answer, &query.headings, limit.clone(), Arc::clone(&self.presence), self.late.clone()))
    }

    /// Gives a statement to the engine.
    async fn ask(&mut self, statement: ast::Statement) -> Result<ReadAnswer, SqlError> {
        let freshness = self.variables.freshness();
        self.ask_at(statement, freshness).await
    }

    async fn ask_at(&mut self, statement: ast::Statement, freshness: Freshness) -> Result<ReadAnswer, SqlError> {
        let query = self.read_query(statement, freshness).await?;
        let place = self.shared.admission.enter(&query.statement).await?;
        let queries = &self.shared.components.queries;
        let answer = queries.query(query).await.map_err(|error| of_read(&error, || queries.functions()))?;
        // The place is given back when the rows are read, or dropped.
        let batches = answer.batches.inspect(move |_| _ = &place).boxed();
        Ok(ReadAnswer { batches, ..answer })
    }

    /// A statement in the engine's words.
    async fn read_query(&mut self, mut statement: ast::Statement, freshness: Freshness) -> Result<ReadQuery, SqlError> {
        let components = &self.shared.components;
        let topics = TopicCalls::take(&mut statement)?.open(&components.sources, &components.world.clock).await?;
        let now = DateTime::from_timestamp_micros(components.world.clock.wall().0).unwrap_or_default();
        let values = SessionValues {
            database: self.database.as_deref(),
            user: &self.account,
            connection_id: self.login.connection_id,
            variables: &self.variables,
            diagnostics: &self.diagnostics,
            now,
        };
        rewrite(&mut statement, &values)?;
        resolve(&mut statement, &components.catalog, self.database.as_deref(), topics.relations()).await?;
        let mut schemas = schemas(self.reader());
        schemas.extend(topics.schema());
        Ok(ReadQuery {
            statement: Box::new(statement),
            database: self.database.clone().unwrap_or_default(),
            freshness,
            seen: Arc::clone(&self.seen),
            schemas,
            functions: Vec::new(),
            time_zone: None,
        })
    }

    fn reader(&self) -> Reader {
        let components = &self.shared.components;
        Reader {
            catalog: components.catalog.clone(),
            runtime: Arc::clone(&components.runtime),
            sessions: Arc::clone(&self.shared.sessions),
            root_password: self.shared.settings.root_password,
            session: SessionView {
                variables: self.variables.clone(),
                diagnostics: self.diagnostics.kept().to_vec(),
                warning_count: self.diagnostics.count(),
                error_count: self.diagnostics.error_count(),
            },
        }
    }
}

/// What `sql_select_limit` does: a SELECT without a LIMIT of its own gets this one.
fn limit_rows(statement: &mut ast::Statement, rows: i64) {
    if let ast::Statement::Query(query) = statement {
        let limit = || ast::Expr::value(ast::Value::Number(rows.to_string(), false));
        query.limit_clause.get_or_insert_with(|| ast::LimitClause::LimitOffset {
            limit: Some(limit()),
            offset: None,
            limit_by: Vec::new(),
        });
    }
}

/// Whether a statement asks about the one before it, and so leaves its diagnostics.
fn is_about_diagnostics(statement: &Statement) -> bool {
    use super::statement::ShowWhat;
    match statement {
        Statement::Show(show) => {
            matches!(show.what, ShowWhat::Warnings | ShowWhat::Errors | ShowWhat::CountWarnings | ShowWhat::CountErrors)
        }
        Statement::Query(query) => query.headings.iter().any(|heading| match heading {
            Heading::Text(text) => {
                ["@@warning_count", "@@error_count"].iter().any(|name| text.eq_ignore_ascii_case(name))
            }
            Heading::Columns => false,
        }),
        _ => false,
    }
}

impl Session {
    /// What ends the statement that begins here.
    fn begin(&self, text: &str) -> Result<Limit, SqlError> {
        let cancel = self.presence.begin(text).ok_or_else(SqlError::killed)?;
        Ok(Limit::new(&self.shared.components.world.clock, self.variables.statement_timeout(), cancel))
    }

    /// The statement has been answered, though its rows may still be on their way.
    fn end(&mut self, result: Result<Answer, SqlError>) -> Result<Answer, SqlError> {
        if !matches!(result, Ok(Answer::Rows { .. })) {
            self.presence.end();
        }
        if let Err(error) = &result {
            self.diagnostics.error(error);
        }
        result
    }
}

#[async_trait]
impl SqlSession for Session {
    async fn execute(&mut self, sql: &str) -> Result<Answer, SqlError> {
        let limit = self.begin(sql)?;
        let result = limit.clone().hold(self.run(sql, &limit)).await;
        self.end(result)
    }

    fn statements(&self, sql: &str) -> Vec<Range<usize>> {
        statements(sql, &self.shared.settings.limits)
    }

    async fn prepare(&mut self, sql: &str) -> Result<Prepared, SqlError> {
        let limit = self.begin(sql)?;
        self.clear_diagnostics();
        let result = limit.hold(self.prepare_numbered(sql)).await;
        self.presence.end();
        if let Err(error) = &result {
            self.diagnostics.error(error);
        }
        result
    }

    async fn execute_prepared(&mut self, id: u32, parameters: Vec<Parameter>) -> Result<Answer, SqlError> {
        let prepared = self.prepared.get(id)?;
        let limit = self.begin(&prepared.text)?;
        self.begin_diagnostics(Some(&prepared.statement));
        let result = limit.clone().hold(self.execute_bound(&prepared, &parameters, &limit)).await;
        self.end(result)
    }

    fn close_prepared(&mut self, id: u32) {
        self.prepared.close(id);
        self.presence.set_prepared(self.prepared.len());
    }

    fn killed(&self) -> CancellationToken {
        self.presence.killed()
    }

    fn idle_timeout(&self) -> Option<Duration> {
        self.variables.idle_timeout()
    }

    async fn use_database(&mut self, name: &str) -> Result<(), SqlError> {
        self.clear_diagnostics();
        self.switch_to(name).await
    }

    async fn reset(&mut self) {
        // The database of the login may have been dropped meanwhile: then there is none in use.
        if self.back_to_login().await.is_err() {
            self.set_database(None);
        }
    }

    fn statistics(&self) -> String {
        let counters = self.shared.sessions.counters();
        let per_second = counters.statements as f64 / counters.uptime_seconds.max(1) as f64;
        format!(
            "Uptime: {}  Threads: {}  Questions: {}  Slow queries: 0  Opens: 0  Flush tables: 0  Open tables: 0  Queries per \
             second avg: {per_second:.3}",
            counters.uptime_seconds, counters.connected, counters.statements
        )
    }
}
