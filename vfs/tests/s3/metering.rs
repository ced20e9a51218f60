//! Each attempt is counted, with its outcome and its bytes.

use futures::TryStreamExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use millrace_vfs::s3_server::{S3Fault, S3Op};
use object_store::ObjectStoreExt;

use crate::rig::{PIECE, Rig, create, large, read};

#[test]
fn every_attempt_is_counted_with_its_outcome_and_its_bytes() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let rig = Rig::new().await;
            let store = rig.store().await;
            rig.server.script(S3Op::Put, [S3Fault::SlowDown, S3Fault::Reset]);
            store.put(&"a".into(), "12345".into()).await.unwrap();
            store.put_opts(&"a".into(), "other".into(), create()).await.expect_err("it is taken");
            rig.server.script(S3Op::PutPiece, [S3Fault::InternalError]);
            store.put(&"large".into(), large(PIECE + 7).into()).await.unwrap();
            rig.server.script(S3Op::Get, [S3Fault::TruncatedBody(2)]);
            assert_eq!(read(store.as_ref(), "a").await, "12345");
            store.get(&"absent".into()).await.expect_err("it is not there");
            let mut body = store.get(&"large".into()).await.unwrap().into_stream();
            body.try_next().await.unwrap();
            drop(body);
            store.list(None).try_collect::<Vec<_>>().await.unwrap();
            store.list(None).try_next().await.unwrap();
        });
    });
    let shown = recorder.handle().render();
    let requests = |op: &str, outcome: &str| {
        let line = format!("millrace_object_store_requests_total{{op=\"{op}\",outcome=\"{outcome}\"}} ");
        shown.lines().find_map(|shown| shown.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    };
    for (op, outcome, expected) in [
        ("put", "busy", 1),
        ("put", "unreachable", 1),
        ("put", "ok", 1),
        ("put", "already_exists", 1),
        ("head", "ok", 1),
        ("put_multipart", "ok", 1),
        ("put_part", "error", 1),
        ("put_part", "ok", 2),
        ("complete", "ok", 1),
        ("get", "unreachable", 1),
        ("get", "ok", 1),
        ("get", "not_found", 1),
        ("get", "cut", 1),
        ("list", "ok", 1),
        ("list", "cut", 1),
    ] {
        assert_eq!(requests(op, outcome), expected, "{op} {outcome} in:\n{shown}");
    }
    let bytes = |op: &str| {
        let line = format!("millrace_object_store_bytes_total{{op=\"{op}\"}} ");
        let found = shown.lines().find_map(|shown| shown.strip_prefix(&line));
        found.map_or(0, |count| count.parse::<usize>().unwrap())
    };
    assert_eq!((bytes("put"), bytes("put_part")), (5, PIECE + 7));
    assert!((6..PIECE).contains(&bytes("get")), "what came, not what was asked for: {}", bytes("get"));
}
