//! Every fault that the server knows, and what becomes of the request.

use std::sync::Arc;
use std::time::Duration;

use millrace_vfs::s3_server::{S3Fault, S3Op, S3Server, credentials};
use millrace_vfs::{ObjectStoreSettings, RetrySettings, World};
use object_store::{Error, ObjectStoreExt};

use crate::contract::of_many_that_create_one_name_one_wins;
use crate::rig::{PIECE, Rig, create, large, names, open, read, settings};

#[tokio::test]
async fn what_passes_by_itself_is_repeated_and_each_attempt_is_one_request() {
    let rig = Rig::new().await;
    let store = rig.store().await;
    let mut expected = 0;
    for fault in [S3Fault::SlowDown, S3Fault::InternalError, S3Fault::Reset, S3Fault::ReplyLost, S3Fault::Conflict] {
        rig.server.script(S3Op::Put, [fault, fault]);
        store.put(&"a".into(), "x".into()).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        expected += 3;
        assert_eq!(rig.server.requests(S3Op::Put), expected, "{fault:?}: the library repeats nothing by itself");
    }
    rig.server.script(S3Op::Put, [S3Fault::SlowDown; 3]);
    let error = store.put(&"a".into(), "x".into()).await.expect_err("there is no fourth attempt");
    assert!(matches!(error, Error::Generic { .. }) && error.to_string().contains("503 SlowDown"), "{error}");
    for (op, fault) in [(S3Op::List, S3Fault::SlowDown), (S3Op::Head, S3Fault::Reset), (S3Op::Get, S3Fault::ReplyLost)]
    {
        rig.server.script(op, [fault]);
    }
    store.head(&"a".into()).await.unwrap();
    assert_eq!(read(store.as_ref(), "a").await, "x");
    assert_eq!(names(store.as_ref(), None).await, ["a"]);
}

#[tokio::test]
async fn a_created_object_whose_reply_was_lost_is_ours() {
    let rig = Rig::new().await;
    let store = rig.store().await;
    for (number, faults) in [
        vec![S3Fault::ReplyLost],
        vec![S3Fault::Conflict],
        vec![S3Fault::Conflict, S3Fault::ReplyLost],
        vec![S3Fault::PreconditionAfterSuccess],
        vec![S3Fault::SlowDown, S3Fault::PreconditionAfterSuccess],
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{number}");
        rig.server.script(S3Op::Put, faults.clone());
        let put = store.put_opts(&name.as_str().into(), "mine".into(), create()).await;
        let put = put.unwrap_or_else(|error| panic!("{faults:?}: {error}"));
        assert_eq!(put.e_tag, store.head(&name.as_str().into()).await.unwrap().e_tag);
        assert_eq!(read(store.as_ref(), &name).await, "mine");
    }
}

#[tokio::test]
async fn a_name_that_another_took_is_refused_whatever_else_goes_wrong() {
    let rig = Rig::new().await;
    let (store, other) = (rig.store().await, rig.store().await);
    other.put_opts(&"a".into(), "the same".into(), create()).await.unwrap();
    for faults in [vec![], vec![S3Fault::ReplyLost], vec![S3Fault::Conflict], vec![S3Fault::PreconditionAfterSuccess]] {
        rig.server.script(S3Op::Put, faults.clone());
        let taken = store.put_opts(&"a".into(), "the same".into(), create()).await;
        assert!(matches!(taken, Err(Error::AlreadyExists { .. })), "{faults:?}: {taken:?}");
    }
    rig.server.script(S3Op::Put, [S3Fault::Conflict; 3]);
    let undecided = store.put_opts(&"b".into(), "x".into(), create()).await.expect_err("a race that did not end");
    assert!(matches!(undecided, Error::Generic { .. }), "it may be tried again: {undecided}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_create_one_name_one_wins_though_replies_are_lost() {
    let rig = Rig::new().await;
    // Enough for the unluckiest.
    let retry = RetrySettings { attempts: 100, ..settings().retry };
    let store = rig.store_with(ObjectStoreSettings { retry, ..settings() }).await;
    let nothing = S3Fault::Latency(Duration::ZERO);
    let script =
        [S3Fault::ReplyLost, S3Fault::Conflict, nothing, S3Fault::PreconditionAfterSuccess, nothing, S3Fault::SlowDown];
    rig.server.script(S3Op::Put, script.into_iter().cycle().take(1_200));
    of_many_that_create_one_name_one_wins(&store).await;
}

#[tokio::test]
async fn a_store_that_is_too_slow_is_asked_again() {
    let rig = Rig::new().await;
    let hasty = ObjectStoreSettings { request_timeout: Duration::from_millis(500), ..settings() };
    let store = rig.store_with(hasty).await;
    rig.server.script(S3Op::Put, [S3Fault::Latency(Duration::from_secs(60))]);
    store.put_opts(&"a".into(), "x".into(), create()).await.unwrap();
    rig.server.script(S3Op::Get, [S3Fault::Latency(Duration::from_secs(60)); 3]);
    let error = store.get(&"a".into()).await.expect_err("it is too slow three times").to_string();
    assert!(error.contains("did not answer in time"), "{error}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_fetched_to_its_end() {
    let rig = Rig::new().await;
    let store = rig.store().await;
    let content = large(200_000);
    store.put(&"a".into(), content.clone().into()).await.unwrap();
    rig.server.script(S3Op::Get, [S3Fault::TruncatedBody(1_000), S3Fault::SlowDown, S3Fault::TruncatedBody(0)]);
    assert!(read(store.as_ref(), "a").await == content);
    assert_eq!(rig.server.requests(S3Op::Get), 4);
    rig.server.script(S3Op::Get, [S3Fault::TruncatedBody(10)]);
    assert_eq!(store.get_range(&"a".into(), 100..200).await.unwrap(), content[100..200]);
    // What is written meanwhile is another object: a body is never sewn together from two.
    rig.server.script(S3Op::Get, [S3Fault::TruncatedBody(1_000)]);
    let answer = store.get(&"a".into()).await.unwrap();
    store.put(&"a".into(), large(150_000).into()).await.unwrap();
    let error = answer.bytes().await.expect_err("half of each is neither");
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
}

#[tokio::test]
async fn a_stale_listing_shows_what_was_there() {
    let rig = Rig::new().await;
    let store = rig.store().await;
    store.put(&"old".into(), "x".into()).await.unwrap();
    assert_eq!(names(store.as_ref(), None).await, ["old"]);
    store.put(&"new".into(), "x".into()).await.unwrap();
    rig.server.script(S3Op::List, [S3Fault::StaleListing]);
    assert_eq!(names(store.as_ref(), None).await, ["old"], "nothing of ours may build on a listing");
    assert_eq!(names(store.as_ref(), None).await, ["new", "old"]);
}

#[tokio::test]
async fn a_delete_whose_reply_was_lost_has_happened() {
    let rig = Rig::new().await;
    let store = rig.store().await;
    store.put(&"a".into(), "x".into()).await.unwrap();
    rig.server.script(S3Op::Delete, [S3Fault::ReplyLost, S3Fault::SlowDown]);
    store.delete(&"a".into()).await.unwrap();
    assert_eq!(names(store.as_ref(), None).await, [] as [&str; 0]);
}

#[tokio::test]
async fn of_a_large_object_a_piece_that_fails_is_repeated_alone() {
    let rig = Rig::new().await;
    let store = rig.store().await;
    let content = large(2 * PIECE + 1);
    rig.server.script(S3Op::CreateUpload, [S3Fault::SlowDown]);
    rig.server.script(S3Op::PutPiece, [S3Fault::ReplyLost, S3Fault::SlowDown]);
    store.put(&"large".into(), content.clone().into()).await.unwrap();
    assert_eq!(rig.server.requests(S3Op::PutPiece), 5, "three pieces, and two of them again");
    assert_eq!(rig.server.requests(S3Op::Put), 0);
    assert!(read(store.as_ref(), "large").await == content);
}

#[tokio::test]
async fn a_large_object_whose_completion_was_not_answered_is_there_once() {
    let rig = Rig::new().await;
    let store = rig.store().await;
    let content = large(PIECE + 1);
    for fault in [S3Fault::ReplyLost, S3Fault::ErrorInBody] {
        rig.server.script(S3Op::Complete, [fault]);
        store.put(&"large".into(), content.clone().into()).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert!(read(store.as_ref(), "large").await == content);
        store.delete(&"large".into()).await.unwrap();
    }
    assert_eq!(rig.server.requests(S3Op::Complete), 4);
    assert_eq!(rig.server.requests(S3Op::Abort), 0);
}

#[tokio::test]
async fn of_a_large_object_that_cannot_be_put_nothing_stays() {
    let rig = Rig::new().await;
    let store = rig.store().await;
    rig.server.script(S3Op::PutPiece, [S3Fault::SlowDown; 6]);
    store.put(&"large".into(), large(2 * PIECE).into()).await.expect_err("three attempts fail");
    assert_eq!(rig.server.requests(S3Op::Abort), 1);
    assert_eq!(names(store.as_ref(), None).await, [] as [&str; 0]);
    let pieces = std::fs::read_dir(rig.server.directory()).unwrap().map(|entry| entry.unwrap().file_name());
    let pieces: Vec<_> = pieces.filter(|name| name.to_string_lossy().contains("upload")).collect();
    assert!(pieces.is_empty(), "{pieces:?}");
}

#[tokio::test]
async fn a_server_that_is_started_again_has_what_it_had() {
    let directory = tempfile::tempdir().unwrap();
    let clock = World::system().clock;
    for round in 0..2 {
        let server = S3Server::start(directory.path(), 0, Arc::clone(&clock)).await.unwrap();
        server.make_bucket("kept").unwrap();
        let store = open(&server.url("kept"), &credentials(), settings()).await;
        let put = store.put_opts(&"a".into(), "x".into(), create()).await;
        assert_eq!(put.is_ok(), round == 0, "{put:?}");
        assert_eq!(read(store.as_ref(), "a").await, "x");
    }
}

#[tokio::test]
async fn a_store_goes_on_with_a_server_that_was_away() {
    let directory = tempfile::tempdir().unwrap();
    let clock = World::system().clock;
    let server = S3Server::start(directory.path(), 0, Arc::clone(&clock)).await.unwrap();
    server.make_bucket("kept").unwrap();
    let store = open(&server.url("kept"), &credentials(), settings()).await;
    let port = server.port();
    store.put(&"before".into(), "x".into()).await.unwrap();
    server.stop().await;
    let error = store.put(&"during".into(), "x".into()).await.expect_err("nobody is there").to_string();
    assert!(error.contains("cannot be connected to"), "{error}");
    store.get(&"before".into()).await.expect_err("nobody is there");

    let _server = S3Server::start(directory.path(), port, clock).await.unwrap();
    store.put(&"after".into(), "x".into()).await.unwrap();
    assert_eq!(names(store.as_ref(), None).await, ["after", "before"]);
    assert_eq!(read(store.as_ref(), "before").await, "x");
}
