//! Golden files: one per record, its key and its value as this program writes them, in `tests/golden`. A change of a file
//! is a change of the persisted format: old files must still be read, or the format's number be raised.
//!
//! A file has two lines, key and value; what is not printable ASCII is escaped as `\xNN`. `UPDATE_GOLDEN=1` writes them.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;

use super::channel::ChannelRecord;
use super::checkpoint::CheckpointRecord;
use super::copying::CopyingRecord;
use super::counter::Counter;
use super::database::DatabaseRecord;
use super::dropped::DroppedRecord;
use super::format::FormatRecord;
use super::garbage::GarbageRecord;
use super::label::LabelRecord;
use super::lease::LeaseRecord;
use super::log::{CommitChunk, LogRecord};
use super::owner::OwnerRecord;
use super::pipeline::PipelineRecord;
use super::rewrite::RewriteRecord;
use super::table::TableRecord;
use super::table_fence::TableFenceRecord;
use super::truncated::TruncatedRecord;
use super::unnamed_table::UnnamedRecord;
use super::*;
use crate::commit::sample;
use crate::store::{Stamp, VersionstampedValue};
use crate::{
    CatalogId, ChangeId, ChangeKind, ChangeState, ChannelIdentity, Column, ColumnId, ColumnType, CommitToken,
    Credential, CutOver, DecimalText, Epoch, ErrorPolicy, ErrorsMoved, Fence, Gap, GapKind, GapPolicy, Incident,
    IncidentKind, IntegerWidth, KafkaSource, Lease, NodeId, Offset, OffsetRange, Owner, PartId, PartitionField,
    PartitionIdentity, PartitionTransform, Pipeline, PipelineChange, PipelineDefinition, PipelineId, PipelineSettings,
    PipelineState, PipelineVersion, RecordFormat, Scalar, SchemaId, SeekTarget, StartPosition, Stream, StreamId,
    StreamIdentity, StreamState, Table, TableId, TaskIndex, Topics, UploadIntent, User, Version, WriterId,
};

const STAMP: Stamp = Stamp([0, 0, 0, 0, 0, 0, 1, 2, 0, 0]);

fn version() -> Version {
    Version::new(1, STAMP, 3)
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.golden"))
}

/// Printable, one line, and exact.
fn escape(bytes: &[u8]) -> String {
    let escaped = |byte: &u8| match byte {
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(*byte).to_string(),
        other => format!("\\x{other:02x}"),
    };
    bytes.iter().map(escaped).collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        (bytes, rest) = match (first, after) {
            (b'\\', [b'\\', after @ ..]) => ([bytes, b"\\".to_vec()].concat(), after),
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = [*high, *low];
                let byte = u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap();
                ([bytes, vec![byte]].concat(), after)
            }
            _ => ([bytes, vec![*first]].concat(), after),
        };
    }
    bytes
}

/// What the file says is what is written, and what it says is read as `record`.
fn check<T: Debug + PartialEq>(
    name: &str,
    key: &[u8],
    value: &[u8],
    record: &T,
    deser_value: impl Fn(&[u8], &[u8]) -> Result<T, CatalogError>,
) {
    let text = format!("{}\n{}\n", escape(key), escape(value));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path(name), &text).unwrap();
    }
    let golden = std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(text, golden, "{name} is written in another form than before");
    let [key, value] = [0, 1].map(|line| unescape(golden.lines().nth(line).unwrap()));
    assert_eq!(&deser_value(&key, &value).unwrap(), record, "{name} is read as something else than before");
}

fn stamped(value: &VersionstampedValue) -> Vec<u8> {
    codec::fill_in(value, STAMP)
}

/// A record whose value is all in its key.
fn key_only<T>(_: T) -> impl Fn(&[u8], &[u8]) -> Result<(), CatalogError> {
    |key, value| codec::deser(1, key, value)
}

#[test]
fn names_and_counters() {
    let record = FormatRecord { id: None, era: 1, copy: None };
    check("format", &format::ser_key(), &format::ser_value(&record), &record, format::deser_value);
    let id = Some(CatalogId("catalog-00000000000000ff".to_owned()));
    let record = FormatRecord { id, era: 2, copy: Some(Nonce(11)) };
    check("format_with_id", &format::ser_key(), &format::ser_value(&record), &record, format::deser_value);
    let record = CopyingRecord { id: CatalogId("catalog-00000000000000ff".to_owned()), nonce: Nonce(9) };
    check("copying", &copying::ser_key(), &copying::ser_value(&record), &record, copying::deser_value);
    for (name, counter) in [
        ("counter_table", Counter::Table),
        ("counter_pipeline", Counter::Pipeline),
        ("counter_stream", Counter::Stream),
    ] {
        check(name, &counter::ser_key(counter), &counter::ser_value(41), &41, counter::deser_value);
    }
    let record = DatabaseRecord { name: "Shop".into(), nonce: Nonce(u64::MAX) };
    check("database", &database::ser_key("Shop"), &database::ser_value(&record), &record, database::deser_value);
    let key = table_name::ser_key("Shop", "Clicks");
    check("table_name", &key, &table_name::ser_value(TableId(2)), &TableId(2), table_name::deser_value);
    assert_eq!(table_name::deser_key(&key), Ok(("shop".into(), "clicks".into())));
    let key = pipeline_name::ser_key("Shop", "Clicks_In");
    check("pipeline_name", &key, &pipeline_name::ser_value(PipelineId(5)), &PipelineId(5), pipeline_name::deser_value);
    assert_eq!(pipeline_name::deser_key(&key), Ok(("shop".into(), "clicks_in".into())));
}

#[test]
fn users() {
    // Records hold credentials, which have no Debug: their bytes are compared.
    let again = |key: &[u8], value: &[u8]| Ok(user::ser_value(&user::deser_value(key, value)?));
    for (name, credential) in [
        ("user", Credential::CachingSha2([0xAB; 32])),
        ("user_native", Credential::Native([0x0F; 20])),
        ("user_without_password", Credential::None),
    ] {
        let user = User { name: "App".into(), credential, created: 1_767_225_600_000_000 };
        let value = user::ser_value(&user::UserRecord { user, nonce: Nonce(7) });
        check(name, &user::ser_key("App"), &value, &value, again);
    }
}

fn table() -> Table {
    let column = |id, name: &str, kind, default| Column {
        id: ColumnId(id),
        name: name.into(),
        kind,
        nullable: default != Some(Scalar::Int(7)),
        default,
        comment: "of the shop".into(),
    };
    let integer = |width, unsigned| ColumnType::Integer { width, unsigned };
    Table {
        id: TableId(2),
        database: "Shop".into(),
        name: "Clicks".into(),
        schema: SchemaId(1),
        fence: Fence(1),
        columns: vec![
            column(1, "ts", ColumnType::TIMESTAMP, Some(Scalar::Micros(-1))),
            column(2, "n", integer(IntegerWidth::Tiny, true), Some(Scalar::Int(7))),
            column(3, "big", integer(IntegerWidth::Big, true), Some(Scalar::Decimal(DecimalText(1 << 63), 0))),
            column(4, "price", ColumnType::Decimal { precision: 38, scale: 2 }, None),
            column(5, "kind", ColumnType::Text { characters_max: Some(20) }, Some(Scalar::Text("ü".into()))),
            column(6, "ok", ColumnType::Boolean, Some(Scalar::Bool(true))),
            column(7, "day", ColumnType::Date, Some(Scalar::Date(-1))),
            column(8, "f", ColumnType::Float, Some(Scalar::Float(0.1))),
            column(9, "d", ColumnType::Double, Some(Scalar::Null)),
            column(10, "at", ColumnType::DATETIME, None),
            column(11, "j", ColumnType::Json, None),
            column(12, "s", integer(IntegerWidth::Small, false), None),
            column(13, "i", integer(IntegerWidth::Int, false), None),
        ],
        partition_by: [
            (1, PartitionTransform::Day),
            (1, PartitionTransform::Hour),
            (7, PartitionTransform::Month),
            (7, PartitionTransform::Year),
            (5, PartitionTransform::Identity),
        ]
        .map(|(id, transform)| PartitionField { column: ColumnId(id), transform })
        .to_vec(),
        order_by: vec![ColumnId(5), ColumnId(1)],
        created: 1_700_000_000_000_000,
    }
}

/// The types that came after the first, and the value that only they have.
fn table_of_later_types() -> Table {
    let column = |id, kind, default| Column {
        id: ColumnId(id),
        name: format!("c{id}"),
        kind,
        nullable: true,
        default,
        comment: String::new(),
    };
    let array = |element| ColumnType::Array { element: Box::new(element) };
    let map = |key, value| ColumnType::Map { key: Box::new(key), value: Box::new(value) };
    let columns = vec![
        column(1, ColumnType::DateTime { digits: Some(3) }, None),
        column(2, ColumnType::Timestamp { digits: Some(0) }, None),
        column(3, ColumnType::Time { digits: None }, Some(Scalar::Micros(-1))),
        column(4, ColumnType::Time { digits: Some(6) }, None),
        column(5, ColumnType::Year, Some(Scalar::Int(2026))),
        column(6, ColumnType::Char { characters: 3 }, None),
        column(7, ColumnType::Enum { values: vec!["a".into(), "ü".into()] }, Some(Scalar::Text("ü".into()))),
        column(8, ColumnType::Binary { bytes: 2 }, Some(Scalar::Bytes(vec![0, 0xff]))),
        column(9, ColumnType::VarBinary { bytes_max: Some(20) }, None),
        column(10, ColumnType::BLOB, None),
        column(11, array(ColumnType::TIMESTAMP), None),
        column(12, map(ColumnType::TEXT, array(ColumnType::Decimal { precision: 10, scale: 2 })), None),
    ];
    Table { columns, partition_by: Vec::new(), order_by: vec![ColumnId(8)], ..table() }
}

fn pipeline() -> Pipeline {
    Pipeline {
        id: PipelineId(5),
        database: "Shop".into(),
        name: "Clicks_In".into(),
        table: TableId(2),
        source: KafkaSource {
            brokers: "b1:9092,b2:9092".into(),
            topics: "clicks".into(),
            format: RecordFormat::Json,
            start: StartPosition::TimestampMillis(1_700_000_000_000),
            properties: [("security.protocol".to_owned(), "ssl".to_owned())].into(),
        },
        projection: "ts, lower(kind) AS kind".into(),
        filter: Some("n > 3".into()),
        settings: PipelineSettings {
            tasks: 4,
            errors: ErrorPolicy::Pause,
            on_gap: GapPolicy::Skip,
            ..PipelineSettings::default()
        },
        state: PipelineState::PausedByIncident,
        fence: Fence(4),
        created: 1_700_000_000_000_000,
    }
}

#[test]
fn tables_and_pipelines() {
    let record = TableRecord { table: table(), nonce: Nonce(9) };
    check("table", &table::ser_key(TableId(2)), &table::ser_value(&record), &record, table::deser_value);
    let record = TableRecord { table: table_of_later_types(), nonce: Nonce(9) };
    check("table_of_later_types", &table::ser_key(TableId(2)), &table::ser_value(&record), &record, table::deser_value);
    let record = PipelineRecord { pipeline: pipeline(), nonce: Nonce(9) };
    check("pipeline", &pipeline::ser_key(PipelineId(5)), &pipeline::ser_value(&record), &record, pipeline::deser_value);
    for (name, topics) in [
        ("pipeline_topics", Topics::List(vec!["clicks".into(), "views".into()])),
        ("pipeline_topic_pattern", Topics::Pattern { pattern: "^clicks_".into() }),
    ] {
        let mut record = record.clone();
        record.pipeline.source.topics = topics;
        check(name, &pipeline::ser_key(PipelineId(5)), &pipeline::ser_value(&record), &record, pipeline::deser_value);
    }
    let key = pipeline_of_table::ser_key(TableId(2), PipelineId(5));
    check("pipeline_of_table", &key, &pipeline_of_table::ser_value(), &(), key_only(()));
    assert_eq!(pipeline_of_table::deser_key(&key), Ok((TableId(2), PipelineId(5))));
    let record = TableFenceRecord { fence: Fence(1), schema: SchemaId(1) };
    let key = table_fence::ser_key(TableId(2));
    check("fence_table", &key, &table_fence::ser_value(&record), &record, table_fence::deser_value);
    let key = pipeline_fence::ser_key(PipelineId(5));
    check("fence_pipeline", &key, &pipeline_fence::ser_value(Fence(4)), &Fence(4), pipeline_fence::deser_value);
    let definition = PipelineDefinition::of(&pipeline());
    let cut = CutOver { stream: StreamId(11), offset: Offset(110), successor: Some(StreamId(12)) };
    let target = SeekTarget {
        topic: "clicks".into(),
        partition: 3,
        incarnation: "i1".into(),
        start: Offset(40),
        never_back: true,
    };
    let mut change = PipelineChange {
        id: ChangeId(77),
        pipeline: PipelineId(5),
        kind: ChangeKind::Seek(vec![target]),
        floors: [(StreamId(11), Offset(105))].into(),
        begun: 1_700_000_000_000_000,
        state: ChangeState::Done { at: 1_700_000_000_000_001, cuts: vec![cut] },
    };
    let key = pipeline_change::ser_key(PipelineId(5));
    for (name, kind) in [
        ("pipeline_change_seek", change.kind.clone()),
        ("pipeline_change_alter", ChangeKind::Alter(Box::new(definition.clone()))),
        ("pipeline_change_pause", ChangeKind::Pause),
    ] {
        change.kind = kind;
        check(name, &key, &pipeline_change::ser_value(&change), &change, pipeline_change::deser_value);
        change.state = ChangeState::UnderWay;
    }
    let version = PipelineVersion {
        pipeline: PipelineId(5),
        fence: Fence(4),
        definition,
        since: 1_700_000_000_000_000,
        cuts: vec![cut],
    };
    let key = pipeline_version::ser_key(PipelineId(5), Fence(4));
    check("pipeline_version", &key, &pipeline_version::ser_value(&version), &version, pipeline_version::deser_value);
    let value = stamped(&pipelines_changed::ser_value(1));
    let version = |key: &[u8], value: &[u8]| codec::deser_stamped::<()>(1, key, value).map(|(version, ())| version);
    check("pipelines_changed", &pipelines_changed::ser_key(), &value, &Version::new(1, STAMP, 0), version);
}

fn stream() -> Stream {
    let identity = StreamIdentity::Partition(PartitionIdentity {
        pipeline: PipelineId(5),
        topic: "clicks".into(),
        incarnation: "Zm9v".into(),
        partition: 3,
        generation: 1,
    });
    Stream { id: StreamId(11), identity, table: TableId(2), start: Offset(100), state: StreamState::Open }
}

fn owner(epoch: u64) -> Owner {
    Owner {
        epoch: Epoch(epoch),
        node: NodeId("n-1".into()),
        address: "10.0.0.1:9031".into(),
        task: TaskIndex(0),
        pipeline_fence: Fence(4),
    }
}

#[test]
fn streams_and_leases() {
    let stream = stream();
    check("stream", &stream::ser_key(stream.id), &stream::ser_value(&stream), &stream, stream::deser_value);
    let key = stream_of_identity::ser_key(stream.partition());
    let value = stream_of_identity::ser_value(stream.id);
    check("stream_of_identity", &key, &value, &stream.id, stream_of_identity::deser_value);
    let record = CheckpointRecord { next: Offset(110), table: TableId(2) };
    check("offset", &checkpoint::ser_key(stream.id), &checkpoint::ser_value(&record), &record, checkpoint::deser_value);
    let record = OwnerRecord { owner: owner(3), previous: Some(owner(2)), committed: Offset(100), nonce: Nonce(9) };
    let value = stamped(&owner::ser_value(1, 3, &record));
    check("owner", &owner::ser_key(stream.id), &value, &(version(), record), owner::deser_value);
    let lease = Lease { epoch: Epoch(2), holder: NodeId("n-1".into()), duration_ms: 5_000, renewals: 7 };
    let record = LeaseRecord { lease, nonce: Nonce(9) };
    check("lease", &lease::ser_key(PipelineId(5)), &lease::ser_value(&record), &record, lease::deser_value);
    let (key, value) = (server_lease::ser_key(), server_lease::ser_value(&record));
    check("server_lease", &key, &value, &record, server_lease::deser_value);
    let incident = Incident {
        number: 1,
        pipeline: PipelineId(5),
        stream: Some(StreamId(11)),
        kind: IncidentKind::Expired,
        gap: Some(Gap { kind: GapKind::Expired, range: OffsetRange::new(Offset(3), Offset(6)) }),
        cause: "retention took offsets 3..6".into(),
        settle: "ALTER PIPELINE clicks_in SEEK EARLIEST".into(),
        opened: 1,
        settled: None,
        settled_by: None,
    };
    let key = incident::ser_key(PipelineId(5), 1);
    check("incident", &key, &incident::ser_value(&incident), &incident, incident::deser_value);
}

#[test]
fn channels_and_labels() {
    let identity = ChannelIdentity { node: NodeId("n-1".into()), process: u64::MAX, number: 2 };
    let record = ChannelRecord { stream: StreamId(12), node: identity.node.clone() };
    let key = channel::ser_key(TableId(2), &identity);
    check("channel", &key, &channel::ser_value(&record), &record, channel::deser_value);
    assert_eq!(channel::deser_key(&key), Ok((TableId(2), u64::MAX, 2)));
    let stream = Stream {
        id: StreamId(12),
        identity: StreamIdentity::Channel(identity),
        table: TableId(2),
        start: Offset(0),
        state: StreamState::Open,
    };
    check("stream_channel", &stream::ser_key(stream.id), &stream::ser_value(&stream), &stream, stream::deser_value);
    let record = LabelRecord { rows: 3, wall: 1_700_000_000_000_000 };
    let value = stamped(&label::ser_value(1, 3, &record));
    check("label", &label::ser_key(TableId(2), "load-7"), &value, &(version(), record), label::deser_value);
    let key = label_age::ser_key(1_700_000_000_000_000, TableId(2), "load-7");
    check("label_age", &key, &label_age::ser_value(), &(), key_only(()));
    assert_eq!(label_age::deser_key(&key), Ok((1_700_000_000_000_000, TableId(2), "load-7".into())));
    let record = TruncatedRecord { since: 1_700_000_000_000_000, done: Version::ZERO };
    let value = stamped(&truncated::ser_value(1, 3, &record));
    check("truncated", &truncated::ser_key(TableId(2)), &value, &(version(), record), truncated::deser_value);
    assert_eq!(truncated::ser_value_at(version(), &record), value);
    let record = UnnamedRecord { node: NodeId("n-1".into()), process: 9 };
    let key = unnamed_table::ser_key(TableId(2));
    check("unnamed_table", &key, &unnamed_table::ser_value(&record), &record, unnamed_table::deser_value);
    assert_eq!(unnamed_table::deser_key(&key), Ok(TableId(2)));
}

#[test]
fn commits() {
    let task = WriterId::Task(PipelineId(5), TaskIndex(1));
    let token = CommitToken(0xabc);
    for (name, writer) in [("token_task", task), ("token_channel", WriterId::Channel(StreamId(11)))] {
        let value = stamped(&token::ser_value(1, 3, token));
        check(name, &token::ser_key(writer), &value, &(version(), token), token::deser_value);
    }
    let record = RewriteRecord { count: 2, tokens: vec![CommitToken(0xabc)] };
    let key = rewrite::ser_key(TableId(2), rewrite::ERRORS);
    check("rewrite", &key, &rewrite::ser_value(&record), &record, rewrite::deser_value);
    check("void", &void::ser_key(task, token), &void::ser_value(), &(), key_only(()));
    let value = stamped(&head::ser_value(1, 3));
    check("head", &head::ser_key(TableId(2)), &value, &version(), head::deser_value);
    let intent = UploadIntent {
        part: PartId(0xa1),
        table: TableId(2),
        path: "3f/2/a1.parquet".into(),
        writer: task,
        created: 1_700_000_000_000_000,
    };
    check("intent", &intent::ser_key(intent.part), &intent::ser_value(&intent), &intent, intent::deser_value);
    let record = GarbageRecord { since: 1_700_000_000_000_000 };
    let key = garbage::ser_key("3f/2/a1.parquet");
    check("garbage", &key, &garbage::ser_value(&record), &record, garbage::deser_value);
    assert_eq!(garbage::deser_key(&key).as_deref(), Ok("3f/2/a1.parquet"));
    let record = DroppedRecord { since: 1_700_000_000_000_000 };
    let key = dropped::ser_key(TableId(2));
    check("dropped", &key, &dropped::ser_value(&record), &record, dropped::deser_value);
    assert_eq!(dropped::deser_key(&key), Ok(TableId(2)));
}

#[test]
fn log_records() {
    let request = sample::request();
    let commit = CommitChunk {
        writer: request.writer,
        token: request.token,
        schema: request.schema,
        wall: 1_700_000_000_000_000,
        advances: request.streams,
        parts_added: request.parts,
        parts_removed: vec![PartId(0xa0)],
        moved: Vec::new(),
        delete_vectors_added: Vec::new(),
    };
    let key = log::ser_key(TableId(2), version());
    assert_eq!(log::deser_key(&key), Ok((TableId(2), version())));
    let before_stamp = log::ser_key_before_stamp(TableId(2), 1);
    assert_eq!([&before_stamp, STAMP.as_ref(), &log::ser_key_after_stamp(3)].concat(), key);
    let moved = vec![ErrorsMoved { stream: StreamId(11), rows: 3, filtered: 1 }];
    let rewrite = CommitChunk { writer: WriterId::Rewrite(TableId(2)), advances: Vec::new(), moved, ..commit.clone() };
    for (name, record) in [
        ("log_commit", LogRecord::Commit(commit)),
        ("log_rewrite", LogRecord::Commit(rewrite)),
        ("log_grant", LogRecord::Grant { stream: StreamId(11), owner: owner(3) }),
        ("log_stream_opened", LogRecord::StreamOpened(stream())),
        ("log_truncated", LogRecord::Truncated { wall: 1_700_000_000_000_000 }),
        ("log_streams_closed", LogRecord::StreamsClosed(vec![StreamId(11), StreamId(12)])),
    ] {
        check(name, &key, &log::ser_value(&record), &record, log::deser_value);
    }
}

#[test]
fn a_record_with_fields_of_a_later_program_is_read_and_one_with_delete_vectors_is_not() {
    let golden = std::fs::read_to_string(path("log_commit")).unwrap();
    let value = golden.lines().nth(1).unwrap();
    let extended = value.replace("{\"Commit\":{", "{\"Commit\":{\"later\":[1],");
    assert_ne!(extended, value);
    assert!(log::deser_value(b"k", &unescape(&extended)).is_ok());
    let deleting = value.replace("\"delete_vectors_added\":[]", "\"delete_vectors_added\":[\"x\"]");
    assert_ne!(deleting, value);
    assert!(log::deser_value(b"k", &unescape(&deleting)).is_err(), "rows that are deleted must not be shown");
}

#[test]
fn every_key_type_has_its_golden_file_and_no_two_share_a_prefix() {
    let folder = path("x").parent().unwrap().to_owned();
    let mut prefixes = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let key = text.lines().next().unwrap().to_owned();
        prefixes.insert(key.split_once('/').map_or(key.clone(), |(prefix, _)| prefix.to_owned()));
    }
    let sources = std::fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/keys")).unwrap();
    let helpers = ["codec.rs", "golden.rs", "kind.rs", "mod.rs", "writer.rs"];
    let types = sources.filter(|entry| !helpers.contains(&entry.as_ref().unwrap().file_name().to_str().unwrap()));
    // `fence/` has two files, `fence/table/` and `fence/pipeline/`.
    assert_eq!(prefixes.len() + 1, types.count(), "{prefixes:?}");
    assert_eq!(prefixes.len() + 1, kind::Kind::ALL.len(), "the list of all types has them all");
}

#[test]
fn every_golden_record_is_found_by_its_key_and_its_key_is_read() {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(path("x").parent().unwrap()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let [key, value] = [0, 1].map(|line| unescape(text.lines().nth(line).unwrap()));
        let kind = kind::Kind::of(&key).unwrap_or_else(|| panic!("no type of key is that of {}", show(&key)));
        kind.check(&key, &value).unwrap();
        kind.pieces(&key).unwrap_or_else(|error| panic!("{}: {error}", show(&key)));
        found.insert(kind);
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), kind::Kind::ALL, "each has a golden file");
}

#[test]
fn keys_are_shown_readably() {
    let task = WriterId::Task(PipelineId(5), TaskIndex(1));
    let token = CommitToken(0xabc);
    for (key, shown) in [
        (table::ser_key(TableId(2)), "table/2"),
        (table_name::ser_key("Shop", "Clicks"), "table_name/shop/clicks"),
        (log::ser_key(TableId(2), version()), "log/2/00000001000000000000010200000003"),
        (token::ser_key(task), "token/task/5/1"),
        (void::ser_key(task, token), "void/task/5/1/00000000000000000000000000000abc"),
        (stream_of_identity::ser_key(stream().partition()), "stream_of_identity/5/1/3/clicks/Zm9v"),
        (label::ser_key(TableId(2), "a\x1b[2J"), "label/2/a\\u{1b}[2J"),
        (format::ser_key(), "format"),
        (b"table/\x00\x01".to_vec(), r"table/\x00\x01"),
        (b"unheard of".to_vec(), "unheard of"),
    ] {
        assert_eq!(kind::readable(&key), shown);
    }
}
