//! What is noted of each record, so that the records can be held against each other once all are read. What is wrong with a
//! record by itself is found here.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::table_log::{LogSummary, TableLog};
use super::{UNREADABLE, VerifyReport};
use crate::keys;
use crate::keys::checkpoint::CheckpointRecord;
use crate::keys::format::FormatRecord;
use crate::keys::kind::{Kind, Piece};
use crate::keys::table_fence::TableFenceRecord;
use crate::{
    CatalogError, CommitToken, Epoch, Fence, NodeId, PipelineId, SchemaId, Stream, StreamId, Table, TableId, Version,
    WriterId,
};

const OWN_ID: &str = "two records claim one id, or one stands in another's place: restore the catalog from a copy";

/// What is known of a catalog.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) format: Option<FormatRecord>,
    pub(super) copying: bool,
    /// The last ids given out, by what is counted.
    pub(super) counters: BTreeMap<String, u64>,
    /// By the name in the key.
    pub(super) databases: BTreeSet<String>,
    pub(super) table_names: BTreeMap<(String, String), TableId>,
    pub(super) tables: BTreeMap<TableId, TableFacts>,
    pub(super) table_fences: BTreeMap<TableId, TableFenceRecord>,
    pub(super) unnamed: BTreeSet<TableId>,
    pub(super) dropped: BTreeSet<TableId>,
    /// The version of the TRUNCATE, and how far its parts are garbage.
    pub(super) truncated: BTreeMap<TableId, (Version, Version)>,
    pub(super) rewritten: Vec<(TableId, Vec<u8>)>,
    pub(super) heads: BTreeMap<TableId, Version>,
    pub(super) logs: BTreeMap<TableId, LogSummary>,
    pub(super) pipeline_names: BTreeMap<(String, String), PipelineId>,
    pub(super) pipelines: BTreeMap<PipelineId, PipelineFacts>,
    pub(super) pipeline_fences: BTreeMap<PipelineId, Fence>,
    pub(super) pipelines_of_tables: BTreeSet<(TableId, PipelineId)>,
    /// Keys that belong to a pipeline and are of use with it only.
    pub(super) of_pipelines: Vec<(PipelineId, Vec<u8>)>,
    pub(super) versions: Vec<(PipelineId, Fence)>,
    pub(super) streams: BTreeMap<StreamId, Stream>,
    pub(super) identities: BTreeSet<(StreamId, Vec<u8>)>,
    pub(super) offsets: BTreeMap<StreamId, CheckpointRecord>,
    pub(super) owners: BTreeMap<StreamId, (Version, Epoch)>,
    pub(super) channels: BTreeMap<StreamId, ChannelFacts>,
    pub(super) tokens: BTreeMap<WriterId, (Version, CommitToken)>,
    pub(super) voids: BTreeSet<(WriterId, CommitToken)>,
    /// The newest version of a label of each table.
    pub(super) labelled: BTreeMap<TableId, (Version, Vec<u8>)>,
    /// Labels of which no age was seen yet.
    pub(super) ageless: HashSet<u64>,
    /// Paths of garbage.
    pub(super) garbage: HashSet<u64>,
    /// Paths of visible parts that are perhaps garbage.
    pub(super) perhaps_garbage: Vec<(TableId, String)>,
    pub(super) largest: Largest,
    /// The newest version that anything names, and where.
    pub(super) newest: (Version, Vec<u8>),
}

/// What is asked of a table.
pub(super) struct TableFacts {
    pub(super) database: String,
    pub(super) name: String,
    pub(super) fence: Fence,
    pub(super) schema: SchemaId,
}

/// What is asked of a pipeline.
pub(super) struct PipelineFacts {
    pub(super) database: String,
    pub(super) name: String,
    pub(super) table: TableId,
    pub(super) fence: Fence,
}

/// An insert channel's key and record.
pub(super) struct ChannelFacts {
    pub(super) key: Vec<u8>,
    pub(super) table: TableId,
    pub(super) process: u64,
    pub(super) number: u64,
    pub(super) node: NodeId,
}

/// The largest id of each kind that anything names, and where.
#[derive(Default)]
pub(super) struct Largest {
    pub(super) table: (u64, Vec<u8>),
    pub(super) pipeline: (u64, Vec<u8>),
    pub(super) stream: (u64, Vec<u8>),
}

/// Eight bytes in the place of something long.
pub(super) fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn number(pieces: &[Piece], at: usize) -> u64 {
    match pieces.get(at) {
        Some(Piece::Number(number)) => *number,
        other => unreachable!("the key was read, and its field {at} is {other:?}"),
    }
}

fn text(pieces: &[Piece], at: usize) -> String {
    match pieces.get(at) {
        Some(Piece::Text(text)) => text.clone(),
        other => unreachable!("the key was read, and its field {at} is {other:?}"),
    }
}

fn writer(pieces: &[Piece]) -> WriterId {
    match pieces.first() {
        Some(Piece::Writer(writer)) => *writer,
        other => unreachable!("the key was read, and its first field is {other:?}"),
    }
}

fn wide(pieces: &[Piece], at: usize) -> u128 {
    match pieces.get(at) {
        Some(Piece::Wide(number)) => *number,
        other => unreachable!("the key was read, and its field {at} is {other:?}"),
    }
}

impl Facts {
    pub(super) fn is_dropped(&self, table: TableId) -> bool {
        self.dropped.contains(&table)
    }

    /// Notes a record of any type but a log's. The error says why it cannot be read.
    pub(super) fn note(
        &mut self,
        kind: Kind,
        pieces: &[Piece],
        key: &[u8],
        value: &[u8],
        report: &mut VerifyReport,
    ) -> Result<(), CatalogError> {
        match kind {
            Kind::Copying => {
                keys::copying::deser_value(key, value)?;
                self.copying = true;
            }
            Kind::Counter => {
                self.counters.insert(text(pieces, 0), keys::counter::deser_value(key, value)?);
            }
            Kind::Format => self.format = Some(keys::format::deser_value(key, value)?),
            Kind::PipelinesChanged => self.note_version(keys::pipelines_changed::deser_value(key, value)?, key),
            Kind::ServerLease => drop(keys::server_lease::deser_value(key, value)?),
            Kind::User => {
                let record = keys::user::deser_value(key, value)?;
                expect(record.user.name == text(pieces, 0), key, "user", report);
            }
            Kind::Garbage => {
                keys::garbage::deser_value(key, value)?;
                self.garbage.insert(hash(text(pieces, 0)));
            }
            Kind::Intent => {
                let intent = keys::intent::deser_value(key, value)?;
                expect(intent.part.0 == wide(pieces, 0), key, "part", report);
                self.largest.note_table(intent.table, key);
            }
            Kind::Void => {
                keys::void::deser_value(key, value)?;
                self.largest.note_writer(writer(pieces), key);
                self.voids.insert((writer(pieces), CommitToken(wide(pieces, 1))));
            }
            Kind::Token => {
                let (version, token) = keys::token::deser_value(key, value)?;
                self.note_version(version, key);
                self.largest.note_writer(writer(pieces), key);
                self.tokens.insert(writer(pieces), (version, token));
            }
            Kind::Database
            | Kind::Dropped
            | Kind::Head
            | Kind::Label
            | Kind::LabelAge
            | Kind::Rewrite
            | Kind::Table
            | Kind::TableFence
            | Kind::TableName
            | Kind::Truncated
            | Kind::UnnamedTable => return self.note_of_table(kind, pieces, key, value, report),
            Kind::Incident
            | Kind::Lease
            | Kind::Pipeline
            | Kind::PipelineChange
            | Kind::PipelineFence
            | Kind::PipelineName
            | Kind::PipelineOfTable
            | Kind::PipelineVersion => return self.note_of_pipeline(kind, pieces, key, value, report),
            Kind::Channel | Kind::Checkpoint | Kind::Owner | Kind::Stream | Kind::StreamOfIdentity => {
                return self.note_of_stream(kind, pieces, key, value, report);
            }
            Kind::Log => unreachable!("logs are read one by one"),
        }
        Ok(())
    }

    fn note_of_table(
        &mut self,
        kind: Kind,
        pieces: &[Piece],
        key: &[u8],
        value: &[u8],
        report: &mut VerifyReport,
    ) -> Result<(), CatalogError> {
        match kind {
            Kind::Database => {
                let record = keys::database::deser_value(key, value)?;
                expect(record.name.to_ascii_lowercase() == text(pieces, 0), key, "database", report);
                self.databases.insert(text(pieces, 0));
                return Ok(());
            }
            Kind::TableName => {
                let id = keys::table_name::deser_value(key, value)?;
                self.largest.note_table(id, key);
                self.table_names.insert((text(pieces, 0), text(pieces, 1)), id);
                return Ok(());
            }
            Kind::LabelAge => {
                keys::label_age::deser_value(key, value)?;
                self.ageless.remove(&hash((number(pieces, 1), text(pieces, 2), number(pieces, 0))));
                return Ok(());
            }
            _ => {}
        }
        let table = TableId(number(pieces, 0));
        self.largest.note_table(table, key);
        match kind {
            Kind::Dropped => {
                keys::dropped::deser_value(key, value)?;
                self.dropped.insert(table);
            }
            Kind::Head => {
                let version = keys::head::deser_value(key, value)?;
                self.note_version(version, key);
                self.heads.insert(table, version);
            }
            Kind::Label => {
                let (version, record) = keys::label::deser_value(key, value)?;
                self.note_version(version, key);
                // As the key of its age holds it.
                let wall = u64::try_from(record.wall).unwrap_or(0);
                self.ageless.insert(hash((table.0, text(pieces, 1), wall)));
                if self.labelled.get(&table).is_none_or(|(newest, _)| *newest < version) {
                    self.labelled.insert(table, (version, key.to_vec()));
                }
            }
            Kind::Rewrite => {
                keys::rewrite::deser_value(key, value)?;
                self.rewritten.push((table, key.to_vec()));
            }
            Kind::Table => {
                let table = keys::table::deser_value(key, value)?.table;
                expect(table.id.0 == number(pieces, 0), key, "table", report);
                check_columns(&table, key, report);
                let Table { database, name, fence, schema, .. } = table;
                self.tables.insert(TableId(number(pieces, 0)), TableFacts { database, name, fence, schema });
            }
            Kind::TableFence => {
                self.table_fences.insert(table, keys::table_fence::deser_value(key, value)?);
            }
            Kind::Truncated => {
                let (version, record) = keys::truncated::deser_value(key, value)?;
                self.note_version(version, key);
                self.truncated.insert(table, (version, record.done));
            }
            Kind::UnnamedTable => {
                keys::unnamed_table::deser_value(key, value)?;
                self.unnamed.insert(table);
            }
            other => unreachable!("{other:?} is of no table"),
        }
        Ok(())
    }

    fn note_of_pipeline(
        &mut self,
        kind: Kind,
        pieces: &[Piece],
        key: &[u8],
        value: &[u8],
        report: &mut VerifyReport,
    ) -> Result<(), CatalogError> {
        if kind == Kind::PipelineName {
            let id = keys::pipeline_name::deser_value(key, value)?;
            self.largest.note_pipeline(id, key);
            self.pipeline_names.insert((text(pieces, 0), text(pieces, 1)), id);
            return Ok(());
        }
        if kind == Kind::PipelineOfTable {
            keys::pipeline_of_table::deser_value(key, value)?;
            let (table, pipeline) = (TableId(number(pieces, 0)), PipelineId(number(pieces, 1)));
            self.largest.note_table(table, key);
            self.largest.note_pipeline(pipeline, key);
            self.pipelines_of_tables.insert((table, pipeline));
            return Ok(());
        }
        let pipeline = PipelineId(number(pieces, 0));
        self.largest.note_pipeline(pipeline, key);
        match kind {
            Kind::Pipeline => {
                let record = keys::pipeline::deser_value(key, value)?.pipeline;
                expect(record.id == pipeline, key, "pipeline", report);
                let facts = PipelineFacts {
                    database: record.database,
                    name: record.name,
                    table: record.table,
                    fence: record.fence,
                };
                self.pipelines.insert(pipeline, facts);
                return Ok(());
            }
            Kind::PipelineFence => {
                self.pipeline_fences.insert(pipeline, keys::pipeline_fence::deser_value(key, value)?);
                return Ok(());
            }
            Kind::Incident => {
                let incident = keys::incident::deser_value(key, value)?;
                let is_own = (incident.pipeline, incident.number) == (pipeline, number(pieces, 1));
                expect(is_own, key, "incident", report);
            }
            Kind::Lease => drop(keys::lease::deser_value(key, value)?),
            Kind::PipelineChange => {
                let change = keys::pipeline_change::deser_value(key, value)?;
                expect(change.pipeline == pipeline, key, "pipeline", report);
            }
            Kind::PipelineVersion => {
                let version = keys::pipeline_version::deser_value(key, value)?;
                let is_own = (version.pipeline, version.fence) == (pipeline, Fence(number(pieces, 1)));
                expect(is_own, key, "version", report);
                self.versions.push((pipeline, Fence(number(pieces, 1))));
            }
            other => unreachable!("{other:?} is of no pipeline"),
        }
        self.of_pipelines.push((pipeline, key.to_vec()));
        Ok(())
    }

    fn note_of_stream(
        &mut self,
        kind: Kind,
        pieces: &[Piece],
        key: &[u8],
        value: &[u8],
        report: &mut VerifyReport,
    ) -> Result<(), CatalogError> {
        match kind {
            Kind::Channel => {
                let record = keys::channel::deser_value(key, value)?;
                let (table, process, number) = (TableId(number(pieces, 0)), number(pieces, 1), number(pieces, 2));
                self.largest.note_table(table, key);
                self.largest.note_stream(record.stream, key);
                let facts = ChannelFacts { key: key.to_vec(), table, process, number, node: record.node };
                if self.channels.insert(record.stream, facts).is_some() {
                    report.find(key, format!("stream {} is that of another channel too", record.stream), OWN_ID);
                }
                return Ok(());
            }
            Kind::StreamOfIdentity => {
                let stream = keys::stream_of_identity::deser_value(key, value)?;
                self.largest.note_stream(stream, key);
                self.identities.insert((stream, key.to_vec()));
                return Ok(());
            }
            _ => {}
        }
        let stream = StreamId(number(pieces, 0));
        self.largest.note_stream(stream, key);
        match kind {
            Kind::Checkpoint => {
                self.offsets.insert(stream, keys::checkpoint::deser_value(key, value)?);
            }
            Kind::Owner => {
                let (version, record) = keys::owner::deser_value(key, value)?;
                self.note_version(version, key);
                self.owners.insert(stream, (version, record.owner.epoch));
            }
            Kind::Stream => {
                let record = keys::stream::deser_value(key, value)?;
                expect(record.id == stream, key, "stream", report);
                self.streams.insert(stream, record);
            }
            other => unreachable!("{other:?} is of no stream"),
        }
        Ok(())
    }

    /// Notes what a log came to, now that it is read.
    pub(super) fn note_log(&mut self, log: TableLog, report: &mut VerifyReport) {
        let table = log.table();
        let summary = log.finish(report);
        let key = keys::log::ser_key(table, summary.last);
        self.note_version(summary.last, &key);
        self.largest.note_table(table, &key);
        for view in &summary.streams {
            self.largest.note_stream(view.stream.id, &key);
        }
        for part in summary.parts.iter().filter(|part| self.garbage.contains(&hash(&part.path))) {
            self.perhaps_garbage.push((table, part.path.clone()));
        }
        self.logs.insert(table, LogSummary { parts: Vec::new().into(), ..summary });
    }

    fn note_version(&mut self, version: Version, key: &[u8]) {
        if self.newest.0 < version {
            self.newest = (version, key.to_vec());
        }
    }
}

impl Largest {
    fn note_table(&mut self, id: TableId, key: &[u8]) {
        raise(&mut self.table, id.0, key);
    }

    fn note_pipeline(&mut self, id: PipelineId, key: &[u8]) {
        raise(&mut self.pipeline, id.0, key);
    }

    fn note_writer(&mut self, writer: WriterId, key: &[u8]) {
        match writer {
            WriterId::Task(pipeline, _) => self.note_pipeline(pipeline, key),
            WriterId::Channel(stream) => self.note_stream(stream, key),
            WriterId::Rewrite(table) => self.note_table(table, key),
        }
    }

    fn note_stream(&mut self, id: StreamId, key: &[u8]) {
        raise(&mut self.stream, id.0, key);
    }
}

fn raise(largest: &mut (u64, Vec<u8>), id: u64, key: &[u8]) {
    if largest.0 < id {
        *largest = (id, key.to_vec());
    }
}

/// A record says whose it is; so does its key.
fn expect(is_own: bool, key: &[u8], what: &str, report: &mut VerifyReport) {
    if !is_own {
        report.find(key, format!("the record is that of another {what} than its key says"), OWN_ID);
    }
}

/// What a table's record must say of itself for a query to be planned.
fn check_columns(table: &Table, key: &[u8], report: &mut VerifyReport) {
    let ids: BTreeSet<_> = table.columns.iter().map(|column| column.id).collect();
    let names: BTreeSet<_> = table.columns.iter().map(|column| column.name.to_ascii_lowercase()).collect();
    if ids.len() < table.columns.len() || names.len() < table.columns.len() {
        report.find(key, "two of its columns have one id or one name", UNREADABLE);
    }
    let used = table.order_by.iter().chain(table.partition_by.iter().map(|field| &field.column));
    if let Some(missing) = used.into_iter().find(|id| !ids.contains(id)) {
        report.find(key, format!("it is ordered or partitioned by column {missing}, which it has not"), UNREADABLE);
    }
}
