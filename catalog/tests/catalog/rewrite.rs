//! Replacing error parts: once, by one of two, and beside commits that add others.

use millrace_catalog::*;

use crate::fixture::{Shop, in_memory, intent, on_every_store, range};
use crate::unknown::UNKNOWN;

/// Commits offsets `start..end` of a stream as error rows, in one part.
async fn errors(shop: &Shop, granted: &Granted, start: u64, end: u64) -> Part {
    let mut request = shop.unstaged_flush(0, &[(granted, range(start, end))]);
    request.parts[0].kind = PartKind::Errors;
    request.streams[0].ledger = Ledger { errors: end - start, ..Ledger::default() };
    shop.catalog.stage(&shop.intents(&request)).await.unwrap();
    shop.committed(&request).await;
    request.parts.remove(0)
}

fn covered(granted: &Granted, start: u64, end: u64) -> Vec<PartStream> {
    vec![PartStream { stream: granted.stream, range: range(start, end), rows: end - start }]
}

/// Of `removed`, which covers `start..end`, all but the last offset become rows.
async fn rewrite(shop: &Shop, granted: &Granted, removed: &Part, seen: u64) -> RewriteRequest {
    let OffsetRange { start, end } = removed.streams[0].range;
    let rows = shop.part(covered(granted, start.0, end.0 - 1));
    let kept = Part { kind: PartKind::Errors, ..shop.part(covered(granted, end.0 - 1, end.0)) };
    let writer = WriterId::Rewrite(shop.table.id);
    let added = vec![rows, kept];
    let intents: Vec<_> = added.iter().map(|part| intent(writer, part)).collect();
    shop.catalog.stage(&intents).await.unwrap();
    RewriteRequest {
        token: CommitToken(u128::from(shop.fresh())),
        table: shop.table.id,
        table_fence: shop.table.fence,
        pipeline: (shop.pipeline.id, shop.pipeline.fence),
        schema: shop.table.schema,
        seen,
        removed: vec![removed.clone()],
        added,
        moved: vec![ErrorsMoved { stream: granted.stream, rows: end.0 - 1 - start.0, filtered: 0 }],
    }
}

async fn ledger(shop: &Shop, granted: &Granted) -> (u64, u64) {
    let ledger = shop.snapshot().await.streams[&granted.stream].ledger;
    (ledger.rows, ledger.errors)
}

#[tokio::test]
async fn i1_i4_error_rows_become_rows_in_one_step_and_the_ledger_says_so() {
    on_every_store(async |shop: Shop| {
        let granted = shop.stream(0).await;
        let part = errors(&shop, &granted, 0, 9).await;
        let other = errors(&shop, &granted, 9, 12).await;
        let request = rewrite(&shop, &granted, &part, 0).await;
        assert_eq!(shop.catalog.rewrite(&request).await, Ok(RewriteOutcome::Committed));
        assert_eq!(ledger(&shop, &granted).await, (8, 4));
        let parts: Vec<PartId> = shop.snapshot().await.parts.iter().map(|part| part.id).collect();
        assert_eq!(parts, [other.id, request.added[0].id, request.added[1].id]);
        assert_eq!(
            shop.catalog.garbage(10).await,
            Ok(vec![part.path]),
            "the sweeper deletes it once no query reads it"
        );
        assert_eq!(shop.catalog.intents().await, Ok(Vec::new()));
        let reopened = shop.reopened().await.snapshot(shop.table.id).await.unwrap();
        assert_eq!(reopened.streams[&granted.stream].ledger, shop.snapshot().await.streams[&granted.stream].ledger);
    })
    .await;
}

#[tokio::test]
async fn i1_of_two_that_replace_the_same_parts_one_succeeds_and_ingest_is_in_nobodys_way() {
    let shop = in_memory().await;
    let granted = shop.stream(0).await;
    let part = errors(&shop, &granted, 0, 9).await;
    let [one, two] = [rewrite(&shop, &granted, &part, 0).await, rewrite(&shop, &granted, &part, 0).await];
    errors(&shop, &granted, 9, 12).await;
    assert_eq!(shop.catalog.rewrite(&one).await, Ok(RewriteOutcome::Committed), "an append does not matter");
    assert_eq!(shop.catalog.rewrite(&two).await, Ok(RewriteOutcome::Conflict));
    assert_eq!(shop.catalog.rewrite(&one).await, Ok(RewriteOutcome::Committed), "it is not done twice (I6)");
    assert_eq!((ledger(&shop, &granted).await, shop.catalog.error_rewrites(shop.table.id).await), ((8, 4), Ok(1)));
}

#[tokio::test]
async fn i6_a_rewrite_whose_outcome_was_unknown_happens_once() {
    for fault in UNKNOWN {
        let shop = in_memory().await;
        let granted = shop.stream(0).await;
        let part = errors(&shop, &granted, 0, 9).await;
        let request = rewrite(&shop, &granted, &part, 0).await;
        shop.faults.script([fault]);
        assert_eq!(shop.catalog.rewrite(&request).await, Ok(RewriteOutcome::Committed), "{fault:?}");
        shop.faults.release().await;
        assert_eq!(ledger(&shop, &granted).await, (8, 1), "{fault:?}");
    }
}

#[tokio::test]
async fn a_rewrite_is_fenced_by_another_version_of_the_pipeline_and_by_the_sweeper() {
    let shop = in_memory().await;
    let granted = shop.stream(0).await;
    let part = errors(&shop, &granted, 0, 9).await;
    let mut request = rewrite(&shop, &granted, &part, 0).await;
    request.pipeline.1.0 += 1;
    assert_eq!(shop.catalog.rewrite(&request).await, Ok(RewriteOutcome::Fenced(Fenced::Pipeline)));
    request.pipeline.1.0 -= 1;
    request.table_fence.0 += 1;
    assert_eq!(shop.catalog.rewrite(&request).await, Ok(RewriteOutcome::Fenced(Fenced::Table)));
    request.table_fence.0 -= 1;
    let staged = shop.catalog.intents().await.unwrap();
    assert_eq!(shop.catalog.claim_intent(&staged[0]).await, Ok(true));
    let outcome = shop.catalog.rewrite(&request).await.unwrap();
    assert_eq!(outcome, RewriteOutcome::Fenced(Fenced::Intents(vec![staged[0].part])));
    assert_eq!(ledger(&shop, &granted).await, (0, 9), "nothing was changed");
}

#[tokio::test]
async fn i1_a_rewrite_that_does_not_add_up_is_refused() {
    let shop = in_memory().await;
    let granted = shop.stream(0).await;
    let part = errors(&shop, &granted, 0, 9).await;
    let good = rewrite(&shop, &granted, &part, 0).await;
    type Break = fn(&mut RewriteRequest);
    let breaks: [Break; 6] = [
        |request| request.moved.clear(),
        |request| request.moved[0].rows += 1,
        |request| request.moved[0].filtered += 1,
        |request| drop(request.added.pop()),
        |request| request.removed.clear(),
        |request| request.removed[0].kind = PartKind::Rows,
    ];
    for breaking in breaks {
        let mut request = good.clone();
        breaking(&mut request);
        assert!(matches!(shop.catalog.rewrite(&request).await, Err(CatalogError::Invalid { .. })), "{request:?}");
    }
    assert_eq!(ledger(&shop, &granted).await, (0, 9));
}
