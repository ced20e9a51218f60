//! Leases, streams, grants and incidents: what a manager does.

use millrace_catalog::*;

use crate::fixture::{Shop, in_memory, node, on_every_store, range};

pub(crate) fn incident(shop: &Shop, stream: StreamId) -> Incident {
    Incident {
        number: 0,
        pipeline: shop.pipeline.id,
        stream: Some(stream),
        kind: IncidentKind::Expired,
        gap: Some(Gap { kind: GapKind::Expired, range: range(0, 5) }),
        cause: "retention took offsets 0..5".into(),
        settle: "ALTER PIPELINE clicks_in SEEK EARLIEST".into(),
        opened: 0,
        settled: None,
        settled_by: None,
    }
}

/// Another server takes the lease.
async fn depose(shop: &Shop) -> Lease {
    let seen = shop.catalog.read_lease(shop.pipeline.id).await.unwrap();
    let request = LeaseRequest { pipeline: shop.pipeline.id, holder: node("n2"), seen, duration_ms: 5_000 };
    match shop.catalog.lease(&request).await.unwrap() {
        LeaseOutcome::Held(lease) => lease,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn i10_a_lease_goes_to_whom_saw_it_as_it_is() {
    on_every_store(async |shop: Shop| {
        let old = LeaseRequest {
            pipeline: shop.pipeline.id,
            holder: node("n1"),
            seen: Some(shop.lease.clone()),
            duration_ms: 5_000,
        };
        let LeaseOutcome::Held(renewed) = shop.catalog.lease(&old).await.unwrap() else { panic!("it is held") };
        assert_eq!((renewed.epoch, renewed.renewals), (Epoch(1), 1));
        assert_eq!(shop.catalog.lease(&old).await, Ok(LeaseOutcome::Changed(Some(renewed))));
        let taken = depose(&shop).await;
        assert_eq!((taken.epoch, taken.renewals), (Epoch(2), 0));
        shop.catalog.drop_pipeline("default", "clicks_in", false).await.unwrap();
        assert_eq!(shop.catalog.lease(&old).await, Ok(LeaseOutcome::NoPipeline));
        assert_eq!(shop.catalog.read_lease(shop.pipeline.id).await, Ok(None));
    })
    .await;
}

#[tokio::test]
async fn i2_a_grant_is_compared_and_set() {
    on_every_store(async |shop: Shop| {
        let first = shop.stream(0).await;
        assert_eq!((first.owner.epoch, &first.previous), (Epoch(1), &None));
        assert_eq!(first.owner.pipeline_fence, shop.pipeline.fence, "the pipeline's version at the grant");
        shop.committed(&shop.flush(0, &[(&first, range(0, 9))]).await).await;
        let stale = shop.catalog.grant(&shop.grant_request(first.stream, None)).await.unwrap();
        assert_eq!(stale, GrantOutcome::EpochChanged(Some(Epoch(1))));
        let second = shop.regrant(first.stream, Some(Epoch(1))).await;
        assert_eq!((second.owner.epoch, second.committed), (Epoch(2), Offset(9)));
        assert_eq!(second.previous, Some(first.owner));
        assert_eq!(shop.snapshot().await.version, second.version, "a version names the owner of each stream");
    })
    .await;
}

#[tokio::test]
async fn a_deposed_manager_grants_opens_and_closes_nothing() {
    on_every_store(async |shop: Shop| {
        let granted = shop.stream(0).await;
        depose(&shop).await;
        let request = shop.grant_request(granted.stream, Some(granted.owner.epoch));
        assert_eq!(shop.catalog.grant(&request).await, Ok(GrantOutcome::NotLeader));
        let not_leader = CatalogError::NotLeader { pipeline: shop.pipeline.id };
        let opened = shop.catalog.open_stream(shop.identity(1), Offset(0), shop.lease.epoch).await;
        assert_eq!(opened.unwrap_err(), not_leader);
        assert_eq!(shop.catalog.close_stream(granted.stream, shop.lease.epoch).await, Err(not_leader));
        shop.committed(&shop.flush(0, &[(&granted, range(0, 9))]).await).await;
    })
    .await;
}

#[tokio::test]
async fn i2_of_two_managers_that_grant_at_once_one_succeeds() {
    let shop = in_memory().await;
    let granted = shop.stream(0).await;
    let request = shop.grant_request(granted.stream, Some(granted.owner.epoch));
    let (one, two) = tokio::join!(shop.catalog.grant(&request), shop.catalog.grant(&request));
    let outcomes = [one.unwrap(), two.unwrap()];
    assert_eq!(outcomes.iter().filter(|it| matches!(it, GrantOutcome::Granted(_))).count(), 1, "{outcomes:?}");
    assert!(outcomes.contains(&GrantOutcome::EpochChanged(Some(Epoch(2)))), "{outcomes:?}");
}

#[tokio::test]
async fn a_start_is_resolved_once() {
    on_every_store(async |shop: Shop| {
        let epoch = shop.lease.epoch;
        let first = shop.catalog.open_stream(shop.identity(0), Offset(41), epoch).await.unwrap();
        let again = shop.catalog.open_stream(shop.identity(0), Offset(99), epoch).await.unwrap();
        assert_eq!((&again, again.start), (&first, Offset(41)));
        let granted = shop.regrant(first.id, None).await;
        assert_eq!(granted.committed, Offset(41), "a stream begins where it was opened");
        let other = PartitionIdentity { incarnation: "i2".into(), ..shop.identity(0) };
        let other = shop.catalog.open_stream(other, Offset(0), epoch).await.unwrap();
        let seek = PartitionIdentity { generation: 1, ..shop.identity(0) };
        let seek = shop.catalog.open_stream(seek, Offset(0), epoch).await.unwrap();
        assert!(first.id != other.id && other.id != seek.id, "a topic made again and a SEEK are other streams");
        let views = shop.catalog.streams(shop.pipeline.id).await.unwrap();
        assert_eq!(views.iter().map(|view| view.committed.0).collect::<Vec<_>>(), [41, 0, 0]);
    })
    .await;
}

#[tokio::test]
async fn a_closed_stream_is_neither_granted_nor_opened_again() {
    let shop = in_memory().await;
    let granted = shop.stream(0).await;
    shop.catalog.close_stream(granted.stream, shop.lease.epoch).await.unwrap();
    shop.catalog.close_stream(granted.stream, shop.lease.epoch).await.unwrap();
    let request = shop.grant_request(granted.stream, Some(granted.owner.epoch));
    assert_eq!(shop.catalog.grant(&request).await, Ok(GrantOutcome::Closed));
    let found = shop.catalog.open_stream(shop.identity(0), Offset(0), shop.lease.epoch).await.unwrap();
    assert_eq!((found.id, found.state), (granted.stream, StreamState::Closed));
    assert!(shop.snapshot().await.streams.is_empty(), "no part names it");
    assert_eq!(shop.catalog.streams(shop.pipeline.id).await.unwrap().len(), 1, "the manager still sees it");
}

#[tokio::test]
async fn dropping_a_pipeline_closes_its_streams() {
    on_every_store(async |shop: Shop| {
        let [a, b] = [shop.stream(0).await, shop.stream(1).await];
        shop.committed(&shop.flush(0, &[(&a, range(0, 9))]).await).await;
        shop.catalog.drop_pipeline("default", "clicks_in", false).await.unwrap();
        let snapshot = shop.snapshot().await;
        assert_eq!(snapshot.streams.keys().collect::<Vec<_>>(), [&a.stream], "a part still names it");
        assert_eq!(snapshot.streams[&a.stream].owner, None);
        let request = shop.grant_request(b.stream, Some(b.owner.epoch));
        assert_eq!(shop.catalog.grant(&request).await, Ok(GrantOutcome::Closed));
        assert!(matches!(shop.catalog.streams(shop.pipeline.id).await, Err(CatalogError::NotFound { .. })));
        let late = shop.catalog.open_stream(shop.identity(2), Offset(0), shop.lease.epoch).await;
        assert!(matches!(late, Err(CatalogError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn an_incident_pauses_its_pipeline_and_is_opened_once_until_it_is_settled() {
    on_every_store(async |shop: Shop| {
        let granted = shop.stream(0).await;
        let new = incident(&shop, granted.stream);
        let opened = shop.catalog.open_incident(new.clone()).await.unwrap();
        assert_eq!((opened.number, opened.settled), (1, None));
        assert_eq!(shop.catalog.pipeline_by_id(shop.pipeline.id).await.unwrap().state, PipelineState::PausedByIncident);
        assert_eq!(shop.catalog.open_incident(new.clone()).await.unwrap(), opened);
        let settled = shop.catalog.settle_incidents(shop.pipeline.id).await.unwrap();
        assert_eq!(settled.iter().map(|incident| incident.number).collect::<Vec<_>>(), [1]);
        assert_eq!(shop.catalog.settle_incidents(shop.pipeline.id).await, Ok(Vec::new()));
        shop.catalog.set_pipeline_state("default", "clicks_in", PipelineState::Running).await.unwrap();
        let second = shop.catalog.open_incident(new).await.unwrap();
        assert_eq!((second.number, shop.catalog.incidents().await.unwrap().len()), (2, 2));
    })
    .await;
}
