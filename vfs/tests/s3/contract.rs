//! What any S3 owes, whoever runs it.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use millrace_vfs::s3_server::credentials;
use millrace_vfs::{OsRandom, Random, check_object_store};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::{PIECE, Rig, create, large, names, open, read, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_test_server_keeps_the_contract() {
    let rig = Rig::new().await;
    keeps_the_contract(rig.store().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_keeps_the_contract() {
    let Some(endpoint) = another_server() else { return };
    let bucket = format!("millrace-{:016x}", OsRandom.next_u64());
    make_bucket(&endpoint, &bucket).await;
    let url = format!("s3://{bucket}/a%20prefix/p?endpoint={endpoint}&region=us-east-1&allow_http=true");
    keeps_the_contract(open(&url, &credentials(), settings()).await).await;
}

async fn keeps_the_contract(store: Arc<dyn ObjectStore>) {
    check_object_store(store.as_ref()).await.unwrap();
    objects_come_and_go(store.as_ref()).await;
    a_name_is_created_once(store.as_ref()).await;
    an_upload_is_invisible_until_it_is_completed(store.as_ref()).await;
    ranges_are_what_was_asked_for(store.as_ref()).await;
    large_objects_are_whole(store.as_ref()).await;
    listings_have_everything(store.as_ref()).await;
    of_many_that_create_one_name_one_wins(&store).await;
}

async fn objects_come_and_go(store: &dyn ObjectStore) {
    assert_eq!(names(store, None).await, [] as [&str; 0], "the suite starts from nothing");
    let put = store.put(&"ab/1/x.parquet".into(), "first".into()).await.unwrap();
    let head = store.head(&"ab/1/x.parquet".into()).await.unwrap();
    assert_eq!((head.size, head.e_tag), (5, put.e_tag));
    store.put(&"ab/1/x.parquet".into(), "second".into()).await.unwrap();
    store.copy(&"ab/1/x.parquet".into(), &"cd/ä y+&%.parquet".into()).await.unwrap();
    store.put(&"empty".into(), "".into()).await.unwrap();
    assert_eq!(read(store, "cd/ä y+&%.parquet").await, "second");
    assert_eq!(read(store, "empty").await, "");
    assert_eq!(names(store, None).await.len(), 3);
    assert_eq!(names(store, Some("ab")).await, ["ab/1/x.parquet"]);
    let top = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(top.common_prefixes, ["ab".into(), "cd".into()] as [Path; 2]);
    assert_eq!(top.objects.len(), 1);
    for name in ["ab/1/x.parquet", "cd/ä y+&%.parquet", "empty", "empty", "never there"] {
        store.delete(&name.into()).await.unwrap();
    }
    assert!(matches!(store.head(&"empty".into()).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.get(&"empty".into()).await, Err(Error::NotFound { .. })));
    assert_eq!(names(store, None).await, [] as [&str; 0]);
}

async fn a_name_is_created_once(store: &dyn ObjectStore) {
    store.put_opts(&"once".into(), "first".into(), create()).await.unwrap();
    for content in ["other", "first"] {
        let taken = store.put_opts(&"once".into(), content.into(), create()).await;
        assert!(matches!(taken, Err(Error::AlreadyExists { .. })), "{taken:?}");
    }
    assert_eq!(read(store, "once").await, "first");
    store.delete(&"once".into()).await.unwrap();
    store.put_opts(&"once".into(), "again".into(), create()).await.unwrap();
    store.delete(&"once".into()).await.unwrap();
}

async fn an_upload_is_invisible_until_it_is_completed(store: &dyn ObjectStore) {
    let mut upload = store.put_multipart(&"big".into()).await.unwrap();
    let (first, rest) = (large(PIECE), "the rest");
    let parts = [upload.put_part(first.clone().into()), upload.put_part(rest.into())];
    for part in parts.into_iter().rev() {
        part.await.unwrap();
    }
    assert!(matches!(store.head(&"big".into()).await, Err(Error::NotFound { .. })));
    assert_eq!(names(store, None).await, [] as [&str; 0]);
    upload.complete().await.unwrap();
    let whole = read(store, "big").await;
    assert!(whole.starts_with(&first) && whole.ends_with(rest.as_bytes()) && whole.len() == PIECE + rest.len());

    let mut aborted = store.put_multipart(&"never".into()).await.unwrap();
    aborted.put_part("x".into()).await.unwrap();
    aborted.abort().await.unwrap();
    assert!(matches!(store.head(&"never".into()).await, Err(Error::NotFound { .. })));
    store.delete(&"big".into()).await.unwrap();
}

async fn ranges_are_what_was_asked_for(store: &dyn ObjectStore) {
    let content = large(100_000);
    store.put(&"ranges".into(), content.clone().into()).await.unwrap();
    let range = store.get_range(&"ranges".into(), 10..20).await.unwrap();
    assert_eq!(range, content[10..20]);
    let wanted = [0..1, 99_999..100_000, 40_000..60_000];
    let found = store.get_ranges(&"ranges".into(), &wanted).await.unwrap();
    for (found, wanted) in found.iter().zip(wanted) {
        assert_eq!(*found, content[wanted.start as usize..wanted.end as usize]);
    }
    store.get_range(&"ranges".into(), 100_000..100_001).await.expect_err("there is nothing");
    store.delete(&"ranges".into()).await.unwrap();
}

async fn large_objects_are_whole(store: &dyn ObjectStore) {
    let content = large(2 * PIECE + 12_345);
    store.put(&"large".into(), content.clone().into()).await.unwrap();
    assert!(read(store, "large").await == content);
    store.delete(&"large".into()).await.unwrap();
}

async fn listings_have_everything(store: &dyn ObjectStore) {
    // More than S3 tells at once.
    const OBJECTS: usize = 1_050;
    let name = |number: usize| Path::from(format!("many/{number:04}"));
    let put = |number| async move { store.put(&name(number), "x".into()).await };
    stream::iter(0..OBJECTS).map(put).buffer_unordered(16).try_collect::<Vec<_>>().await.unwrap();
    let expected: Vec<String> = (0..OBJECTS).map(|number| name(number).to_string()).collect();
    assert_eq!(names(store, Some("many")).await, expected);
    let after: Vec<_> = store.list_with_offset(Some(&"many".into()), &name(1_000)).try_collect().await.unwrap();
    assert_eq!(after.len(), OBJECTS - 1_001);
    let all = stream::iter((0..OBJECTS).map(name)).map(Ok).boxed();
    assert_eq!(store.delete_stream(all).try_collect::<Vec<_>>().await.unwrap().len(), OBJECTS);
    assert_eq!(names(store, None).await, [] as [&str; 0]);
}

/// 1,000 that create one name at once, as many with other bytes as with the same.
pub async fn of_many_that_create_one_name_one_wins(store: &Arc<dyn ObjectStore>) {
    let put = |number: usize| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let content = format!("by {}", number / 2);
            match store.put_opts(&"raced".into(), content.clone().into(), create()).await {
                Ok(_) => Some(content),
                Err(Error::AlreadyExists { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        })
    };
    let outcomes: Vec<Option<String>> =
        stream::iter(0..1_000).map(put).buffer_unordered(50).map(Result::unwrap).collect().await;
    let winners: Vec<String> = outcomes.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(read(store.as_ref(), "raced").await, winners[0]);
    store.delete(&"raced".into()).await.unwrap();
}

/// Its endpoint; says so by name where there is none.
fn another_server() -> Option<String> {
    const HINT: &str = "skipped: no other S3 (set MILLRACE_TEST_S3 or run tests/components/moto.sh)";
    let endpoint = std::env::var("MILLRACE_TEST_S3").ok().filter(|value| !value.is_empty());
    if endpoint.is_none() {
        let required = std::env::var("MILLRACE_TEST_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|name| name.trim() == "s3"), "s3 is required here; {HINT}");
        println!("{HINT}");
    }
    endpoint
}

/// By hand: making buckets is no business of this crate. The server does not check signatures.
async fn make_bucket(endpoint: &str, bucket: &str) {
    let host = endpoint.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(host).await.unwrap();
    let scope = "AWS4-HMAC-SHA256 Credential=tests/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
    let request = format!(
        "PUT /{bucket} HTTP/1.1\r\nhost: {host}\r\nauthorization: {scope}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
}
