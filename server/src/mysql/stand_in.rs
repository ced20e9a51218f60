//! A session for tests that answers a few made-up statements: what a SQL engine might do to the wire, without one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::SqlError;
use super::handler::{Answer, Login, Prepared, SessionFactory, SqlSession};
use super::parameters::Parameter;

/// Opens stand-in sessions and shows what became of their statements.
#[derive(Clone)]
pub(crate) struct StandIn {
    /// How many batches have been drawn from streams.
    pub(crate) drawn: watch::Sender<usize>,
    /// How many statements that never end have begun.
    pub(crate) begun: watch::Sender<usize>,
    /// How many statements were dropped before their end.
    pub(crate) cancelled: watch::Sender<usize>,
    /// The last login that was let in.
    pub(crate) login: watch::Sender<Option<Login>>,
    /// Ends every connection.
    pub(crate) killed: CancellationToken,
}

impl StandIn {
    pub(crate) fn new() -> Self {
        Self {
            drawn: watch::Sender::new(0),
            begun: watch::Sender::new(0),
            cancelled: watch::Sender::new(0),
            login: watch::Sender::new(None),
            killed: CancellationToken::new(),
        }
    }
}

#[async_trait]
impl SessionFactory for StandIn {
    async fn open(&self, login: Login) -> Result<Box<dyn SqlSession>, SqlError> {
        match login.database.as_deref() {
            Some("nowhere") => return Err(SqlError::unknown_database("nowhere", "")),
            Some("panic") => panic!("a session that panics while it opens"),
            _ => {}
        }
        let database = login.database.clone();
        self.login.send_replace(Some(login));
        Ok(Box::new(StandInSession {
            world: self.clone(),
            database,
            prepared: BTreeMap::new(),
            killed: self.killed.clone(),
        }))
    }
}

struct StandInSession {
    world: StandIn,
    database: Option<String>,
    prepared: BTreeMap<u32, String>,
    killed: CancellationToken,
}

/// Counts its statement as dropped.
struct Guard(watch::Sender<usize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count += 1);
    }
}

#[async_trait]
impl SqlSession for StandInSession {
    async fn execute(&mut self, sql: &str) -> Result<Answer, SqlError> {
        let words: Vec<&str> = sql.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
        match words.as_slice() {
            ["rows", ..] => Ok(self.batches(number(1), number(2), None)),
            ["fail", "after", _] => Ok(self.batches(number(2), 10, Some(SqlError::other("the disk went away")))),
            ["fail"] => Err(SqlError::no_such_table("demo", "nothing", "")),
            ["value", _] => Ok(rows(vec![("value", text(vec![Some("x".repeat(number(1)))]))])),
            ["database"] => Ok(rows(vec![("database", text(vec![self.database.clone()]))])),
            ["hang"] => {
                let _guard = Guard(self.world.cancelled.clone());
                self.world.begun.send_modify(|count| *count += 1);
                std::future::pending().await
            }
            ["panic"] => panic!("a statement that panics"),
            ["panic", "later"] => {
                let failing = stream::once(async { panic!("a stream that panics") });
                let RowsOf { schema, first } = RowsOf::new(vec![("n", numbers(vec![1]))]);
                Ok(Answer::Rows { schema, stream: stream::iter([Ok(first)]).chain(failing).boxed() })
            }
            ["change"] => Ok(Answer::Done { affected_rows: 3, warnings: 2, info: "three of them".into() }),
            ["SELECT", "*", "FROM", _, "LIMIT", "0"] | ["select", "1"] => Ok(rows(vec![("1", numbers(vec![1]))])),
            _ => Ok(rows(vec![("text", text(vec![Some(sql.to_owned()), None]))])),
        }
    }

    /// Cut at each semicolon.
    fn statements(&self, sql: &str) -> Vec<Range<usize>> {
        let ends = sql.match_indices(';').map(|(at, _)| at).chain([sql.len()]);
        let starts = std::iter::once(0).chain(sql.match_indices(';').map(|(at, _)| at + 1));
        starts.zip(ends).map(|(start, end)| start..end).filter(|range| !sql[range.clone()].trim().is_empty()).collect()
    }

    /// As many parameters as question marks; its rows have one column where it has any parameter.
    async fn prepare(&mut self, sql: &str) -> Result<Prepared, SqlError> {
        if sql == "fail" {
            return Err(SqlError::no_such_table("demo", "nothing", ""));
        }
        let id = self.prepared.len() as u32 + 1;
        self.prepared.insert(id, sql.to_owned());
        let parameters = sql.matches('?').count() as u16;
        let columns = (parameters > 0).then(|| RowsOf::new(vec![("?", text(Vec::new()))]).schema);
        Ok(Prepared { id, parameters, columns })
    }

    /// What it was given, or else the answer to its text.
    async fn execute_prepared(&mut self, id: u32, parameters: Vec<Parameter>) -> Result<Answer, SqlError> {
        let Some(sql) = self.prepared.get(&id).cloned() else { return Err(SqlError::other("it was closed")) };
        match parameters.is_empty() {
            true => self.execute(&sql).await,
            false => Ok(rows(vec![("?", text(vec![Some(format!("{parameters:?}"))])), ("n", numbers(vec![-1]))])),
        }
    }

    fn close_prepared(&mut self, id: u32) {
        self.prepared.remove(&id);
    }

    async fn use_database(&mut self, name: &str) -> Result<(), SqlError> {
        if name == "nowhere" {
            return Err(SqlError::unknown_database(name, ""));
        }
        self.database = Some(name.to_owned());
        Ok(())
    }

    async fn reset(&mut self) {
        self.database = None;
        self.prepared.clear();
    }

    fn killed(&self) -> CancellationToken {
        self.killed.clone()
    }

    fn idle_timeout(&self) -> Option<Duration> {
        None
    }

    fn statistics(&self) -> String {
        "Uptime: 1  Threads: 1".to_owned()
    }
}

impl StandInSession {
    /// `count` batches of 1024 rows with a number and `bytes` bytes of text, and then perhaps an error.
    fn batches(&self, count: usize, bytes: usize, error: Option<SqlError>) -> Answer {
        const ROWS: usize = 1024;
        let batch = move |index: usize| {
            let first = index * ROWS;
            RowsOf::new(vec![
                ("n", numbers((first..first + ROWS).map(|n| n as i64).collect())),
                ("pad", text(vec![Some("p".repeat(bytes)); ROWS])),
            ])
        };
        let schema = batch(0).schema;
        let (drawn, guard) = (self.world.drawn.clone(), Guard(self.world.cancelled.clone()));
        let stream: BoxStream<'static, Result<RecordBatch, SqlError>> = stream::iter(0..count)
            .map(move |index| {
                let _alive = &guard;
                drawn.send_modify(|count| *count += 1);
                Ok(batch(index).first)
            })
            .chain(stream::iter(error.map(Err)))
            .boxed();
        Answer::Rows { schema, stream }
    }
}

struct RowsOf {
    schema: SchemaRef,
    first: RecordBatch,
}

impl RowsOf {
    fn new(columns: Vec<(&str, ArrayRef)>) -> Self {
        let first =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
                .unwrap();
        Self { schema: first.schema(), first }
    }
}

/// An answer of one batch.
pub(crate) fn rows(columns: Vec<(&str, ArrayRef)>) -> Answer {
    let RowsOf { schema, first } = RowsOf::new(columns);
    Answer::Rows { schema, stream: stream::iter([Ok(first)]).boxed() }
}

/// A column of text.
pub(crate) fn text(values: Vec<Option<String>>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}

/// A column of numbers.
pub(crate) fn numbers(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}
