//! Whether a commit may happen: a pure function of the request and of what the catalog holds. PROTOCOL's steps 1 to 5.
//!
//! ```text
//!  token there ──────────────────────────────> AlreadyCommitted   (I6: it happened; nothing is applied twice)
//!  voided ───────────────────────────────────> Fenced(Void)       (I6: its writer has forgotten it)
//!  table's or pipeline's fence not as known ─> Fenced(Table | Pipeline)
//!  other columns ────────────────────────────> Conflict(Schema)
//!  a label there ────────────────────────────> Conflict(Labels)   (an INSERT is a retry: its rows are committed already)
//!  an epoch not the request's ───────────────> Fenced(Streams)    (I2)
//!  an offset not the request's start ────────> Conflict(Offsets)  (I3: no hole, no row twice)
//!  an intent missing ────────────────────────> Fenced(Intents)    (I7: the sweeper may have deleted the object)
//!  otherwise ────────────────────────────────> Apply
//! ```

use vfs::planted;

use crate::keys::checkpoint::CheckpointRecord;
use crate::keys::table_fence::TableFenceRecord;
use crate::{
    CommitOutcome, CommitRequest, CommitToken, Conflict, Epoch, Fence, Fenced, LabelOutcome, PartId, StreamAdvance,
    StreamId, Version,
};

/// What a commit reads of the catalog, all in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The slot of the request's writer.
    pub(super) slot: Option<(Version, CommitToken)>,
    /// Whether there is a void for its token.
    pub(super) voided: bool,
    /// The table's fence; `None` once it is dropped.
    pub(super) table: Option<TableFenceRecord>,
    /// The pipeline's fence; `None` once it is dropped, and where the request names no pipeline.
    pub(super) pipeline: Option<Fence>,
    /// Those labels of the request that an INSERT left before.
    pub(super) labels: Vec<(String, LabelOutcome)>,
    /// Each stream of the request, in its order.
    pub(super) streams: Vec<StreamStanding>,
    /// Those parts of the request whose intent is not there.
    pub(super) intents_missing: Vec<PartId>,
}

/// What a commit reads of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamStanding {
    /// The newest epoch; `None` before the first grant, once it is closed, and if there is no such stream.
    pub(super) epoch: Option<Epoch>,
    /// How far it is committed; `None` if there is no such stream.
    pub(super) checkpoint: Option<CheckpointRecord>,
}

/// What becomes of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is to be applied, now and in this transaction.
    Apply,
    /// It ends like this, and nothing is written.
    End(CommitOutcome),
}

/// Decides. `standing.streams` stands in the order of `request.streams`.
pub(super) fn admit(standing: &Standing, request: &CommitRequest) -> Decision {
    assert_eq!(standing.streams.len(), request.streams.len(), "each stream of the request was read");
    match refusal(standing, request) {
        Some(outcome) => Decision::End(outcome),
        None => Decision::Apply,
    }
}

fn refusal(standing: &Standing, request: &CommitRequest) -> Option<CommitOutcome> {
    if let Some((version, _)) = standing.slot.filter(|(_, token)| *token == request.token) {
        let is_applied_again = planted::is("commit-without-token-check");
        return (!is_applied_again).then_some(CommitOutcome::Committed(version));
    }
    if standing.voided {
        return Some(CommitOutcome::Fenced(Fenced::Void));
    }
    let Some(table) = standing.table.filter(|table| table.fence == request.table_fence) else {
        return Some(CommitOutcome::Fenced(Fenced::Table));
    };
    if standing.pipeline != request.pipeline.map(|(_, fence)| fence) {
        return Some(CommitOutcome::Fenced(Fenced::Pipeline));
    }
    if table.schema != request.schema {
        return Some(CommitOutcome::Conflict(Conflict::Schema(table.schema)));
    }
    if !standing.labels.is_empty() && !planted::is("label-not-checked") {
        return Some(CommitOutcome::Conflict(Conflict::Labels(standing.labels.clone())));
    }
    let streams = || request.streams.iter().zip(&standing.streams);
    let lost: Vec<StreamId> =
        streams().filter(|(advance, found)| is_lost(advance, found)).map(|(a, _)| a.stream).collect();
    if !lost.is_empty() {
        return Some(CommitOutcome::Fenced(Fenced::Streams(lost)));
    }
    let elsewhere = |(advance, found): (&StreamAdvance, &StreamStanding)| {
        found
            .checkpoint
            .map(|it| it.next)
            .filter(|next| *next != advance.range.start)
            .map(|next| (advance.stream, next))
    };
    let moved: Vec<_> = streams().filter_map(elsewhere).collect();
    if !moved.is_empty() && !planted::is("commit-without-offset-check") {
        return Some(CommitOutcome::Conflict(Conflict::Offsets(moved)));
    }
    let missing = &standing.intents_missing;
    (!missing.is_empty() && !planted::is("commit-ignores-intents"))
        .then(|| CommitOutcome::Fenced(Fenced::Intents(missing.clone())))
}

/// Whether the writer's right to the stream is gone. That of a stream that is not there was never his.
fn is_lost(advance: &StreamAdvance, found: &StreamStanding) -> bool {
    // Only a stale owner can have offsets that do not fit, so the planted bug that lets them pass must let him pass as well.
    let is_let_pass = planted::is("commit-without-epoch-check") || planted::is("commit-without-offset-check");
    let is_fenced = found.epoch != Some(advance.epoch) && !is_let_pass;
    is_fenced || found.checkpoint.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::sample;
    use crate::{Offset, SchemaId};

    /// All is as the request says.
    fn fitting(request: &CommitRequest) -> Standing {
        let stream = |advance: &StreamAdvance| StreamStanding {
            epoch: Some(advance.epoch),
            checkpoint: Some(CheckpointRecord { next: advance.range.start, table: request.table }),
        };
        Standing {
            slot: Some((Version::ZERO, CommitToken(request.token.0 + 1))),
            voided: false,
            table: Some(TableFenceRecord { fence: request.table_fence, schema: request.schema }),
            pipeline: request.pipeline.map(|(_, fence)| fence),
            labels: Vec::new(),
            streams: request.streams.iter().map(stream).collect(),
            intents_missing: Vec::new(),
        }
    }

    type Break = fn(&mut Standing);

    const LABELLED: LabelOutcome = LabelOutcome { version: Version([3; 16]), rows: 2 };

    /// Each step broken, in PROTOCOL's order, and how the commit then ends.
    fn steps(request: &CommitRequest) -> Vec<(Break, CommitOutcome)> {
        let [first, second] = [request.streams[0].stream, request.streams[1].stream];
        vec![
            (
                |it| it.slot = Some((Version([7; 16]), sample::request().token)),
                CommitOutcome::Committed(Version([7; 16])),
            ),
            (|it| it.voided = true, CommitOutcome::Fenced(Fenced::Void)),
            (|it| it.table = None, CommitOutcome::Fenced(Fenced::Table)),
            (|it| it.table.as_mut().unwrap().fence.0 += 1, CommitOutcome::Fenced(Fenced::Table)),
            (|it| it.pipeline = None, CommitOutcome::Fenced(Fenced::Pipeline)),
            (|it| it.pipeline.as_mut().unwrap().0 += 1, CommitOutcome::Fenced(Fenced::Pipeline)),
            (
                |it| it.table.as_mut().unwrap().schema = SchemaId(9),
                CommitOutcome::Conflict(Conflict::Schema(SchemaId(9))),
            ),
            (
                |it| it.labels = vec![("a".into(), LABELLED)],
                CommitOutcome::Conflict(Conflict::Labels(vec![("a".into(), LABELLED)])),
            ),
            (|it| it.streams[1].epoch.as_mut().unwrap().0 += 1, CommitOutcome::Fenced(Fenced::Streams(vec![second]))),
            (|it| it.streams[0].epoch = None, CommitOutcome::Fenced(Fenced::Streams(vec![first]))),
            (|it| it.streams[0].checkpoint = None, CommitOutcome::Fenced(Fenced::Streams(vec![first]))),
            (
                |it| it.streams[1].checkpoint.as_mut().unwrap().next = Offset(3),
                CommitOutcome::Conflict(Conflict::Offsets(vec![(second, Offset(3))])),
            ),
            (|it| it.intents_missing = vec![PartId(5)], CommitOutcome::Fenced(Fenced::Intents(vec![PartId(5)]))),
        ]
    }

    #[test]
    fn what_fits_is_applied_and_each_broken_step_ends_it_in_its_own_way() {
        let request = sample::request();
        assert_eq!(admit(&fitting(&request), &request), Decision::Apply);
        for (break_it, outcome) in steps(&request) {
            let mut standing = fitting(&request);
            break_it(&mut standing);
            assert_eq!(admit(&standing, &request), Decision::End(outcome));
        }
    }

    #[test]
    fn i6_an_earlier_step_decides_before_a_later_one() {
        let request = sample::request();
        let mut standing = fitting(&request);
        // From the last step to the first: each newly broken one must hide all those after it.
        for (break_it, outcome) in steps(&request).into_iter().rev() {
            break_it(&mut standing);
            let Decision::End(ended) = admit(&standing, &request) else { panic!("a broken step was passed over") };
            assert_eq!(std::mem::discriminant(&ended), std::mem::discriminant(&outcome), "{ended:?} {outcome:?}");
        }
    }

    #[test]
    fn a_commit_of_no_pipeline_asks_for_no_pipelines_fence() {
        let mut request = sample::request();
        request.pipeline = None;
        assert_eq!(admit(&fitting(&request), &request), Decision::Apply);
    }
}
