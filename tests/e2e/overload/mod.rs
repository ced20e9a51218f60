//! Each limit, overloaded for a while (`MILLRACE_TEST_OVERLOAD_SECONDS`; CI says a minute): nothing is lost, the process lives and
//! stays within its limit, what is asked of it meanwhile is answered or refused in clear words, and lag drains afterwards (I8, I9).

mod connections;
mod disk;
mod flood;
mod memory;
mod records;
mod statements;
mod wal;

use std::time::{Duration, Instant};

use millrace_tests::ServerProcess;

/// For how long a limit is overloaded.
fn duration() -> Duration {
    let seconds = std::env::var("MILLRACE_TEST_OVERLOAD_SECONDS").ok().map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(6))
}

/// The end of an overload that begins now.
fn deadline() -> Instant {
    Instant::now() + duration()
}

/// The value of a metric without labels; 0 before it was ever counted.
async fn metric(server: &ServerProcess, name: &str) -> f64 {
    let (status, text) = server.http("/metrics").await.unwrap();
    assert_eq!(status, 200);
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_default()
}
