//! HTTP for operators: `/healthz` (the process lives), `/readyz` (it can serve), `/metrics` (Prometheus); and for clients that
//! load files, `/v1/load` ([`crate::load`]).
//!
//! Owns the routes and the gauges that are sampled at each scrape; every other metric is counted where it happens.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, put};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vfs::Clock;
use warehouse::memory::MemoryBudget;
use warehouse::write::messages::Heartbeat;

use crate::load::{self, Loads};
use crate::manager::Manager;

/// Bucket bounds of latencies, in seconds: an fsync of a fast disk to a visible latency of a minute.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Installs the process's metrics recorder; once a process.
///
/// # Errors
/// If there is one already.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?;
    let handle = builder.install_recorder()?;
    describe();
    Ok(handle)
}

fn describe() {
    use metrics::Unit;
    metrics::describe_gauge!("millrace_lag_records", Unit::Count, "Records at the broker that no query sees yet");
    metrics::describe_gauge!(
        "millrace_lag_seconds",
        Unit::Seconds,
        "Age of the newest visible record while there are newer ones"
    );
    metrics::describe_histogram!(
        "millrace_visible_latency_seconds",
        Unit::Seconds,
        "From a record's broker timestamp to visible"
    );
    metrics::describe_histogram!("millrace_commit_seconds", Unit::Seconds, "Duration of a commit, retries included");
    metrics::describe_histogram!(
        "millrace_wal_fsync_seconds",
        Unit::Seconds,
        "Duration of an fsync of the write-ahead log"
    );
    metrics::describe_counter!(
        "millrace_unknown_fields_total",
        Unit::Count,
        "Fields of records that no column of their pipeline takes"
    );
    metrics::describe_gauge!("millrace_memtable_bytes", Unit::Bytes, "Bytes in memtables that are not being flushed");
    metrics::describe_gauge!("millrace_memory_used_bytes", Unit::Bytes, "Bytes that ingest and queries hold");
    metrics::describe_gauge!("millrace_memory_limit_bytes", Unit::Bytes, "The process's memory limit");
    metrics::describe_gauge!("millrace_ingest_memory_bytes", Unit::Bytes, "Bytes that ingest holds");
    metrics::describe_gauge!("millrace_query_memory_bytes", Unit::Bytes, "Bytes that queries hold");
    metrics::describe_gauge!(
        "millrace_kept_memory_bytes",
        Unit::Bytes,
        "Bytes of footers that are kept because they are likely to be needed again"
    );
    metrics::describe_gauge!("millrace_pinned_queries", Unit::Count, "Queries that hold rows of memtables");
    metrics::describe_gauge!("millrace_wal_bytes", Unit::Bytes, "Bytes of the write-ahead log on disk");
}

/// The HTTP server.
pub struct HttpServer {
    /// Where it listens.
    pub listener: TcpListener,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Asked for heartbeats at each scrape.
    pub manager: Arc<Manager>,
    /// The process's memory, sampled at each scrape.
    pub memory: Arc<MemoryBudget>,
    /// Takes files of rows.
    pub loads: Loads,
    /// For lag in seconds.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the process stops: from then on it is not ready.
    pub stop: CancellationToken,
}

#[derive(Clone)]
struct Shared {
    metrics: PrometheusHandle,
    manager: Arc<Manager>,
    memory: Arc<MemoryBudget>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
}

impl HttpServer {
    /// Serves until stopped.
    ///
    /// # Errors
    /// If the listener breaks.
    pub async fn run(self) -> std::io::Result<()> {
        let Self { listener, metrics, manager, memory, loads, clock, stop } = self;
        let stopped = stop.clone();
        let shared = Shared { metrics, manager, memory, clock, stop };
        let routes = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics_text))
            .with_state(shared)
            .merge(Router::new().route("/v1/load/{database}/{table}", put(load::put)).with_state(loads));
        axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(async move { stopped.cancelled().await })
            .await
    }
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    if shared.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    let workers = shared.manager.heartbeats().await;
    if workers.is_empty() {
        return (StatusCode::SERVICE_UNAVAILABLE, "no worker answers\n".to_owned());
    }
    (StatusCode::OK, "ready\n".to_owned())
}

async fn metrics_text(State(shared): State<Shared>) -> String {
    let now_ms = shared.clock.wall().0 / 1_000;
    sample_memory(&shared.memory);
    for worker in shared.manager.heartbeats().await {
        sample(&worker, now_ms);
    }
    shared.metrics.render()
}

fn sample_memory(memory: &MemoryBudget) {
    let (ingest, queries, kept) = (memory.used(), memory.query_used(), memory.kept());
    metrics::gauge!("millrace_memory_used_bytes").set((ingest + queries + kept) as f64);
    metrics::gauge!("millrace_memory_limit_bytes").set(memory.limits().total as f64);
    metrics::gauge!("millrace_ingest_memory_bytes").set(ingest as f64);
    metrics::gauge!("millrace_query_memory_bytes").set(queries as f64);
    metrics::gauge!("millrace_kept_memory_bytes").set(kept as f64);
}

/// Gauges that are true of this moment only.
fn sample(worker: &Heartbeat, now_ms: i64) {
    let memtables: u64 = worker.tasks.iter().map(|task| task.memtable_bytes).sum();
    metrics::gauge!("millrace_memtable_bytes").set(memtables as f64);
    metrics::gauge!("millrace_wal_bytes").set(worker.wal_bytes as f64);
    metrics::gauge!("millrace_pinned_queries").set(worker.pinned_queries as f64);
    for task in &worker.tasks {
        for stream in &task.streams {
            let labels = [
                ("pipeline", task.pipeline.to_string()),
                ("topic", stream.topic.to_string()),
                ("partition", stream.partition.to_string()),
            ];
            if let Some(lag) = stream.lag_records() {
                metrics::gauge!("millrace_lag_records", &labels).set(lag as f64);
            }
            if let Some(lag) = stream.lag_ms(now_ms) {
                metrics::gauge!("millrace_lag_seconds", &labels).set(lag as f64 / 1_000.0);
            }
        }
    }
}
