//! Raw records of one fetch, in one buffer: a few large allocations instead of one for each record.

use catalog::Offset;

/// Where a piece lies in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    offset: u64,
    timestamp_ms: Option<i64>,
    payload: Option<Span>,
    payload_bytes: u64,
    key: Option<Span>,
    headers: Option<Span>,
}

/// One record, borrowed from its [`Records`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// Its offset.
    pub offset: u64,
    /// The broker's timestamp in milliseconds since 1970 UTC, where it has one.
    pub timestamp_ms: Option<i64>,
    /// Its payload, or the payload's first 64 KiB if it is above `max_record_bytes`; `None` for a null payload.
    pub payload: Option<&'a [u8]>,
    /// How long the whole payload is.
    pub payload_bytes: u64,
    /// Its key, if keys were asked for and it has one.
    pub key: Option<&'a [u8]>,
    /// Its headers as a JSON object's text, if headers were asked for and it has any.
    pub headers: Option<&'a [u8]>,
}

impl RawRecord<'_> {
    /// Whether the payload was cut.
    pub fn is_cut(&self) -> bool {
        self.payload.is_some_and(|payload| (payload.len() as u64) < self.payload_bytes)
    }
}

/// Records by rising offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    bytes: Vec<u8>,
    rows: Vec<Row>,
}

impl Records {
    /// No records yet, with room for `bytes` of payload.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), rows: Vec::new() }
    }

    /// Adds a record.
    ///
    /// # Panics
    /// If its offset does not rise (I3).
    pub fn push(&mut self, record: RawRecord<'_>) {
        if let Some(last) = self.rows.last() {
            assert!(last.offset < record.offset, "I3: offset {} follows {}", record.offset, last.offset);
        }
        let row = Row {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            payload: record.payload.map(|piece| self.keep(piece)),
            payload_bytes: record.payload_bytes,
            key: record.key.map(|piece| self.keep(piece)),
            headers: record.headers.map(|piece| self.keep(piece)),
        };
        self.rows.push(row);
    }

    fn keep(&mut self, piece: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(piece);
        Span { start, end: self.bytes.len() }
    }

    /// Lets go of the records at `end` and above.
    pub fn cut_at(&mut self, end: Offset) {
        let kept = self.rows.partition_point(|row| row.offset < end.0);
        self.rows.truncate(kept);
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of payloads, keys and headers.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The record at `index`.
    pub fn get(&self, index: usize) -> RawRecord<'_> {
        let row = &self.rows[index];
        let piece = |span: Option<Span>| span.map(|span| &self.bytes[span.start..span.end]);
        RawRecord {
            offset: row.offset,
            timestamp_ms: row.timestamp_ms,
            payload: piece(row.payload),
            payload_bytes: row.payload_bytes,
            key: piece(row.key),
            headers: piece(row.headers),
        }
    }

    /// The records, by rising offset.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RawRecord<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }
}
