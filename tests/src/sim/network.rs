//! The network between managers, queries and workers: messages are lost, delayed, doubled and overtaken, and two processes can
//! be cut off from each other. Owns what becomes of a message; what it says is the product's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use vfs::Clock;
use warehouse::read::pin::{
    MemtableReader, MemtableScan, PinError, PinOutcome, PinRequest, QueryId, SendableRecordBatchStream,
};
use warehouse::write::local::LocalWorkers;
use warehouse::write::messages::{Heartbeat, LinkError, WorkerCommand, WorkerLink};
use warehouse::write::worker::Worker;

use super::draw::Draw;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(400);
/// How often a message to a process that sleeps is tried again.
const KNOCK: Duration = Duration::from_millis(15);

/// How often messages suffer, in a thousand, and how late they are at the most.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Lost, the question or the answer.
    pub lost: u32,
    /// Delivered twice: commands only, the others ask.
    pub doubled: u32,
    /// The longest delay, in milliseconds.
    pub delay_ms: u64,
}

/// The network. Clones are the same.
#[derive(Clone, Debug)]
pub struct Network(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    draw: Draw,
    now: Duration,
    weather: Weather,
    cut: BTreeSet<(String, String)>,
    workers: BTreeMap<String, Endpoint>,
    on_the_way: BTreeMap<(Duration, u64), Message>,
    sent: u64,
}

/// A worker's process as the network sees it.
#[derive(Clone)]
struct Endpoint {
    worker: Option<Arc<Worker>>,
    handle: Option<Handle>,
    asleep: bool,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint(open: {}, asleep: {})", self.worker.is_some(), self.asleep)
    }
}

#[derive(Debug)]
struct Message {
    from: String,
    to: String,
    command: WorkerCommand,
    answer: Option<oneshot::Sender<Result<(), String>>>,
}

impl Network {
    /// A network between processes of which none runs.
    pub fn new(draw: Draw, weather: Weather, addresses: &[String]) -> Self {
        let none = Endpoint { worker: None, handle: None, asleep: false };
        let workers = addresses.iter().map(|address| (address.clone(), none.clone())).collect();
        let (cut, on_the_way) = (BTreeSet::new(), BTreeMap::new());
        let state = State { draw, now: Duration::ZERO, weather, cut, workers, on_the_way, sent: 0 };
        Self(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how messages fare.
    pub fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// Cuts two processes off from each other, or joins them again.
    pub fn set_cut(&self, one: &str, other: &str, cut: bool) {
        let mut state = self.lock();
        for pair in [(one.to_owned(), other.to_owned()), (other.to_owned(), one.to_owned())] {
            if cut {
                state.cut.insert(pair)
            } else {
                state.cut.remove(&pair)
            };
        }
    }

    /// A worker's process was started, and is reached once its worker is open.
    pub fn attach(&self, address: &str, worker: Option<Arc<Worker>>, handle: Option<Handle>) {
        self.lock().workers.insert(address.to_owned(), Endpoint { worker, handle, asleep: false });
    }

    /// The worker is open.
    pub fn opened(&self, address: &str, worker: Arc<Worker>) {
        if let Some(endpoint) = self.lock().workers.get_mut(address) {
            endpoint.worker = Some(worker);
        }
    }

    /// A process sleeps, or wakes.
    pub fn set_asleep(&self, address: &str, asleep: bool) {
        if let Some(endpoint) = self.lock().workers.get_mut(address) {
            endpoint.asleep = asleep;
        }
    }

    /// The open worker at an address.
    pub fn worker(&self, address: &str) -> Option<Arc<Worker>> {
        self.lock().workers.get(address).and_then(|endpoint| endpoint.worker.clone())
    }

    /// Hands over the messages that are due.
    pub fn deliver(&self, now: Duration) {
        let mut state = self.lock();
        state.now = now;
        while let Some(entry) = state.on_the_way.first_entry().filter(|entry| entry.key().0 <= now) {
            let message = entry.remove();
            let endpoint = state.workers.get(&message.to).cloned();
            let Some(Endpoint { worker: Some(worker), handle: Some(handle), asleep }) = endpoint else { continue };
            if state.is_cut(&message.from, &message.to) {
                continue;
            }
            if asleep {
                state.send(now + KNOCK, message);
                continue;
            }
            let Message { command, answer, .. } = message;
            handle.spawn(async move {
                let taken = worker.command(command).await.map_err(|error| error.to_string());
                if let Some(answer) = answer {
                    // Whoever asked may have lost patience.
                    let _ = answer.send(taken);
                }
            });
        }
    }

    /// The end of a process at the network: how `from` reaches workers.
    pub fn link(&self, from: &str, clock: Arc<dyn Clock>) -> Arc<Link> {
        Arc::new(Link { network: self.clone(), from: from.to_owned(), clock })
    }
}

impl State {
    fn is_cut(&self, from: &str, to: &str) -> bool {
        self.cut.contains(&(from.to_owned(), to.to_owned()))
    }

    fn send(&mut self, due: Duration, message: Message) {
        self.sent += 1;
        let sent = self.sent;
        self.on_the_way.insert((due, sent), message);
    }

    fn delay(&self) -> Duration {
        Duration::from_micros(self.draw.number(0, self.weather.delay_ms * 1_000 + 1))
    }
}

/// How one process reaches the workers.
#[derive(Debug)]
pub struct Link {
    network: Network,
    from: String,
    clock: Arc<dyn Clock>,
}

impl Link {
    /// One way of a message: it takes its time, or is lost.
    async fn travel(&self, address: &str) -> Result<(), String> {
        let (delay, lost) = {
            let state = self.network.lock();
            (state.delay(), state.draw.happens(state.weather.lost) || state.is_cut(&self.from, address))
        };
        if lost || delay > PATIENCE {
            self.clock.sleep(PATIENCE).await;
            return Err("no answer in time".to_owned());
        }
        self.clock.sleep(delay).await;
        Ok(())
    }

    /// Asks a worker something that it answers at once.
    async fn ask<T>(&self, address: &str, question: impl FnOnce(&Worker) -> T) -> Result<T, String> {
        self.travel(address).await?;
        let began = self.clock.now();
        let answer = loop {
            let endpoint = self.network.lock().workers.get(address).cloned();
            let Some(Endpoint { worker: Some(worker), handle: Some(handle), asleep }) = endpoint else {
                return Err("connection refused".to_owned());
            };
            if !asleep {
                let _in = handle.enter();
                break question(&worker);
            }
            if self.clock.now().since(began) > PATIENCE {
                return Err("no answer in time".to_owned());
            }
            self.clock.sleep(KNOCK).await;
        };
        self.travel(address).await?;
        Ok(answer)
    }

    fn silent(address: &str) -> impl FnOnce(String) -> LinkError {
        let address = address.to_owned();
        |cause| LinkError::Unreachable { address, cause }
    }

    fn unread(address: &str) -> impl FnOnce(String) -> PinError {
        let address = address.to_owned();
        |cause| PinError::Unreachable { address, cause }
    }
}

#[async_trait]
impl WorkerLink for Link {
    fn addresses(&self) -> Vec<String> {
        self.network.lock().workers.keys().cloned().collect()
    }

    async fn command(&self, address: &str, command: WorkerCommand) -> Result<(), LinkError> {
        let (answer, taken) = oneshot::channel();
        {
            let mut state = self.network.lock();
            let message =
                |answer| Message { from: self.from.clone(), to: address.to_owned(), command: command.clone(), answer };
            // A second copy may come when nobody thinks of the first any more.
            let (first, second) = (state.now + state.delay(), state.now + state.delay() * 8);
            if state.draw.happens(state.weather.doubled) {
                state.send(second, message(None));
            }
            if !state.draw.happens(state.weather.lost) {
                state.send(first, message(Some(answer)));
            }
        }
        tokio::select! {
            biased;
            taken = taken => match taken {
                Ok(taken) => taken.map_err(|cause| LinkError::Refused { address: address.to_owned(), cause }),
                Err(_) => Err(Self::silent(address)("connection lost".to_owned())),
            },
            () = self.clock.sleep(PATIENCE) => Err(Self::silent(address)("no answer in time".to_owned())),
        }
    }

    async fn heartbeat(&self, address: &str) -> Result<Heartbeat, LinkError> {
        self.ask(address, Worker::heartbeat).await.map_err(Self::silent(address))
    }
}

#[async_trait]
impl MemtableReader for Link {
    async fn pin(&self, address: &str, request: PinRequest) -> Result<PinOutcome, PinError> {
        self.ask(address, |worker| worker.pin(&request)).await.map_err(Self::unread(address))
    }

    async fn scan(
        &self,
        address: &str,
        schema: SchemaRef,
        scan: MemtableScan,
    ) -> Result<SendableRecordBatchStream, PinError> {
        self.travel(address).await.map_err(Self::unread(address))?;
        let endpoint = self.network.lock().workers.get(address).cloned();
        let Some(Endpoint { worker: Some(worker), asleep: false, .. }) = endpoint else {
            return Err(Self::unread(address)("connection refused".to_owned()));
        };
        let here = LocalWorkers::new();
        here.add(address, worker);
        here.scan(address, schema, scan).await
    }

    fn unpin(&self, address: &str, query: QueryId) {
        let (endpoint, lost) = {
            let state = self.network.lock();
            let lost = state.draw.happens(state.weather.lost) || state.is_cut(&self.from, address);
            (state.workers.get(address).cloned(), lost)
        };
        if let Some(Endpoint { worker: Some(worker), asleep: false, .. }) = endpoint.filter(|_| !lost) {
            worker.unpin(query);
        }
    }
}
