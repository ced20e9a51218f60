//! The door: accepts clients, limits how many, and gives each its own task. A task's panic ends that client's connection and
//! nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use vfs::World;
use warehouse::memory::MemoryBudget;

use super::auth::Accounts;
use super::codec::{MAX_ALLOWED_PACKET, PacketWriter};
use super::connection::Connection;
use super::error::SqlError;
use super::handler::SessionFactory;
use super::reply::encode_error;

/// How long accepting pauses after it failed, mostly for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The limits of the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Connections at a time, logged in or not.
    pub max_connections: usize,
    /// How long a client may take to log in.
    pub login_timeout: Duration,
    /// How long a client may be silent between commands.
    pub idle_timeout: Duration,
    /// The largest command in bytes.
    pub max_allowed_packet: usize,
    /// What the greeting says; the number in front tells drivers which MySQL to expect.
    pub server_version: String,
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self {
            max_connections: 512,
            login_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(8 * 60 * 60),
            max_allowed_packet: MAX_ALLOWED_PACKET,
            server_version: format!("8.4.0-millrace-{}", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// Why the port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen for MySQL clients on {address}: {cause}; stop the process that uses the port, or choose another with --mysql-listen"
)]
pub struct ListenError {
    /// What was asked for.
    pub address: SocketAddr,
    /// Why not; it is part of the message.
    pub cause: std::io::Error,
}

/// What all connections share.
pub(super) struct Front {
    pub(super) accounts: Arc<dyn Accounts>,
    pub(super) sessions: Arc<dyn SessionFactory>,
    pub(super) world: World,
    pub(super) settings: ListenerSettings,
    /// What large commands are charged to.
    pub(super) memory: Arc<MemoryBudget>,
}

/// The open MySQL port.
pub struct Listener {
    socket: TcpListener,
    front: Arc<Front>,
    cancel: CancellationToken,
}

impl Listener {
    /// Opens the port, so that clients may already connect; they are served by [`Listener::run`]. What they send is charged to
    /// `memory`, where it is large.
    pub async fn bind(
        address: SocketAddr,
        accounts: Arc<dyn Accounts>,
        sessions: Arc<dyn SessionFactory>,
        world: World,
        settings: ListenerSettings,
        memory: Arc<MemoryBudget>,
        cancel: CancellationToken,
    ) -> Result<Self, ListenError> {
        let socket = TcpListener::bind(address).await.map_err(|cause| ListenError { address, cause })?;
        Ok(Self { socket, front: Arc::new(Front { accounts, sessions, world, settings, memory }), cancel })
    }

    /// The address that was opened: with the port that the system chose, if 0 was asked for.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves clients until the token is cancelled; then ends their connections and returns when the last one has gone.
    pub async fn run(self) {
        metrics::gauge!("millrace_connections_limit").set(self.front.settings.max_connections as f64);
        let permits = Arc::new(Semaphore::new(self.front.settings.max_connections));
        let mut connections = JoinSet::new();
        let mut last_id: u32 = 0;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.cancel.cancelled() => break,
                Some(ended) = connections.join_next() => {
                    report(ended);
                    continue;
                }
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => {
                    last_id = last_id.wrapping_add(1).max(1);
                    match permits.clone().try_acquire_owned() {
                        Ok(permit) => self.welcome(&mut connections, socket, peer, last_id, permit),
                        Err(_) => self.turn_away(socket).await,
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot accept a MySQL client; trying again");
                    self.front.world.clock.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.socket);
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    }

    fn welcome(
        &self,
        connections: &mut JoinSet<()>,
        socket: TcpStream,
        peer: SocketAddr,
        id: u32,
        permit: OwnedSemaphorePermit,
    ) {
        // Without this the last packet of an answer waits for the client's acknowledgement of the one before.
        if let Err(error) = socket.set_nodelay(true) {
            warn!(%error, %peer, "cannot switch off the delay of small packets");
        }
        let connection = Connection::new(socket, peer, id, self.front.clone(), self.cancel.clone());
        metrics::gauge!("millrace_connections").increment(1.0);
        connections.spawn(async move {
            connection.run().await;
            metrics::gauge!("millrace_connections").decrement(1.0);
            drop(permit);
        });
    }

    /// Says why, in one packet that fits into any socket's buffer, so that the accept loop never waits for a client.
    async fn turn_away(&self, socket: TcpStream) {
        metrics::counter!("millrace_connections_refused_total").increment(1);
        let error = SqlError::too_many_connections(self.front.settings.max_connections);
        let mut writer = PacketWriter::new(socket);
        writer.packet(|out| encode_error(&error, out));
        if let Err(error) = writer.flush().await {
            warn!(%error, "a client above the connection limit could not be told");
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a MySQL connection's task panicked");
    }
}
