//! The handle: what a worker's tasks hold of its log. Starts the tasks that do the work, and ends them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vfs::{Disk, World};

use crate::intake::Intake;
use crate::payload::{MAX_PAYLOAD_BYTES, Packed};
use crate::recovery::{Recovered, recover};
use crate::retire::Retirer;
use crate::shared::Shared;
use crate::syncer::{Syncer, UNSYNCED_BATCHES};
use crate::writer::Writer;
use crate::{Durable, Record, Replay, WalError, WalPosition, WalSettings};

/// A worker's write-ahead log. Clones are handles of the same log; when the last is dropped, what was accepted is still written
/// while the runtime lasts, but only [`Wal::close`] waits for it.
#[derive(Clone, Debug)]
pub struct Wal(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    world: World,
    /// Taken by the first to close it.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What a WAL holds and has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalStats {
    /// Bytes of all segments.
    pub bytes_on_disk: u64,
    /// How many segments there are.
    pub segments: usize,
    /// Bytes accepted and not yet written, and the room kept for those that wait to be accepted.
    pub queued_bytes: u64,
    /// The stream whose needed record is the oldest, and a position that none of its needed records is before.
    pub oldest_needed: Option<(u64, WalPosition)>,
    /// Fsyncs since opening.
    pub fsyncs: u64,
    /// Records made durable since opening.
    pub records: u64,
}

impl Wal {
    /// Opens the log in `disk`, which must be this process's alone: cuts a torn tail, refuses damage, and gives back what is
    /// there. Must be called on a tokio runtime, which runs the log's tasks.
    pub async fn open(disk: Arc<dyn Disk>, settings: WalSettings, world: World) -> Result<(Self, Replay), WalError> {
        let Recovered { segments, fences, ledger, end, next_segment } = recover(&*disk, &world).await?;
        let intake = Intake::new(fences.clone(), settings.queue_bytes);
        let shared = Arc::new(Shared::new(intake, ledger));
        let (to_sync, inbox) = mpsc::channel(UNSYNCED_BATCHES);
        let retirer = Retirer { disk: disk.clone(), shared: shared.clone() };
        let syncer = Syncer { inbox, shared: shared.clone(), clock: world.clock.clone() };
        let writer = Writer {
            disk,
            settings,
            world: world.clone(),
            shared: shared.clone(),
            to_sync,
            next_segment,
            last_end: end,
            recorded: fences.clone(),
            active: None,
        };
        let tasks = vec![tokio::spawn(writer.run()), tokio::spawn(syncer.run()), tokio::spawn(retirer.run())];
        let replay = Replay::new(segments, fences, shared.clone());
        Ok((Self(Arc::new(Handle { shared, world, tasks: Mutex::new(tasks) })), replay))
    }

    /// Accepts `record`, once there is room for it in the queue; what it returns resolves when the record is durable. Records of
    /// one stream are in the log in the order in which their appends returned.
    ///
    /// Dropping the future before it has returned may or may not have appended the record.
    pub async fn append(&self, record: Record) -> Result<Durable, WalError> {
        let Record { stream, epoch, payload } = record;
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(WalError::TooLarge { bytes: payload.len() as u64, limit: MAX_PAYLOAD_BYTES as u64 });
        }
        let Handle { shared, world, .. } = &*self.0;
        shared.intake.check(stream, epoch)?;
        let packed = Packed::pack(payload, &*world.compute).await;
        let answer = shared.intake.admit(stream, epoch, packed).await?;
        Ok(Durable::new(stream, answer, shared.clone()))
    }

    /// Raises the newest known epoch of `stream`: from now on appends under an older one are [`WalError::Fenced`] (I2). Recorded
    /// with the next write, or by [`Wal::close`]; what was accepted before is still written. An epoch never falls.
    pub fn fence(&self, stream: u64, epoch: u64) {
        self.0.shared.intake.fence(stream, epoch);
    }

    /// The records of `stream` at or before `through` are not needed any more. Whole segments that nobody needs are removed in
    /// the background, oldest first.
    pub fn release(&self, stream: u64, through: WalPosition) {
        self.0.shared.with_ledger_and_retirer(|ledger| ledger.release(stream, through));
    }

    /// The last record of `stream` that is in the log and was not released. What was accepted and is still on its way is not
    /// looked at.
    pub fn last_needed(&self, stream: u64) -> Option<WalPosition> {
        self.0.shared.with_ledger(|ledger| ledger.last_needed(stream))
    }

    /// `stream` is gone for good: all of its records are released, and its fence is dropped. To be called when none of its
    /// appends is under way; and again after a restart whose replay still shows the stream.
    pub fn forget(&self, stream: u64) {
        self.0.shared.intake.forget(stream);
        self.0.shared.with_ledger_and_retirer(|ledger| ledger.forget(stream));
    }

    /// What the log holds and has done.
    pub fn stats(&self) -> WalStats {
        let shared = &self.0.shared;
        let (bytes_on_disk, segments, oldest_needed) =
            shared.with_ledger(|ledger| (ledger.bytes(), ledger.segments(), ledger.oldest_needed()));
        WalStats {
            bytes_on_disk,
            segments,
            queued_bytes: shared.intake.queued_bytes(),
            oldest_needed,
            fsyncs: shared.fsyncs.load(Ordering::Relaxed),
            records: shared.records.load(Ordering::Relaxed),
        }
    }

    /// Takes nothing more, makes all that was accepted durable, and ends the log's tasks. An error is why the log had ended
    /// before. Other handles get [`WalError::Closed`].
    pub async fn close(self) -> Result<(), WalError> {
        let Handle { shared, tasks, .. } = &*self.0;
        shared.intake.close();
        let tasks = std::mem::take(&mut *tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if let Err(error) = task.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        match shared.intake.end() {
            Some(WalError::Closed) | None => Ok(()),
            Some(error) => Err(error),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.intake.close();
    }
}
