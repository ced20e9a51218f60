//! A producer that never lets the server come to rest: there is always more at the broker than the server has taken in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millrace_tests::{Broker, Ledger, Producer, Sql};
use tokio::task::JoinHandle;

use crate::stage::Stage;

/// The mock broker keeps the last 5 MiB of a partition: nobody may run further ahead of what was taken in.
const AHEAD_BYTES: usize = 3 << 20;

/// A running flood.
pub(super) struct Flood {
    stop: Arc<AtomicBool>,
    running: JoinHandle<Ledger>,
}

impl Flood {
    /// Sends what `payload` makes of rising numbers to every partition, as fast as the server takes it in.
    pub(super) async fn start(
        broker: &Broker,
        stage: &Stage,
        payload: impl Fn(i64) -> Vec<u8> + Send + 'static,
    ) -> Self {
        Self::paced(broker, stage, Duration::ZERO, payload).await
    }

    /// The same, with a pause after each 384 KiB.
    pub(super) async fn paced(
        broker: &Broker,
        stage: &Stage,
        pause: Duration,
        payload: impl Fn(i64) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let source = Source {
            producer: broker.producer(&[]).unwrap(),
            partitions: broker.partitions,
            sql: stage.server.sql().await.unwrap(),
            pause,
            stop: Arc::clone(&stop),
        };
        Self { stop, running: tokio::spawn(source.run(payload)) }
    }

    /// Ends it; what was produced.
    pub(super) async fn end(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        self.running.await.unwrap()
    }
}

struct Source {
    producer: Producer,
    partitions: i32,
    sql: Sql,
    pause: Duration,
    stop: Arc<AtomicBool>,
}

impl Source {
    async fn run(mut self, payload: impl Fn(i64) -> Vec<u8> + Send) -> Ledger {
        let (mut ledger, mut seq, mut behind) = (Ledger::default(), 0, 0);
        while !self.stop.load(Ordering::Relaxed) {
            let mut payloads = Vec::new();
            let mut bytes = 0;
            while bytes < AHEAD_BYTES / 8 {
                let payload = payload(seq);
                bytes += payload.len();
                payloads.extend((0..self.partitions).map(|partition| (partition, payload.clone())));
                seq += 1;
            }
            let sent = payloads.len();
            self.producer.send_all(payloads, &mut ledger).await.unwrap();
            behind += bytes;
            tokio::time::sleep(self.pause).await;
            // Between two looks no more is sent than the broker keeps.
            while behind + AHEAD_BYTES / 8 > AHEAD_BYTES && !self.stop.load(Ordering::Relaxed) {
                let missing = ledger.len() as i64 - self.taken_in().await;
                behind = usize::try_from(missing).unwrap() * bytes / sent;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        ledger
    }

    /// Offsets that the server has logged.
    async fn taken_in(&mut self) -> i64 {
        self.sql.number("SELECT coalesce(sum(visible_offset), 0) FROM system.streams").await.unwrap()
    }
}
