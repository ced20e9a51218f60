//! Unknown outcomes (I6): × {applied, not applied, applied later than the retry}, for the commit, for the void, and for
//! every other write.

use millrace_catalog::store::{CommitFault, FaultOdds};
use millrace_catalog::*;

use crate::fixture::{Shop, in_memory, new_pipeline, new_table, node, on_every_store, range};

const LATER: CommitFault = CommitFault::ApplyLater { begins: None };

/// The ways in which an outcome is not known, and what each then turns out to have been.
pub(crate) const UNKNOWN: [CommitFault; 3] =
    [CommitFault::FailAfter, CommitFault::ApplyLater { begins: Some(1) }, LATER];

fn is_unknown<T>(result: &Result<T, CatalogError>) -> bool {
    matches!(result, Err(CatalogError::MaybeCommitted { .. }))
}

#[tokio::test]
async fn i6_a_commit_whose_outcome_was_unknown_is_applied_once_by_the_same_request_again() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        let mut next = 0;
        for fault in UNKNOWN {
            let request = shop.flush(0, &[(&a, range(next, next + 5))]).await;
            shop.faults.script([fault]);
            assert!(is_unknown(&shop.catalog.commit(&request).await), "{fault:?}");
            let version = shop.committed(&request).await;
            shop.faults.release().await;
            assert_eq!(shop.commit(&request).await, CommitOutcome::Committed(version), "{fault:?}");
            next += 5;
            assert_eq!(shop.snapshot().await.streams[&a.stream].committed, Offset(next), "{fault:?}");
        }
        assert_eq!(shop.seen().await, (vec![15], 3));
        assert_eq!(shop.catalog.commits(shop.table.id, 100).await.unwrap().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn i6_a_commit_is_carried_to_its_end_through_every_fault() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        let faults =
            [CommitFault::FailBefore, CommitFault::FailAfter, LATER, CommitFault::ApplyLater { begins: Some(2) }];
        let mut next = 0;
        for first in faults {
            for second in faults {
                let request = shop.flush(0, &[(&a, range(next, next + 5))]).await;
                shop.faults.script([first, second]);
                let settled = commit_settled(&shop.catalog, &shop.world, &request).await;
                assert!(matches!(settled, Ok(CommitOutcome::Committed(_))), "{first:?} {second:?} {settled:?}");
                shop.faults.release().await;
                next += 5;
            }
        }
        assert_eq!(shop.seen().await, (vec![next], 16));
    })
    .await;
}

#[tokio::test]
async fn i6_an_unknown_commit_that_was_fenced_meanwhile_ends_fenced_and_cannot_land_any_more() {
    let shop = in_memory().await;
    let a = shop.stream(0).await;
    let request = shop.flush(0, &[(&a, range(0, 5))]).await;
    shop.faults.script([LATER]);
    assert!(is_unknown(&shop.catalog.commit(&request).await));
    let b = shop.regrant(a.stream, Some(a.owner.epoch)).await;
    assert_eq!(b.committed, Offset(0));
    let settled = commit_settled(&shop.catalog, &shop.world, &request).await;
    assert_eq!(settled, Ok(CommitOutcome::Fenced(Fenced::Streams(vec![a.stream]))));
    shop.faults.release().await;
    assert_eq!(shop.seen().await, (vec![0], 0), "what was on its way has read an epoch that is gone");
}

#[tokio::test]
async fn i6_an_unknown_commit_that_happened_is_known_even_after_the_stream_was_lost() {
    let shop = in_memory().await;
    let a = shop.stream(0).await;
    let request = shop.flush(0, &[(&a, range(0, 5))]).await;
    shop.faults.script([CommitFault::FailAfter]);
    assert!(is_unknown(&shop.catalog.commit(&request).await));
    let b = shop.regrant(a.stream, Some(a.owner.epoch)).await;
    assert_eq!(b.committed, Offset(5), "the next owner begins after it");
    let settled = commit_settled(&shop.catalog, &shop.world, &request).await;
    assert!(matches!(settled, Ok(CommitOutcome::Committed(_))));
}

#[tokio::test]
async fn i6_a_void_and_a_commit_whose_outcome_is_unknown_end_as_one_of_the_two() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        let mut next = 0;
        for commit_fault in UNKNOWN {
            for void_fault in [CommitFault::None, CommitFault::FailBefore, CommitFault::FailAfter, LATER] {
                let request = shop.flush(0, &[(&a, range(next, next + 5))]).await;
                shop.faults.script([commit_fault]);
                assert!(is_unknown(&shop.catalog.commit(&request).await));
                shop.faults.script([void_fault]);
                let void = shop.catalog.void(request.writer, request.token).await.unwrap();
                let again = commit_settled(&shop.catalog, &shop.world, &request).await.unwrap();
                shop.faults.release().await;
                let committed = shop.snapshot().await.streams[&a.stream].committed;
                match void {
                    VoidOutcome::Voided => {
                        assert_eq!(again, CommitOutcome::Fenced(Fenced::Void), "{commit_fault:?} {void_fault:?}");
                        assert_eq!(committed, Offset(next));
                    }
                    VoidOutcome::Committed(version) => {
                        assert_eq!(again, CommitOutcome::Committed(version), "{commit_fault:?} {void_fault:?}");
                        next += 5;
                        assert_eq!(committed, Offset(next));
                    }
                }
                // A void that found the commit wrote nothing, and left its fault to the next that writes: this one.
                let _ =
                    shop.catalog.void(WriterId::Task(shop.pipeline.id, TaskIndex(9)), CommitToken(next.into())).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_late_stage_brings_no_intent_back() {
    for fault in UNKNOWN {
        let shop = in_memory().await;
        let a = shop.stream(0).await;
        let request = shop.unstaged_flush(0, &[(&a, range(0, 5))]);
        shop.faults.script([fault]);
        let staged = shop.catalog.stage(&shop.intents(&request)).await;
        if staged.is_ok() {
            shop.committed(&request).await;
        }
        shop.faults.release().await;
        let left = shop.catalog.intents().await.unwrap().len();
        assert_eq!(
            left,
            if staged.is_ok() { 0 } else { request.parts.len() },
            "{fault:?}: a part not staged is not committed"
        );
    }
}

#[tokio::test]
async fn a_grant_whose_outcome_was_unknown_is_made_once() {
    for fault in UNKNOWN {
        let shop = in_memory().await;
        let a = shop.stream(0).await;
        shop.faults.script([fault]);
        let b = shop.regrant(a.stream, Some(a.owner.epoch)).await;
        shop.faults.release().await;
        assert_eq!((b.owner.epoch, b.previous), (Epoch(2), Some(a.owner)), "{fault:?}");
        let snapshot = shop.snapshot().await;
        let view = &snapshot.streams[&a.stream];
        assert_eq!((view.owner.as_ref(), snapshot.version), (Some(&b.owner), b.version), "{fault:?}");
    }
}

#[tokio::test]
async fn a_lease_whose_outcome_was_unknown_is_taken_once() {
    for fault in UNKNOWN {
        let shop = in_memory().await;
        let seen = Some(shop.lease.clone());
        let request = LeaseRequest { pipeline: shop.pipeline.id, holder: node("n2"), seen, duration_ms: 1 };
        shop.faults.script([fault]);
        let taken = shop.catalog.lease(&request).await.unwrap();
        shop.faults.release().await;
        let now = shop.catalog.read_lease(shop.pipeline.id).await.unwrap();
        assert_eq!((Some(taken), now.as_ref().unwrap().epoch), (now.clone().map(LeaseOutcome::Held), Epoch(2)));
    }
}

#[tokio::test]
async fn ddl_whose_outcome_was_unknown_is_done_once() {
    for fault in UNKNOWN {
        let shop = in_memory().await;
        let catalog = &shop.catalog;
        shop.faults.script([fault]);
        catalog.create_database("d", false).await.unwrap();
        shop.faults.script([fault]);
        let new = NewTable { database: "d".into(), ..new_table("t") };
        let table = catalog.create_table(new, false).await.unwrap();
        shop.faults.script([fault]);
        let new = NewPipeline { database: "d".into(), ..new_pipeline("p", table.id) };
        let pipeline = catalog.create_pipeline(new, false).await.unwrap();
        shop.faults.release().await;
        assert_eq!(catalog.tables("d").await.unwrap(), [table]);
        assert_eq!(catalog.pipeline("d", "p").await.unwrap(), pipeline);
        shop.faults.script([fault]);
        let (new, into) = (NewTable { database: "d".into(), ..new_table("u") }, new_pipeline("u_in", TableId(0)));
        let both = catalog.create_table_with_pipeline(new, NewPipeline { database: "d".into(), ..into }).await.unwrap();
        shop.faults.release().await;
        assert_eq!((catalog.table("d", "u").await.unwrap(), catalog.pipeline("d", "u_in").await.unwrap()), both);
        assert_eq!(both.1.table, both.0.id);
        catalog.drop_pipeline("d", "u_in", false).await.unwrap();
        catalog.drop_table("d", "u", false).await.unwrap();
        shop.faults.script([fault]);
        catalog.set_pipeline_state("d", "p", PipelineState::Paused).await.unwrap();
        shop.faults.script([fault]);
        catalog.drop_pipeline("d", "p", false).await.unwrap();
        shop.faults.script([fault]);
        catalog.drop_table("d", "t", false).await.unwrap();
        shop.faults.script([fault]);
        catalog.drop_database("d", false).await.unwrap();
        shop.faults.release().await;
        assert_eq!(catalog.databases().await.unwrap(), ["default"], "{fault:?}");
        assert_eq!(catalog.pipelines().await.unwrap().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn streams_and_incidents_whose_outcome_was_unknown_are_opened_once() {
    for fault in UNKNOWN {
        let shop = in_memory().await;
        shop.faults.script([fault]);
        let stream = shop.catalog.open_stream(shop.identity(0), Offset(4), shop.lease.epoch).await.unwrap();
        shop.faults.release().await;
        assert_eq!(shop.catalog.streams(shop.pipeline.id).await.unwrap().len(), 1);
        shop.faults.script([fault]);
        let opened = shop.catalog.open_incident(crate::manager::incident(&shop, stream.id)).await.unwrap();
        shop.faults.release().await;
        assert_eq!(shop.catalog.incidents().await.unwrap(), [opened]);
        shop.faults.script([fault]);
        shop.catalog.close_stream(stream.id, shop.lease.epoch).await.unwrap();
        shop.faults.release().await;
        assert_eq!(shop.catalog.streams(shop.pipeline.id).await.unwrap()[0].stream.state, StreamState::Closed);
    }
}

#[tokio::test]
async fn a_store_that_gives_no_answer_leaves_the_outcome_open_and_the_same_call_settles_it() {
    let shop = in_memory().await;
    shop.faults.script([LATER; 20]);
    let mut calls = 1;
    while is_unknown(&shop.catalog.create_database("d", true).await) {
        calls += 1;
    }
    assert_eq!(calls, 3, "each call looks eight times");
    shop.faults.release().await;
    assert_eq!(shop.catalog.databases().await.unwrap(), ["d", "default"]);
}

#[tokio::test]
async fn i1_i6_under_chance_faults_every_offset_is_committed_once() {
    for seed in 0..20_u64 {
        let shop = in_memory().await;
        let granted = [shop.stream(0).await, shop.stream(1).await, shop.stream(2).await];
        for _ in 0..seed {
            shop.world.random.next_u64();
        }
        shop.faults.set_odds(FaultOdds { fail_before: 150, fail_after: 150, apply_later: 150 });
        for n in 0..20 {
            for (task, granted) in granted.iter().enumerate() {
                let request = shop.flush(task as u32, &[(granted, range(n * 3, n * 3 + 3))]).await;
                let settled = commit_settled(&shop.catalog, &shop.world, &request).await;
                assert!(matches!(settled, Ok(CommitOutcome::Committed(_))), "seed {seed}: {settled:?}");
            }
        }
        shop.faults.set_odds(FaultOdds::default());
        shop.faults.release().await;
        assert_eq!(shop.seen().await, (vec![60; 3], 60), "seed {seed}");
        let again = shop.reopened().await.snapshot(shop.table.id).await.unwrap();
        assert_eq!(again.parts.len(), 60, "seed {seed}");
    }
}
