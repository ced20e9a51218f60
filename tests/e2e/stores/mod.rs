//! A catalog and parts that are not in the data directory: what outlives a machine, who may use it, and what happens while it is
//! away.

mod canary;
mod owners;
mod postgres;
mod s3;
mod tools;

use millrace_tests::{Broker, Ledger, events};
use tokio::sync::RwLock;

/// Tests that use the shared Postgres hold it to read; the one that restarts it, to write.
static POSTGRES: RwLock<()> = RwLock::const_new(());

/// Sends `count` further events to partition 0.
async fn send(broker: &Broker, ledger: &mut Ledger, count: i64) {
    let from = ledger.len() as i64;
    let payloads = (from..from + count).map(|seq| (0, events::payload(seq, &format!("{seq:x>20}")))).collect();
    broker.producer(&[]).unwrap().send_all(payloads, ledger).await.unwrap();
}
