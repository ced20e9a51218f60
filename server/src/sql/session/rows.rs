//! Rows on their way to a client: headed as typed, errors in MySQL's words, ended by KILL and by the time limit.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use futures::stream::{self, BoxStream, StreamExt};
use tokio_util::sync::CancellationToken;
use vfs::{Clock, Moment};
use warehouse::read::engine::ReadAnswer;
use warehouse::read::errors::ReadError;

use super::super::errors::of_read;
use super::super::headings::Heading;
use super::super::sessions::Presence;
use super::super::units::millis_text;
use crate::mysql::{Answer, SqlError};

/// What ends a statement before its time.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    clock: Arc<dyn Clock>,
    until: Option<(Moment, Duration)>,
    cancel: CancellationToken,
}

impl Limit {
    pub(super) fn new(clock: &Arc<dyn Clock>, timeout: Option<Duration>, cancel: CancellationToken) -> Self {
        let until = timeout.map(|timeout| (clock.now().after(timeout), timeout));
        Self { clock: Arc::clone(clock), until, cancel }
    }

    /// `work`, unless the statement is ended first.
    pub(super) async fn hold<T>(self, work: impl Future<Output = Result<T, SqlError>>) -> Result<T, SqlError> {
        tokio::select! {
            biased;
            error = self.ended() => Err(error),
            result = work => result,
        }
    }

    async fn ended(&self) -> SqlError {
        let timed_out = async {
            match self.until {
                Some((until, timeout)) => {
                    self.clock.sleep_until(until).await;
                    let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                    SqlError::timed_out(&millis_text(millis))
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => SqlError::interrupted(),
            error = timed_out => error,
        }
    }
}

/// Tells the process list that a statement has ended, when its rows are read or dropped.
struct EndOnDrop(Arc<Presence>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The error that ended a statement's rows. The statement was answered before, so its session takes it from here when it is
/// asked for it next.
#[derive(Clone, Debug, Default)]
pub(super) struct LateError(Arc<Mutex<Option<SqlError>>>);

impl LateError {
    fn set(&self, error: &SqlError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
    }

    pub(super) fn take(&self) -> Option<SqlError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The next batch of rows that flow already: no name is unknown any more.
pub(super) async fn next_batch(
    batches: &mut BoxStream<'static, Result<RecordBatch, ReadError>>,
) -> Result<Option<RecordBatch>, SqlError> {
    batches.next().await.transpose().map_err(|error| of_read(&error, Vec::new))
}

/// Rows on their way, where whoever ends the statement finds them.
enum OnTheWay {
    /// Nobody asks for the next.
    Waiting(Held),
    /// Somebody does, and sees by himself when the statement is ended.
    Asked,
    /// They were taken away.
    Ended,
}

/// What a statement holds until its rows are read: pins, memory, spilled files, its place, and its entry in the process list.
struct Held {
    batches: BoxStream<'static, Result<RecordBatch, ReadError>>,
    _end: EndOnDrop,
}

struct Flow(Arc<Mutex<OnTheWay>>);

impl Flow {
    fn put(&self, next: OnTheWay) -> OnTheWay {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), next)
    }

    /// What is held, for whoever asks for the next row; `None` where it was taken away.
    fn ask(&self) -> Option<Held> {
        match self.put(OnTheWay::Asked) {
            OnTheWay::Waiting(held) => Some(held),
            OnTheWay::Asked | OnTheWay::Ended => None,
        }
    }

    /// The client has something to read. What is given back after the end is dropped by the next who asks, and not waited for.
    fn give_back(&self, held: Held) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*now, OnTheWay::Asked) {
            *now = OnTheWay::Waiting(held);
        }
    }
}

/// A client that does not read its rows is not asked either: they are taken away where they wait. *(Else a statement that was killed
/// holds all that it had for as long as its client likes.)*
async fn take_away_at_the_end(flow: Weak<Mutex<OnTheWay>>, limit: Limit, read: CancellationToken) {
    tokio::select! {
        biased;
        () = read.cancelled() => {}
        _ = limit.ended() => drop(flow.upgrade().map(|flow| Flow(flow).put(OnTheWay::Ended))),
    }
}

/// The rows of `answer` under `headings`; an error among them is left in `late` too.
pub(super) fn answer_rows(
    answer: ReadAnswer,
    headings: &[Heading],
    limit: Limit,
    presence: Arc<Presence>,
    late: LateError,
) -> Answer {
    let schema = headed(&answer.schema, headings);
    let held = Held { batches: answer.batches, _end: EndOnDrop(presence) };
    let (flow, read) = (Flow(Arc::new(Mutex::new(OnTheWay::Waiting(held)))), CancellationToken::new());
    tokio::spawn(take_away_at_the_end(Arc::downgrade(&flow.0), limit.clone(), read.clone()));
    let state = (flow, limit, late, read.drop_guard());
    let rows = stream::unfold(Some(state), |state| async {
        let (flow, limit, late, read) = state?;
        let next = async {
            // Taken away, there is an end to wait for, which has come.
            let Some(mut held) = flow.ask() else { return std::future::pending().await };
            let batch = next_batch(&mut held.batches).await?;
            flow.give_back(held);
            Ok::<_, SqlError>(batch)
        };
        match limit.clone().hold(next).await {
            Ok(Some(batch)) => Some((Ok(batch), Some((flow, limit, late, read)))),
            Ok(None) => None,
            Err(error) => {
                late.set(&error);
                Some((Err(error), None))
            }
        }
    });
    let stream: BoxStream<'static, Result<RecordBatch, SqlError>> = rows.boxed();
    Answer::Rows { schema, stream }
}

/// `schema` with the columns' headings, where these are known and fit.
pub(crate) fn headed(schema: &SchemaRef, headings: &[Heading]) -> SchemaRef {
    let wildcards = headings.iter().filter(|heading| **heading == Heading::Columns).count();
    let texts = headings.len() - wildcards;
    let fields = schema.fields();
    let Some(spread) = fields.len().checked_sub(texts) else { return Arc::clone(schema) };
    // Several `*` do not say how many columns are each one's.
    if wildcards > 1 || (wildcards == 0 && spread > 0) {
        return Arc::clone(schema);
    }
    let names = headings.iter().flat_map(|heading| match heading {
        Heading::Text(text) => vec![Some(text)],
        Heading::Columns => vec![None; spread],
    });
    let rename = |(field, name): (&Arc<Field>, Option<&String>)| match name {
        Some(name) => Arc::new(field.as_ref().clone().with_name(name)),
        None => Arc::clone(field),
    };
    let fields: Vec<Arc<Field>> = fields.iter().zip(names).map(rename).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// A text column and one row, for answers that are no query.
pub(super) fn one_row(columns: &[(&str, String)]) -> Answer {
    use arrow::array::{ArrayRef, StringArray};
    let array = |text: &String| Arc::new(StringArray::from(vec![text.as_str()])) as ArrayRef;
    let pairs = columns.iter().map(|(name, text)| (*name, array(text), false));
    let batch = RecordBatch::try_from_iter_with_nullable(pairs).expect("each column has one row");
    Answer::Rows { schema: batch.schema(), stream: stream::iter([Ok(batch)]).boxed() }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    fn names(schema: &[&str], headings: &[Heading]) -> Vec<String> {
        let fields: Vec<Field> = schema.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect();
        let headed = headed(&Arc::new(Schema::new(fields)), headings);
        headed.fields().iter().map(|field| field.name().clone()).collect()
    }

    #[test]
    fn a_star_takes_the_columns_that_the_texts_leave() {
        let text = |text: &str| Heading::Text(text.into());
        assert_eq!(names(&["a", "b"], &[text("X"), text("Y")]), ["X", "Y"]);
        assert_eq!(names(&["a", "b", "c"], &[Heading::Columns, text("n")]), ["a", "b", "n"]);
        assert_eq!(names(&["a", "b", "c"], &[Heading::Columns, Heading::Columns]), ["a", "b", "c"]);
        assert_eq!(names(&["plan_type", "plan"], &[]), ["plan_type", "plan"]);
        assert_eq!(names(&["a"], &[text("X"), text("Y")]), ["a"]);
    }
}
