//! What a WAL held when it was opened, read back in the order of the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use vfs::FileView;

use crate::fences::Fences;
use crate::frame::Kind;
use crate::scan::{Contents, Fault, Frames};
use crate::shared::Shared;
use crate::{Replayed, WalError};

/// The records of the segments that were there on opening, each needed until it is released. Views of those segments are held,
/// and the segments kept, until this is dropped.
#[derive(Debug)]
pub struct Replay {
    segments: Vec<View>,
    streams: BTreeMap<u64, u64>,
    records: u64,
    bytes: u64,
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) number: u64,
    pub(crate) bytes: FileView,
    pub(crate) contents: Contents,
}

impl Replay {
    pub(crate) fn new(segments: Vec<View>, fences: Fences, shared: Arc<Shared>) -> Self {
        let records = segments.iter().map(|segment| segment.contents.records).sum();
        let bytes = segments.iter().map(|segment| segment.contents.end).sum();
        Self { segments, streams: fences.into_map(), records, bytes, shared }
    }

    /// The records in log order. Lazy: reads, and so may block, as it is advanced. Ends after an error, which can only be damage
    /// that came about since opening.
    pub fn records(&self) -> impl Iterator<Item = Result<Replayed, WalError>> + '_ {
        let mut has_failed = false;
        let records = self.segments.iter().flat_map(View::records);
        records.take_while(move |record| !std::mem::replace(&mut has_failed, record.is_err()))
    }

    /// The streams that the log knows, each with its newest epoch: of its records, and of fences without a record.
    pub fn streams(&self) -> &BTreeMap<u64, u64> {
        &self.streams
    }

    /// How many records there are.
    pub fn record_count(&self) -> u64 {
        self.records
    }

    /// The bytes of the log that are replayed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Lets the views go: the same as dropping it, said aloud.
    pub fn finish(self) {}
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.segments.clear(); // Before the files may be removed.
        self.shared.with_ledger_and_retirer(|ledger| ledger.views_are_dropped());
    }
}

impl View {
    fn records(&self) -> impl Iterator<Item = Result<Replayed, WalError>> + '_ {
        let whole = &self.bytes[..usize::try_from(self.contents.end).expect("within a slice")];
        let damaged = |Fault { at, reason }| WalError::Damaged { segment: self.number, at, reason };
        Frames::new(self.number, whole, self.contents.begin).filter_map(move |found| {
            let (position, frame) = match found {
                Ok((_, frame)) if frame.kind != Kind::Record => return None,
                Ok(found) => found,
                Err(fault) => return Some(Err(damaged(fault))),
            };
            let payload = frame.payload().map_err(|reason| damaged(Fault { at: position.offset, reason }));
            Some(payload.map(|payload| Replayed { stream: frame.stream, epoch: frame.epoch, position, payload }))
        })
    }
}
