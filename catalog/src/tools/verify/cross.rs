//! What the records of a catalog say of each other. Pure; finds, and mends nothing.

use std::collections::BTreeMap;

use super::VerifyReport;
use super::facts::{Facts, TableFacts};
use crate::keys;
use crate::store::Stamp;
use crate::{PipelineId, Stream, StreamId, StreamIdentity, StreamState, StreamView, TableId, WriterId};

const NO_CATALOG: &str = "no program opens it as this catalog: name another store, or restore it from a copy";
const HALF_A_COPY: &str = "no program opens it: run the copy again, which begins anew, or name another store";
const ERA: &str = "what is committed next may stand before what was: start no server on it. It was copied by other means than \
    millrace catalog copy, which raises the era: copy it with that from the store that it came from";
const COUNTER: &str = "the next CREATE or the next stream gets an id that is in use: start no server on it, and restore the \
    catalog from a copy";
const LOST_NAME: &str = "nobody finds it by a name, and its name may be taken anew: restore the catalog from a copy";
const DEAD_NAME: &str = "statements that name it end with an error: restore the catalog from a copy";
const FENCE: &str =
    "its commits are fenced for ever, or one that a DDL statement has fenced passes: restore the catalog from a copy";
const LEFTOVER: &str = "it is left over, and does no harm but that it takes room; report it";
const LOST_LOG: &str = "the rows of the table are not shown, or not all of them: restore the catalog from a copy";
const HEAD: &str = "what lies between the two is not shown, or queries of the table end with an error: restore the catalog \
    from a copy";
const OFFSET: &str = "the next commit of the stream would skip offsets or take some twice (I3): stop its pipeline, and restore \
    the catalog from a copy";
const OWNER: &str = "commits of the stream are fenced until it is granted anew; a restart does so. If it stays, restore the \
    catalog from a copy";
const STREAM: &str =
    "the stream is not read any more, or is read twice: stop its pipeline, and restore the catalog from a copy";
const GARBAGE: &str = "the sweeper would take objects that are shown, or none: start no server on it, and restore the catalog \
    from a copy";

/// Holds the facts against each other.
pub(super) fn check(facts: &Facts, report: &mut VerifyReport) {
    check_whole(facts, report);
    check_counters(facts, report);
    check_tables(facts, report);
    check_names(facts, report);
    check_pipelines(facts, report);
    check_logs(facts, report);
    check_streams(facts, report);
    check_channels(facts, report);
    check_writers(facts, report);
}

/// Versions against the era of the catalog, and against the last stamp of its store.
pub(super) fn check_versions(facts: &Facts, stamp: Stamp, report: &mut VerifyReport) {
    let Some(format) = &facts.format else { return };
    let (version, key) = &facts.newest;
    if version.era() > format.era {
        let what = format!("version {version} is of era {}, and the catalog is of era {}", version.era(), format.era);
        report.find(key, what, ERA);
    } else if version.era() == format.era && version.stamp() > stamp {
        let what = format!("version {version} is of this era, and the store has given out stamps up to {stamp} only");
        report.find(key, what, ERA);
    }
}

fn check_whole(facts: &Facts, report: &mut VerifyReport) {
    if facts.copying {
        report.find(keys::copying::ser_key(), "it is a copy that was not finished", HALF_A_COPY);
    } else if facts.format.is_none() {
        report.find(keys::format::ser_key(), "it is missing", NO_CATALOG);
    }
}

fn check_counters(facts: &Facts, report: &mut VerifyReport) {
    let largest = &facts.largest;
    for (name, (id, key)) in [("table", &largest.table), ("pipeline", &largest.pipeline), ("stream", &largest.stream)] {
        let last = facts.counters.get(name).copied().unwrap_or(0);
        if last < *id {
            report.find(key, format!("it names {name} {id}, and the last that was given out is {last}"), COUNTER);
        }
    }
    for name in facts.counters.keys().filter(|name| !["table", "pipeline", "stream"].contains(&name.as_str())) {
        report.find(format!("counter/{name}"), "nothing is counted by it", LEFTOVER);
    }
}

fn check_tables(facts: &Facts, report: &mut VerifyReport) {
    for (id, table) in &facts.tables {
        let key = keys::table::ser_key(*id);
        match facts.table_fences.get(id) {
            Some(fence) if (fence.fence, fence.schema) == (table.fence, table.schema) => {}
            Some(fence) => {
                let what = format!(
                    "its fence is {} and its schema {}, and fence/table/{id} says {} and {}",
                    table.fence, table.schema, fence.fence, fence.schema
                );
                report.find(&key, what, FENCE);
            }
            None => report.find(&key, format!("fence/table/{id} is missing"), FENCE),
        }
        if facts.dropped.contains(id) {
            report.find(&key, "it is there, and is dropped", GARBAGE);
        }
        check_named(facts, *id, table, &key, report);
    }
    for id in facts.table_fences.keys().filter(|id| !facts.tables.contains_key(id)) {
        report.find(keys::table_fence::ser_key(*id), format!("there is no table {id}"), FENCE);
    }
    for id in facts.unnamed.iter().filter(|id| !facts.tables.contains_key(id)) {
        report.find(keys::unnamed_table::ser_key(*id), format!("there is no table {id}"), DEAD_NAME);
    }
    for (id, key) in facts.rewritten.iter().filter(|(id, _)| !facts.tables.contains_key(id)) {
        report.find(key, format!("there is no table {id}"), LEFTOVER);
    }
    for (id, (_, key)) in facts.labelled.iter().filter(|(id, _)| !facts.tables.contains_key(id)) {
        report.find(key, format!("there is no table {id}"), LEFTOVER);
    }
    for (id, (version, done)) in &facts.truncated {
        let key = keys::truncated::ser_key(*id);
        let log = facts.logs.get(id);
        if !facts.tables.contains_key(id) {
            report.find(&key, format!("there is no table {id}"), LEFTOVER);
        } else if log.is_none_or(|log| !log.truncations.contains(version)) {
            report.find(&key, format!("the table's log has no TRUNCATE at {version}"), GARBAGE);
        } else if done > version {
            report.find(&key, format!("parts up to {done} became garbage by a TRUNCATE at {version}"), GARBAGE);
        }
    }
}

/// A table has its name, or none at all.
fn check_named(facts: &Facts, id: TableId, table: &TableFacts, key: &[u8], report: &mut VerifyReport) {
    let name = (table.database.to_ascii_lowercase(), table.name.to_ascii_lowercase());
    if !facts.databases.contains(&name.0) {
        report.find(key, format!("there is no database `{}`", table.database), DEAD_NAME);
    }
    let has_name = facts.table_names.get(&name) == Some(&id);
    match facts.unnamed.contains(&id) {
        false if !has_name => {
            report.find(key, format!("`{}`.`{}` is not the name of this table", table.database, table.name), LOST_NAME);
        }
        true if has_name => report.find(key, "it has a name, and is one without", LOST_NAME),
        _ => {}
    }
}

/// Names of what is there, and each of them once.
fn check_names(facts: &Facts, report: &mut VerifyReport) {
    for ((database, name), id) in &facts.table_names {
        let key = keys::table_name::ser_key(database, name);
        match facts.tables.get(id) {
            None => report.find(&key, format!("it is the name of table {id}, which is not there"), DEAD_NAME),
            Some(table) if !is_name(&table.database, &table.name, database, name) => {
                let what = format!("it is a second name of table {id}, `{}`.`{}`", table.database, table.name);
                report.find(&key, what, DEAD_NAME);
            }
            Some(_) => {}
        }
    }
    for ((database, name), id) in &facts.pipeline_names {
        let key = keys::pipeline_name::ser_key(database, name);
        match facts.pipelines.get(id) {
            None => report.find(&key, format!("it is the name of pipeline {id}, which is not there"), DEAD_NAME),
            Some(it) if !is_name(&it.database, &it.name, database, name) => {
                let what = format!("it is a second name of pipeline {id}, `{}`.`{}`", it.database, it.name);
                report.find(&key, what, DEAD_NAME);
            }
            Some(_) => {}
        }
    }
}

fn is_name(database: &str, name: &str, found_database: &str, found_name: &str) -> bool {
    database.eq_ignore_ascii_case(found_database) && name.eq_ignore_ascii_case(found_name)
}

fn check_pipelines(facts: &Facts, report: &mut VerifyReport) {
    for (id, pipeline) in &facts.pipelines {
        let key = keys::pipeline::ser_key(*id);
        match facts.pipeline_fences.get(id) {
            Some(fence) if *fence == pipeline.fence => {}
            Some(fence) => {
                let what = format!("its fence is {}, and fence/pipeline/{id} says {fence}", pipeline.fence);
                report.find(&key, what, FENCE);
            }
            None => report.find(&key, format!("fence/pipeline/{id} is missing"), FENCE),
        }
        if !facts.tables.contains_key(&pipeline.table) {
            report.find(&key, format!("it goes into table {}, which is not there", pipeline.table), DEAD_NAME);
        }
        if !facts.pipelines_of_tables.contains(&(pipeline.table, *id)) {
            let what = format!("pipeline_of_table/{}/{id} is missing", pipeline.table);
            report.find(&key, what, "the table can be dropped under the pipeline: restore the catalog from a copy");
        }
        let name = (pipeline.database.to_ascii_lowercase(), pipeline.name.to_ascii_lowercase());
        if facts.pipeline_names.get(&name) != Some(id) {
            let what = format!("`{}`.`{}` is not the name of this pipeline", pipeline.database, pipeline.name);
            report.find(&key, what, LOST_NAME);
        }
        if !facts.databases.contains(&name.0) {
            report.find(&key, format!("there is no database `{}`", pipeline.database), DEAD_NAME);
        }
    }
    for id in facts.pipeline_fences.keys().filter(|id| !facts.pipelines.contains_key(id)) {
        report.find(keys::pipeline_fence::ser_key(*id), format!("there is no pipeline {id}"), FENCE);
    }
    for (table, id) in &facts.pipelines_of_tables {
        if facts.pipelines.get(id).is_none_or(|pipeline| pipeline.table != *table) {
            let what = format!("pipeline {id} does not go into table {table}");
            let means = "the table cannot be dropped: restore the catalog from a copy";
            report.find(keys::pipeline_of_table::ser_key(*table, *id), what, means);
        }
    }
    for (id, key) in facts.of_pipelines.iter().filter(|(id, _)| !facts.pipelines.contains_key(id)) {
        report.find(key, format!("there is no pipeline {id}"), LEFTOVER);
    }
    for (id, fence) in &facts.versions {
        if let Some(pipeline) = facts.pipelines.get(id).filter(|pipeline| pipeline.fence < *fence) {
            let what = format!("it is a version after the pipeline's newest, which is {}", pipeline.fence);
            report.find(keys::pipeline_version::ser_key(*id, *fence), what, FENCE);
        }
    }
}

/// Logs and heads, and whose they are.
fn check_logs(facts: &Facts, report: &mut VerifyReport) {
    for (table, log) in &facts.logs {
        let key = keys::head::ser_key(*table);
        match facts.heads.get(table) {
            Some(head) if *head == log.last => {}
            Some(head) => report.find(&key, format!("it is {head}, and the table's log ends at {}", log.last), HEAD),
            None => report.find(&key, format!("it is missing, and the table's log ends at {}", log.last), HEAD),
        }
        if !facts.tables.contains_key(table) && !facts.dropped.contains(table) {
            let what = format!("table {table} has a log, and neither is there nor was dropped");
            report.find(keys::log::ser_key(*table, log.last), what, LOST_LOG);
        }
    }
    for (table, head) in facts.heads.iter().filter(|(table, _)| !facts.logs.contains_key(table)) {
        report.find(keys::head::ser_key(*table), format!("it is {head}, and the table has no log"), HEAD);
    }
    for (table, (version, key)) in &facts.labelled {
        if facts.logs.get(table).is_none_or(|log| log.last < *version) {
            report.find(key, format!("its version {version} is not in the table's log"), LOST_LOG);
        }
    }
}

/// Streams by their id, as the logs of their tables say that they stand.
type Folded<'a> = BTreeMap<StreamId, &'a StreamView>;

/// Streams as their tables' logs say they stand, and as their own keys do.
fn check_streams(facts: &Facts, report: &mut VerifyReport) {
    let mut folded = Folded::new();
    for view in facts.logs.values().flat_map(|log| &log.streams) {
        if folded.insert(view.stream.id, view).is_some() {
            report.find(keys::stream::ser_key(view.stream.id), "it was opened into two tables", STREAM);
        }
        check_open(facts, view, report);
    }
    for (id, stream) in &facts.streams {
        let key = keys::stream::ser_key(*id);
        check_stream(facts, stream, folded.get(id).copied(), &key, report);
        check_identity(facts, *id, &stream.identity, &key, report);
    }
    check_offsets(facts, &folded, report);
    check_owners(facts, &folded, report);
    for (id, key) in facts.identities.iter().filter(|(id, _)| !facts.streams.contains_key(id)) {
        report.find(key, format!("there is no stream {id}"), STREAM);
    }
}

fn check_stream(facts: &Facts, stream: &Stream, view: Option<&StreamView>, key: &[u8], report: &mut VerifyReport) {
    let Stream { id, identity, table, start, state } = stream;
    match view {
        Some(view) if (&view.stream.identity, view.stream.start) != (identity, *start) => {
            report.find(key, "its table's log has opened it as another", STREAM);
        }
        // A channel that was closed by another stays as it is, but that it has no owner.
        Some(view) if view.stream.state != *state && !stream.is_channel() => {
            let what = format!("it is {state:?}, and by its table's log {:?}", view.stream.state);
            report.find(key, what, STREAM);
        }
        None if facts.logs.get(table).is_none_or(|log| log.is_folded) => {
            report.find(key, format!("the log of table {table} has not opened it"), STREAM);
        }
        Some(_) | None => {}
    }
    match facts.offsets.get(id) {
        Some(offset) if offset.table == *table => {}
        Some(offset) => {
            let what = format!("it is of table {}, and the stream of table {table}", offset.table);
            report.find(keys::checkpoint::ser_key(*id), what, OFFSET);
        }
        None => report.find(key, format!("offset/{id} is missing"), OFFSET),
    }
}

fn check_offsets(facts: &Facts, folded: &Folded<'_>, report: &mut VerifyReport) {
    for (id, offset) in &facts.offsets {
        let key = keys::checkpoint::ser_key(*id);
        if !facts.streams.contains_key(id) {
            report.find(&key, format!("there is no stream {id}"), LEFTOVER);
        }
        if let Some(view) = folded.get(id).filter(|view| view.committed != offset.next) {
            let what = format!("it is {}, and by the log of table {} {}", offset.next, offset.table, view.committed);
            report.find(&key, what, OFFSET);
        }
    }
}

fn check_owners(facts: &Facts, folded: &Folded<'_>, report: &mut VerifyReport) {
    for (id, (version, epoch)) in &facts.owners {
        let key = keys::owner::ser_key(*id);
        let Some(stream) = facts.streams.get(id) else {
            report.find(&key, format!("there is no stream {id}"), OWNER);
            continue;
        };
        let granted = folded.get(id).map(|view| view.owner.as_ref().map(|owner| owner.epoch));
        if let Some(granted) = granted.filter(|granted| *granted != Some(*epoch)) {
            let granted = granted.map_or("nobody".to_owned(), |epoch| format!("epoch {epoch}"));
            let what = format!("it is granted under epoch {epoch}, and by its table's log to {granted} (I2)");
            report.find(&key, what, OWNER);
        }
        if facts.logs.get(&stream.table).is_some_and(|log| log.last < *version) {
            report.find(&key, format!("its version {version} is not in the table's log"), OWNER);
        }
    }
}

/// A stream that is open by its table's log has all that a commit reads.
fn check_open(facts: &Facts, view: &StreamView, report: &mut VerifyReport) {
    let id = view.stream.id;
    if view.stream.state == StreamState::Closed {
        return;
    }
    if !facts.streams.contains_key(&id) {
        let what = format!("it is missing, and the log of table {} has it open", view.stream.table);
        report.find(keys::stream::ser_key(id), what, STREAM);
    }
    if view.owner.is_some() && !facts.owners.contains_key(&id) {
        let what = format!("it is missing, and the log of table {} has granted the stream", view.stream.table);
        report.find(keys::owner::ser_key(id), what, OWNER);
    }
}

/// A stream is found by what it is a stream of.
fn check_identity(facts: &Facts, id: StreamId, identity: &StreamIdentity, key: &[u8], report: &mut VerifyReport) {
    match identity {
        StreamIdentity::Partition(partition) => {
            let by_identity = keys::stream_of_identity::ser_key(partition);
            if !facts.identities.contains(&(id, by_identity.clone())) {
                let what = format!("{} does not name it", keys::kind::readable(&by_identity));
                report.find(key, what, STREAM);
            }
            if !facts.pipelines.contains_key(&partition.pipeline) {
                report.find(key, format!("there is no pipeline {}", partition.pipeline), LEFTOVER);
            }
        }
        StreamIdentity::Channel(_) => {
            if !facts.channels.contains_key(&id) {
                report.find(key, "no channel/… names it", LEFTOVER);
            }
        }
    }
}

fn check_channels(facts: &Facts, report: &mut VerifyReport) {
    for (stream, channel) in &facts.channels {
        let Some(found) = facts.streams.get(stream) else {
            report.find(&channel.key, format!("there is no stream {stream}"), STREAM);
            continue;
        };
        let is_own = found
            .identity
            .channel()
            .is_some_and(|it| (&it.node, it.process, it.number) == (&channel.node, channel.process, channel.number));
        if !is_own || found.table != channel.table {
            report.find(&channel.key, format!("stream {stream} is not this channel's"), STREAM);
        }
    }
}

/// Tokens and voids, and whose they are.
fn check_writers(facts: &Facts, report: &mut VerifyReport) {
    for (writer, (_, token)) in &facts.tokens {
        let key = keys::token::ser_key(*writer);
        if facts.table_of(*writer).is_none() {
            report.find(&key, format!("there is no {}", described(*writer)), LEFTOVER);
        }
        if facts.voids.contains(&(*writer, *token)) {
            let means = "a writer was told that a commit never happens, and it has (I6): its rows may be there twice";
            report.find(&key, format!("the commit {token} has happened, and is voided"), means);
        }
    }
}

fn described(writer: WriterId) -> String {
    match writer {
        WriterId::Task(pipeline, _) => format!("pipeline {pipeline}"),
        WriterId::Channel(stream) => format!("stream {stream}"),
        WriterId::Rewrite(table) => format!("table {table} that leaves a token"),
    }
}

impl Facts {
    /// The table that the writer commits to; `None` if there is no such writer.
    pub(super) fn table_of(&self, writer: WriterId) -> Option<TableId> {
        match writer {
            WriterId::Task(pipeline, _) => self.table_of_pipeline(pipeline),
            WriterId::Channel(stream) => self.streams.get(&stream).map(|stream| stream.table),
            WriterId::Rewrite(_) => None,
        }
    }

    fn table_of_pipeline(&self, pipeline: PipelineId) -> Option<TableId> {
        self.pipelines.get(&pipeline).map(|pipeline| pipeline.table)
    }
}
