//! Each row was made by that version of the pipeline that its offset is to be decoded by: the cut-over offsets of each ALTER say which,
//! and a constant in the row tells by which it was (I5: a row that was seen does not change on replay).

use std::collections::BTreeMap;

use catalog::{PipelineState, PipelineVersion, StreamId, StreamState, StreamView};

use super::Violation;
use crate::sim::rows::{FIRST, Mark, Rows};

/// Which versions there are, and what each stream is decoded by.
#[derive(Debug)]
pub struct Versions {
    known: usize,
    newest: Mark,
    /// By stream: the offsets from which on a version decodes it, in order; none where nobody knows.
    streams: BTreeMap<StreamId, Vec<(u64, Mark)>>,
    was_paused: bool,
    /// By stream: from where on it was cut while the pipeline was paused.
    cut_paused: BTreeMap<StreamId, u64>,
}

impl Default for Versions {
    fn default() -> Self {
        let (streams, cut_paused) = (BTreeMap::new(), BTreeMap::new());
        Self { known: 0, newest: FIRST, streams, was_paused: false, cut_paused }
    }
}

impl Versions {
    /// Looks at the streams of a table, at the same time as at its pipeline and the versions of it: none if it was never altered.
    pub fn look(
        &mut self,
        streams: &BTreeMap<StreamId, StreamView>,
        state: &PipelineState,
        versions: &[PipelineVersion],
    ) {
        let is_paused = *state != PipelineState::Running;
        // It may have been resumed since the ALTER.
        let was_paused = std::mem::replace(&mut self.was_paused, is_paused) || is_paused;
        // The first is what the pipeline was made as.
        let (before, known) = (self.newest, self.known.max(1));
        for version in versions.iter().skip(known) {
            let mark = Mark::of_projection(&version.definition.projection);
            for cut in &version.cuts {
                // One that was not seen before it was cut began under the version before, whichever of those that are new it was.
                let of = self.streams.entry(cut.stream).or_insert_with(|| vec![(0, self.newest)]);
                of.push((cut.offset.0, mark));
                if was_paused {
                    let from = self.cut_paused.entry(cut.stream).or_insert(cut.offset.0);
                    *from = cut.offset.0.min(*from);
                }
            }
            self.newest = mark;
        }
        let is_new = self.newest != before;
        self.known = versions.len();
        // What was inserted no version has decoded.
        for (id, view) in streams.iter().filter(|(_, view)| !view.stream.is_channel()) {
            // One that is open and was not cut was opened since. One that was closed meanwhile may be of any of the versions.
            let of = match is_new && view.stream.state == StreamState::Closed {
                true => Vec::new(),
                false => vec![(0, self.newest)],
            };
            self.streams.entry(*id).or_insert(of);
        }
    }

    /// Whether a row that was seen may be decoded by another version since: an ALTER of a paused pipeline cuts at what is committed.
    pub fn may_change(&self, stream: StreamId, offset: u64) -> bool {
        self.cut_paused.get(&stream).is_some_and(|from| *from <= offset)
    }

    /// Compares rows of streams of partitions with the versions that their offsets are to be decoded by.
    ///
    /// # Errors
    /// If one was made by another.
    pub fn check(&self, who: &str, rows: &Rows) -> Result<(), Violation> {
        for (stream, found) in &rows.0 {
            let Some(of) = self.streams.get(stream) else { continue };
            for (offset, row) in &found.rows {
                let due = of.iter().rev().find(|(from, _)| from <= offset).map(|(_, mark)| *mark);
                if due.is_some_and(|due| due != row.mark) {
                    let text = format!(
                        "{who}: offset {offset} of stream {stream} is a row {}, and is to be decoded {}: {}",
                        row.mark,
                        due.unwrap_or(FIRST),
                        of.iter().map(|(from, mark)| format!("from {from} on {mark}")).collect::<Vec<_>>().join(", ")
                    );
                    return Err(Violation::new("I5", text));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use catalog::{CutOver, Fence, Offset, PipelineId, TableId};

    use super::*;
    use crate::sim::draw::Draw;
    use crate::sim::plan::Plan;
    use crate::sim::rows::{Found, Row};

    fn version(number: u64, mark: Mark, cuts: &[(u64, u64)]) -> PipelineVersion {
        let new = Plan::draw(&Draw::new(1, "plan"), 200, 3).pipeline(TableId(1));
        let projection = if mark == FIRST { "*".to_owned() } else { mark.projection() };
        let (source, filter, settings) = (new.source, new.filter, new.settings);
        let cut = |(stream, offset): &(u64, u64)| CutOver {
            stream: StreamId(*stream),
            offset: Offset(*offset),
            successor: None,
        };
        PipelineVersion {
            pipeline: PipelineId(1),
            fence: Fence(number),
            definition: catalog::PipelineDefinition { source, projection, filter, settings },
            since: 0,
            cuts: cuts.iter().map(cut).collect(),
        }
    }

    fn rows(offsets: &[(u64, Mark)]) -> Rows {
        let rows = offsets.iter().map(|(offset, mark)| (*offset, Row { id: 1, mark: *mark })).collect();
        Rows([(StreamId(7), Found { rows, ..Found::default() })].into())
    }

    #[test]
    fn i5_an_offset_is_decoded_by_the_version_whose_cut_lies_before_it() {
        let (a, b) = (Mark(b'a'), Mark(b'b'));
        let mut versions = Versions::default();
        versions.look(
            &BTreeMap::new(),
            &PipelineState::Running,
            &[version(1, FIRST, &[]), version(2, a, &[(7, 4)]), version(3, b, &[(7, 6)])],
        );
        let holds = |offsets: &[(u64, Mark)]| versions.check("a test", &rows(offsets)).is_ok();
        assert!(holds(&[(3, FIRST), (4, a), (5, a), (6, b)]));
        assert!(!holds(&[(3, a)]) && !holds(&[(4, FIRST)]) && !holds(&[(5, b)]) && !holds(&[(6, a)]));
    }
}
