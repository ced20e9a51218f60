//! What a PAUSE, SEEK or ALTER that is under way asks of the manager: that every stream is drained, and then the change itself. Pure,
//! and level-triggered like `reconcile.rs`: what dies in the middle is seen half done at the next look, and taken up from there.
//!
//! ```text
//!   a stream:  not held ──floor──> not held ──grant──> held ──release──> drained     all drained ──> finish
//!                    (ALTER only)       (its log is adopted, or it is fetched again)
//! ```
//!
//! A stream is drained only on its newest owner's own word. One without a living owner is granted again first, so that what it had
//! logged is committed as it was decoded. Before an ALTER it is also read on to where its rows may have been shown, by any owner before
//! its present one: no further than the broker's end, asked after that owner was missed. *(Else rows seen change on replay.)*

use std::collections::BTreeMap;
use std::time::Duration;

use catalog::{ChangeId, ChangeKind, DrainedStream, Epoch, Offset, PipelineChange, StreamId, StreamState, StreamView};
use vfs::{Moment, planted};
use warehouse::write::messages::{StreamCondition, StreamReport};

use super::reconcile::{Step, View, grant_missing, is_current, is_of_another_incarnation, reports, stop_all};

/// How long a PAUSE waits for streams that nobody holds.
const PAUSE_PATIENCE: Duration = Duration::from_secs(10);

/// What the shell remembers of streams, to spare them a detour. Forgotten, it costs time only.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// How far each stream was ever reported as visible.
    shown: BTreeMap<StreamId, Offset>,
    /// Under which epoch each was let go, with nothing left that its owner had shown.
    clean: BTreeMap<StreamId, Epoch>,
    /// The same, with nothing left that any owner had shown under this version of the pipeline.
    settled: BTreeMap<StreamId, Epoch>,
    /// The change that is under way, and when it was first seen.
    change: Option<(ChangeId, Moment)>,
}

impl Remembered {
    /// Takes note of what a heartbeat says of a stream.
    pub fn note(&mut self, report: &StreamReport) {
        let shown = self.shown.entry(report.stream).or_insert(report.visible);
        *shown = report.visible.max(*shown);
        if report.condition == StreamCondition::Released {
            self.clean.insert(report.stream, report.epoch);
            if self.holds_all_shown(report) {
                self.settled.insert(report.stream, report.epoch);
            }
        }
    }

    /// Whether whoever reports has shown all that was ever shown, as far as is remembered: it held the stream first, or took over what
    /// was settled.
    fn holds_all_shown(&self, report: &StreamReport) -> bool {
        let before = self.settled.get(&report.stream);
        // Heard of again, it is no other than it was.
        !report.is_taken_over || before.is_some_and(|before| before.0 + 1 == report.epoch.0 || *before == report.epoch)
    }

    /// Takes note of the change that is under way.
    pub fn note_change(&mut self, change: ChangeId, now: Moment) {
        if self.change.is_none_or(|(known, _)| known != change) {
            self.change = Some((change, now));
        }
    }

    /// Takes note of streams that were drained.
    pub fn note_drained(&mut self, drained: &[DrainedStream]) {
        self.clean.extend(drained.iter().filter_map(|of| of.epoch.map(|epoch| (of.stream, epoch))));
    }
}

/// How a stream stands towards the change.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing of it is visible that is not committed.
    Drained(DrainedStream),
    /// Its owner is to let it go.
    Held { address: String },
    /// Its owner reads on: up to there another may have shown rows.
    Behind { visible: Offset, to: Offset },
    /// Its owner commits the last of it.
    Committing { visible: Offset, committed: Offset },
    /// Nobody knows how far an owner that is gone had shown it; the last of them was here.
    Unknown { address: String },
    /// Nobody holds it.
    Unheld { address: String },
}

/// The steps of a change that is under way.
pub fn changing(view: &View<'_>, change: &PipelineChange) -> Vec<Step> {
    if view.pipeline.state != catalog::PipelineState::Running {
        return changing_paused(view);
    }
    let standings = standings(view, change);
    let (mut releases, mut unheld, mut unknown) = (BTreeMap::<&str, Vec<StreamId>>::new(), Vec::new(), Vec::new());
    let mut drained = Vec::new();
    for (stream, standing) in &standings {
        match standing {
            Standing::Drained(of) => drained.push(*of),
            Standing::Held { address } => releases.entry(address).or_default().push(stream.stream.id),
            Standing::Unknown { .. } => unknown.push(stream.stream.id),
            Standing::Unheld { .. } => unheld.push(*stream),
            Standing::Behind { .. } | Standing::Committing { .. } => {}
        }
    }
    if drained.len() == standings.len() {
        return vec![Step::Finish { drained }];
    }
    let mut steps = grant_missing(view, &unheld, &reports(view));
    if !unknown.is_empty() {
        steps.push(Step::Floors { streams: unknown });
    }
    let release = |(address, streams): (&str, Vec<StreamId>)| Step::Release { address: address.to_owned(), streams };
    steps.extend(releases.into_iter().map(release));
    steps
}

/// A paused pipeline is drained once its tasks have ended. What an owner that is away had not committed is not waited for: no query
/// sees it.
fn changing_paused(view: &View<'_>) -> Vec<Step> {
    let stops = stop_all(view);
    if !stops.is_empty() || !away(view).is_empty() {
        return stops;
    }
    let of = |stream: &StreamView| DrainedStream {
        stream: stream.stream.id,
        epoch: stream.owner.as_ref().map(|owner| owner.epoch),
        committed: stream.committed,
    };
    vec![Step::Finish { drained: open(view).map(of).collect() }]
}

fn open<'a>(view: &View<'a>) -> impl Iterator<Item = &'a StreamView> {
    view.streams.iter().filter(|stream| stream.stream.state == StreamState::Open)
}

/// Streams whose owner does not answer.
fn away<'a>(view: &View<'a>) -> Vec<&'a StreamView> {
    let answers = |address: &str| view.workers.iter().any(|worker| worker.address == address);
    open(view).filter(|stream| stream.owner.as_ref().is_some_and(|owner| !answers(&owner.address))).collect()
}

fn standings<'a>(view: &View<'a>, change: &PipelineChange) -> Vec<(&'a StreamView, Standing)> {
    let reports = reports(view);
    open(view).map(|stream| (stream, standing(view, change, stream, reports.get(&stream.stream.id)))).collect()
}

fn standing(
    view: &View<'_>,
    change: &PipelineChange,
    stream: &StreamView,
    report: Option<&(&str, &StreamReport)>,
) -> Standing {
    let id = stream.stream.id;
    let drained = |epoch, committed| Standing::Drained(DrainedStream { stream: id, epoch, committed });
    let Some(owner) = &stream.owner else { return drained(None, stream.committed) };
    // An owner that was drained has nothing left to commit, so the planted bug that leaves him must not wait for that either.
    let is_left = planted::is("seek-leaves-the-old-owner") && matches!(change.kind, ChangeKind::Seek(_));
    if planted::is("change-before-drained") || is_left {
        return drained(Some(owner.epoch), stream.committed);
    }
    // Of a version before: it was drained when that ended, and no task can have gone on with it.
    if owner.pipeline_fence != view.pipeline.fence {
        return drained(Some(owner.epoch), stream.committed);
    }
    let is_alter = matches!(change.kind, ChangeKind::Alter(_));
    // What the broker threw away with its topic nobody can read again: there is nothing to wait for but what an owner still has.
    // *(Else a change waits for ever for a partition that the new topic may not even have.)*
    let is_gone = view.topics.is_some_and(|topics| is_of_another_incarnation(stream, topics));
    // An ALTER decodes anew what lies behind its cut: that must not be anything that was seen.
    let decodes_anew = is_alter && !is_gone && !planted::is("alter-below-what-was-shown");
    let is_floor_known = change.floors.contains_key(&id);
    let floor = match decodes_anew {
        true => change.floors.get(&id).max(view.remembered.shown.get(&id)).copied().unwrap_or(Offset(0)),
        false => Offset(0),
    };
    // What the broker has lost nobody can read again.
    let to = |report: &StreamReport| report.high_watermark.map_or(floor, |high| floor.min(high));
    let is_behind = |report: &StreamReport| decodes_anew && !view.remembered.holds_all_shown(report);
    let let_go = if decodes_anew { &view.remembered.settled } else { &view.remembered.clean };
    let current = report.filter(|(_, report)| is_current(report, stream, view.pipeline));
    match current.map(|(address, report)| (*address, *report, &report.condition)) {
        Some((_, _, StreamCondition::Lost { .. })) if is_gone => drained(Some(owner.epoch), stream.committed),
        None | Some((_, _, StreamCondition::Lost { .. })) => {
            let address = owner.address.clone();
            if let_go.get(&id) == Some(&owner.epoch) || is_paused_without_owner(view, change) {
                drained(Some(owner.epoch), stream.committed)
            } else if decodes_anew && !is_floor_known {
                Standing::Unknown { address }
            } else {
                Standing::Unheld { address }
            }
        }
        Some((address, report, StreamCondition::Owned | StreamCondition::Released))
            if is_behind(report) && !is_floor_known =>
        {
            Standing::Unknown { address: address.to_owned() }
        }
        // It was let go for another change, which was taken back, before it was read on so far.
        Some((address, report, StreamCondition::Released)) if is_behind(report) && report.committed < to(report) => {
            Standing::Unheld { address: address.to_owned() }
        }
        Some((_, report, StreamCondition::Released)) => drained(Some(report.epoch), report.committed),
        Some((address, report, StreamCondition::Owned)) => match report.visible < to(report) {
            true => Standing::Behind { visible: report.visible, to: to(report) },
            false => Standing::Held { address: address.to_owned() },
        },
        // It is in trouble of its own, and is read no further.
        Some((_, report, _)) if report.committed == report.visible => drained(Some(report.epoch), report.committed),
        Some((_, report, _)) => Standing::Committing { visible: report.visible, committed: report.committed },
    }
}

/// A PAUSE does not wait for ever for a worker that is away, or refuses the stream: nothing of it is visible, and RESUME reads it again
/// as before. (I10: what is committed does not depend on when that is.)
fn is_paused_without_owner(view: &View<'_>, change: &PipelineChange) -> bool {
    let since = view.remembered.change.filter(|(known, _)| *known == change.id).map(|(_, since)| since);
    change.kind == ChangeKind::Pause && since.is_some_and(|since| view.now.since(since) >= PAUSE_PATIENCE)
}

/// What a change waits for, in a sentence without its subject; `None` where it can be made.
pub fn waits_for(view: &View<'_>, change: &PipelineChange) -> Option<String> {
    let place = |stream: &StreamView| {
        format!("partition {} of topic {:?}", stream.stream.partition().partition, stream.stream.partition().topic)
    };
    if view.pipeline.state != catalog::PipelineState::Running {
        let away = away(view);
        let stream = away.first()?;
        let address = stream.owner.as_ref().map(|owner| owner.address.as_str()).unwrap_or_default();
        return Some(format!("the worker at {address}, which held {}, does not answer", place(stream)));
    }
    let standings = standings(view, change);
    let waiting = standings.iter().filter(|(_, standing)| !matches!(standing, Standing::Drained(_)));
    let count = waiting.clone().count();
    let (stream, standing) = waiting.clone().next()?;
    let at = place(stream);
    let first = match standing {
        Standing::Drained(_) => return None,
        Standing::Held { address } => format!("the worker at {address} commits what is visible of {at}"),
        Standing::Behind { visible, to } => format!(
            "{at} was shown up to offset {to} by a worker that is gone; it is read again as before, and stands at {visible}"
        ),
        Standing::Committing { visible, committed } => {
            format!("what is visible of {at} is committed up to {committed} of {visible}")
        }
        Standing::Unknown { address } => {
            format!("the broker is asked how far {at} may have been shown before the worker at {address} reads it")
        }
        Standing::Unheld { address } if view.workers.is_empty() => {
            format!("the worker at {address}, which held {at}, does not answer, and there is no other")
        }
        Standing::Unheld { address } => {
            format!("the worker at {address}, which held {at}, does not answer for it; it is granted again")
        }
    };
    match count {
        1 => Some(first),
        _ => Some(format!("{first} ({} of {} streams are left)", count, standings.len())),
    }
}

#[cfg(test)]
mod tests {
    use catalog::{ChangeId, ChangeState, Fence, PipelineId, PipelineState};
    use warehouse::write::messages::Heartbeat;
    use warehouse::write::source::{TopicView, TopicsView};

    use super::super::reconcile::samples::{pipeline, report, stream, worker};
    use super::*;

    fn change(kind: ChangeKind, floors: &[(u64, u64)]) -> PipelineChange {
        PipelineChange {
            id: ChangeId(1),
            pipeline: PipelineId(1),
            kind,
            floors: floors.iter().map(|(stream, offset)| (StreamId(*stream), Offset(*offset))).collect(),
            begun: 0,
            state: ChangeState::UnderWay,
        }
    }

    fn alter(floors: &[(u64, u64)]) -> PipelineChange {
        let definition = catalog::PipelineDefinition::of(&pipeline(PipelineState::Running, catalog::GapPolicy::Pause));
        change(ChangeKind::Alter(Box::new(definition)), floors)
    }

    /// What is seen of a pipeline at its beginning, with nothing granted by this manager and the broker not asked.
    fn view<'a>(
        pipeline: &'a catalog::Pipeline,
        change: &'a PipelineChange,
        remembered: &'a Remembered,
        streams: &'a [StreamView],
        workers: &'a [Heartbeat],
    ) -> View<'a> {
        static NOTHING: BTreeMap<StreamId, Moment> = BTreeMap::new();
        let (change, granted, now) = (Some(change), &NOTHING, Moment::default());
        View { pipeline, is_held: false, topics: None, streams, workers, change, remembered, granted, now }
    }

    fn looked(
        state: PipelineState,
        change: &PipelineChange,
        remembered: &Remembered,
        streams: &[StreamView],
        workers: &[Heartbeat],
    ) -> (Vec<Step>, Option<String>) {
        let pipeline = pipeline(state, catalog::GapPolicy::Pause);
        let view = view(&pipeline, change, remembered, streams, workers);
        (changing(&view, change), waits_for(&view, change))
    }

    fn steps(change: &PipelineChange, streams: &[StreamView], workers: &[Heartbeat]) -> Vec<Step> {
        looked(PipelineState::Running, change, &Remembered::default(), streams, workers).0
    }

    fn drained(epoch: Option<u64>, committed: u64) -> Vec<Step> {
        let epoch = epoch.map(Epoch);
        vec![Step::Finish { drained: vec![DrainedStream { stream: StreamId(1), epoch, committed: Offset(committed) }] }]
    }

    fn one(epoch: Option<u64>) -> [StreamView; 1] {
        [stream(1, 0, "a", epoch, StreamState::Open)]
    }

    #[test]
    fn a_stream_is_let_go_by_its_owner_before_anything_changes() {
        let pause = change(ChangeKind::Pause, &[]);
        let owned = [worker(vec![report(1, 3, StreamCondition::Owned)])];
        let release = Step::Release { address: "w".to_owned(), streams: vec![StreamId(1)] };
        assert_eq!(steps(&pause, &one(Some(3)), &owned), [release]);
        let released = [worker(vec![report(1, 3, StreamCondition::Released)])];
        assert_eq!(steps(&pause, &one(Some(3)), &released), drained(Some(3), 5));
        let stale = [worker(vec![report(1, 2, StreamCondition::Released)])];
        assert!(
            matches!(steps(&pause, &one(Some(3)), &stale)[..], [Step::Grant { .. }]),
            "an older owner's word is none"
        );
        assert_eq!(steps(&pause, &one(None), &[]), drained(None, 0), "nobody ever held it");
        assert_eq!(steps(&pause, &[], &[]), [Step::Finish { drained: Vec::new() }]);
    }

    #[test]
    fn i5_before_an_alter_what_a_dead_owner_may_have_shown_is_read_as_before() {
        let missing = [worker(Vec::new())];
        let asked = steps(&alter(&[]), &one(Some(3)), &missing);
        assert_eq!(asked, [Step::Floors { streams: vec![StreamId(1)] }], "first the broker is asked how far it went");
        assert!(matches!(steps(&alter(&[(1, 9)]), &one(Some(3)), &missing)[..], [Step::Grant { .. }]));
        let behind = [worker(vec![report(1, 3, StreamCondition::Owned)])];
        assert_eq!(
            steps(&alter(&[(1, 9)]), &one(Some(3)), &behind),
            [],
            "it stands at 5, and may have been seen up to 9"
        );
        assert!(matches!(steps(&alter(&[(1, 5)]), &one(Some(3)), &behind)[..], [Step::Release { .. }]));
        let seek = change(ChangeKind::Seek(Vec::new()), &[]);
        assert!(
            matches!(steps(&seek, &one(Some(3)), &missing)[..], [Step::Grant { .. }]),
            "a SEEK decodes nothing anew"
        );
    }

    #[test]
    fn i5_before_an_alter_what_any_owner_before_may_have_shown_is_read_as_before() {
        let taken_over = StreamReport { is_taken_over: true, ..report(1, 3, StreamCondition::Owned) };
        let look = |remembered: &Remembered, floors: &[(u64, u64)]| {
            let workers = [worker(vec![taken_over.clone()])];
            looked(PipelineState::Running, &alter(floors), remembered, &one(Some(3)), &workers).0
        };
        let mut remembered = Remembered::default();
        assert_eq!(look(&remembered, &[]), [Step::Floors { streams: vec![StreamId(1)] }]);
        assert_eq!(look(&remembered, &[(1, 9)]), [], "it stands at 5, and may have been seen up to 9");
        assert!(matches!(look(&remembered, &[(1, 5)])[..], [Step::Release { .. }]));
        let released =
            |epoch, is_taken_over| StreamReport { is_taken_over, ..report(1, epoch, StreamCondition::Released) };
        remembered.note(&released(2, true));
        assert!(
            matches!(look(&remembered, &[])[..], [Step::Floors { .. }]),
            "it had not read all that was shown either"
        );
        remembered.note(&released(1, false));
        assert!(matches!(look(&remembered, &[])[..], [Step::Floors { .. }]), "one between them may have shown more");
        remembered.note(&released(2, true));
        assert!(matches!(look(&remembered, &[])[..], [Step::Release { .. }]), "each had let go of all that was shown");
    }

    #[test]
    fn i5_a_stream_that_was_let_go_behind_what_was_shown_is_read_on_before_an_alter() {
        let released = [worker(vec![StreamReport { is_taken_over: true, ..report(1, 3, StreamCondition::Released) }])];
        let of = |floors: &[(u64, u64)]| steps(&alter(floors), &one(Some(3)), &released);
        assert!(matches!(of(&[])[..], [Step::Floors { .. }]));
        assert!(matches!(of(&[(1, 9)])[..], [Step::Grant { .. }]), "it stands at 5, and may have been seen up to 9");
        assert_eq!(of(&[(1, 5)]), drained(Some(3), 5));
        let high_watermark = Some(Offset(5));
        let lost = StreamReport { is_taken_over: true, high_watermark, ..report(1, 3, StreamCondition::Released) };
        assert_eq!(steps(&alter(&[(1, 9)]), &one(Some(3)), &[worker(vec![lost])]), drained(Some(3), 5));
        let pause = change(ChangeKind::Pause, &[]);
        assert_eq!(steps(&pause, &one(Some(3)), &released), drained(Some(3), 5), "nothing is decoded anew");
    }

    #[test]
    fn i5_while_a_statement_holds_the_pipeline_no_change_is_made() {
        let pipeline = pipeline(PipelineState::Running, catalog::GapPolicy::Pause);
        let (streams, change, remembered) = (one(Some(3)), alter(&[]), Remembered::default());
        let looked = |workers: &[Heartbeat]| {
            let view = view(&pipeline, &change, &remembered, &streams, workers);
            super::super::reconcile::reconcile(&View { is_held: true, ..view })
        };
        assert_eq!(looked(&[worker(Vec::new())]), [Step::Stop { address: "w".to_owned() }]);
        let idle = Heartbeat { tasks: Vec::new(), ..worker(Vec::new()) };
        assert_eq!(looked(&[idle]), [], "who held the stream may have died with rows that had been seen");
    }

    #[test]
    fn i9_an_alter_waits_for_nothing_that_went_with_its_topic() {
        let pipeline = pipeline(PipelineState::Running, catalog::GapPolicy::Pause);
        let now = TopicView { incarnation: "made again".to_owned(), partitions: vec![0] };
        let topics = TopicsView { found: [("t".to_owned(), now)].into(), missing: Vec::new() };
        let (change, streams) = (alter(&[]), [stream(1, 1, "a", Some(3), StreamState::Open)]);
        let remembered = Remembered::default();
        let looked = |workers: &[Heartbeat]| {
            let view = view(&pipeline, &change, &remembered, &streams, workers);
            changing(&View { topics: Some(&topics), ..view }, &change)
        };
        let missing = looked(&[worker(Vec::new())]);
        assert!(matches!(missing[..], [Step::Grant { .. }]), "its log may still have what was shown: {missing:?}");
        let lost = StreamCondition::Lost { cause: "there is no partition 1".to_owned() };
        assert_eq!(looked(&[worker(vec![report(1, 3, lost)])]), drained(Some(3), 0));
        let gone = StreamCondition::TopicChanged { found: "made again".to_owned() };
        assert_eq!(looked(&[worker(vec![report(1, 3, gone)])]), drained(Some(3), 5));
    }

    #[test]
    fn what_was_heard_before_a_takeover_counts_too_up_to_what_the_broker_has() {
        let mut remembered = Remembered::default();
        remembered.note(&StreamReport { visible: Offset(8), ..report(1, 2, StreamCondition::Owned) });
        let owned = |high| {
            let high_watermark = Some(Offset(high));
            [worker(vec![StreamReport { high_watermark, ..report(1, 3, StreamCondition::Owned) }])]
        };
        let look =
            |workers: &[Heartbeat]| looked(PipelineState::Running, &alter(&[]), &remembered, &one(Some(3)), workers);
        let (steps, waits) = look(&owned(20));
        assert_eq!(steps, []);
        assert!(waits.unwrap().contains("shown up to offset 8"));
        assert!(matches!(look(&owned(5)).0[..], [Step::Release { .. }]), "what the broker lost nobody reads again");
    }

    #[test]
    fn a_stream_in_trouble_of_its_own_is_drained_once_it_is_committed() {
        let pause = change(ChangeKind::Pause, &[]);
        let bad = StreamCondition::BadRecord { offset: Offset(5), message: String::new() };
        let committed = report(1, 3, bad.clone());
        let visible = StreamReport { visible: Offset(7), ..report(1, 3, bad) };
        assert_eq!(steps(&pause, &one(Some(3)), &[worker(vec![visible])]), []);
        assert_eq!(steps(&pause, &one(Some(3)), &[worker(vec![committed])]), drained(Some(3), 5));
        let lost = report(1, 3, StreamCondition::Lost { cause: String::new() });
        assert!(matches!(steps(&pause, &one(Some(3)), &[worker(vec![lost])])[..], [Step::Grant { .. }]));
    }

    #[test]
    fn a_pause_does_not_wait_for_ever_for_a_worker_that_is_away_and_an_alter_does() {
        let pause = change(ChangeKind::Pause, &[]);
        let mut remembered = Remembered::default();
        remembered.note_change(pause.id, Moment::default());
        let look = |change: &PipelineChange, seconds: u64| {
            let pipeline = pipeline(PipelineState::Running, catalog::GapPolicy::Pause);
            let streams = one(Some(3));
            let view = view(&pipeline, change, &remembered, &streams, &[]);
            changing(&View { now: Moment::new(Duration::from_secs(seconds)), ..view }, change)
        };
        assert_eq!(look(&pause, 9), []);
        assert_eq!(look(&pause, 10), drained(Some(3), 0));
        assert_eq!(look(&alter(&[(1, 9)]), 1_000), []);
    }

    #[test]
    fn a_stream_of_an_earlier_version_or_known_to_be_clean_is_drained_without_a_detour() {
        let mut streams = one(Some(3));
        streams[0].owner.as_mut().unwrap().pipeline_fence = Fence(0);
        assert_eq!(steps(&alter(&[]), &streams, &[worker(Vec::new())]), drained(Some(3), 0));
        let mut remembered = Remembered::default();
        remembered.note(&report(1, 3, StreamCondition::Released));
        let look = |epoch| {
            looked(PipelineState::Running, &alter(&[]), &remembered, &one(Some(epoch)), &[worker(Vec::new())]).0
        };
        assert_eq!(look(3), drained(Some(3), 0));
        assert!(matches!(look(4)[..], [Step::Floors { .. }]), "granted since");
    }

    #[test]
    fn a_paused_pipeline_is_changed_once_its_tasks_have_ended_and_its_owners_answer() {
        let pause = change(ChangeKind::Pause, &[]);
        let look = |workers: &[Heartbeat]| {
            looked(PipelineState::PausedByIncident, &pause, &Remembered::default(), &one(Some(3)), workers)
        };
        let busy = [worker(vec![report(1, 3, StreamCondition::Owned)])];
        assert_eq!(look(&busy).0, [Step::Stop { address: "w".to_owned() }]);
        let mut idle = worker(Vec::new());
        idle.tasks.clear();
        assert_eq!(look(&[idle]), (drained(Some(3), 0), None));
        let (steps, waits) = look(&[]);
        assert_eq!(steps, []);
        assert!(waits.unwrap().contains("the worker at w, which held partition 0"));
    }
}
