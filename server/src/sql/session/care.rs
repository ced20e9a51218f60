//! SYSTEM VERIFY TABLE and RETRY ERRORS: which rows are meant, and the answers as rows.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use catalog::{CatalogError, Offset, StreamId};
use datafusion::sql::sqlparser::ast::{self, Expr, SetExpr};
use warehouse::care::retry::{Retried, RetryError, Selection};
use warehouse::care::verify::{Depth, StreamVerdict, VerifyError};
use warehouse::read::session::Freshness;

use super::super::errors::of_catalog;
use super::super::literal::backticked;
use super::super::parse::parse_own;
use super::super::resolve::{ERRORS_SUFFIX, no_such_table};
use super::super::statement::Name;
use super::super::system::ColumnDef;
use super::super::system::cells::{Cell, Kind, answer};
use super::Session;
use super::rows::{Limit, next_batch};
use crate::mysql::{Answer, SqlError};

const VERDICTS: &[ColumnDef] = &[
    ("stream_id", Kind::Int),
    ("topic", Kind::Text),
    ("partition", Kind::Int),
    ("from", Kind::Int),
    ("to", Kind::Int),
    ("rows", Kind::Int),
    ("errors", Kind::Int),
    ("filtered", Kind::Int),
    ("gaps", Kind::Int),
    ("verdict", Kind::Text),
    ("detail", Kind::Text),
];

const RETRIED: &[ColumnDef] = &[("outcome", Kind::Text), ("reason", Kind::Text), ("rows", Kind::Int)];

impl Session {
    /// SYSTEM VERIFY TABLE: a row a stream; how far it is, SHOW PROCESSLIST tells meanwhile.
    pub(super) async fn verify_table(&mut self, name: &Name, full: bool) -> Result<Answer, SqlError> {
        let database = self.database_for(name.database.as_deref()).await?;
        let catalog = &self.shared.components.catalog;
        let table = match catalog.table(&database, &name.name).await {
            Ok(table) => table,
            Err(CatalogError::NotFound { .. }) => return Err(no_such_table(&database, &name.name, catalog).await),
            Err(error) => return Err(of_catalog(&error)),
        };
        let presence = Arc::clone(&self.presence);
        let progress = move |state: String| presence.set_state(&state);
        let depth = if full { Depth::Full } else { Depth::Parts };
        let verdicts = self.shared.components.care.verify(table.id, depth, &progress).await;
        let verdicts = verdicts.map_err(|error| match error {
            VerifyError::Memory { .. } => SqlError::out_of_memory(error.to_string()),
            VerifyError::Catalog(error) => SqlError::other(error.to_string()),
        })?;
        let rows: Vec<Vec<Cell>> = verdicts.iter().map(verdict_row).collect();
        Ok(answer(VERDICTS, &rows))
    }

    /// RETRY ERRORS: what became of the error rows that the WHERE names.
    pub(super) async fn retry_errors(
        &mut self,
        name: &Name,
        condition: Option<Box<Expr>>,
        limit: &Limit,
    ) -> Result<Answer, SqlError> {
        let pipeline = self.pipeline_named(name).await?;
        let catalog = &self.shared.components.catalog;
        let table = catalog.table_by_id(pipeline.table).await.map_err(|error| of_catalog(&error))?;
        let errors = backticked(&format!("{}{ERRORS_SUFFIX}", table.name));
        let mut query = parse_own(&format!("SELECT _stream, _offset FROM {}.{errors}", backticked(&table.database)));
        if let (SetExpr::Select(select), Some(condition)) = (query.body.as_mut(), condition) {
            select.selection = Some(*condition);
        }
        let statement = ast::Statement::Query(Box::new(query));
        // What is not committed is in no part yet: its owner will commit it as an error row.
        let mut answered = self.ask_at(statement, Freshness::Committed).await?;
        let mut selection = Selection::new();
        while let Some(batch) = limit.clone().hold(next_batch(&mut answered.batches)).await? {
            let column = |at: usize| batch.column(at).as_primitive::<Int64Type>();
            let pairs = column(0).values().iter().zip(column(1).values());
            selection.extend(pairs.map(|(stream, offset)| (StreamId(*stream as u64), Offset(*offset as u64))));
        }
        let care = &self.shared.components.care;
        let retried = care.retry_errors(pipeline.id, &selection).await;
        let retried = retried.map_err(|error| match error {
            RetryError::Memory { .. } => SqlError::out_of_memory(error.to_string()),
            error => SqlError::other(error.to_string()),
        })?;
        Ok(answer(RETRIED, &retried_rows(retried)))
    }
}

fn verdict_row(verdict: &StreamVerdict) -> Vec<Cell> {
    let of_stream = |value: u64| verdict.stream.map(|_| value);
    vec![
        Cell::from(verdict.stream.map(|stream| stream.0)),
        verdict.stream.map(|_| verdict.topic.clone()).into(),
        verdict.stream.map(|_| i64::from(verdict.partition)).into(),
        of_stream(verdict.range.start.0).into(),
        of_stream(verdict.range.end.0).into(),
        of_stream(verdict.rows).into(),
        of_stream(verdict.errors).into(),
        of_stream(verdict.filtered).into(),
        of_stream(verdict.gaps).into(),
        if verdict.faults.is_empty() { "ok" } else { "damaged" }.into(),
        verdict.detail().into(),
    ]
}

fn retried_rows(retried: Retried) -> Vec<Vec<Cell>> {
    let row = |outcome: &str, reason: Option<String>, rows: u64| vec![Cell::from(outcome), reason.into(), rows.into()];
    let mut rows = vec![row("retried", None, retried.retried), row("moved", None, retried.moved)];
    if retried.filtered > 0 {
        rows.push(row("left out by WHERE", None, retried.filtered));
    }
    rows.extend(retried.failing.into_iter().map(|(reason, count)| row("still failing", Some(reason), count)));
    if retried.cut > 0 {
        let reason = "only the beginning of the payload is kept: ALTER PIPELINE … SEEK TO OFFSETS reads it again";
        rows.push(row("not retried", Some(reason.to_owned()), retried.cut));
    }
    rows
}
