//! The commit rule, step by step (PROTOCOL, "Commit").

use futures::future::join_all;
use millrace_catalog::*;

use crate::fixture::{Shop, in_memory, on_every_store, range};

#[tokio::test]
async fn i4_parts_and_offsets_become_visible_together() {
    on_every_store(async |shop: Shop| {
        let [a, b] = [shop.stream(0).await, shop.stream(1).await];
        let request = shop.flush(0, &[(&a, range(0, 10)), (&b, range(0, 4))]).await;
        assert_eq!(shop.seen().await, (vec![0, 0], 0), "staged is not visible");
        let version = shop.committed(&request).await;
        let snapshot = shop.snapshot().await;
        assert_eq!(snapshot.version, version);
        assert_eq!(shop.seen().await, (vec![10, 4], 1));
        assert_eq!(*snapshot.parts[0], request.parts[0]);
        assert_eq!(snapshot.streams[&a.stream].ledger, request.streams[0].ledger);
    })
    .await;
}

#[tokio::test]
async fn a_commit_without_parts_advances_offsets_all_the_same() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        shop.committed(&shop.empty_flush(0, &[(&a, range(0, 7))])).await;
        assert_eq!(shop.seen().await, (vec![7], 0));
        let next = shop.flush(0, &[(&a, range(7, 8))]).await;
        shop.committed(&next).await;
        assert_eq!(
            shop.snapshot().await.streams[&a.stream].ledger,
            Ledger { rows: 1, filtered: 7, ..Ledger::default() }
        );
    })
    .await;
}

#[tokio::test]
async fn i6_step_1_a_token_that_is_there_answers_its_version_and_applies_nothing() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        let request = shop.flush(0, &[(&a, range(0, 10))]).await;
        let version = shop.committed(&request).await;
        assert_eq!(shop.commit(&request).await, CommitOutcome::Committed(version));
        assert_eq!(shop.seen().await, (vec![10], 1));
        // Also once the stream is another's, and the pipeline gone: it did happen.
        shop.regrant(a.stream, Some(a.owner.epoch)).await;
        assert_eq!(shop.commit(&request).await, CommitOutcome::Committed(version));
    })
    .await;
}

#[tokio::test]
async fn i6_step_2_a_voided_commit_never_happens() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        let request = shop.flush(0, &[(&a, range(0, 10))]).await;
        assert_eq!(shop.catalog.void(request.writer, request.token).await, Ok(VoidOutcome::Voided));
        assert_eq!(shop.catalog.void(request.writer, request.token).await, Ok(VoidOutcome::Voided));
        assert_eq!(shop.commit(&request).await, CommitOutcome::Fenced(Fenced::Void));
        assert_eq!(shop.seen().await, (vec![0], 0));
        let again = CommitRequest { token: CommitToken(999), ..request };
        let version = shop.committed(&again).await;
        assert_eq!(shop.catalog.void(again.writer, again.token).await, Ok(VoidOutcome::Committed(version)));
    })
    .await;
}

#[tokio::test]
async fn step_3_fences_are_as_the_writer_knows_them() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        let request = shop.flush(0, &[(&a, range(0, 10))]).await;
        let other_table = CommitRequest { table_fence: Fence(9), ..request.clone() };
        assert_eq!(shop.commit(&other_table).await, CommitOutcome::Fenced(Fenced::Table));
        let other_pipeline = CommitRequest { pipeline: Some((shop.pipeline.id, Fence(9))), ..request.clone() };
        assert_eq!(shop.commit(&other_pipeline).await, CommitOutcome::Fenced(Fenced::Pipeline));
        let mut other_schema = CommitRequest { schema: SchemaId(9), ..request.clone() };
        other_schema.parts.iter_mut().for_each(|part| part.schema = SchemaId(9));
        let conflict = Conflict::Schema(shop.table.schema);
        assert_eq!(shop.commit(&other_schema).await, CommitOutcome::Conflict(conflict));
        shop.committed(&request).await;
    })
    .await;
}

#[tokio::test]
async fn a_paused_pipeline_still_commits_what_it_has_read_and_a_dropped_one_does_not() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        shop.catalog.set_pipeline_state("default", "clicks_in", PipelineState::Paused).await.unwrap();
        shop.committed(&shop.flush(0, &[(&a, range(0, 10))]).await).await;
        let late = shop.flush(0, &[(&a, range(10, 20))]).await;
        shop.catalog.drop_pipeline("default", "clicks_in", false).await.unwrap();
        assert_eq!(shop.commit(&late).await, CommitOutcome::Fenced(Fenced::Pipeline));
        assert_eq!(shop.seen().await, (vec![10], 1), "what was committed stays, with its stream");
        shop.catalog.drop_table("default", "clicks", false).await.unwrap();
        assert_eq!(shop.commit(&late).await, CommitOutcome::Fenced(Fenced::Table));
    })
    .await;
}

#[tokio::test]
async fn i2_step_4_no_commit_succeeds_under_an_epoch_older_than_the_newest() {
    on_every_store(async |shop: Shop| {
        let [a, b] = [shop.stream(0).await, shop.stream(1).await];
        let both = shop.flush(0, &[(&a, range(0, 10)), (&b, range(0, 4))]).await;
        let newer = shop.regrant(b.stream, Some(b.owner.epoch)).await;
        assert_eq!(shop.commit(&both).await, CommitOutcome::Fenced(Fenced::Streams(vec![b.stream])));
        assert_eq!(shop.seen().await, (vec![0, 0], 0), "nothing of it, not even of the stream that was not lost");
        shop.committed(&shop.flush(0, &[(&a, range(0, 10))]).await).await;
        shop.committed(&shop.flush(1, &[(&newer, range(0, 4))]).await).await;
        shop.catalog.close_stream(a.stream, shop.lease.epoch).await.unwrap();
        let closed = shop.flush(0, &[(&a, range(10, 11))]).await;
        assert_eq!(shop.commit(&closed).await, CommitOutcome::Fenced(Fenced::Streams(vec![a.stream])));
    })
    .await;
}

#[tokio::test]
async fn i2_a_stream_that_was_never_granted_or_never_opened_belongs_to_nobody() {
    let shop = in_memory().await;
    let mut a = shop.stream(0).await;
    let opened = shop.catalog.open_stream(shop.identity(1), Offset(0), shop.lease.epoch).await.unwrap();
    for stream in [opened.id, StreamId(77)] {
        a.stream = stream;
        let request = shop.flush(0, &[(&a, range(0, 1))]).await;
        assert_eq!(shop.commit(&request).await, CommitOutcome::Fenced(Fenced::Streams(vec![stream])));
    }
}

#[tokio::test]
async fn i3_step_4_a_commit_begins_where_the_stream_stands() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        shop.committed(&shop.flush(0, &[(&a, range(0, 10))]).await).await;
        for wrong in [range(0, 10), range(5, 15), range(11, 12)] {
            let request = shop.flush(0, &[(&a, wrong)]).await;
            let conflict = Conflict::Offsets(vec![(a.stream, Offset(10))]);
            assert_eq!(shop.commit(&request).await, CommitOutcome::Conflict(conflict), "{wrong}");
        }
        assert_eq!(shop.seen().await, (vec![10], 1));
    })
    .await;
}

#[tokio::test]
async fn i7_step_5_a_part_whose_intent_is_gone_is_not_committed() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        let request = shop.unstaged_flush(0, &[(&a, range(0, 10))]);
        let part = request.parts[0].id;
        assert_eq!(shop.commit(&request).await, CommitOutcome::Fenced(Fenced::Intents(vec![part])));
        shop.stage(&request).await;
        shop.committed(&request).await;
        assert!(shop.catalog.intents().await.unwrap().is_empty(), "the commit deletes the intents");
    })
    .await;
}

#[tokio::test]
async fn i1_a_request_that_does_not_add_up_is_refused_and_nothing_of_it_is_kept() {
    let shop = in_memory().await;
    let a = shop.stream(0).await;
    let mut request = shop.flush(0, &[(&a, range(0, 10))]).await;
    request.streams[0].ledger.rows -= 1;
    let error = shop.catalog.commit(&request).await.unwrap_err();
    assert!(matches!(&error, CatalogError::Invalid { message } if message.contains("stream")), "{error}");
    assert_eq!(shop.seen().await, (vec![0], 0));
}

#[tokio::test]
async fn a_stream_goes_to_one_table_for_ever() {
    let shop = in_memory().await;
    let a = shop.stream(0).await;
    let other = shop.catalog.create_table(crate::fixture::new_table("other"), false).await.unwrap();
    let request = CommitRequest { table: other.id, ..shop.empty_flush(0, &[(&a, range(0, 10))]) };
    assert!(matches!(shop.catalog.commit(&request).await, Err(CatalogError::Invalid { .. })));
}

#[tokio::test]
async fn a_commit_of_a_thousand_parts_is_one_commit() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        let mut request = shop.unstaged_flush(0, &[(&a, range(0, 1_000))]);
        let row = |offset| PartStream { stream: a.stream, range: range(offset, offset + 1), rows: 1 };
        request.parts = (0..1_000).map(|offset| shop.part(vec![row(offset)])).collect();
        request.parts.iter_mut().for_each(|part| part.checksums.crc32c = vec![u32::MAX; 256]);
        shop.stage(&request).await;
        let version = shop.committed(&request).await;
        assert!(version.number() > 10, "it takes more than one value");
        assert_eq!(shop.seen().await, (vec![1_000], 1_000));
        assert_eq!(shop.commit(&request).await, CommitOutcome::Committed(version));
        let commits = shop.catalog.commits(shop.table.id, 10).await.unwrap();
        assert_eq!((commits.len(), commits[0].version, commits[0].parts_added), (1, version, 1_000));
        assert_eq!((commits[0].rows, commits[0].bytes, &commits[0].streams), (1_000, 1_000_000, &request.streams));
    })
    .await;
}

#[tokio::test]
async fn tasks_of_one_table_commit_at_the_same_time() {
    on_every_store(async |shop: Shop| {
        let [a, b] = [shop.stream(0).await, shop.stream(1).await];
        for n in 0..10 {
            let requests =
                [shop.flush(0, &[(&a, range(n, n + 1))]).await, shop.flush(1, &[(&b, range(n, n + 1))]).await];
            let outcomes = join_all(requests.iter().map(|request| shop.catalog.commit(request))).await;
            assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(CommitOutcome::Committed(_)))), "{outcomes:?}");
        }
        assert_eq!(shop.seen().await, (vec![10, 10], 20));
        let commits = shop.catalog.commits(shop.table.id, 5).await.unwrap();
        assert_eq!(commits.len(), 5);
        assert!(commits.windows(2).all(|pair| pair[0].version > pair[1].version), "newest first");
    })
    .await;
}

#[tokio::test]
async fn i1_i2_of_two_owners_that_race_for_the_same_offsets_one_commits() {
    on_every_store(async |shop: Shop| {
        let old = shop.stream(0).await;
        let before = shop.flush(0, &[(&old, range(0, 10))]).await;
        let new = shop.regrant(old.stream, Some(old.owner.epoch)).await;
        let after = shop.flush(1, &[(&new, range(0, 10))]).await;
        let (before, after) = tokio::join!(shop.catalog.commit(&before), shop.catalog.commit(&after));
        assert_eq!(before, Ok(CommitOutcome::Fenced(Fenced::Streams(vec![old.stream]))));
        assert!(matches!(after, Ok(CommitOutcome::Committed(_))));
        assert_eq!(shop.seen().await, (vec![10], 1));
    })
    .await;
}
