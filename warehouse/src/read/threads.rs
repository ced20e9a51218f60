//! Threads of their own for queries: a join that computes for seconds between two rows must hold up neither the intake, nor the
//! commits, nor those who would end it (I9).
//!
//! Owns the way there and back: the query runs on those threads, its rows come through a channel of one batch, and dropping them
//! ends it at its next pause.

use std::future::Future;

use arrow::array::RecordBatch;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::engine::ReadAnswer;
use super::errors::ReadError;

/// Ends its task when dropped: at its next pause, or where it looks whether it is still wanted.
struct AbortOnDrop {
    task: JoinHandle<()>,
    _ended: DropGuard,
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl AbortOnDrop {
    /// The task has said all that it will say. What made it panic panics here: else its rows would seem to be all.
    async fn finished(mut self) {
        if let Err(error) = (&mut self.task).await {
            if error.is_panic() {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

/// The answer of `query`, which runs on `threads`; `ended` is cancelled when nobody wants it any more.
///
/// # Errors
/// Those of `query`.
///
/// # Panics
/// If `query` does, here or when its rows are read.
pub(super) async fn run_on(
    threads: &Handle,
    ended: CancellationToken,
    query: impl Future<Output = Result<ReadAnswer, ReadError>> + Send + 'static,
) -> Result<ReadAnswer, ReadError> {
    let (begun, begins) = oneshot::channel();
    let (rows, received) = mpsc::channel(1);
    let task = threads.spawn(async move {
        match query.await {
            // Who asked may be gone: then there is nobody to be told.
            Err(error) => drop(begun.send(Err(error))),
            Ok(ReadAnswer { schema, mut batches }) => {
                if begun.send(Ok(schema)).is_err() {
                    return;
                }
                while let Some(batch) = batches.next().await {
                    if rows.send(batch).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    let task = AbortOnDrop { task, _ended: ended.drop_guard() };
    match begins.await {
        Ok(begun) => Ok(ReadAnswer { schema: begun?, batches: received_rows(received, task) }),
        Err(_) => {
            task.finished().await;
            Err(ReadError::Stopping)
        }
    }
}

fn received_rows(
    received: mpsc::Receiver<Result<RecordBatch, ReadError>>,
    task: AbortOnDrop,
) -> BoxStream<'static, Result<RecordBatch, ReadError>> {
    let rows = stream::unfold((received, task), |(mut received, task)| async {
        match received.recv().await {
            Some(batch) => Some((batch, (received, task))),
            None => {
                task.finished().await;
                None
            }
        }
    });
    rows.boxed()
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::Schema;
    use futures::FutureExt;
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn threads() -> Runtime {
        Builder::new_multi_thread().worker_threads(1).build().unwrap()
    }

    fn batch(value: i64) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
        RecordBatch::try_from_iter([("a", column)]).unwrap()
    }

    fn answer(batches: BoxStream<'static, Result<RecordBatch, ReadError>>) -> Result<ReadAnswer, ReadError> {
        Ok(ReadAnswer { schema: Arc::new(Schema::empty()), batches })
    }

    #[tokio::test]
    async fn rows_and_errors_come_as_they_are() {
        let threads = threads();
        let ends = || Err::<RecordBatch, _>(ReadError::invalid("the end".to_owned()));
        let query = async move { answer(stream::iter([Ok(batch(1)), Ok(batch(2)), ends()]).boxed()) };
        let rows: Vec<_> =
            run_on(threads.handle(), CancellationToken::new(), query).await.unwrap().batches.collect().await;
        assert!(matches!(&rows[..], [Ok(one), Ok(two), Err(_)] if *one == batch(1) && *two == batch(2)), "{rows:?}");
        let refused = run_on(threads.handle(), CancellationToken::new(), async move { Err(ends().unwrap_err()) }).await;
        assert!(matches!(refused, Err(ReadError::Invalid { .. })));
        threads.shutdown_background();
    }

    #[tokio::test]
    async fn a_query_that_computes_holds_up_nobody_else() {
        let threads = threads();
        let (go_on, waits) = std::sync::mpsc::channel();
        let query = async move {
            // Not a pause: the thread itself waits.
            waits.recv().unwrap();
            answer(stream::iter([Ok(batch(7))]).boxed())
        };
        let running = run_on(threads.handle(), CancellationToken::new(), query);
        let (answered, ()) = tokio::join!(running, async { go_on.send(()).unwrap() });
        assert_eq!(answered.unwrap().batches.next().await.unwrap().unwrap(), batch(7));
        threads.shutdown_background();
    }

    #[tokio::test]
    async fn dropped_rows_end_the_query_and_let_go_of_what_it_held() {
        let threads = threads();
        let (held, mut let_go) = mpsc::channel::<()>(1);
        let query = async move {
            let endless = stream::repeat_with(|| Ok(batch(1))).inspect(move |_| _ = &held);
            answer(endless.boxed())
        };
        let ended = CancellationToken::new();
        let mut rows = run_on(threads.handle(), ended.clone(), query).await.unwrap().batches;
        rows.next().await.unwrap().unwrap();
        assert!(!ended.is_cancelled());
        drop(rows);
        assert!(ended.is_cancelled(), "also what makes no pause is told");
        assert_eq!(let_go.recv().await, None);
        threads.shutdown_background();
    }

    #[tokio::test]
    async fn a_panic_is_never_taken_for_the_end_of_the_rows() {
        let threads = threads();
        let query = async { answer(stream::iter([1]).map(|_| panic!("a defect")).boxed()) };
        let mut rows = run_on(threads.handle(), CancellationToken::new(), query).await.unwrap().batches;
        assert!(AssertUnwindSafe(rows.next()).catch_unwind().await.is_err());
        let at_once = async { panic!("a defect before its rows") };
        assert!(
            AssertUnwindSafe(run_on(threads.handle(), CancellationToken::new(), at_once)).catch_unwind().await.is_err()
        );
        threads.shutdown_background();
    }
}
