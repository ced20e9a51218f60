//! The sweeper's rule (PROTOCOL, "Sweeper"): the intent first, the object afterwards. I7.

use millrace_catalog::store::CommitFault;
use millrace_catalog::*;

use crate::fixture::{Shop, in_memory, intent, on_every_store, range};

#[tokio::test]
async fn i7_a_claimed_intent_fences_its_commit() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        let request = shop.flush(0, &[(&a, range(0, 9))]).await;
        let intents = shop.catalog.intents().await.unwrap();
        assert_eq!(intents, [intent(request.writer, &request.parts[0])]);
        assert_eq!(shop.catalog.claim_intent(&intents[0]).await, Ok(true));
        assert_eq!(shop.commit(&request).await, CommitOutcome::Fenced(Fenced::Intents(vec![request.parts[0].id])));
        assert_eq!(shop.catalog.garbage(10).await.unwrap(), [request.parts[0].path.clone()]);
        assert_eq!(shop.catalog.claim_intent(&intents[0]).await, Ok(true), "asked again after a crash: still garbage");
        shop.catalog.forget_garbage(&request.parts[0].path).await.unwrap();
        assert!(shop.catalog.garbage(10).await.unwrap().is_empty());
        assert_eq!(shop.seen().await, (vec![0], 0));
    })
    .await;
}

#[tokio::test]
async fn i7_the_intent_of_a_committed_part_cannot_be_claimed() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        let request = shop.flush(0, &[(&a, range(0, 9))]).await;
        let seen_by_the_sweeper = shop.catalog.intents().await.unwrap();
        shop.committed(&request).await;
        assert_eq!(shop.catalog.claim_intent(&seen_by_the_sweeper[0]).await, Ok(false));
        // Also if something has brought the intent back.
        shop.stage(&request).await;
        assert_eq!(shop.catalog.claim_intent(&seen_by_the_sweeper[0]).await, Ok(false));
        assert!(shop.catalog.intents().await.unwrap().is_empty());
        assert!(shop.catalog.garbage(10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn i7_a_commit_and_a_claim_whose_outcomes_are_unknown_do_not_both_happen() {
    let later = CommitFault::ApplyLater { begins: None };
    for first in [CommitFault::FailAfter, later] {
        for second in [CommitFault::None, CommitFault::FailAfter, later] {
            let shop = in_memory().await;
            let a = shop.stream(0).await;
            let request = shop.flush(0, &[(&a, range(0, 9))]).await;
            let intents = shop.catalog.intents().await.unwrap();
            shop.faults.script([first]);
            assert!(shop.catalog.commit(&request).await.is_err());
            shop.faults.script([second]);
            let claimed = shop.catalog.claim_intent(&intents[0]).await.unwrap();
            shop.faults.release().await;
            let parts = shop.snapshot().await.parts.len();
            assert_eq!(parts, usize::from(!claimed), "{first:?} {second:?}");
            assert_eq!(shop.catalog.garbage(10).await.unwrap().len(), usize::from(claimed), "{first:?} {second:?}");
        }
    }
}

#[tokio::test]
async fn a_dropped_tables_objects_become_garbage_however_many_there_are() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        for n in 0..120 {
            shop.committed(&shop.flush(0, &[(&a, range(n, n + 1))]).await).await;
        }
        shop.catalog.drop_pipeline("default", "clicks_in", false).await.unwrap();
        assert!(shop.catalog.garbage(10).await.unwrap().is_empty(), "the table still has its parts");
        shop.catalog.drop_table("default", "clicks", false).await.unwrap();
        let mut deleted = 0;
        loop {
            let garbage = shop.catalog.garbage(50).await.unwrap();
            if garbage.is_empty() {
                break;
            }
            deleted += garbage.len();
            for path in garbage {
                shop.catalog.forget_garbage(&path).await.unwrap();
            }
        }
        assert_eq!(deleted, 120);
    })
    .await;
}
