//! One client from its greeting to its end: login, then one command after the other. Owns the order of things and what ends
//! a connection; statements are the session's, packets are the codec's.
//!
//! ```text
//!   login ──> idle ──> executing ──> idle ──> …          any state ──> closed
//!     │        │           │
//!     │        │           └─ the client leaves, or another session kills it: the statement's future is dropped
//!     │        └─ COM_CHANGE_USER: the session ends; another login on the same socket
//!     └─ too slow, refused
//! ```

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::answering::{Answering, Next};
use super::auth::Salt;
use super::capabilities::Capabilities;
use super::codec::{CodecError, LOGIN_PACKET_LIMIT, PacketReader, PacketWriter};
use super::commands::Command;
use super::error::SqlError;
use super::handler::{Login, SqlSession};
use super::handshake::ChangeUser;
use super::listener::Front;
use super::login::{Judged, LoginExchange, Verdict};
use super::reply::{Done, Place, encode_error};
use super::statements::Statements;

/// One client's connection.
pub(super) struct Connection {
    reader: PacketReader<OwnedReadHalf>,
    writer: PacketWriter<OwnedWriteHalf>,
    front: Arc<Front>,
    id: u32,
    peer: SocketAddr,
    cancel: CancellationToken,
    /// That of the greeting.
    salt: Salt,
}

impl Connection {
    pub(super) fn new(
        socket: TcpStream,
        peer: SocketAddr,
        id: u32,
        front: Arc<Front>,
        cancel: CancellationToken,
    ) -> Self {
        let (reader, writer) = socket.into_split();
        let (reader, writer) = (PacketReader::new(reader, LOGIN_PACKET_LIMIT), PacketWriter::new(writer));
        let salt = Salt::fresh(&*front.world.random);
        Self { reader, writer, front, id, peer, cancel, salt }
    }

    /// Serves the client until it leaves, breaks the protocol or is cancelled.
    pub(super) async fn run(mut self) {
        let cancel = self.cancel.clone();
        let front = self.front.clone();
        let login = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            login = self.login() => login,
            () = front.world.clock.sleep(front.settings.login_timeout) => {
                debug!(connection = self.id, peer = %self.peer, "the login took too long");
                return;
            }
        };
        let logged_in = matches!(login, Ok(Some(_)));
        let ended = match login {
            Ok(Some((session, capabilities))) => self.serve(session, capabilities).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            debug!(connection = self.id, peer = %self.peer, %error, "connection ended");
            self.complain(&error, logged_in).await;
        }
    }

    /// The login up to its OK or ERR packet. Nothing if the client was refused or left.
    async fn login(&mut self) -> Result<Option<(Box<dyn SqlSession>, Capabilities)>, CodecError> {
        let (front, salt, id) = (self.front.clone(), self.salt.clone(), self.id);
        let exchange = self.exchange(&front);
        let Some(judged) = exchange.log_in(&front.settings.server_version, id, salt).await? else {
            return Ok(None);
        };
        let capabilities = judged.request.capabilities;
        let Some(session) = self.open(judged).await? else { return Ok(None) };
        self.reader.set_limit(self.front.settings.max_allowed_packet);
        self.reader.charge_to(Arc::clone(&self.front.memory));
        Ok(Some((session, capabilities)))
    }

    fn exchange<'a>(&'a mut self, front: &'a Front) -> LoginExchange<'a, OwnedReadHalf, OwnedWriteHalf> {
        LoginExchange {
            reader: &mut self.reader,
            writer: &mut self.writer,
            accounts: &*front.accounts,
            random: &*front.world.random,
            is_local: self.peer.ip().to_canonical().is_loopback(),
        }
    }

    /// The session of a login that was judged, and its OK or ERR packet. Nothing if it is refused.
    async fn open(&mut self, judged: Judged) -> Result<Option<Box<dyn SqlSession>>, CodecError> {
        let request = judged.request;
        let opened = match judged.verdict {
            Verdict::Accepted => {
                let login = Login {
                    user: request.user,
                    database: request.database,
                    connection_id: self.id,
                    peer: self.peer.to_string(),
                    attributes: request.attributes,
                };
                // A panic while a session opens must not leave the client waiting for a verdict.
                AssertUnwindSafe(self.front.sessions.open(login))
                    .catch_unwind()
                    .await
                    .unwrap_or_else(|_| Err(self.panicked()))
            }
            Verdict::Denied { used_password } => {
                Err(SqlError::access_denied(&request.user, &self.peer.ip().to_string(), used_password))
            }
            Verdict::NoPassword => Err(SqlError::no_password(&request.user, &self.peer.ip().to_string())),
            Verdict::Unknown(error) => Err(error),
        };
        match opened {
            Ok(session) => {
                self.writer.packet(|out| Done::default().encode(Place::Last, out));
                self.writer.flush().await?;
                Ok(Some(session))
            }
            Err(error) => {
                self.send_error(&error).await?;
                Ok(None)
            }
        }
    }

    /// Another login on this connection. Nothing if it is refused, which ends the connection, as in MySQL.
    async fn change_user(
        &mut self,
        packet: &[u8],
        capabilities: Capabilities,
    ) -> Result<Option<Box<dyn SqlSession>>, CodecError> {
        let request = ChangeUser::parse(packet, capabilities)?;
        let (front, salt, cancel) = (self.front.clone(), self.salt.clone(), self.cancel.clone());
        self.reader.set_limit(LOGIN_PACKET_LIMIT);
        let judged = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(None),
            judged = self.exchange(&front).change(request.0, salt) => judged?,
            () = front.world.clock.sleep(front.settings.login_timeout) => {
                debug!(connection = self.id, peer = %self.peer, "the change of the user took too long");
                return Ok(None);
            }
        };
        let Some(judged) = judged else { return Ok(None) };
        let session = self.open(judged).await?;
        self.reader.set_limit(self.front.settings.max_allowed_packet);
        Ok(session)
    }

    async fn serve(
        &mut self,
        mut session: Box<dyn SqlSession>,
        mut capabilities: Capabilities,
    ) -> Result<(), CodecError> {
        let mut statements = Statements::charged_to(&self.front.memory);
        let mut killed = session.killed();
        while let Some(packet) = self.next_command(&killed, session.idle_timeout()).await? {
            self.writer.begin(self.reader.sequence());
            if let Command::ChangeUser(body) = Command::parse(&packet) {
                // It is taken off the list of sessions before the next one enters it under the same number.
                drop(session);
                statements.clear();
                let Some(next) = self.change_user(body, capabilities).await? else { return Ok(()) };
                session = next;
                killed = session.killed();
                continue;
            }
            let cancel = self.cancel.clone();
            let answering = Answering {
                session: &mut *session,
                writer: &mut self.writer,
                statements: &mut statements,
                capabilities: &mut capabilities,
                long_data_max: self.front.settings.max_allowed_packet,
            };
            let outcome = tokio::select! {
                biased;
                () = cancel.cancelled() => Ok(Err(SqlError::shutting_down())),
                // Before the next branch: a statement that was killed has an answer, where its client still reads.
                outcome = AssertUnwindSafe(answering.run(&packet)).catch_unwind() => match outcome {
                    Ok(outcome) => outcome.map(Ok),
                    Err(_) => Ok(Err(self.panicked())),
                },
                () = killed.cancelled() => return Ok(()),
                () = self.reader.ended() => {
                    debug!(connection = self.id, "the client left while its statement ran; the statement is cancelled");
                    return Ok(());
                }
            };
            match outcome? {
                Ok(Next::Listen) => {}
                Ok(Next::Close) => return Ok(()),
                Err(error) => return self.send_error(&error).await,
            }
        }
        Ok(())
    }

    /// The next command's packet; nothing once the client has left, was killed, has been idle for too long, or the server stops.
    async fn next_command(
        &mut self,
        killed: &CancellationToken,
        idle_timeout: Option<Duration>,
    ) -> Result<Option<Bytes>, CodecError> {
        self.reader.begin(0);
        let idle_timeout = idle_timeout.unwrap_or(self.front.settings.idle_timeout);
        let farewell = tokio::select! {
            biased;
            () = self.cancel.cancelled() => SqlError::shutting_down(),
            () = killed.cancelled() => SqlError::killed(),
            packet = self.reader.next() => return packet,
            () = self.front.world.clock.sleep(idle_timeout) => SqlError::new(
                4031,
                format!("The client was disconnected by the server after {} s without a command; connect again", idle_timeout.as_secs()),
            ),
        };
        // Numbered as an answer: the client reads it as one, when it next asks.
        self.writer.begin(1);
        self.send_error(&farewell).await?;
        Ok(None)
    }

    /// Tells the client why it is being left, if it broke the protocol and may still be listening. All this within the time
    /// of a login.
    async fn complain(&mut self, error: &CodecError, logged_in: bool) {
        let answer = match error {
            CodecError::Io(_) | CodecError::Truncated => return,
            CodecError::OutOfOrder { .. } => SqlError::new(1156, format!("Got packets out of order: {error}")),
            CodecError::TooLarge { limit } => SqlError::new(
                1153,
                format!("Got a packet bigger than 'max_allowed_packet' bytes; the limit is {limit}"),
            ),
            CodecError::NoMemory { bytes } => SqlError::out_of_memory(format!(
                "a packet of {bytes} bytes or more takes more memory than ingest and other statements leave of memory.limit; \
                 connect again and send less at a time, or try again when less runs"
            )),
            CodecError::Malformed(cause) => SqlError::bad_handshake(cause),
        };
        let (cancel, front) = (self.cancel.clone(), self.front.clone());
        let farewell = async {
            if logged_in && matches!(error, CodecError::TooLarge { .. } | CodecError::NoMemory { .. }) {
                self.reader.skip_payload().await?;
            }
            self.writer.begin(self.reader.sequence().max(1));
            self.send_error(&answer).await?;
            self.writer.close().await?;
            self.reader.discard().await;
            Ok::<(), CodecError>(())
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            // If it has gone already there is nobody left to tell.
            _ = farewell => {}
            () = front.world.clock.sleep(front.settings.login_timeout) => {}
        }
    }

    async fn send_error(&mut self, error: &SqlError) -> Result<(), CodecError> {
        self.writer.packet(|out| encode_error(error, out));
        self.writer.flush().await
    }

    fn panicked(&self) -> SqlError {
        error!(connection = self.id, peer = %self.peer, "a statement panicked; its connection is closed");
        SqlError::other(format!(
            "the statement met a defect of the server and this connection is closed; the server's log says more under connection {}",
            self.id
        ))
    }
}
