//! A connection as the client sees it: login, one statement at a time, its rows one by one as they arrive.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::error::ClientError;
use crate::mysql::auth::{Plugin, SALT_BYTES, Salt, Secret};
use crate::mysql::capabilities::Capabilities;
use crate::mysql::codec::{CodecError, PacketReader, PacketWriter};
use crate::mysql::column::ColumnDefinition;
use crate::mysql::fields::Fields;
use crate::mysql::handshake::{Greeting, LoginRequest};
use crate::mysql::login::{FAST_LOGIN, MORE_DATA};
use crate::mysql::reply::{Done, EOF, ERR, OK, is_end, parse_error};

/// One row or value that a server may send us.
const ANSWER_LIMIT: usize = 1 << 30;
const COM_QUIT: u8 = 0x01;
const COM_QUERY: u8 = 0x03;

/// Where to connect, and as whom. It holds a password, so it does not derive Debug.
#[derive(Clone)]
pub struct ConnectOptions {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Password; empty for none.
    pub password: Secret,
    /// The database to begin in.
    pub database: Option<String>,
    /// The login method to begin with.
    pub plugin: Plugin,
}

/// A connection that has logged in.
pub struct Connection {
    reader: PacketReader<OwnedReadHalf>,
    writer: PacketWriter<OwnedWriteHalf>,
    greeting: Greeting,
    capabilities: Capabilities,
}

/// The answer to a statement.
pub enum Reply<'a> {
    /// It is done.
    Done(Done),
    /// It yields rows, to be read before the next statement is sent.
    Rows(Rows<'a>),
}

/// Rows that are still on their way.
pub struct Rows<'a> {
    connection: &'a mut Connection,
    columns: Vec<ColumnDefinition>,
    ended: bool,
}

/// One row: the text of each value, or nothing for NULL.
pub type Row = Vec<Option<Bytes>>;

impl Connection {
    /// Connects and logs in.
    pub async fn open(options: &ConnectOptions) -> Result<Self, ClientError> {
        // The shell sends its statements one by one, and reads one answer for each.
        let several = Capabilities::FOUND_ROWS.with(Capabilities::MULTI_STATEMENTS);
        Self::open_with(options, Capabilities::SERVED.without(several)).await
    }

    /// Connects and logs in as a client that has only these capabilities.
    pub(super) async fn open_with(options: &ConnectOptions, own: Capabilities) -> Result<Self, ClientError> {
        let address = format!("{}:{}", options.host, options.port);
        let connected = TcpStream::connect((options.host.as_str(), options.port)).await;
        let socket = connected.map_err(|source| ClientError::Connect { address, source })?;
        socket.set_nodelay(true).map_err(CodecError::from)?;
        let (reader, writer) = socket.into_split();
        let mut reader = PacketReader::new(reader, ANSWER_LIMIT);
        let greeting = reader.next().await?.ok_or(CodecError::Truncated)?;
        if greeting.first() == Some(&ERR) {
            return Err(ClientError::Server(parse_error(&greeting)?));
        }
        let greeting = Greeting::parse(&greeting)?;
        let capabilities = own.masked(greeting.capabilities);
        let mut connection = Self { reader, writer: PacketWriter::new(writer), greeting, capabilities };
        connection.log_in(options).await?;
        Ok(connection)
    }

    /// What the server calls itself.
    pub fn server_version(&self) -> &str {
        &self.greeting.server_version
    }

    /// The id that KILL takes.
    pub fn id(&self) -> u32 {
        self.greeting.connection_id
    }

    /// Sends one statement and waits for the beginning of its answer.
    pub async fn query(&mut self, sql: &str) -> Result<Reply<'_>, ClientError> {
        let first = self.command(COM_QUERY, sql.as_bytes()).await?;
        if first.first() == Some(&OK) {
            return Ok(Reply::Done(Done::parse(&first)?));
        }
        let count = Fields::new(&first).integer()?;
        let mut columns = Vec::new();
        for _ in 0..count {
            columns.push(ColumnDefinition::parse(&self.packet().await?)?);
        }
        if !self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            self.packet().await?;
        }
        Ok(Reply::Rows(Rows { connection: self, columns, ended: false }))
    }

    /// What both sides can do.
    pub(super) fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Sends one command of the protocol and returns the first packet of its answer.
    pub(crate) async fn command(&mut self, code: u8, body: &[u8]) -> Result<Bytes, ClientError> {
        self.send_command(code, body).await?;
        self.packet().await
    }

    /// The error that a server sends to a client that has asked nothing.
    #[cfg(test)]
    pub(crate) async fn farewell(&mut self) -> Result<Bytes, ClientError> {
        self.reader.begin(1);
        self.packet().await
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        // The server notices the closed socket as well; this only saves it from wondering.
        let _ = self.send_command(COM_QUIT, b"").await;
    }

    pub(super) async fn send_command(&mut self, code: u8, body: &[u8]) -> Result<(), ClientError> {
        self.writer.begin(0);
        self.writer.packet(|out| {
            out.put_u8(code);
            out.extend_from_slice(body);
        });
        self.writer.flush().await?;
        self.reader.begin(self.writer.sequence());
        Ok(())
    }

    async fn log_in(&mut self, options: &ConnectOptions) -> Result<(), ClientError> {
        let request = LoginRequest {
            capabilities: self.capabilities,
            user: options.user.clone(),
            response: options.plugin.answer(&options.password, &self.greeting.salt),
            database: options.database.clone(),
            plugin: self.capabilities.contains(Capabilities::PLUGIN_AUTH).then(|| options.plugin.name().to_owned()),
            attributes: BTreeMap::from([
                ("program_name".to_owned(), "millrace sql".to_owned()),
                ("_client_version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
                ("_pid".to_owned(), std::process::id().to_string()),
            ]),
        };
        self.writer.begin(self.reader.sequence());
        self.writer.packet(|out| request.encode(out));
        self.writer.flush().await?;
        self.reader.begin(self.writer.sequence());
        loop {
            let packet = self.packet().await?;
            match packet.as_ref() {
                [OK, ..] => return Ok(()),
                [EOF, switch @ ..] => self.switch_login(options, switch).await?,
                [MORE_DATA, FAST_LOGIN] => {}
                [MORE_DATA, ..] => return Err(full_login_wanted()),
                _ => return Err(CodecError::Malformed("an unknown packet in the login").into()),
            }
        }
    }

    pub(super) async fn switch_login(&mut self, options: &ConnectOptions, switch: &[u8]) -> Result<(), ClientError> {
        let mut fields = Fields::new(switch);
        let name = String::from_utf8_lossy(fields.until_nul()).into_owned();
        let plugin = Plugin::named(&name).ok_or(ClientError::UnknownLogin { plugin: name })?;
        let salt = Salt::from_bytes(fields.array::<SALT_BYTES>()?);
        let answer = plugin.answer(&options.password, &salt);
        self.writer.begin(self.reader.sequence());
        self.writer.packet(|out| out.extend_from_slice(&answer));
        self.writer.flush().await?;
        self.reader.begin(self.writer.sequence());
        Ok(())
    }

    /// The next packet, unless it is an error.
    pub(super) async fn packet(&mut self) -> Result<Bytes, ClientError> {
        let packet = self.reader.next().await?.ok_or(CodecError::Truncated)?;
        if packet.first() == Some(&ERR) {
            return Err(ClientError::Server(parse_error(&packet)?));
        }
        Ok(packet)
    }
}

impl Rows<'_> {
    /// The columns.
    pub fn columns(&self) -> &[ColumnDefinition] {
        &self.columns
    }

    /// The next row; nothing after the last.
    pub async fn next(&mut self) -> Result<Option<Row>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        let packet = match self.connection.packet().await {
            Ok(packet) => packet,
            Err(error) => {
                self.ended = true;
                return Err(error);
            }
        };
        if is_end(&packet) {
            self.ended = true;
            return Ok(None);
        }
        let mut fields = Fields::new(&packet);
        let mut row = Vec::with_capacity(self.columns.len());
        for _ in &self.columns {
            row.push(fields.nullable_string()?.map(|value| packet.slice_ref(value)));
        }
        Ok(Some(row))
    }
}

/// A server that keeps salted digests may want the password itself, which is only safe inside TLS.
fn full_login_wanted() -> ClientError {
    ClientError::UnknownLogin { plugin: "caching_sha2_password with the full password, over TLS".to_owned() }
}
