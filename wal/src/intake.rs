//! The door of the log: who may append (I2), how much may wait (I8), and in which order it is written.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use vfs::planted;

use crate::WalError;
use crate::WalPosition;
use crate::fences::Fences;
use crate::frame;
use crate::payload::Packed;

/// The answer to one append.
pub(crate) type Answer = Result<WalPosition, WalError>;

/// The most that is written at once. More would make the first of a batch wait for the last; less would cost more syncs.
const BATCH_BYTES: usize = 4 << 20;

/// The bounded queue between appenders and the writer.
#[derive(Debug)]
pub(crate) struct Intake {
    state: Mutex<State>,
    /// Wakes the writer.
    wake: Notify,
    /// One permit per byte that may still be accepted; first come, first served.
    room: Arc<Semaphore>,
    queue_bytes: u32,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Entry>,
    fences: Fences,
    /// Fences that no mark records yet.
    unrecorded: Fences,
    /// Streams whose fence the writer shall drop.
    forgotten: Vec<u64>,
    /// For each stream, the appends that were accepted, refused for want of disk, and whose appender has not seen it yet. Until
    /// it has, nothing of that stream is accepted: else a later record would be logged without the earlier one (I3).
    unseen_refusals: BTreeMap<u64, usize>,
    /// Why nothing is accepted any more.
    end: Option<WalError>,
}

/// An accepted record.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) stream: u64,
    pub(crate) epoch: u64,
    pub(crate) packed: Packed,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// Given back when the entry has been written.
    _room: OwnedSemaphorePermit,
}

impl Entry {
    pub(crate) fn frame_bytes(&self) -> usize {
        frame::HEADER_BYTES + self.packed.stored.len()
    }
}

/// What the writer takes at once.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    pub(crate) fences: Fences,
    pub(crate) forgotten: Vec<u64>,
}

impl Intake {
    /// A door that knows `fences`, with room for `queue_bytes`.
    pub(crate) fn new(fences: Fences, queue_bytes: u64) -> Self {
        let queue_bytes = u32::try_from(queue_bytes).unwrap_or(u32::MAX).max(1);
        let room = Arc::new(Semaphore::new(queue_bytes as usize));
        Self { state: Mutex::new(State { fences, ..State::default() }), wake: Notify::new(), room, queue_bytes }
    }

    /// Whether an append would be refused now: before work is spent on it. [`Intake::admit`] decides.
    pub(crate) fn check(&self, stream: u64, epoch: u64) -> Result<(), WalError> {
        self.state().check(stream, epoch)
    }

    /// Accepts a record once there is room for it.
    pub(crate) async fn admit(
        &self,
        stream: u64,
        epoch: u64,
        packed: Packed,
    ) -> Result<oneshot::Receiver<Answer>, WalError> {
        let bytes = u32::try_from(frame::HEADER_BYTES + packed.stored.len()).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(bytes.min(self.queue_bytes)).await;
        let mut state = self.state();
        // Checked here, under the lock that also orders the queue: a fence that was raised while we waited counts (I2).
        state.check(stream, epoch)?;
        let room = room.map_err(|_| WalError::Closed)?;
        state.fences.raise(stream, epoch);
        let (answer, receiver) = oneshot::channel();
        state.queue.push_back(Entry { stream, epoch, packed, answer, _room: room });
        drop(state);
        self.wake.notify_one();
        Ok(receiver)
    }

    pub(crate) fn fence(&self, stream: u64, epoch: u64) {
        let mut state = self.state();
        if state.fences.raise(stream, epoch) {
            state.unrecorded.raise(stream, epoch);
        }
    }

    pub(crate) fn forget(&self, stream: u64) {
        let mut state = self.state();
        state.fences.forget(stream);
        state.unrecorded.forget(stream);
        state.forgotten.push(stream);
    }

    /// The next batch; none once the intake has ended and its queue is empty.
    pub(crate) async fn next_batch(&self) -> Option<Batch> {
        loop {
            {
                let mut state = self.state();
                if !state.queue.is_empty() {
                    return Some(state.take_batch());
                }
                if state.end.is_some() {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    /// What is left to record when no record will follow.
    pub(crate) fn last_fences(&self) -> Fences {
        mem::take(&mut self.state().unrecorded)
    }

    /// Refuses, for want of disk, a batch that was not written, and all that waits behind it, so that no stream gets a hole.
    pub(crate) fn refuse(&self, batch: Batch) {
        let mut state = self.state();
        let behind = mem::take(&mut state.queue);
        for (stream, epoch) in batch.fences.iter() {
            if state.fences.newest(stream).is_some() {
                state.unrecorded.raise(stream, epoch);
            }
        }
        for Entry { stream, answer, .. } in batch.entries.into_iter().chain(behind) {
            // An appender that does not wait for the answer has nothing to be told.
            if answer.send(Err(WalError::DiskFull)).is_ok() {
                *state.unseen_refusals.entry(stream).or_default() += 1;
            }
        }
    }

    /// An appender has seen, or will never look at, a refusal of its stream.
    pub(crate) fn refusal_was_seen(&self, stream: u64) {
        let mut state = self.state();
        if let Some(unseen) = state.unseen_refusals.get_mut(&stream) {
            *unseen -= 1;
            if *unseen == 0 {
                state.unseen_refusals.remove(&stream);
            }
        }
    }

    /// Takes nothing more; what was accepted will be written.
    pub(crate) fn close(&self) {
        self.state().end.get_or_insert(WalError::Closed);
        self.room.close();
        self.wake.notify_one();
    }

    /// Takes nothing more, and gives up what was accepted. The first reason given stays, unless it was an orderly close.
    pub(crate) fn fail(&self, error: &WalError) {
        let mut state = self.state();
        if !matches!(&state.end, Some(WalError::SyncFailed(_) | WalError::Disk(_))) {
            state.end = Some(error.clone());
        }
        for entry in mem::take(&mut state.queue) {
            let _ = entry.answer.send(Err(error.clone()));
        }
        drop(state);
        self.room.close();
        self.wake.notify_one();
    }

    /// Why nothing is accepted any more.
    pub(crate) fn end(&self) -> Option<WalError> {
        self.state().end.clone()
    }

    /// Bytes accepted and not yet written, and the room kept for those that wait to be accepted.
    pub(crate) fn queued_bytes(&self) -> u64 {
        u64::from(self.queue_bytes).saturating_sub(self.room.available_permits() as u64)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self, stream: u64, epoch: u64) -> Result<(), WalError> {
        if let Some(end) = &self.end {
            return Err(end.clone());
        }
        if let Some(newest) = self.fences.newest(stream).filter(|newest| epoch < *newest)
            && !planted::is("wal-append-without-fence")
        {
            return Err(WalError::Fenced { stream, newest });
        }
        if self.unseen_refusals.contains_key(&stream) {
            return Err(WalError::DiskFull);
        }
        Ok(())
    }

    fn take_batch(&mut self) -> Batch {
        let mut bytes = 0;
        let fitting = self.queue.iter().take_while(|entry| {
            bytes += entry.frame_bytes();
            bytes <= BATCH_BYTES
        });
        let count = fitting.count().max(1); // One that is larger goes alone.
        let entries = self.queue.drain(..count).collect();
        Batch { entries, fences: mem::take(&mut self.unrecorded), forgotten: mem::take(&mut self.forgotten) }
    }
}
