//! What the reader's thread knows of one stream.

use catalog::Offset;
use vfs::Moment;

use super::headers::headers_json;
use super::mailbox::{Mailbox, Wanted};
use super::raw::Message;
use crate::write::source::cursor::{StreamCursor, held_bytes};
use crate::write::source::{Fetched, RawRecord, SourceEvent, SourceOptions};

/// Of a payload above the limit, this much is kept.
const CUT_BYTES: usize = 64 << 10;

/// Where a stream is:
///
/// ```text
///  wanted ──> Reading ──(gone, out of range, made again)──> Stopped ──(wanted anew)──> another ReadStream
///               │  ^
///         error │  │ its time has come: assigned again at its position
///               v  │
///             Waiting
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is assigned in librdkafka.
    Reading,
    /// It is not assigned, and will be at that moment.
    Waiting(Moment),
    /// It is not assigned, and the task was told why.
    Stopped,
}

/// One stream of the reader.
#[derive(Debug)]
pub(super) struct ReadStream {
    pub(super) wanted: Wanted,
    pub(super) phase: Phase,
    /// When it last settled an offset.
    pub(super) moved: Moment,
    cursor: StreamCursor,
    /// Batches that are complete, and not handed out yet.
    sealed: Vec<Fetched>,
    /// The end of what was handed out.
    told: Offset,
    /// The high watermark that the task knows.
    high: Option<u64>,
}

impl ReadStream {
    /// A stream that begins at `now`.
    pub(super) fn new(wanted: Wanted, now: Moment) -> Self {
        let position = wanted.stream.position;
        let cursor = StreamCursor::new(wanted.stream.stream, position);
        Self { wanted, phase: Phase::Waiting(now), moved: now, cursor, sealed: Vec::new(), told: position, high: None }
    }

    /// The first offset that is not settled.
    pub(super) fn position(&self) -> Offset {
        self.cursor.position()
    }

    /// Bytes gathered and sealed.
    pub(super) fn held_bytes(&self) -> u64 {
        self.cursor.gathered_bytes() + self.sealed.iter().map(|fetched| held_bytes(&fetched.records)).sum::<u64>()
    }

    /// Takes a record, and returns its payload's length. One that was not asked for from here is dropped.
    pub(super) fn take(&mut self, message: &Message<'_>, options: &SourceOptions, now: Moment) -> u64 {
        let Ok(offset) = u64::try_from(message.offset()) else { return 0 };
        let payload = message.payload();
        let payload_bytes = payload.map_or(0, |payload| payload.len() as u64);
        let is_above = payload_bytes > options.max_record_bytes;
        let headers = if options.headers { headers_json(&message.headers()) } else { None };
        let record = RawRecord {
            offset,
            timestamp_ms: message.timestamp_ms(),
            payload: payload.map(|payload| if is_above { &payload[..payload.len().min(CUT_BYTES)] } else { payload }),
            payload_bytes,
            key: if options.keys { message.key() } else { None },
            headers: headers.as_deref(),
        };
        if self.cursor.offer(record) {
            self.moved = now;
        }
        if self.cursor.gathered_bytes() >= options.batch_bytes {
            self.sealed.extend(self.cursor.seal());
        }
        payload_bytes
    }

    /// The partition ends at `end`, for now: offsets below it without a record never get one.
    pub(super) fn reached_end(&mut self, end: i64, now: Moment) {
        if let Ok(end) = u64::try_from(end) {
            self.cursor.pass_over(Offset(end));
            self.moved = now;
        }
    }

    /// Hands out what is complete, and with `all` also what is being gathered.
    pub(super) fn hand_out(&mut self, mailbox: &Mailbox, all: bool) {
        if all {
            self.sealed.extend(self.cursor.seal());
        }
        for fetched in self.sealed.drain(..) {
            self.told = fetched.range.end;
            mailbox.post(&self.wanted, SourceEvent::Fetched(fetched));
        }
    }

    /// Forgets what was not handed out: it may be of another incarnation.
    pub(super) fn forget_gathered(&mut self) {
        self.sealed.clear();
        self.cursor = StreamCursor::new(self.cursor.stream(), self.told);
    }

    /// Tells the task something other than records.
    pub(super) fn tell(&self, mailbox: &Mailbox, event: SourceEvent) {
        mailbox.post(&self.wanted, event);
    }

    /// Tells the high watermark, if it changed.
    pub(super) fn tell_high(&mut self, mailbox: &Mailbox, high: u64) {
        if self.high != Some(high) {
            self.high = Some(high);
            self.tell(mailbox, SourceEvent::HighWatermark { stream: self.cursor.stream(), offset: Offset(high) });
        }
    }

    /// Whether records should be there that do not come.
    pub(super) fn is_behind(&self) -> bool {
        self.high.is_some_and(|high| self.position().0 < high)
    }
}
