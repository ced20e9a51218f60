//! HTTP for operators.

use millrace_tests::{Broker, events};

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_readiness_and_every_metric_that_is_promised() {
    let broker = Broker::mock("events", 2).unwrap();
    let stage = Stage::with_events(&broker, "flush_interval = '100ms'").await;
    assert_eq!(stage.server.http("/healthz").await.unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(stage.server.http("/readyz").await.unwrap(), (200, "ready\n".to_owned()));
    assert_eq!(stage.server.http("/nothing").await.unwrap().0, 404);

    let producer = broker.producer(&[]).unwrap();
    for seq in 0..100 {
        producer.send((seq % 2) as i32, Some(&events::payload(seq, "x"))).await.unwrap();
    }
    stage.until("SELECT sum(committed_offset) FROM system.streams", 100).await;
    let (status, metrics) = stage.server.http("/metrics").await.unwrap();
    assert_eq!(status, 200);
    for name in [
        "millrace_lag_records{",
        "millrace_lag_seconds{",
        "millrace_visible_latency_seconds_bucket{",
        "millrace_commit_seconds_bucket{",
        "millrace_wal_fsync_seconds_bucket{",
        "millrace_memtable_bytes",
        "millrace_wal_bytes",
        "millrace_memory_used_bytes",
        "millrace_memory_limit_bytes",
    ] {
        assert!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }
    for partition in ["partition=\"0\"", "partition=\"1\""] {
        let of_it = |name: &str| metrics.lines().any(|line| line.starts_with(name) && line.contains(partition));
        assert!(of_it("millrace_lag_records") && of_it("millrace_lag_seconds"), "lag of {partition} in\n{metrics}");
    }
    let lag = metrics.lines().filter(|line| line.starts_with("millrace_lag_records{"));
    assert!(lag.clone().all(|line| line.ends_with(" 0")), "all is read: {:?}", lag.collect::<Vec<_>>());
}
