//! The promise that [`crate::Wal::append`] gives.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use crate::WalError;
use crate::intake::Answer;
use crate::shared::Shared;

/// Resolves to the record's position once the fsync that covers it has returned. Dropping it does not take the record back.
#[must_use = "the record is durable only once this has resolved"]
pub struct Durable {
    stream: u64,
    /// Absent once it has answered.
    answer: Option<oneshot::Receiver<Answer>>,
    shared: Arc<Shared>,
}

impl Durable {
    pub(crate) fn new(stream: u64, answer: oneshot::Receiver<Answer>, shared: Arc<Shared>) -> Self {
        Self { stream, answer: Some(answer), shared }
    }

    fn is_seen(&self, answer: &Answer) {
        if matches!(answer, Err(WalError::DiskFull)) {
            self.shared.intake.refusal_was_seen(self.stream);
        }
    }
}

impl Future for Durable {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let pending = self.answer.as_mut().expect("a future is not polled after it has answered");
        let answer = ready!(Pin::new(pending).poll(context));
        self.answer = None;
        // Without an answer, the writer ended with the runtime around it.
        let answer = answer.unwrap_or(Err(WalError::Closed));
        self.is_seen(&answer);
        Poll::Ready(answer)
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        let Some(mut pending) = self.answer.take() else { return };
        pending.close(); // From here on a refusal cannot be sent any more, so that it is either seen here or not counted.
        if let Ok(answer) = pending.try_recv() {
            self.is_seen(&answer);
        }
    }
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Durable(stream {})", self.stream)
    }
}
