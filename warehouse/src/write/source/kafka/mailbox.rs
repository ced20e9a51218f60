//! What passes between the task and the reader's thread: wanted streams one way, events the other, within a bound (I8).
//!
//! The wanted streams are a state, not commands: the reader compares it with what it reads, so no command can be lost or
//! pile up. Events of a stream that is no longer wanted, or wanted anew from another position, are dropped here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catalog::{Offset, StreamId};
use tokio::sync::Notify;

use crate::write::source::cursor::held_bytes;
use crate::write::source::{SourceError, SourceEvent, SourceStream};

/// Troubles kept; each kind comes once in some seconds.
const TROUBLES_MAX: usize = 8;

/// With fewer batches than this the task may soon have nothing to do.
const HUNGRY_BELOW: usize = 2;

/// A topic's partition.
pub(super) type Partition = (Arc<str>, i32);

/// The partition of a stream.
pub(super) fn partition_of(stream: &SourceStream) -> Partition {
    (Arc::clone(&stream.topic), stream.partition)
}

/// A stream, and which wish for it this is: a stream added again is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) stream: SourceStream,
    pub(super) turn: u64,
}

#[derive(Debug, Default)]
struct State {
    wanted: BTreeMap<Partition, Wanted>,
    /// Raised by each change of `wanted`.
    turn: u64,
    paused: bool,
    closed: bool,
    reader_gone: bool,
    /// Batches and ends of streams, in order.
    records: VecDeque<SourceEvent>,
    records_bytes: u64,
    gathered_bytes: u64,
    /// What librdkafka holds, as near as is known.
    fetched_bytes: u64,
    troubles: VecDeque<SourceError>,
    highs: BTreeMap<StreamId, Offset>,
}

/// The mailbox of one open source.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    room: Condvar,
    news: Notify,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The task's side.

    /// Wants `stream`, anew if it was wanted. `Err`: its partition is wanted for another stream.
    pub(super) fn want(&self, stream: SourceStream) -> Result<(), StreamId> {
        let mut state = self.lock();
        let partition = partition_of(&stream);
        if let Some(other) = state.wanted.get(&partition).filter(|other| other.stream.stream != stream.stream) {
            return Err(other.stream.stream);
        }
        state.forget(stream.stream);
        state.turn += 1;
        let turn = state.turn;
        state.wanted.insert(partition, Wanted { stream, turn });
        self.room.notify_all();
        Ok(())
    }

    /// Wants `stream` no longer, and forgets what is queued of it.
    pub(super) fn unwant(&self, stream: StreamId) {
        let mut state = self.lock();
        state.forget(stream);
        state.wanted.retain(|_, wanted| wanted.stream.stream != stream);
        state.turn += 1;
        self.room.notify_all();
    }

    /// Whether records are withheld.
    pub(super) fn set_paused(&self, paused: bool) {
        self.lock().paused = paused;
        self.news.notify_one();
    }

    /// The next event, if there is one.
    pub(super) fn take(&self) -> Option<SourceEvent> {
        let mut state = self.lock();
        if let Some(error) = state.troubles.pop_front() {
            return Some(SourceEvent::Trouble(error));
        }
        if let Some((stream, offset)) = state.highs.pop_first() {
            return Some(SourceEvent::HighWatermark { stream, offset });
        }
        if state.paused {
            return None;
        }
        let event = state.records.pop_front()?;
        state.records_bytes -= event_bytes(&event);
        self.room.notify_all();
        Some(event)
    }

    /// Returns once something may have been put in since the last call.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Bytes held for the task: in batches, being gathered, and in librdkafka.
    pub(super) fn bytes(&self) -> u64 {
        let state = self.lock();
        state.records_bytes + state.gathered_bytes + state.fetched_bytes
    }

    /// Tells the reader to end.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
    }

    /// Whether the reader's thread has ended.
    pub(super) fn is_reader_gone(&self) -> bool {
        self.lock().reader_gone
    }

    // The reader's side.

    /// Whether the reader is to go on.
    pub(super) fn is_open(&self) -> bool {
        !self.lock().closed
    }

    /// The wanted streams by partition, if they are not as at turn `seen`.
    pub(super) fn wanted_since(&self, seen: &mut u64) -> Option<BTreeMap<Partition, Wanted>> {
        let state = self.lock();
        if *seen == state.turn {
            return None;
        }
        *seen = state.turn;
        Some(state.wanted.clone())
    }

    /// Waits up to `wait` until `limit` is above what is here and what the reader has `gathered`; by how much it is.
    pub(super) fn wait_for_room(&self, gathered: u64, limit: u64, wait: Duration) -> u64 {
        let mut state = self.lock();
        state.gathered_bytes = gathered;
        if state.room(limit) == 0 {
            // Not again in a loop: also a stream wanted or a closing ends the wait.
            state = self.room.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.room(limit)
    }

    /// Notes how much librdkafka holds.
    pub(super) fn note_fetched(&self, bytes: u64) {
        self.lock().fetched_bytes = bytes;
    }

    /// Whether the task may soon have nothing to do.
    pub(super) fn is_hungry(&self) -> bool {
        self.lock().records.len() < HUNGRY_BELOW
    }

    /// Puts in an event of the stream that was wanted by `wish`; drops it if that is no longer wanted.
    pub(super) fn post(&self, wish: &Wanted, event: SourceEvent) {
        let mut state = self.lock();
        if state.wanted.get(&partition_of(&wish.stream)).is_none_or(|wanted| wanted.turn != wish.turn) {
            return;
        }
        match event {
            SourceEvent::HighWatermark { stream, offset } => drop(state.highs.insert(stream, offset)),
            event => {
                state.records_bytes += event_bytes(&event);
                state.records.push_back(event);
            }
        }
        self.news.notify_one();
    }

    /// Puts in trouble of the whole source.
    pub(super) fn trouble(&self, error: SourceError) {
        let mut state = self.lock();
        if state.troubles.len() == TROUBLES_MAX {
            state.troubles.pop_front();
        }
        state.troubles.push_back(error);
        self.news.notify_one();
    }

    /// Says that the reader's thread has ended.
    pub(super) fn reader_gone(&self) {
        self.lock().reader_gone = true;
        self.news.notify_one();
    }
}

impl State {
    fn room(&self, limit: u64) -> u64 {
        limit.saturating_sub(self.records_bytes + self.gathered_bytes)
    }

    fn forget(&mut self, stream: StreamId) {
        self.records.retain(|event| event_stream(event) != Some(stream));
        self.records_bytes = self.records.iter().map(event_bytes).sum();
        self.highs.remove(&stream);
    }
}

fn event_bytes(event: &SourceEvent) -> u64 {
    match event {
        SourceEvent::Fetched(fetched) => held_bytes(&fetched.records),
        _ => 0,
    }
}

fn event_stream(event: &SourceEvent) -> Option<StreamId> {
    match event {
        SourceEvent::Fetched(fetched) => Some(fetched.stream),
        SourceEvent::HighWatermark { stream, .. }
        | SourceEvent::OutOfRange { stream, .. }
        | SourceEvent::TopicChanged { stream, .. } => Some(*stream),
        SourceEvent::Trouble(_) | SourceEvent::Idle => None,
    }
}

#[cfg(test)]
mod tests {
    use catalog::OffsetRange;

    use super::*;
    use crate::write::source::{Fetched, RawRecord, Records};

    fn stream(id: u64, partition: i32) -> SourceStream {
        SourceStream {
            stream: StreamId(id),
            topic: Arc::from("t"),
            incarnation: Arc::from(""),
            partition,
            position: Offset(0),
        }
    }

    fn batch(id: u64, payload: &[u8]) -> SourceEvent {
        let mut records = Records::default();
        records.push(RawRecord {
            offset: 0,
            timestamp_ms: None,
            payload: Some(payload),
            payload_bytes: payload.len() as u64,
            key: None,
            headers: None,
        });
        let range = OffsetRange::new(Offset(0), Offset(1));
        SourceEvent::Fetched(Fetched { stream: StreamId(id), range, records, gaps: Vec::new() })
    }

    fn wish_of(mailbox: &Mailbox, partition: i32) -> Wanted {
        mailbox.lock().wanted[&(Arc::from("t"), partition)].clone()
    }

    #[test]
    fn nothing_of_an_earlier_wish_is_handed_out() {
        let mailbox = Mailbox::default();
        mailbox.want(stream(1, 0)).unwrap();
        let first = wish_of(&mailbox, 0);
        mailbox.post(&first, batch(1, b"old"));
        mailbox.want(stream(1, 0)).unwrap();
        mailbox.post(&first, batch(1, b"late"));
        assert!(mailbox.take().is_none());
        assert_eq!(mailbox.bytes(), 0);
        mailbox.post(&wish_of(&mailbox, 0), batch(1, b"new"));
        assert!(matches!(mailbox.take(), Some(SourceEvent::Fetched(_))));
        mailbox.post(&wish_of(&mailbox, 0), batch(1, b"new"));
        mailbox.unwant(StreamId(1));
        assert!(mailbox.take().is_none());
    }

    #[test]
    fn i8_there_is_room_until_the_limit_and_again_after_a_take() {
        let mailbox = Mailbox::default();
        mailbox.want(stream(1, 0)).unwrap();
        let at_once = Duration::ZERO;
        assert_eq!(mailbox.wait_for_room(0, 1000, at_once), 1000);
        assert_eq!(mailbox.wait_for_room(900, 1000, at_once), 100, "what the reader has gathered counts");
        mailbox.post(&wish_of(&mailbox, 0), batch(1, &[0; 1000]));
        assert_eq!(mailbox.wait_for_room(0, 1000, at_once), 0);
        assert!(mailbox.take().is_some());
        assert_eq!(mailbox.wait_for_room(0, 1000, at_once), 1000);
    }

    #[test]
    fn paused_withholds_records_but_not_trouble() {
        let mailbox = Mailbox::default();
        mailbox.want(stream(1, 0)).unwrap();
        mailbox.post(&wish_of(&mailbox, 0), batch(1, b"x"));
        mailbox.set_paused(true);
        mailbox.trouble(SourceError::TopicMissing { topic: "t".to_owned(), brokers: "b".to_owned() });
        assert!(matches!(mailbox.take(), Some(SourceEvent::Trouble(_))));
        assert!(mailbox.take().is_none());
        mailbox.set_paused(false);
        assert!(matches!(mailbox.take(), Some(SourceEvent::Fetched(_))));
    }

    #[test]
    fn one_partition_is_wanted_for_one_stream() {
        let mailbox = Mailbox::default();
        mailbox.want(stream(1, 0)).unwrap();
        assert_eq!(mailbox.want(stream(2, 0)), Err(StreamId(1)));
        let of_another_topic = SourceStream { topic: Arc::from("u"), ..stream(3, 0) };
        assert_eq!(mailbox.want(of_another_topic), Ok(()));
        mailbox.unwant(StreamId(1));
        assert_eq!(mailbox.want(stream(2, 0)), Ok(()));
    }
}
