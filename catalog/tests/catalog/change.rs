//! PAUSE, SEEK and ALTER: nothing changes before all is drained, and then from exactly there.

use millrace_catalog::*;

use crate::fixture::{Shop, in_memory, node, on_every_store, range};
use crate::unknown::UNKNOWN;

fn target(partition: i32, start: u64) -> SeekTarget {
    SeekTarget { topic: "clicks".into(), partition, incarnation: "i1".into(), start: Offset(start), never_back: false }
}

fn drained(granted: &Granted, committed: u64) -> DrainedStream {
    DrainedStream { stream: granted.stream, epoch: Some(granted.owner.epoch), committed: Offset(committed) }
}

fn altered(shop: &Shop) -> PipelineDefinition {
    PipelineDefinition { projection: "ts".into(), ..PipelineDefinition::of(&shop.pipeline) }
}

async fn begun(shop: &Shop, kind: ChangeKind) -> ChangeId {
    shop.catalog.begin_change(shop.pipeline.id, kind).await.unwrap().id
}

async fn finish(shop: &Shop, change: ChangeId, drained: &[DrainedStream]) -> FinishOutcome {
    shop.catalog.finish_change(shop.pipeline.id, change, shop.lease.epoch, drained).await.unwrap()
}

#[tokio::test]
async fn i2_a_seek_opens_new_streams_where_it_was_resolved_and_fences_the_old_ones() {
    on_every_store(async |shop: Shop| {
        let [a, b] = [shop.stream(0).await, shop.stream(1).await];
        shop.committed(&shop.flush(0, &[(&a, range(0, 9)), (&b, range(0, 5))]).await).await;
        let late = shop.flush(0, &[(&a, range(9, 12))]).await;
        let change = begun(&shop, ChangeKind::Seek(vec![target(0, 3)])).await;
        let FinishOutcome::Done(cuts) = finish(&shop, change, &[drained(&a, 9), drained(&b, 5)]).await else {
            panic!("all is drained")
        };
        let [CutOver { stream, offset: Offset(9), successor: Some(successor) }] = cuts[..] else { panic!("{cuts:?}") };
        assert_eq!(stream, a.stream);
        let views = shop.catalog.streams(shop.pipeline.id).await.unwrap();
        let shown: Vec<_> = views
            .iter()
            .map(|view| (view.stream.state, view.stream.partition().generation, view.committed.0))
            .collect();
        assert_eq!(
            shown,
            [(StreamState::Closed, 0, 9), (StreamState::Open, 0, 5), (StreamState::Open, 1, 3)],
            "a partition that was not named stays where it is"
        );
        assert_eq!(shop.commit(&late).await, CommitOutcome::Fenced(Fenced::Streams(vec![a.stream])));
        let granted = shop.regrant(successor, None).await;
        assert_eq!(granted.committed, Offset(3));
        shop.committed(&shop.flush(0, &[(&granted, range(3, 12))]).await).await;
        let again = finish(&shop, change, &[]).await;
        assert_eq!(again, FinishOutcome::Done(cuts), "a change that is done is not done again");
    })
    .await;
}

#[tokio::test]
async fn a_seek_to_the_latest_offset_never_goes_back_behind_what_is_committed() {
    let shop = in_memory().await;
    let [a, b] = [shop.stream(0).await, shop.stream(1).await];
    shop.committed(&shop.flush(0, &[(&a, range(0, 9))]).await).await;
    let latest = |partition| SeekTarget { never_back: true, ..target(partition, 7) };
    let change = begun(&shop, ChangeKind::Seek(vec![latest(0), latest(1)])).await;
    finish(&shop, change, &[drained(&a, 9), drained(&b, 0)]).await;
    let views = shop.catalog.streams(shop.pipeline.id).await.unwrap();
    assert_eq!(views.iter().map(|view| view.stream.start.0).collect::<Vec<_>>(), [0, 0, 9, 7]);
}

#[tokio::test]
async fn i1_a_seek_into_a_topic_that_was_made_again_since_moves_nothing() {
    let shop = in_memory().await;
    let [a, b] = [shop.stream(0).await, shop.stream(1).await];
    let of_before = SeekTarget { incarnation: "i0".into(), ..target(0, 7) };
    let change = begun(&shop, ChangeKind::Seek(vec![of_before, target(1, 7)])).await;
    finish(&shop, change, &[drained(&a, 0), drained(&b, 0)]).await;
    let views = shop.catalog.streams(shop.pipeline.id).await.unwrap();
    let of = |view: &StreamView| (view.stream.start.0, view.stream.state);
    let [open, closed] = [StreamState::Open, StreamState::Closed];
    assert_eq!(views.iter().map(of).collect::<Vec<_>>(), [(0, open), (0, closed), (7, open)]);
}

#[tokio::test]
async fn nothing_changes_while_a_stream_is_not_where_it_was_let_go() {
    on_every_store(async |shop: Shop| {
        let [a, b] = [shop.stream(0).await, shop.stream(1).await];
        let change = begun(&shop, ChangeKind::Alter(Box::new(altered(&shop)))).await;
        let open = finish(&shop, change, &[drained(&a, 0)]).await;
        assert_eq!(open, FinishOutcome::NotDrained(b.stream), "one that nobody looked at");
        shop.committed(&shop.flush(0, &[(&a, range(0, 9))]).await).await;
        let moved = finish(&shop, change, &[drained(&a, 0), drained(&b, 0)]).await;
        assert_eq!(moved, FinishOutcome::NotDrained(a.stream), "it was committed since");
        let taken = shop.regrant(b.stream, Some(b.owner.epoch)).await;
        let granted = finish(&shop, change, &[drained(&a, 9), drained(&b, 0)]).await;
        assert_eq!(granted, FinishOutcome::NotDrained(b.stream), "it was granted since");
        assert_eq!(shop.catalog.pipeline_by_id(shop.pipeline.id).await.unwrap(), shop.pipeline);
        assert!(matches!(finish(&shop, change, &[drained(&a, 9), drained(&taken, 0)]).await, FinishOutcome::Done(_)));
    })
    .await;
}

#[tokio::test]
async fn an_alter_fences_the_version_before_and_records_where_it_was_cut() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        shop.committed(&shop.flush(0, &[(&a, range(0, 9))]).await).await;
        let late = shop.flush(0, &[(&a, range(9, 12))]).await;
        let change = begun(&shop, ChangeKind::Alter(Box::new(altered(&shop)))).await;
        finish(&shop, change, &[drained(&a, 9)]).await;
        assert_eq!(shop.commit(&late).await, CommitOutcome::Fenced(Fenced::Pipeline));
        let now = shop.catalog.pipeline_by_id(shop.pipeline.id).await.unwrap();
        assert_eq!((now.projection.as_str(), now.fence.0), ("ts", shop.pipeline.fence.0 + 1));
        let versions = shop.catalog.pipeline_versions(shop.pipeline.id).await.unwrap();
        let cuts = |n: usize| versions[n].cuts.iter().map(|cut| (cut.stream, cut.offset.0)).collect::<Vec<_>>();
        assert_eq!((versions.len(), cuts(0), cuts(1)), (2, vec![], vec![(a.stream, 9)]));
        assert_eq!(versions[0].definition.projection, "*");
        let granted = shop.regrant(a.stream, Some(a.owner.epoch)).await;
        assert_eq!((granted.owner.pipeline_fence, granted.committed), (now.fence, Offset(9)));
        shop.catalog.drop_pipeline("default", "clicks_in", false).await.unwrap();
        assert_eq!(shop.catalog.pipeline_versions(shop.pipeline.id).await, Ok(Vec::new()));
        assert_eq!(shop.catalog.change(shop.pipeline.id).await, Ok(None));
    })
    .await;
}

#[tokio::test]
async fn one_change_at_a_time_until_it_is_given_up() {
    let shop = in_memory().await;
    let change = begun(&shop, ChangeKind::Pause).await;
    let error = shop.catalog.begin_change(shop.pipeline.id, ChangeKind::Pause).await.unwrap_err();
    assert!(error.to_string().contains("has a PAUSE under way") && error.to_string().contains("RESUME"), "{error}");
    shop.catalog.resume_pipeline("default", "clicks_in", None, None).await.unwrap();
    assert_eq!(shop.catalog.change(shop.pipeline.id).await.unwrap().unwrap().state, ChangeState::GivenUp);
    assert_eq!(finish(&shop, change, &[]).await, FinishOutcome::Gone);
    let change = begun(&shop, ChangeKind::Pause).await;
    assert_eq!(finish(&shop, change, &[]).await, FinishOutcome::Done(Vec::new()));
    assert_eq!(shop.catalog.pipeline_by_id(shop.pipeline.id).await.unwrap().state, PipelineState::Paused);
}

#[tokio::test]
async fn a_definition_that_cannot_be_is_refused_before_anything_waits_for_it() {
    let shop = in_memory().await;
    let mut definition = altered(&shop);
    definition.settings.tasks = 0;
    let refused = shop.catalog.begin_change(shop.pipeline.id, ChangeKind::Alter(Box::new(definition))).await;
    assert!(refused.unwrap_err().to_string().contains("tasks = 0"));
    assert_eq!(shop.catalog.change(shop.pipeline.id).await, Ok(None));
}

#[tokio::test]
async fn a_deposed_manager_changes_nothing() {
    let shop = in_memory().await;
    let change = begun(&shop, ChangeKind::Pause).await;
    let request =
        LeaseRequest { pipeline: shop.pipeline.id, holder: node("n2"), seen: Some(shop.lease.clone()), duration_ms: 1 };
    shop.catalog.lease(&request).await.unwrap();
    let finished = shop.catalog.finish_change(shop.pipeline.id, change, shop.lease.epoch, &[]).await;
    assert_eq!(finished, Err(CatalogError::NotLeader { pipeline: shop.pipeline.id }));
    let floors = shop.catalog.set_floors(shop.pipeline.id, change, &[], shop.lease.epoch).await;
    assert_eq!(floors, Err(CatalogError::NotLeader { pipeline: shop.pipeline.id }));
}

#[tokio::test]
async fn i6_a_change_whose_outcome_was_unknown_happens_once() {
    for fault in UNKNOWN {
        let shop = in_memory().await;
        let a = shop.stream(0).await;
        shop.faults.script([fault]);
        let change = begun(&shop, ChangeKind::Seek(vec![target(0, 40)])).await;
        shop.faults.release().await;
        shop.faults.script([fault]);
        let (id, epoch) = (shop.pipeline.id, shop.lease.epoch);
        shop.catalog.set_floors(id, change, &[(a.stream, Offset(7))], epoch).await.unwrap();
        shop.faults.release().await;
        shop.catalog.set_floors(id, change, &[(a.stream, Offset(9))], epoch).await.unwrap();
        let floors = shop.catalog.change(id).await.unwrap().unwrap().floors;
        assert_eq!(floors, [(a.stream, Offset(7))].into(), "an offset that is noted stays");
        shop.faults.script([fault]);
        finish(&shop, change, &[drained(&a, 0)]).await;
        shop.faults.release().await;
        let views = shop.reopened().await.streams(id).await.unwrap();
        assert_eq!(views.iter().map(|view| view.stream.start.0).collect::<Vec<_>>(), [0, 40], "{fault:?}");
    }
}
