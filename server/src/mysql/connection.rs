//! One client from its greeting to its end: login, then one command after the other. Owns the order of things and what ends
//! a connection; statements are the session's, packets are the codec's.
//!
//! ```text
//!   login ──> idle ──> executing ──> idle ──> …          any state ──> closed
//!     │                    │
//!     └─ too slow, refused └─ the client leaves: the statement's future is dropped, which cancels it
//! ```

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::capabilities::Capabilities;
use super::codec::{CodecError, LOGIN_PACKET_LIMIT, PacketReader, PacketWriter};
use super::commands::Command;
use super::error::SqlError;
use super::handler::{Answer, Login, SqlSession};
use super::listener::Front;
use super::login::LoginExchange;
use super::reply::{Done, encode_end, encode_error};
use super::resultset::{put_field_list, send_rows};

/// One client's connection.
pub(super) struct Connection {
    reader: PacketReader<OwnedReadHalf>,
    writer: PacketWriter<OwnedWriteHalf>,
    front: Arc<Front>,
    id: u32,
    peer: SocketAddr,
    cancel: CancellationToken,
}

/// What follows a command.
#[derive(PartialEq, Eq)]
enum Next {
    Listen,
    Close,
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
        Self { reader, writer, front, id, peer, cancel }
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
        let exchange = LoginExchange {
            reader: &mut self.reader,
            writer: &mut self.writer,
            accounts: &*self.front.accounts,
            random: &*self.front.world.random,
        };
        let Some(judged) = exchange.run(&self.front.settings.server_version, self.id).await? else { return Ok(None) };
        let request = judged.request;
        let opened = if judged.accepted {
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
        } else {
            Err(SqlError::access_denied(&request.user, &self.peer.ip().to_string(), judged.used_password))
        };
        match opened {
            Ok(session) => {
                self.writer.packet(|out| Done::default().encode(out));
                self.writer.flush().await?;
                self.reader.set_limit(self.front.settings.max_allowed_packet);
                Ok(Some((session, request.capabilities)))
            }
            Err(error) => {
                self.send_error(&error).await?;
                Ok(None)
            }
        }
    }

    async fn serve(&mut self, mut session: Box<dyn SqlSession>, capabilities: Capabilities) -> Result<(), CodecError> {
        while let Some(packet) = self.next_command().await? {
            self.writer.begin(self.reader.sequence());
            let cancel = self.cancel.clone();
            let answering = Answering { session: &mut *session, writer: &mut self.writer, capabilities };
            let outcome = tokio::select! {
                biased;
                () = cancel.cancelled() => Ok(Err(SqlError::shutting_down())),
                outcome = AssertUnwindSafe(answering.run(&packet)).catch_unwind() => match outcome {
                    Ok(outcome) => outcome.map(Ok),
                    Err(_) => Ok(Err(self.panicked())),
                },
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

    /// The next command's packet; nothing once the client has left, has been idle for too long, or the server stops.
    async fn next_command(&mut self) -> Result<Option<Bytes>, CodecError> {
        self.reader.begin(0);
        let idle_timeout = self.front.settings.idle_timeout;
        let farewell = tokio::select! {
            biased;
            () = self.cancel.cancelled() => SqlError::shutting_down(),
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
            CodecError::Malformed(cause) => SqlError::bad_handshake(cause),
        };
        let (cancel, front) = (self.cancel.clone(), self.front.clone());
        let farewell = async {
            if logged_in && matches!(error, CodecError::TooLarge { .. }) {
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

/// What answers one command: apart from the reader, which meanwhile watches whether the client is still there.
struct Answering<'a> {
    session: &'a mut dyn SqlSession,
    writer: &'a mut PacketWriter<OwnedWriteHalf>,
    capabilities: Capabilities,
}

impl Answering<'_> {
    async fn run(mut self, packet: &[u8]) -> Result<Next, CodecError> {
        match Command::parse(packet) {
            Command::Quit => return Ok(Next::Close),
            Command::Ignored => return Ok(Next::Listen),
            Command::Query(sql) => self.query(sql).await?,
            Command::InitDatabase(name) => {
                let outcome = self.session.use_database(name).await;
                self.put_outcome(outcome);
            }
            Command::FieldList { table } => self.field_list(table).await,
            Command::Statistics => {
                let line = self.session.statistics();
                self.writer.packet(|out| out.extend_from_slice(line.as_bytes()));
            }
            Command::Ping => self.put_outcome(Ok(())),
            Command::Reset => {
                self.session.reset().await;
                self.put_outcome(Ok(()));
            }
            Command::MultiStatementsOff => self.writer.packet(|out| encode_end(self.capabilities, out)),
            Command::Refused(error) => self.put_outcome(Err(error)),
        }
        self.writer.flush().await?;
        Ok(Next::Listen)
    }

    async fn query(&mut self, sql: &str) -> Result<(), CodecError> {
        match self.session.execute(sql).await {
            Ok(Answer::Rows { schema, stream }) => send_rows(self.writer, self.capabilities, schema, stream).await?,
            Ok(Answer::Done { affected_rows, warnings, info }) => {
                self.writer.packet(|out| Done { affected_rows, warnings, info }.encode(out));
            }
            Err(error) => self.put_outcome(Err(error)),
        }
        Ok(())
    }

    /// The columns of a table are those of a query on it that yields no rows.
    async fn field_list(&mut self, table: &str) {
        let sql = format!("SELECT * FROM `{}` LIMIT 0", table.replace('`', "``"));
        match self.session.execute(&sql).await {
            Ok(Answer::Rows { schema, .. }) => put_field_list(self.writer, self.capabilities, &schema),
            Ok(Answer::Done { .. }) => self.writer.packet(|out| encode_end(self.capabilities, out)),
            Err(error) => self.put_outcome(Err(error)),
        }
    }

    fn put_outcome(&mut self, outcome: Result<(), SqlError>) {
        self.writer.packet(|out| match &outcome {
            Ok(()) => Done::default().encode(out),
            Err(error) => encode_error(error, out),
        });
    }
}
