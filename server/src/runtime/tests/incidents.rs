//! Each incident, and the statement that it names: it settles it.

use catalog::{ErrorPolicy, GapPolicy, Incident, IncidentKind, Offset, PipelineDefinition, PipelineState};
use vfs::MemoryDisk;

use super::{Process, Stage, TOPIC};
use crate::sql::seams::{PipelineControl, Resume};

/// Waits for the incident; what its statement stands for is given, and it is settled by whom.
async fn settled(process: &Process<'_>, kind: IncidentKind, statement: &str, how: Resume) -> Incident {
    let incidents = async || process.catalog.incidents().await.unwrap();
    process.until("an incident", async || !incidents().await.is_empty()).await;
    let incident = incidents().await.remove(0);
    assert_eq!((incident.kind, incident.settle.as_str(), incident.settled), (kind, statement, None));
    let state = async || process.catalog.pipeline_by_id(process.pipeline.id).await.unwrap().state.clone();
    assert_eq!(state().await, PipelineState::PausedByIncident);
    let how = Resume { by: Some(format!("root@here: {statement}")), ..how };
    process.control.resume(process.pipeline.id, how).await.unwrap();
    let settled = incidents().await.remove(0);
    assert!(settled.settled.is_some());
    assert_eq!(settled.settled_by.unwrap(), format!("root@here: {statement}"));
    incident
}

const SKIP: Resume = Resume { gaps: Some(GapPolicy::Skip), errors: None, by: None };

#[test]
fn what_expired_is_passed_over_and_named() {
    let stage = Stage::new(1);
    stage.live("w", &MemoryDisk::new(), async |process| {
        stage.produce(0, 0..10);
        process.until_visible(&[(0, 10)]).await;
        process.control.pause(process.pipeline.id).await.unwrap();
        stage.produce(0, 10..40);
        stage.broker.expire(TOPIC, 0, Offset(30));
        process.control.resume(process.pipeline.id, Resume::default()).await.unwrap();
        let statement = "RESUME PIPELINE default.events_in ON GAP SKIP";
        let incident = settled(&process, IncidentKind::Expired, statement, SKIP).await;
        assert_eq!(incident.gap.unwrap().range.offsets(), 20);
        process.until_visible(&[(0, 40)]).await;
        process.control.pause(process.pipeline.id).await.unwrap();
        assert_eq!(process.rows().await.len(), 20);
        process.verify().await;
    });
}

#[test]
fn after_a_truncation_a_new_stream_goes_on() {
    let stage = Stage::new(1);
    stage.live("w", &MemoryDisk::new(), async |process| {
        stage.produce(0, 0..10);
        process.until_visible(&[(0, 10)]).await;
        stage.broker.truncate(TOPIC, 0, Offset(4));
        let statement = "RESUME PIPELINE default.events_in ON GAP SKIP";
        settled(&process, IncidentKind::Truncated, statement, SKIP).await;
        process.until("the new stream", async || process.visible().await == [(0, 4)].into()).await;
        stage.produce(0, 4..6);
        process.until_visible(&[(0, 6)]).await;
        process.control.pause(process.pipeline.id).await.unwrap();
        assert_eq!(process.rows().await.len(), 10 + 2, "what was seen stays");
        process.verify().await;
    });
}

#[test]
fn a_bad_record_goes_to_the_error_table_from_then_on() {
    let stage = Stage::new(1);
    stage.live("w", &MemoryDisk::new(), async |process| {
        stage.produce(0, 0..3);
        process.until_visible(&[(0, 3)]).await;
        let mut definition = PipelineDefinition::of(&process.pipeline);
        definition.settings.errors = ErrorPolicy::Pause;
        process.control.alter(process.pipeline.id, definition).await.unwrap();
        stage.produce_text(0, r#"{"seq": "bad"}"#);
        stage.produce(0, 4..6);
        let table = Resume { errors: Some(ErrorPolicy::Table), ..Resume::default() };
        let statement = "RESUME PIPELINE default.events_in ON ERROR TABLE";
        settled(&process, IncidentKind::BadRecord, statement, table).await;
        process.until_visible(&[(0, 6)]).await;
        process.control.pause(process.pipeline.id).await.unwrap();
        assert_eq!(process.rows().await.len(), 5);
        process.verify().await;
    });
}
