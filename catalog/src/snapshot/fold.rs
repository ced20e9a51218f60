//! A table's log folded up to a version: visible parts and the offset vector. Pure; it also proves, record by record, that
//! the log is one that the commit rule can have written (I2, I3).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::keys::log::{CommitChunk, LogRecord};
use crate::{
    ErrorsMoved, Ledger, Offset, Owner, Part, PartId, Stream, StreamAdvance, StreamId, StreamState, StreamView, Version,
};

/// What the log says up to `version`. Cloning shares the parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fold {
    version: Version,
    parts: Arc<Vec<Arc<Part>>>,
    streams: BTreeMap<StreamId, FoldedStream>,
}

#[derive(Clone, Debug)]
struct FoldedStream {
    stream: Arc<Stream>,
    committed: Offset,
    owner: Option<Owner>,
    ledger: Ledger,
    /// How many visible parts name it: a closed stream is shown as long as one does.
    parts: u64,
}

impl Fold {
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Visible parts, oldest first.
    pub(crate) fn parts(&self) -> Arc<Vec<Arc<Part>>> {
        Arc::clone(&self.parts)
    }

    /// All streams that ever went into the table.
    pub(crate) fn streams(&self) -> Vec<StreamView> {
        self.streams.values().map(FoldedStream::view).collect()
    }

    /// The offset vector: streams that are open, and closed ones that parts still name.
    pub(crate) fn vector(&self) -> BTreeMap<StreamId, StreamView> {
        let shown = self.streams.iter().filter(|(_, it)| it.stream.state == StreamState::Open || it.parts > 0);
        shown.map(|(id, folded)| (*id, folded.view())).collect()
    }

    /// Adds the next record. After an error, a sentence that says how the log is damaged, the fold must not be used.
    pub(crate) fn apply(&mut self, version: Version, record: LogRecord) -> Result<(), String> {
        if version <= self.version {
            return Err(format!("version {version} comes after {}", self.version));
        }
        match record {
            LogRecord::Commit(chunk) => self.apply_commit(chunk)?,
            LogRecord::Grant { stream, owner } => {
                let folded = self.stream(stream)?;
                let newest = folded.owner.as_ref().map(|owner| owner.epoch);
                if newest >= Some(owner.epoch) {
                    return Err(format!("stream {stream} is granted with epoch {} after {newest:?} (I2)", owner.epoch));
                }
                folded.owner = Some(owner);
            }
            LogRecord::StreamOpened(stream) => {
                let (id, committed) = (stream.id, stream.start);
                let opened = FoldedStream {
                    stream: Arc::new(stream),
                    committed,
                    owner: None,
                    ledger: Ledger::default(),
                    parts: 0,
                };
                if self.streams.insert(id, opened).is_some() {
                    return Err(format!("stream {id} is opened twice"));
                }
            }
            LogRecord::StreamsClosed(streams) => {
                for id in streams {
                    let folded = self.stream(id)?;
                    folded.stream = Arc::new(Stream { state: StreamState::Closed, ..Stream::clone(&folded.stream) });
                    folded.owner = None;
                }
            }
            LogRecord::Truncated { .. } => {
                self.parts = Arc::default();
                self.streams.values_mut().for_each(|folded| folded.parts = 0);
            }
        }
        self.version = version;
        Ok(())
    }

    fn apply_commit(&mut self, chunk: CommitChunk) -> Result<(), String> {
        for advance in chunk.advances {
            self.advance(&advance)?;
        }
        for moved in &chunk.moved {
            self.move_errors(moved)?;
        }
        let removed: BTreeSet<PartId> = chunk.parts_removed.into_iter().collect();
        if !removed.is_empty() {
            let (gone, kept) = self.parts.iter().cloned().partition::<Vec<_>, _>(|part| removed.contains(&part.id));
            if gone.len() != removed.len() {
                return Err(format!("{} of {} parts that are removed are there", gone.len(), removed.len()));
            }
            gone.iter().try_for_each(|part| self.count(part, |parts| parts - 1))?;
            self.parts = Arc::new(kept);
        }
        for part in &chunk.parts_added {
            self.count(part, |parts| parts + 1)?;
        }
        if !chunk.parts_added.is_empty() {
            // In place as long as no snapshot holds the list, else a copy of its pointers.
            Arc::make_mut(&mut self.parts).extend(chunk.parts_added.into_iter().map(Arc::new));
        }
        Ok(())
    }

    /// I2 and I3, once more: the epoch is the newest granted, and the range begins where the one before it ended.
    fn advance(&mut self, advance: &StreamAdvance) -> Result<(), String> {
        let StreamAdvance { stream, epoch, range, ledger, .. } = advance;
        let folded = self.stream(*stream)?;
        let newest = folded.owner.as_ref().map(|owner| owner.epoch);
        if newest != Some(*epoch) {
            return Err(format!("stream {stream} is committed under epoch {epoch}, and its newest is {newest:?} (I2)"));
        }
        if folded.committed != range.start {
            return Err(format!("stream {stream} is committed over {range}, and stood at {} (I3)", folded.committed));
        }
        folded.committed = range.end;
        folded.ledger = folded.ledger.plus(*ledger);
        Ok(())
    }

    /// I1: an offset that was an error row is now a row, or filtered.
    fn move_errors(&mut self, moved: &ErrorsMoved) -> Result<(), String> {
        let ErrorsMoved { stream, rows, filtered } = *moved;
        let ledger = &mut self.stream(stream)?.ledger;
        let left = ledger.errors.checked_sub(rows + filtered);
        let errors = ledger.errors;
        ledger.errors =
            left.ok_or_else(|| format!("{rows} of {errors} error rows of stream {stream} became rows (I1)"))?;
        ledger.rows += rows;
        ledger.filtered += filtered;
        Ok(())
    }

    fn count(&mut self, part: &Part, change: impl Fn(u64) -> u64) -> Result<(), String> {
        for covered in &part.streams {
            let folded = self.stream(covered.stream)?;
            folded.parts = change(folded.parts);
        }
        Ok(())
    }

    fn stream(&mut self, id: StreamId) -> Result<&mut FoldedStream, String> {
        self.streams.get_mut(&id).ok_or_else(|| format!("stream {id} was never opened"))
    }
}

impl FoldedStream {
    fn view(&self) -> StreamView {
        let Self { stream, committed, owner, ledger, .. } = self;
        StreamView { stream: Arc::clone(stream), committed: *committed, owner: owner.clone(), ledger: *ledger }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::sample;
    use crate::store::Stamp;
    use crate::{
        CommitRequest, Epoch, Fence, NodeId, PartitionIdentity, PipelineId, StreamIdentity, TableId, TaskIndex,
    };

    fn version(n: u8) -> Version {
        Version::new(1, Stamp([n; 10]), 0)
    }

    fn chunk(request: &CommitRequest) -> LogRecord {
        LogRecord::Commit(CommitChunk {
            writer: request.writer,
            token: request.token,
            schema: request.schema,
            wall: 0,
            advances: request.streams.clone(),
            parts_added: request.parts.clone(),
            parts_removed: Vec::new(),
            moved: Vec::new(),
            delete_vectors_added: Vec::new(),
        })
    }

    fn opened(id: u64, start: u64) -> LogRecord {
        let identity = StreamIdentity::Partition(PartitionIdentity {
            pipeline: PipelineId(5),
            topic: "t".into(),
            incarnation: String::new(),
            partition: 0,
            generation: 0,
        });
        let (id, start) = (StreamId(id), Offset(start));
        LogRecord::StreamOpened(Stream { id, identity, table: TableId(2), start, state: StreamState::Open })
    }

    fn granted(id: u64, epoch: u64) -> LogRecord {
        let owner = Owner {
            epoch: Epoch(epoch),
            node: NodeId("n".into()),
            address: "a".into(),
            task: TaskIndex(0),
            pipeline_fence: Fence(4),
        };
        LogRecord::Grant { stream: StreamId(id), owner }
    }

    fn ready() -> Fold {
        let mut fold = Fold::default();
        for (n, record) in [opened(11, 100), opened(12, 0), granted(11, 3), granted(12, 1)].into_iter().enumerate() {
            fold.apply(version(n as u8 + 1), record).unwrap();
        }
        fold
    }

    #[test]
    fn a_commit_moves_the_vector_and_adds_its_parts_and_its_ledger() {
        let mut fold = ready();
        let request = sample::request();
        fold.apply(version(9), chunk(&request)).unwrap();
        assert_eq!((fold.version(), fold.parts().len()), (version(9), 2));
        let view = &fold.vector()[&StreamId(11)];
        assert_eq!((view.committed, view.ledger), (Offset(110), request.streams[0].ledger));
    }

    #[test]
    fn a_snapshot_that_is_held_does_not_change_under_later_commits() {
        let mut fold = ready();
        let held = fold.parts();
        fold.apply(version(9), chunk(&sample::request())).unwrap();
        assert_eq!((held.len(), fold.parts().len()), (0, 2));
    }

    #[test]
    fn i2_i3_a_log_that_breaks_the_commit_rule_is_damaged() {
        let request = sample::request();
        let mut twice = ready();
        twice.apply(version(9), chunk(&request)).unwrap();
        assert!(twice.apply(version(10), chunk(&request)).unwrap_err().contains("(I3)"));
        let mut fenced = ready();
        fenced.apply(version(9), granted(12, 2)).unwrap();
        assert!(fenced.apply(version(10), chunk(&request)).unwrap_err().contains("(I2)"));
        assert!(ready().apply(version(9), granted(11, 3)).unwrap_err().contains("(I2)"));
        assert!(ready().apply(version(4), opened(13, 0)).is_err(), "versions rise");
        assert!(ready().apply(version(9), opened(11, 0)).is_err());
        assert!(Fold::default().apply(version(1), chunk(&request)).is_err(), "no such stream");
    }

    #[test]
    fn a_truncated_table_has_no_parts_and_its_streams_go_on_where_they_are() {
        let mut fold = ready();
        fold.apply(version(9), chunk(&sample::request())).unwrap();
        let held = fold.parts();
        fold.apply(version(10), LogRecord::StreamsClosed(vec![StreamId(12)])).unwrap();
        fold.apply(version(11), LogRecord::Truncated { wall: 0 }).unwrap();
        assert_eq!((held.len(), fold.parts().len()), (2, 0));
        assert_eq!(fold.vector().keys().collect::<Vec<_>>(), [&StreamId(11)], "no part names the closed one any more");
        assert_eq!(fold.vector()[&StreamId(11)].committed, Offset(110));
    }

    #[test]
    fn a_closed_stream_is_shown_as_long_as_a_part_names_it() {
        let mut fold = ready();
        let mut request = sample::request();
        request.streams.truncate(1);
        request.parts.iter_mut().for_each(|part| part.streams.truncate(1));
        fold.apply(version(9), chunk(&request)).unwrap();
        fold.apply(version(10), LogRecord::StreamsClosed(vec![StreamId(11), StreamId(12)])).unwrap();
        assert_eq!(fold.vector().keys().collect::<Vec<_>>(), [&StreamId(11)]);
        assert_eq!(fold.vector()[&StreamId(11)].owner, None);
        let LogRecord::Commit(empty) = chunk(&request) else { unreachable!() };
        let parts_removed = request.parts.iter().map(|part| part.id).collect();
        let removal = CommitChunk { advances: Vec::new(), parts_added: Vec::new(), parts_removed, ..empty };
        fold.apply(version(11), LogRecord::Commit(removal)).unwrap();
        assert!(fold.vector().is_empty() && fold.parts().is_empty());
        assert_eq!(fold.streams().len(), 2);
    }
}
