//! Changes of a pipeline that wait for its streams: PAUSE, SEEK and ALTER. What is wished for is in the catalog, so that a
//! manager that dies in the middle leaves it to the next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Epoch, Fence, KafkaSource, Offset, Pipeline, PipelineId, PipelineSettings, StreamId};

/// Which change: made at random by the statement that begins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeId(pub u64);

/// What of a pipeline an ALTER can change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineDefinition {
    /// What it reads.
    pub source: KafkaSource,
    /// The text of its SELECT list.
    pub projection: String,
    /// The text of its WHERE.
    pub filter: Option<String>,
    /// Its settings.
    pub settings: PipelineSettings,
}

impl PipelineDefinition {
    /// What the pipeline is now.
    pub fn of(pipeline: &Pipeline) -> Self {
        Self {
            source: pipeline.source.clone(),
            projection: pipeline.projection.clone(),
            filter: pipeline.filter.clone(),
            settings: pipeline.settings.clone(),
        }
    }

    /// `pipeline` as this says.
    pub fn applied_to(&self, pipeline: &Pipeline) -> Pipeline {
        let Self { source, projection, filter, settings } = self.clone();
        Pipeline { source, projection, filter, settings, ..pipeline.clone() }
    }
}

/// Where a partition is to be read from: an absolute offset, resolved once, by the statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeekTarget {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The topic's incarnation that the offset is one of. Where another has come before the switch, the partition stays as it is.
    /// *(Else what the new topic has before that offset is passed over in silence.)*
    pub incarnation: String,
    /// Where its new stream begins.
    pub start: Offset,
    /// Whether it begins at what is committed by then if that is further: `latest` repeats nothing. *(Else what is committed
    /// between the statement and the switch is read twice.)*
    pub never_back: bool,
}

/// What is to become of a pipeline once all that is visible of it is committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeKind {
    /// It stops.
    Pause,
    /// These partitions go on elsewhere, in new streams; the others stay as they are.
    Seek(Vec<SeekTarget>),
    /// It goes on as another version.
    Alter(Box<PipelineDefinition>),
}

impl ChangeKind {
    /// The statement's word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pause => "PAUSE",
            Self::Seek(_) => "SEEK",
            Self::Alter(_) => "ALTER",
        }
    }
}

/// Where a change cut a stream: everything below is of before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutOver {
    /// The stream.
    pub stream: StreamId,
    /// The first offset that is not of before.
    pub offset: Offset,
    /// The stream that goes on in its place, after a SEEK.
    #[serde(default)]
    pub successor: Option<StreamId>,
}

/// How far a change is.
///
/// ```text
///   UnderWay ──all streams drained──> Done
///       └──────RESUME PIPELINE──────> GivenUp
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeState {
    /// It waits for what is visible to be committed. Nothing has changed yet.
    UnderWay,
    /// It has happened.
    Done {
        /// When, in microseconds since 1970, for people.
        at: i64,
        /// Where each stream was cut.
        cuts: Vec<CutOver>,
    },
    /// It never will.
    GivenUp,
}

/// The last change of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineChange {
    /// Which.
    pub id: ChangeId,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// What is wished for.
    pub kind: ChangeKind,
    /// Streams that had no living owner when they were looked at: what another had shown of them lies below these offsets, and is
    /// committed as it was decoded, before anything changes. *(Else rows seen change on replay.)*
    pub floors: BTreeMap<StreamId, Offset>,
    /// When it was begun, in microseconds since 1970, for people.
    pub begun: i64,
    /// How far it is.
    pub state: ChangeState,
}

impl PipelineChange {
    /// Whether it is still to happen.
    pub fn is_under_way(&self) -> bool {
        self.state == ChangeState::UnderWay
    }
}

/// A stream of which nothing is visible that is not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainedStream {
    /// The stream.
    pub stream: StreamId,
    /// Under which epoch its owner let it go; `None` if it was never granted.
    pub epoch: Option<Epoch>,
    /// How far it was committed then.
    pub committed: Offset,
}

/// How an attempt to finish a change ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinishOutcome {
    /// It is done, now or before.
    Done(Vec<CutOver>),
    /// A stream has moved since it was looked at, or was not looked at: look again.
    NotDrained(StreamId),
    /// It is not under way any more, or another is.
    Gone,
}

/// One version of a pipeline: which offsets it decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineVersion {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Which version: the fence that its commits name.
    pub fence: Fence,
    /// What it did.
    pub definition: PipelineDefinition,
    /// Since when, in microseconds since 1970, for people.
    pub since: i64,
    /// From which offset on it decoded the streams that there were. Streams that were opened later are all its own, up to the
    /// next version's cut.
    pub cuts: Vec<CutOver>,
}
