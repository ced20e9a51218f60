//! The task that makes written batches durable and tells their appenders. While it syncs, the writer writes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};
use vfs::{Clock, DiskFile, planted};

use crate::intake::Answer;
use crate::shared::Shared;
use crate::{WalError, WalPosition};

/// How many batches may be written and not yet synced.
pub(crate) const UNSYNCED_BATCHES: usize = 16;

/// What the writer hands on.
#[derive(Debug)]
pub(crate) enum ToSync {
    Written(Written),
    /// Answered once all that was handed on before is durable. The writer asks for it before it turns to another file.
    Barrier(oneshot::Sender<()>),
}

/// A batch that was written, and by whom.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) segment: SegmentFile,
    /// The segment's bytes with this batch.
    pub(crate) end: u64,
    pub(crate) appenders: Vec<(oneshot::Sender<Answer>, WalPosition)>,
}

/// The segment that is being written.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    pub(crate) file: Arc<dyn DiskFile>,
    /// Its bytes that are durable: stored by the syncer, told by the writer in each mark.
    pub(crate) durable: Arc<AtomicU64>,
}

#[derive(Debug)]
pub(crate) struct Syncer {
    pub(crate) inbox: mpsc::Receiver<ToSync>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Syncer {
    /// Runs until the writer has ended, or a sync has failed.
    pub(crate) async fn run(mut self) {
        while let Some(first) = self.inbox.recv().await {
            let (mut round, mut barriers) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            // All that was written while the last sync ran shares the next one.
            while let Some(message) = next {
                match message {
                    ToSync::Written(written) => round.push(written),
                    ToSync::Barrier(reached) => barriers.push(reached),
                }
                next = self.inbox.try_recv().ok();
            }
            if let Err(error) = self.sync(round).await {
                self.give_up(&error).await;
                return;
            }
            for reached in barriers {
                let _ = reached.send(());
            }
        }
    }

    /// One sync for the whole round. It is of one file, because of the barrier before each change of file.
    async fn sync(&self, mut round: Vec<Written>) -> Result<(), WalError> {
        if planted::is("visible-before-its-fsync") {
            for (answer, position) in round.iter_mut().flat_map(|written| written.appenders.drain(..)) {
                let _ = answer.send(Ok(position));
            }
        }
        let Some(Written { segment, end, .. }) = round.last() else { return Ok(()) };
        let result = sync(&segment.file, &*self.clock, &self.shared).await;
        match &result {
            Ok(()) => segment.durable.store(*end, Ordering::Release),
            // Before anybody is told, so that whoever is told finds the log closed.
            Err(error) => self.shared.intake.fail(error),
        }
        for (answer, position) in round.into_iter().flat_map(|written| written.appenders) {
            self.shared.records.fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
            let _ = answer.send(result.clone().map(|()| position)); // An appender need not wait.
        }
        result
    }

    /// A failed sync is never retried: the kernel reports a lost write once, and a second sync would only seem to succeed.
    async fn give_up(&mut self, error: &WalError) {
        tracing::error!(%error, "the WAL takes nothing more");
        self.inbox.close();
        while let Some(message) = self.inbox.recv().await {
            if let ToSync::Written(written) = message {
                for (answer, _) in written.appenders {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }
}

/// Syncs `file`, counted and timed.
pub(crate) async fn sync(file: &Arc<dyn DiskFile>, clock: &dyn Clock, shared: &Shared) -> Result<(), WalError> {
    let started = clock.now();
    let result = if planted::is("wal-fsync-skipped") { Ok(()) } else { file.sync().await };
    metrics::histogram!("millrace_wal_fsync_seconds").record(clock.now().since(started).as_secs_f64());
    shared.fsyncs.fetch_add(1, Ordering::Relaxed);
    if planted::is("failed-fsync-ignored") {
        return Ok(());
    }
    result.map_err(|error| WalError::SyncFailed(Arc::new(error)))
}
