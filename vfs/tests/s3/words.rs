//! What cannot be used is told at the start: where, why, and what to do.

use std::time::Duration;

use millrace_vfs::s3_server::{S3Fault, S3Op, credentials};
use millrace_vfs::{ObjectStoreCredentials, ObjectStoreSettings, RetrySettings, check_object_store};
use object_store::{Error, ObjectStoreExt};

use crate::rig::{BUCKET, Rig, open, settings};

/// What is said of a store that cannot be used, after how many listings.
async fn refusal(rig: &Rig, url: &str, credentials: &ObjectStoreCredentials) -> (String, u64) {
    let before = rig.server.requests(S3Op::List);
    let store = open(url, credentials, settings()).await;
    let error = check_object_store(store.as_ref()).await.expect_err("it cannot be used");
    (error.to_string(), rig.server.requests(S3Op::List) - before)
}

#[tokio::test]
async fn a_store_that_can_be_used_is_asked_once_and_left_as_it_was() {
    let rig = Rig::new().await;
    let store = rig.store().await;
    check_object_store(store.as_ref()).await.unwrap();
    assert_eq!(rig.server.requests(S3Op::List), 1);
    for op in [S3Op::Put, S3Op::Get, S3Op::Delete, S3Op::CreateUpload, S3Op::Other] {
        assert_eq!(rig.server.requests(op), 0);
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_at_once() {
    let rig = Rig::new().await;
    let wrong = ObjectStoreCredentials { secret_access_key: Some("wrong".to_owned()), ..credentials() };
    let (said, asked) = refusal(&rig, &rig.server.url(BUCKET), &wrong).await;
    assert!(said.contains("SignatureDoesNotMatch") && said.contains("correct secret_access_key"), "{said}");
    assert!(said.contains("s3://millrace at http://127.0.0.1:") && said.contains("region us-east-1"), "{said}");
    assert_eq!(asked, 1, "nothing is gained by asking again");

    let unknown = ObjectStoreCredentials { access_key_id: Some("nobody".to_owned()), ..credentials() };
    let (said, asked) = refusal(&rig, &rig.server.url(BUCKET), &unknown).await;
    assert!(said.contains("InvalidAccessKeyId") && said.contains("correct access_key_id"), "{said}");
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn a_bucket_that_is_missing_is_told_and_is_no_missing_object() {
    let rig = Rig::new().await;
    let (said, asked) = refusal(&rig, &rig.server.url("nowhere/p"), &credentials()).await;
    assert!(said.contains("s3://nowhere/p at http://127.0.0.1:") && said.contains("NoSuchBucket"), "{said}");
    assert!(said.contains("make it, or correct its name"), "{said}");
    assert_eq!(asked, 1);

    let store = open(&rig.server.url("nowhere"), &credentials(), settings()).await;
    let error = store.get(&"a".into()).await.expect_err("there is nothing");
    assert!(matches!(error, Error::Generic { .. }), "else a part would be held for lost: {error}");
    let error = store.delete(&"a".into()).await.expect_err("there is nothing");
    assert!(matches!(error, Error::Generic { .. }), "else it would be held for deleted: {error}");
    let error = store.put(&"a".into(), "x".into()).await.expect_err("there is nothing");
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
    assert_eq!(rig.server.requests(S3Op::Put), 1, "it is not repeated");
}

#[tokio::test]
async fn a_closed_endpoint_is_told_with_its_place() {
    let rig = Rig::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("s3://millrace?endpoint=http://{closed}&allow_http=true");
    let (said, _) = refusal(&rig, &url, &credentials()).await;
    assert!(said.contains(&format!("{closed} cannot be connected to")) && said.contains("refused"), "{said}");
    assert!(said.contains("see that the endpoint is right"), "{said}");
}

#[tokio::test]
async fn a_bucket_in_another_region_is_told_with_the_region() {
    let rig = Rig::new().await;
    rig.server.script(S3Op::List, [S3Fault::AnotherRegion]);
    let (said, asked) = refusal(&rig, &rig.server.url(BUCKET), &credentials()).await;
    assert!(said.contains("the bucket is in another region") && said.contains("write ?region=eu-west-1"), "{said}");
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn an_expired_token_is_told_and_not_asked_with_again() {
    let rig = Rig::new().await;
    rig.server.script(S3Op::List, [S3Fault::ExpiredToken]);
    let (said, asked) = refusal(&rig, &rig.server.url(BUCKET), &credentials()).await;
    assert!(said.contains("ExpiredToken") && said.contains("renew the temporary credentials"), "{said}");
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn a_store_that_is_away_is_waited_for() {
    let rig = Rig::new().await;
    rig.server.script(S3Op::List, [S3Fault::SlowDown, S3Fault::Reset]);
    let retry = RetrySettings { max_backoff: Duration::from_millis(10), ..settings().retry };
    let store = rig.store_with(ObjectStoreSettings { retry, ..settings() }).await;
    check_object_store(store.as_ref()).await.unwrap();
    assert_eq!(rig.server.requests(S3Op::List), 3);
}
