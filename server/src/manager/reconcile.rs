//! What a pipeline's manager does next: a pure function of what the catalog, the broker and the workers say.
//!
//! It is level-triggered: each look at the world yields the steps towards how it should be, and a step whose message was
//! lost is simply taken again at the next look. Safety rests on the catalog's epochs alone; this only has to arrive.
//!
//! Owns the rules; the shell in `pipeline.rs` gathers the view and carries out the steps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use catalog::{
    DrainedStream, Epoch, Gap, GapKind, GapPolicy, IncidentKind, Offset, OffsetRange, Pipeline, PipelineChange,
    PipelineState, StreamId, StreamState, StreamView, TaskIndex,
};
use vfs::{Moment, planted};
use warehouse::write::messages::{Heartbeat, StreamCondition, StreamReport};
use warehouse::write::source::{TopicView, TopicsView};

use super::change::{Remembered, changing};
use super::placement::{Place, place};

/// How long a granted stream may be missing from the heartbeats before it is granted again.
pub const GRANT_PATIENCE: Duration = Duration::from_secs(2);

/// What the shell saw.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// A statement of this process lets none of its tasks run for now.
    pub is_held: bool,
    /// The topics, if the broker answered lately.
    pub topics: Option<&'a TopicsView>,
    /// The pipeline's streams, also the closed ones.
    pub streams: &'a [StreamView],
    /// The workers that answered.
    pub workers: &'a [Heartbeat],
    /// The change that is under way, if one is.
    pub change: Option<&'a PipelineChange>,
    /// What was heard of the streams before.
    pub remembered: &'a Remembered,
    /// When each stream was last granted by this manager.
    pub granted: &'a BTreeMap<StreamId, Moment>,
    /// Now.
    pub now: Moment,
}

/// What the shell is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Open a stream for a partition.
    Open {
        /// The topic.
        topic: String,
        /// The broker's id of it.
        incarnation: String,
        /// The partition.
        partition: i32,
        /// Which generation of it.
        generation: u32,
        /// Where it begins.
        begin: Begin,
    },
    /// Grant a stream to a worker, and tell it.
    Grant {
        /// The stream.
        stream: StreamId,
        /// Its newest epoch as seen.
        expected: Option<Epoch>,
        /// Where it goes.
        place: Place,
    },
    /// Commit what is visible of these streams and let them go.
    Release {
        /// The worker.
        address: String,
        /// The streams.
        streams: Vec<StreamId>,
    },
    /// Close a stream: nothing more is ever committed to it.
    Close {
        /// The stream.
        stream: StreamId,
    },
    /// Commit what is visible and end the tasks at this worker.
    Stop {
        /// The worker.
        address: String,
    },
    /// Ask the broker how far streams may have been shown by owners that are gone, and note it.
    Floors {
        /// The streams.
        streams: Vec<StreamId>,
    },
    /// Make the change that is under way happen: all is drained.
    Finish {
        /// Every open stream, as its owner let it go.
        drained: Vec<DrainedStream>,
    },
    /// Pause the pipeline, and say why.
    Incident {
        /// The stream.
        stream: StreamId,
        /// What kind.
        kind: IncidentKind,
        /// The offsets that are lost.
        gap: Option<Gap>,
        /// What happened.
        cause: String,
        /// The statement that settles it.
        settle: String,
    },
}

/// Where a new stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At the pipeline's start position: the partition was there when the pipeline began.
    AtStart,
    /// At its earliest offset: the partition or the topic was found later (else its first rows are lost).
    AtEarliest,
    /// Here, where the broker's records ended when it was found to have lost what lay beyond: what lies before was read already.
    /// *(Else, at the end as it is by then, what was produced meanwhile is lost in silence.)* If the broker has lost still more, at
    /// its end.
    At(Offset),
}

/// The steps from here.
pub fn reconcile(view: &View<'_>) -> Vec<Step> {
    match (&view.pipeline.state, view.change) {
        // A change that is under way waits: what its tasks had shown is not drained by their end, for they go on afterwards.
        // *(Else, where one had died before that, an ALTER cuts below what was seen.)*
        _ if view.is_held => stop_all(view),
        (_, Some(change)) => changing(view, change),
        (PipelineState::Running, None) => running(view),
        (PipelineState::Paused | PipelineState::PausedByIncident, None) => stop_all(view),
    }
}

pub(super) fn reports<'a>(view: &'a View<'_>) -> BTreeMap<StreamId, (&'a str, &'a StreamReport)> {
    let mut newest: BTreeMap<StreamId, (&str, &StreamReport)> = BTreeMap::new();
    for worker in view.workers {
        for report in
            worker.tasks.iter().filter(|task| task.pipeline == view.pipeline.id).flat_map(|task| &task.streams)
        {
            let known = newest.get(&report.stream);
            if known.is_none_or(|(_, known)| known.epoch < report.epoch) {
                newest.insert(report.stream, (&worker.address, report));
            }
        }
    }
    newest
}

pub(super) fn stop_all(view: &View<'_>) -> Vec<Step> {
    let busy = view.workers.iter().filter(|worker| worker.tasks.iter().any(|task| task.pipeline == view.pipeline.id));
    busy.map(|worker| Step::Stop { address: worker.address.clone() }).collect()
}

fn running(view: &View<'_>) -> Vec<Step> {
    let reports = reports(view);
    let mut steps = Vec::new();
    let mut placed_streams = Vec::new();
    for stream in view.streams.iter().filter(|stream| stream.stream.state == StreamState::Open) {
        let report = reports.get(&stream.stream.id);
        if view.topics.is_some_and(|topics| is_of_another_incarnation(stream, topics)) {
            steps.extend(retire_stream(view.pipeline, stream, report));
            continue;
        }
        match report.map(|(_, report)| report).filter(|report| is_current(report, stream, view.pipeline)) {
            Some(report) => match trouble(view, stream, report) {
                Some(step) => steps.extend(step),
                None => placed_streams.push(stream),
            },
            None => placed_streams.push(stream),
        }
    }
    steps.extend(open_missing(view));
    steps.extend(grant_missing(view, &placed_streams, &reports));
    steps
}

/// Whether the report is of the newest grant, and that of this version of the pipeline: a task of an earlier one has no future.
pub(super) fn is_current(report: &StreamReport, stream: &StreamView, pipeline: &Pipeline) -> bool {
    let owner = stream.owner.as_ref();
    owner.is_some_and(|owner| owner.epoch == report.epoch && owner.pipeline_fence == pipeline.fence)
}

/// Of a topic that is not there, nothing can be told: it may come back.
pub(super) fn is_of_another_incarnation(stream: &StreamView, topics: &TopicsView) -> bool {
    let Some(topic) = topics.found.get(&stream.stream.partition().topic) else { return false };
    let known = &stream.stream.partition().incarnation;
    let is_unnoticed = planted::is("recreated-topic-stops") || planted::is("recreated-topic-goes-on");
    !known.is_empty() && !topic.incarnation.is_empty() && *known != topic.incarnation && !is_unnoticed
}

/// A stream that has no future is committed up to what is visible, and then closed.
fn retire_stream(pipeline: &Pipeline, stream: &StreamView, report: Option<&(&str, &StreamReport)>) -> Option<Step> {
    let close = Step::Close { stream: stream.stream.id };
    let Some((address, report)) = report.filter(|(_, report)| is_current(report, stream, pipeline)) else {
        return Some(close);
    };
    match report.condition {
        StreamCondition::Released | StreamCondition::Lost { .. } => Some(close),
        _ if report.committed == report.visible && report.condition != StreamCondition::Owned => Some(close),
        _ => Some(Step::Release { address: (*address).to_owned(), streams: vec![stream.stream.id] }),
    }
}

/// What a stream's own trouble asks for; `None` if it goes on, or is to be granted again.
fn trouble(view: &View<'_>, stream: &StreamView, report: &StreamReport) -> Option<Vec<Step>> {
    let pipeline = view.pipeline;
    let name = format!("{}.{}", pipeline.database, pipeline.name);
    let at = format!("partition {} of topic {:?}", report.partition, report.topic);
    let incident =
        |kind, gap, cause, settle| Some(vec![Step::Incident { stream: stream.stream.id, kind, gap, cause, settle }]);
    match &report.condition {
        StreamCondition::Owned | StreamCondition::Lost { .. } | StreamCondition::Released => None,
        StreamCondition::Expired { .. } if planted::is("expired-without-incident") => Some(Vec::new()),
        StreamCondition::Expired { wanted, low } => {
            let gap = Gap { kind: GapKind::Expired, range: OffsetRange::new(*wanted, *low) };
            let cause = format!(
                "retention at the broker removed offsets {} of {at} before they were read ({} records at most are lost)",
                gap.range,
                gap.range.offsets()
            );
            incident(IncidentKind::Expired, Some(gap), cause, format!("RESUME PIPELINE {name} ON GAP SKIP"))
        }
        StreamCondition::Truncated { .. } if report.committed != report.visible => Some(Vec::new()),
        StreamCondition::Truncated { wanted, high } if pipeline.settings.on_gap == GapPolicy::Skip => {
            tracing::warn!(stream = stream.stream.id.0, %wanted, %high, "the broker lost records; going on in a new stream");
            let identity = stream.stream.partition();
            let generation = identity.generation + 1;
            let (topic, incarnation) = (identity.topic.clone(), identity.incarnation.clone());
            let (partition, begin) = (identity.partition, Begin::At(*high));
            let open = Step::Open { topic, incarnation, partition, generation, begin };
            Some(vec![open, Step::Close { stream: stream.stream.id }])
        }
        StreamCondition::Truncated { wanted, high } => {
            let cause = format!(
                "{at} ends at offset {high} at the broker, but was read up to {wanted}: the broker lost records"
            );
            let gap =
                (high < wanted).then(|| Gap { kind: GapKind::Truncated, range: OffsetRange::new(*high, *wanted) });
            incident(IncidentKind::Truncated, gap, cause, format!("RESUME PIPELINE {name} ON GAP SKIP"))
        }
        // The topic's next view tells which incarnation there is; until then there is nothing to fetch.
        StreamCondition::TopicChanged { .. } => Some(Vec::new()),
        StreamCondition::BadRecord { offset, message } => {
            let cause = format!("the record at offset {offset} of {at} cannot become a row: {message}");
            incident(IncidentKind::BadRecord, None, cause, format!("RESUME PIPELINE {name} ON ERROR TABLE"))
        }
    }
}

fn open_missing(view: &View<'_>) -> Vec<Step> {
    let Some(topics) = view.topics else { return Vec::new() };
    let known: BTreeSet<(&str, i32)> = view
        .streams
        .iter()
        .filter(|stream| !is_of_another_incarnation(stream, topics))
        .map(|stream| (stream.stream.partition().topic.as_str(), stream.stream.partition().partition))
        .collect();
    // The first view of a pipeline's topics finds the partitions that were there at its start; all later ones are new.
    let begin = match view.streams.is_empty() {
        true => Begin::AtStart,
        false if planted::is("new-partition-at-its-end") => Begin::At(Offset(u64::MAX)),
        false => Begin::AtEarliest,
    };
    let there = topics.found.iter().flat_map(|(name, topic)| topic.partitions.iter().map(move |of| (name, topic, *of)));
    let missing = there.filter(|(name, _, partition)| !known.contains(&(name.as_str(), *partition)));
    let open = |(name, topic, partition): (&String, &TopicView, i32)| Step::Open {
        topic: name.clone(),
        incarnation: topic.incarnation.clone(),
        partition,
        generation: 0,
        begin,
    };
    missing.map(open).collect()
}

pub(super) fn grant_missing(
    view: &View<'_>,
    streams: &[&StreamView],
    reports: &BTreeMap<StreamId, (&str, &StreamReport)>,
) -> Vec<Step> {
    if view.workers.is_empty() {
        return Vec::new();
    }
    let addresses: Vec<String> = view.workers.iter().map(|worker| worker.address.clone()).collect();
    // Of an earlier version: placed anew, as it may have had another number of tasks.
    let current = |stream: &StreamView| {
        let owner = stream.owner.as_ref().filter(|owner| owner.pipeline_fence == view.pipeline.fence)?;
        Some(Place { address: owner.address.clone(), task: TaskIndex(owner.task.0) })
    };
    let places = streams.iter().map(|stream| (stream.stream.id, current(stream))).collect();
    let places = place(&places, view.pipeline.settings.tasks, &addresses);
    let mut steps = Vec::new();
    for stream in streams {
        let id = stream.stream.id;
        let held = reports.get(&id).is_some_and(|(_, report)| {
            is_current(report, stream, view.pipeline) && report.condition == StreamCondition::Owned
        });
        let patience = if planted::is("lost-grant-not-repeated") { Duration::MAX } else { GRANT_PATIENCE };
        let lately = view.granted.get(&id).is_some_and(|at| view.now.since(*at) < patience);
        if !held && !lately {
            let expected = stream.owner.as_ref().map(|owner| owner.epoch);
            steps.push(Step::Grant { stream: id, expected, place: places[&id].clone() });
        }
    }
    steps
}

/// Whether all that is visible of the pipeline is committed, and none of its tasks runs any more.
pub fn is_stopped(pipeline: catalog::PipelineId, workers: &[Heartbeat]) -> bool {
    !workers.iter().any(|worker| worker.tasks.iter().any(|task| task.pipeline == pipeline))
}

/// Pipelines, streams and heartbeats for the tests of what a manager does.
#[cfg(test)]
pub(super) mod samples {
    use std::sync::Arc;

    use catalog::{
        ErrorPolicy, Fence, KafkaSource, Ledger, NodeId, Owner, PartitionIdentity, PipelineId, PipelineSettings,
        RecordFormat, StartPosition, Stream, StreamIdentity, TableId,
    };
    use warehouse::write::messages::{Life, TaskReport, TaskState};

    use super::*;

    pub(in crate::manager) fn pipeline(state: PipelineState, on_gap: GapPolicy) -> Pipeline {
        let source = KafkaSource {
            brokers: "b:9092".to_owned(),
            topics: "t".into(),
            format: RecordFormat::Json,
            start: StartPosition::Latest,
            properties: BTreeMap::new(),
        };
        Pipeline {
            id: PipelineId(1),
            database: "default".to_owned(),
            name: "p".to_owned(),
            table: TableId(1),
            source,
            projection: "*".to_owned(),
            filter: None,
            settings: PipelineSettings { on_gap, errors: ErrorPolicy::Table, ..PipelineSettings::default() },
            state,
            fence: Fence(1),
            created: 0,
        }
    }

    pub(in crate::manager) fn stream(
        id: u64,
        partition: i32,
        incarnation: &str,
        epoch: Option<u64>,
        state: StreamState,
    ) -> StreamView {
        let identity = StreamIdentity::Partition(PartitionIdentity {
            pipeline: PipelineId(1),
            topic: "t".to_owned(),
            incarnation: incarnation.to_owned(),
            partition,
            generation: 0,
        });
        let owner = epoch.map(|epoch| Owner {
            epoch: Epoch(epoch),
            node: NodeId("n".to_owned()),
            address: "w".to_owned(),
            task: TaskIndex(0),
            pipeline_fence: Fence(1),
        });
        let stream = Arc::new(Stream { id: StreamId(id), identity, table: TableId(1), start: Offset(0), state });
        StreamView { stream, committed: Offset(0), owner, ledger: Ledger::default() }
    }

    pub(in crate::manager) fn report(id: u64, epoch: u64, condition: StreamCondition) -> StreamReport {
        StreamReport {
            stream: StreamId(id),
            topic: Arc::from("t"),
            partition: 0,
            epoch: Epoch(epoch),
            committed: Offset(5),
            visible: Offset(5),
            high_watermark: None,
            visible_timestamp_ms: None,
            is_taken_over: false,
            condition,
        }
    }

    pub(in crate::manager) fn worker(streams: Vec<StreamReport>) -> Heartbeat {
        let task = TaskReport {
            pipeline: PipelineId(1),
            task: TaskIndex(0),
            state: TaskState::Running,
            streams,
            trouble: None,
            stall: None,
            records: 0,
            payload_bytes: 0,
            unknown_fields: 0,
            memtable_bytes: 0,
            commits: 0,
            last_commit: None,
            started: 0,
        };
        Heartbeat {
            node: NodeId("n".to_owned()),
            address: "w".to_owned(),
            life: Life(1),
            tasks: vec![task],
            memory_used: 0,
            memory_limit: 1,
            wal_bytes: 0,
            pinned_queries: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catalog::{PartitionIdentity, Stream, StreamIdentity};

    use super::samples::{pipeline, report, stream, worker};
    use super::*;

    fn steps(
        pipeline: &Pipeline,
        topics: Option<&TopicsView>,
        streams: &[StreamView],
        workers: &[Heartbeat],
    ) -> Vec<Step> {
        let (granted, remembered) = (BTreeMap::new(), Remembered::default());
        let (change, now) = (None, Moment::default());
        let (remembered, granted) = (&remembered, &granted);
        reconcile(&View { pipeline, is_held: false, topics, streams, workers, change, remembered, granted, now })
    }

    fn topic(incarnation: &str, partitions: i32) -> TopicsView {
        topics(&[("t", incarnation, partitions)])
    }

    fn topics(found: &[(&str, &str, i32)]) -> TopicsView {
        let of = |(name, incarnation, partitions): &(&str, &str, i32)| {
            let view = TopicView { incarnation: (*incarnation).to_owned(), partitions: (0..*partitions).collect() };
            ((*name).to_owned(), view)
        };
        TopicsView { found: found.iter().map(of).collect(), missing: Vec::new() }
    }

    /// What is opened: topic, partition, and where it begins.
    fn opened(steps: &[Step]) -> Vec<(&str, i32, Begin)> {
        let open = |step| match step {
            &Step::Open { ref topic, partition, begin, .. } => Some((topic.as_str(), partition, begin)),
            _ => None,
        };
        steps.iter().filter_map(open).collect()
    }

    #[test]
    fn a_topic_that_is_found_later_joins_by_itself_from_its_earliest_offset() {
        let running = pipeline(PipelineState::Running, GapPolicy::Pause);
        let first = topics(&[("t", "a", 2), ("u", "b", 1)]);
        let at_start = [("t", 0, Begin::AtStart), ("t", 1, Begin::AtStart), ("u", 0, Begin::AtStart)];
        assert_eq!(opened(&steps(&running, Some(&first), &[], &[])), at_start);
        let known = [stream(1, 0, "a", Some(3), StreamState::Open), stream(2, 1, "a", Some(3), StreamState::Open)];
        let later = steps(&running, Some(&first), &known, &[]);
        assert_eq!(opened(&later), [("u", 0, Begin::AtEarliest)], "the same partition of another topic is another one");
    }

    #[test]
    fn of_several_topics_one_that_vanishes_leaves_the_others_and_its_own_streams_alone() {
        let running = pipeline(PipelineState::Running, GapPolicy::Pause);
        let mut of_u = stream(2, 0, "b", Some(3), StreamState::Open);
        of_u.stream = Arc::new(Stream {
            identity: StreamIdentity::Partition(PartitionIdentity {
                topic: "u".to_owned(),
                ..of_u.stream.partition().clone()
            }),
            ..Stream::clone(&of_u.stream)
        });
        let known = [stream(1, 0, "a", Some(3), StreamState::Open), of_u];
        let gone = StreamCondition::TopicChanged { found: String::new() };
        let workers = [worker(vec![report(1, 3, StreamCondition::Owned), report(2, 3, gone)])];
        assert_eq!(steps(&running, Some(&topics(&[("t", "a", 1)])), &known, &workers), []);
        let again = steps(&running, Some(&topics(&[("t", "a", 1), ("u", "c", 1)])), &known, &workers);
        assert_eq!(opened(&again), [("u", 0, Begin::AtEarliest)]);
        assert!(again.contains(&Step::Close { stream: StreamId(2) }), "{again:?}");
        assert!(!again.contains(&Step::Close { stream: StreamId(1) }), "{again:?}");
    }

    #[test]
    fn partitions_of_the_first_view_begin_at_the_start_and_later_ones_at_their_earliest_offset() {
        let running = pipeline(PipelineState::Running, GapPolicy::Pause);
        let begins = |steps: Vec<Step>| -> Vec<Begin> {
            let begin = |step| if let Step::Open { begin, .. } = step { Some(begin) } else { None };
            steps.into_iter().filter_map(begin).collect()
        };
        assert_eq!(begins(steps(&running, Some(&topic("a", 2)), &[], &[])), [Begin::AtStart, Begin::AtStart]);
        let known = [stream(1, 0, "a", None, StreamState::Closed)];
        assert_eq!(begins(steps(&running, Some(&topic("a", 2)), &known, &[])), [Begin::AtEarliest]);
    }

    #[test]
    fn a_stream_that_no_heartbeat_shows_at_its_epoch_is_granted_again() {
        let running = pipeline(PipelineState::Running, GapPolicy::Pause);
        let streams = [stream(1, 0, "a", Some(3), StreamState::Open)];
        let is_grant = |steps: &[Step]| matches!(steps, [Step::Grant { expected: Some(Epoch(3)), .. }]);
        assert!(is_grant(&steps(&running, None, &streams, &[worker(vec![])])));
        assert!(is_grant(&steps(&running, None, &streams, &[worker(vec![report(1, 2, StreamCondition::Owned)])])));
        let lost = StreamCondition::Lost { cause: String::new() };
        assert!(is_grant(&steps(&running, None, &streams, &[worker(vec![report(1, 3, lost)])])));
        assert_eq!(steps(&running, None, &streams, &[worker(vec![report(1, 3, StreamCondition::Owned)])]), []);
    }

    #[test]
    fn a_topic_made_again_opens_new_streams_and_lets_the_old_ones_go_after_their_commit() {
        let running = pipeline(PipelineState::Running, GapPolicy::Pause);
        let streams = [stream(1, 0, "old", Some(3), StreamState::Open)];
        let owned = [worker(vec![report(1, 3, StreamCondition::Owned)])];
        let first = steps(&running, Some(&topic("new", 1)), &streams, &owned);
        assert!(matches!(&first[0], Step::Release { .. }), "{first:?}");
        assert!(matches!(&first[1], Step::Open { begin: Begin::AtEarliest, .. }), "{first:?}");
        let released = [worker(vec![report(1, 3, StreamCondition::Released)])];
        let then = steps(&running, Some(&topic("new", 1)), &streams, &released);
        assert_eq!(then[0], Step::Close { stream: StreamId(1) });
    }

    #[test]
    fn an_expired_range_pauses_with_the_statement_that_settles_it() {
        let running = pipeline(PipelineState::Running, GapPolicy::Pause);
        let streams = [stream(1, 0, "a", Some(3), StreamState::Open)];
        let expired = StreamCondition::Expired { wanted: Offset(5), low: Offset(9) };
        let steps = steps(&running, None, &streams, &[worker(vec![report(1, 3, expired)])]);
        let [Step::Incident { kind: IncidentKind::Expired, settle, gap: Some(gap), .. }] = steps.as_slice() else {
            panic!("{steps:?}")
        };
        assert_eq!(settle, "RESUME PIPELINE default.p ON GAP SKIP");
        assert_eq!(gap.range, OffsetRange::new(Offset(5), Offset(9)));
    }

    #[test]
    fn a_truncated_stream_goes_on_in_a_new_one_only_where_gaps_may_be_skipped() {
        let streams = [stream(1, 0, "a", Some(3), StreamState::Open)];
        let truncated = StreamCondition::Truncated { wanted: Offset(5), high: Offset(2) };
        let workers = [worker(vec![report(1, 3, truncated)])];
        let pausing = pipeline(PipelineState::Running, GapPolicy::Pause);
        assert!(matches!(steps(&pausing, None, &streams, &workers)[..], [Step::Incident { .. }]));
        let skipping = pipeline(PipelineState::Running, GapPolicy::Skip);
        let steps = steps(&skipping, None, &streams, &workers);
        assert!(
            matches!(steps[..], [Step::Open { generation: 1, begin: Begin::At(Offset(2)), .. }, Step::Close { .. }]),
            "{steps:?}"
        );
    }

    #[test]
    fn a_paused_pipeline_stops_wherever_it_still_runs() {
        let paused = pipeline(PipelineState::Paused, GapPolicy::Pause);
        assert_eq!(steps(&paused, None, &[], &[worker(vec![])]), [Step::Stop { address: "w".to_owned() }]);
    }
}
