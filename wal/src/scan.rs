//! Reads a segment from its front, and judges what it finds where it cannot go on: a torn tail, or damage.
//!
//! A crash can leave anything in the bytes that were written after the last sync, also whole frames behind broken ones, since
//! pages are not written in order. So a whole frame behind a broken one proves nothing. What proves damage is a mark behind it
//! that says that the broken bytes had been durable when the mark was written.

use std::collections::BTreeMap;

use crate::fences::Fences;
use crate::frame::{self, Frame, Kind};
use crate::mark::Mark;
use crate::segment::{Header, HeaderFault};
use crate::{WalError, WalPosition};

/// The frames of a segment from an offset on. Ends after the first fault.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    segment: u64,
    bytes: &'a [u8],
    next: Option<u64>,
}

/// Where and why a segment cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: u64,
    pub(crate) reason: &'static str,
}

impl<'a> Frames<'a> {
    /// The frames in `bytes`, which are `segment`'s, from offset `next` on.
    pub(crate) fn new(segment: u64, bytes: &'a [u8], next: u64) -> Self {
        Self { segment, bytes, next: Some(next) }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<(WalPosition, Frame<'a>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.next.take().filter(|next| *next < self.bytes.len() as u64)?;
        let position = WalPosition { segment: self.segment, offset: at };
        match Frame::parse(self.bytes, position) {
            Ok(frame) => {
                self.next = Some(frame.end);
                Some(Ok((position, frame)))
            }
            Err(reason) => Some(Err(Fault { at, reason })),
        }
    }
}

/// Where a segment stands among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) is_first: bool,
    pub(crate) is_last: bool,
}

/// What a segment holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// The newest epochs that it knows, of its header, marks and records.
    pub(crate) fences: Fences,
    /// The offsets of each stream's first and last record.
    pub(crate) streams: BTreeMap<u64, (u64, u64)>,
    pub(crate) records: u64,
    /// Where its header says that the segment before ends.
    pub(crate) before: Option<u64>,
    /// Where its frames begin.
    pub(crate) begin: u64,
    /// Where its whole frames end.
    pub(crate) end: u64,
    /// What is wrong at `end`, if the file goes on after it.
    pub(crate) torn: Option<&'static str>,
}

/// A file that can be a segment of a WAL that crashed.
#[derive(Debug)]
pub(crate) enum Scanned {
    Segment(Contents),
    /// The crash came while its header was being made durable, so nothing was ever written after that.
    NeverBegun,
}

/// Reads the whole segment and checks every byte of it.
pub(crate) fn scan(segment: u64, bytes: &[u8], place: Place) -> Result<Scanned, WalError> {
    let header = match Header::parse(segment, bytes) {
        Ok(header) => header,
        Err(HeaderFault::UnsupportedFormat(version)) => return Err(WalError::UnsupportedFormat { segment, version }),
        Err(HeaderFault::Broken(_)) if can_be_unbegun(segment, bytes, place) => return Ok(Scanned::NeverBegun),
        Err(HeaderFault::Broken(reason)) => return Err(WalError::Damaged { segment, at: 0, reason }),
    };
    let Header { fences, bytes: begin, before } = header;
    let mut contents = Contents { fences, begin, before, end: begin, ..Contents::default() };
    for found in Frames::new(segment, bytes, begin) {
        let Err(Fault { at, reason }) = found.and_then(|(position, frame)| contents.add(position, &frame)) else {
            continue;
        };
        if !place.is_last || was_durable(segment, bytes, at) {
            return Err(WalError::Damaged { segment, at, reason });
        }
        contents.torn = Some(reason);
        break;
    }
    Ok(Scanned::Segment(contents))
}

impl Contents {
    fn add(&mut self, position: WalPosition, frame: &Frame<'_>) -> Result<(), Fault> {
        let at = position.offset;
        match frame.kind {
            Kind::Record => {
                self.fences.raise(frame.stream, frame.epoch);
                self.streams.entry(frame.stream).or_insert((at, at)).1 = at;
                self.records += 1;
            }
            Kind::Mark => self.fences.raise_all(&Mark::read(frame).map_err(|reason| Fault { at, reason })?.fences),
        }
        self.end = frame.end;
        Ok(())
    }
}

/// A broken header is a crash's work only in the last segment, and only if no frame follows: frames are written after the header
/// was synced. If it is the only segment but not the WAL's first ever, its predecessors were removed after that too.
fn can_be_unbegun(segment: u64, bytes: &[u8], place: Place) -> bool {
    place.is_last && (segment == 1 || !place.is_first) && frames_anywhere(segment, bytes, 0).next().is_none()
}

/// Whether a mark after `at` proves that the bytes there had been synced.
fn was_durable(segment: u64, bytes: &[u8], at: u64) -> bool {
    let marks = frames_anywhere(segment, bytes, at + 1).filter(|frame| frame.kind == Kind::Mark);
    marks.filter_map(|frame| Mark::read(&frame).ok()).any(|mark| mark.durable > at)
}

/// Whole frames that begin at any offset from `from` on. A candidate's header has its own checksum, so that a payload's is
/// computed only where a frame surely began.
fn frames_anywhere(segment: u64, bytes: &[u8], from: u64) -> impl Iterator<Item = Frame<'_>> {
    let starts = (usize::try_from(from).unwrap_or(usize::MAX)..bytes.len())
        .filter(move |start| bytes[*start] == frame::MAGIC[0] && bytes[*start..].starts_with(&frame::MAGIC));
    starts.filter_map(move |start| Frame::parse(bytes, WalPosition { segment, offset: start as u64 }).ok())
}
