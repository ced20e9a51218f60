//! The other process: a broker and a producer, whose CPU time must not be counted with what is measured.
//!
//! ```text
//! here -> there   ready <bootstrap> <topic>      once all records are made
//! there -> here   go                             begin to send
//! there -> here   seen <partition> <offset>      all records before that offset may be dropped by the broker
//! here -> there   done <records> <bytes>         all are acknowledged
//! there -> here   (end of input)                 end
//! ```

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use crate::prepared::Prepared;
use crate::topic::Topic;
use crate::window::Window;
use crate::workload::Workload;

/// How long the broker may take for the last acknowledgements.
const FLUSH_WITHIN: Duration = Duration::from_secs(60);
/// How long a full queue or window is left alone.
const BREATH: Duration = Duration::from_micros(500);

/// The flags of `produce`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    workload: Workload,
    /// Records a second; as fast as it goes without it.
    #[arg(long)]
    rate: Option<u64>,
}

enum Order {
    Go,
    Seen { partition: usize, offset: u64 },
}

#[derive(Clone, Default)]
struct Refusals(Arc<AtomicU64>);

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, outcome: &DeliveryResult<'_>, (): ()) {
        if outcome.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Runs until its input ends.
pub(crate) fn run(args: &ProduceArgs) -> anyhow::Result<()> {
    let workload = &args.workload;
    let records = Prepared::make(workload.dataset(), workload.seed, workload.bytes())?;
    let topic = Topic::make(workload.brokers.as_deref(), workload.partitions)?;
    let refusals = Refusals::default();
    let producer = ClientConfig::new()
        .set("bootstrap.servers", &topic.bootstrap)
        .set("compression.type", &workload.compression)
        .set("message.timeout.ms", "60000")
        .set("queue.buffering.max.kbytes", "65536")
        .create_with_context(refusals.clone())?;
    let orders = orders()?;
    println!("ready {} {}", topic.bootstrap, topic.name);
    match orders.recv() {
        Ok(Order::Go) => {}
        Ok(Order::Seen { .. }) => bail!("records were seen before any was sent"),
        Err(_) => return topic.remove(),
    }
    let (count, bytes) = (records.len(), records.bytes());
    let partitions = usize::try_from(workload.partitions)?;
    let window = Window::new(topic.window(), partitions);
    let sending = Sending { topic: &topic.name, producer: &producer, partitions, window, orders: &orders };
    if !sending.send_all(records, args.rate)? {
        return topic.remove();
    }
    producer.flush(FLUSH_WITHIN).context("the broker does not acknowledge")?;
    let refused = refusals.0.load(Ordering::Relaxed);
    ensure!(refused == 0, "the broker refused {refused} of {count} records");
    println!("done {count} {bytes}");
    while orders.recv().is_ok() {}
    topic.remove()
}

fn orders() -> anyhow::Result<Receiver<Order>> {
    let (sender, receiver) = sync_channel(1024);
    let parse = |line: &str| -> Option<Order> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["go"] => Some(Order::Go),
            ["seen", partition, offset] => {
                Some(Order::Seen { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
            }
            _ => None,
        }
    };
    let read = move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let Some(order) = parse(&line) else { return };
            if sender.send(order).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("orders".to_owned()).spawn(read)?;
    Ok(receiver)
}

struct Sending<'a> {
    topic: &'a str,
    producer: &'a ThreadedProducer<Refusals>,
    partitions: usize,
    window: Window,
    orders: &'a Receiver<Order>,
}

impl Sending<'_> {
    /// Sends all records, to the partitions in turn; false if its input ended meanwhile. At a rate, each record has its moment,
    /// and is stamped with that and not with when it could be sent: what waits because the other side is slow is late.
    fn send_all(mut self, mut records: Prepared, rate: Option<u64>) -> anyhow::Result<bool> {
        let (start, wall) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH)?);
        for index in 0..records.len() {
            let due = rate.map(|rate| Duration::from_nanos((index as u128 * 1_000_000_000 / u128::from(rate)) as u64));
            if let Some(wait) = due.and_then(|due| due.checked_sub(start.elapsed())) {
                std::thread::sleep(wait);
            }
            let sent = due.unwrap_or_else(|| start.elapsed());
            records.stamp(index, (wall + sent).as_micros() as u64);
            let partition = index % self.partitions;
            if !self.send(partition, records.get(index))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn send(&mut self, partition: usize, payload: &[u8]) -> anyhow::Result<bool> {
        loop {
            if !self.take_orders() {
                return Ok(false);
            }
            if self.window.has_room(partition, payload.len()) {
                let record =
                    BaseRecord::<(), [u8]>::to(self.topic).partition(i32::try_from(partition)?).payload(payload);
                match self.producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {}
                    Err((error, _)) => return Err(error).context("cannot produce"),
                }
            }
            std::thread::sleep(BREATH);
        }
        self.window.sent(partition, payload.len());
        Ok(true)
    }

    /// Takes what the other side has said; false if it is gone.
    fn take_orders(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Seen { partition, offset }) => self.window.seen(partition, offset),
                Ok(Order::Go) => {}
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}
