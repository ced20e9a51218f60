//! What to do about trouble: one sentence for each kind that there is. What happened is said where it happens.

use catalog::Pipeline;
use warehouse::write::messages::{Stall, StreamCondition, TaskReport, TaskState, Trouble, TroubleKind};

/// What to do about a task; `None` where nothing is to be done.
pub fn task(pipeline: &Pipeline, task: &TaskReport) -> Option<String> {
    if let Some(trouble) = &task.trouble {
        return Some(trouble_hint(pipeline, trouble));
    }
    if let Some(stall) = task.stall {
        return Some(stall_hint(stall).to_owned());
    }
    let stopped = task.streams.iter().find_map(|stream| condition(pipeline, &stream.condition));
    if stopped.is_some() {
        return stopped;
    }
    let draining = "it commits what is visible, and then ends; nothing is to be done";
    (task.state == TaskState::Draining).then(|| draining.to_owned())
}

fn trouble_hint(pipeline: &Pipeline, trouble: &Trouble) -> String {
    let name = format!("{}.{}", pipeline.database, pipeline.name);
    match (trouble.kind, trouble.lasting) {
        (TroubleKind::Source, false) => format!(
            "it goes on by itself once a broker of {} answers; what is visible stays visible",
            pipeline.source.brokers
        ),
        (TroubleKind::Source, true) => {
            format!("repair it at the broker, or change what the pipeline asks for by ALTER PIPELINE {name} SOURCE (…)")
        }
        (TroubleKind::Disk, _) => {
            "make room on the disk of the write-ahead log; it goes on by itself, and commits meanwhile to free its own"
                .to_owned()
        }
        (TroubleKind::Store, _) => {
            "see to the object store; the rows stay visible and logged, and the upload goes on by itself".to_owned()
        }
        (TroubleKind::Catalog, _) => {
            "see to the catalog's store; the same commit is sent until it is answered, so nothing is lost or doubled"
                .to_owned()
        }
        (TroubleKind::Restart, _) => format!(
            "it began anew from what is committed; if this comes again, read the server's log, and PAUSE PIPELINE {name} meanwhile"
        ),
    }
}

fn stall_hint(stall: Stall) -> &'static str {
    match stall {
        Stall::Memory => {
            "the memory limit is reached, so nothing more is fetched until commits have freed some: raise memory.limit, or \
             lower flush_bytes, if this lasts"
        }
        Stall::Log => {
            "the write-ahead log is full, so nothing more is fetched until commits have freed some: raise wal.bytes_max, or lower \
             flush_interval, if this lasts"
        }
    }
}

/// What to do about a stream; `None` where it goes on by itself.
pub fn condition(pipeline: &Pipeline, condition: &StreamCondition) -> Option<String> {
    let name = format!("{}.{}", pipeline.database, pipeline.name);
    match condition {
        StreamCondition::Owned | StreamCondition::Released => None,
        StreamCondition::Lost { cause } => {
            Some(format!("it is granted again by itself, from what is committed: {cause}"))
        }
        StreamCondition::Expired { wanted, low } => Some(format!(
            "offsets {wanted} to {low} are gone at the broker: RESUME PIPELINE {name} ON GAP SKIP goes on at {low}, and records the gap"
        )),
        StreamCondition::Truncated { wanted, high } => Some(format!(
            "the broker ends at {high}, and was read up to {wanted}: RESUME PIPELINE {name} ON GAP SKIP goes on in a new stream"
        )),
        StreamCondition::TopicChanged { .. } => {
            Some("it goes on by itself, in new streams, once the topic is there again".to_owned())
        }
        StreamCondition::BadRecord { offset, .. } => Some(format!(
            "the record at offset {offset} cannot become a row: RESUME PIPELINE {name} ON ERROR TABLE sends such records to the error \
             table; or ALTER PIPELINE {name} AS SELECT … to one that takes it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use catalog::{
        Fence, KafkaSource, Offset, PipelineId, PipelineSettings, PipelineState, RecordFormat, StartPosition, TableId,
    };

    use super::*;

    fn pipeline() -> Pipeline {
        Pipeline {
            id: PipelineId(1),
            database: "shop".to_owned(),
            name: "p".to_owned(),
            table: TableId(1),
            source: KafkaSource {
                brokers: "b:9092".to_owned(),
                topics: "t".into(),
                format: RecordFormat::Json,
                start: StartPosition::Earliest,
                properties: BTreeMap::new(),
            },
            projection: "*".to_owned(),
            filter: None,
            settings: PipelineSettings::default(),
            state: PipelineState::Running,
            fence: Fence(1),
            created: 0,
        }
    }

    #[test]
    fn every_trouble_says_what_to_do_and_names_its_own_remedy() {
        let hint = |kind, lasting| {
            trouble_hint(&pipeline(), &Trouble { message: "m".to_owned(), since: 0, lasting, kind, retry: None })
        };
        assert!(hint(TroubleKind::Source, false).contains("b:9092"));
        assert!(hint(TroubleKind::Source, true).contains("ALTER PIPELINE shop.p SOURCE"));
        assert!(hint(TroubleKind::Disk, false).contains("make room"));
        assert!(hint(TroubleKind::Store, false).contains("object store"));
        assert!(hint(TroubleKind::Catalog, false).contains("same commit"));
        assert!(hint(TroubleKind::Restart, false).contains("log"));
        assert!(stall_hint(Stall::Log).contains("wal.bytes_max") && stall_hint(Stall::Memory).contains("memory.limit"));
    }

    #[test]
    fn every_condition_that_needs_a_statement_names_it() {
        let hint = |of| condition(&pipeline(), &of);
        let (wanted, low, high) = (Offset(5), Offset(9), Offset(2));
        assert_eq!((hint(StreamCondition::Owned), hint(StreamCondition::Released)), (None, None));
        for of in [StreamCondition::Expired { wanted, low }, StreamCondition::Truncated { wanted, high }] {
            assert!(hint(of).unwrap().contains("RESUME PIPELINE shop.p ON GAP SKIP"));
        }
        let bad = StreamCondition::BadRecord { offset: Offset(7), message: "m".to_owned() };
        assert!(hint(bad).unwrap().contains("RESUME PIPELINE shop.p ON ERROR TABLE"));
        assert!(hint(StreamCondition::Lost { cause: "why".to_owned() }).unwrap().ends_with("why"));
        assert!(hint(StreamCondition::TopicChanged { found: String::new() }).unwrap().contains("by itself"));
    }
}
