//! One session with a Postgres server: the part of its protocol (version 3) that a catalog needs. Logs in, runs statements
//! with binary parameters and rows, hears notifications.
//!
//! It is written here, and not taken, so that what was sent before a connection was lost is known exactly: on that rests
//! which commits are unknown. Each [`Call`] is answered by itself: one that fails does not hold up the next, so whoever sends
//! several looks at each answer.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use vfs::Random;

use super::address::PostgresAddress;
use super::scram::{MECHANISM, Scram};

/// How long a server may take to let this program in.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to answer a batch of calls.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The longest message that is taken for one: a page of rows is far below.
const MESSAGE_BYTES_LIMIT: usize = 256 << 20;
const PROTOCOL: i32 = 3 << 16;

/// What every session asks for. Plans go along the index whatever the statistics say; a session that fell silent is ended by
/// the server, so that a process that hangs holds no lock and no old version for long.
const SESSION: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_sort", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("synchronous_commit", "on"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("lock_timeout", "20s"),
    ("statement_timeout", "25s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PgError {
    /// The server refused it, and the session goes on.
    Refused {
        /// Which condition, as Postgres numbers them: `42501`.
        code: String,
        /// In the server's words.
        message: String,
    },
    /// The session is over, and what the server did last is not known.
    Lost(String),
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, message } => write!(f, "{message} ({code})"),
            Self::Lost(cause) => f.write_str(cause),
        }
    }
}

fn lost(cause: impl fmt::Display) -> PgError {
    PgError::Lost(format!("the connection to Postgres was lost: {cause}"))
}

/// A value sent to the server.
#[derive(Clone, Debug)]
pub(super) enum Param {
    Bytes(Bytes),
    Number(i64),
    /// `bytea[]`
    List(Vec<Bytes>),
}

/// One statement with its values; `sql` casts each: `$1::bytea`, `$2::int8`.
#[derive(Clone, Debug)]
pub(super) struct Call {
    sql: &'static str,
    params: Vec<Param>,
}

impl Call {
    pub(super) fn new(sql: &'static str, params: impl Into<Vec<Param>>) -> Self {
        Self { sql, params: params.into() }
    }
}

/// What a call yields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Rows of binary columns.
    pub(super) rows: Vec<Vec<Bytes>>,
    /// Postgres' word for what was done: `UPDATE 1`, `COMMIT`.
    pub(super) done: String,
}

impl Answer {
    /// The number in column `column` of the first row.
    pub(super) fn number(&self, column: usize) -> Option<i64> {
        number(self.rows.first()?.get(column)?)
    }
}

/// A column of type `int8`.
pub(super) fn number(column: &Bytes) -> Option<i64> {
    Some(i64::from_be_bytes(column.as_ref().try_into().ok()?))
}

/// A session. Dropped, it ends, and with it its transaction and its locks.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    received: BytesMut,
    /// Statements that the server knows by a name.
    named: BTreeMap<&'static str, String>,
    names: u32,
    /// Answers that nobody waits for, and that come before those to the next calls.
    owed: usize,
    /// Set while an answer is outstanding: a session whose reader was dropped in the middle is of no use.
    torn: bool,
    notified: bool,
}

impl Connection {
    /// Logs in. `purpose` is how the server's operator sees the session.
    pub(super) async fn open(address: &PostgresAddress, purpose: &str, random: &dyn Random) -> Result<Self, PgError> {
        let login = async {
            let stream = TcpStream::connect((address.host.as_str(), address.port))
                .await
                .map_err(|error| PgError::Lost(format!("cannot reach it: {error}")))?;
            stream.set_nodelay(true).map_err(lost)?;
            let (received, named) = (BytesMut::new(), BTreeMap::new());
            let mut session = Self { stream, received, named, names: 0, owed: 0, torn: true, notified: false };
            session.log_in(address, purpose, random).await?;
            session.torn = false;
            Ok(session)
        };
        timeout(CONNECT_WITHIN, login)
            .await
            .unwrap_or_else(|_| Err(PgError::Lost(format!("it did not answer within {CONNECT_WITHIN:?}"))))
    }

    async fn log_in(&mut self, address: &PostgresAddress, purpose: &str, random: &dyn Random) -> Result<(), PgError> {
        let search_path = format!("\"{}\"", address.schema);
        let purpose = format!("millrace {purpose} {}", address.schema);
        let who = [
            ("user", address.user.as_str()),
            ("database", &address.database),
            ("application_name", &purpose),
            ("search_path", &search_path),
        ];
        let mut hello = BytesMut::new();
        hello.put_i32(PROTOCOL);
        for (name, value) in who.into_iter().chain(SESSION.iter().copied()) {
            put_text(&mut hello, name);
            put_text(&mut hello, value);
        }
        hello.put_u8(0);
        let mut message = BytesMut::new();
        message.put_i32(size(hello.len() + 4));
        message.extend_from_slice(&hello);
        self.stream.write_all(&message).await.map_err(lost)?;

        let no_password = || refused("28P01", "Postgres asks for a password, and the address has none");
        let mut login = None;
        loop {
            let (kind, mut body) = self.message().await?;
            match kind {
                b'R' if body.remaining() >= 4 => match body.get_i32() {
                    0 => login = None,
                    10 if texts(&body).any(|mechanism| mechanism == MECHANISM) => {
                        let scram = Scram::new(address.password().ok_or_else(no_password)?, random.next_u128());
                        let first = scram.first();
                        let mut answer = BytesMut::new();
                        put_text(&mut answer, MECHANISM);
                        answer.put_i32(size(first.len()));
                        answer.extend_from_slice(first.as_bytes());
                        login = Some(scram);
                        self.send(b'p', &answer).await?;
                    }
                    11 => {
                        let scram = login.as_mut().ok_or_else(|| lost("it speaks out of turn"))?;
                        let answer = scram.answer(&text(&body)).ok_or_else(|| lost("its challenge is not valid"))?;
                        self.send(b'p', answer.as_bytes()).await?;
                    }
                    12 if login.as_ref().is_some_and(|scram| scram.is_genuine(&text(&body))) => {}
                    12 => {
                        return Err(refused(
                            "28000",
                            "the server does not know the password itself: it is not the one meant",
                        ));
                    }
                    _ => {
                        return Err(refused(
                            "28000",
                            "the server asks for a password in a way that would reveal it; have it use scram-sha-256 \
                             (password_encryption, pg_hba.conf)",
                        ));
                    }
                },
                b'E' => return Err(PgError::from(Complaint::read(&body))),
                b'Z' if login.is_none() => return Ok(()),
                _ => {}
            }
        }
    }

    /// Runs `calls`, one after another, in one round trip; an answer for each. After [`PgError::Lost`] the session is over.
    pub(super) async fn run(&mut self, calls: &[Call]) -> Vec<Result<Answer, PgError>> {
        let mut answers = Vec::with_capacity(calls.len());
        let ended = timeout(ANSWER_WITHIN, self.exchange(calls, &mut answers)).await;
        let cause = match ended {
            Ok(Ok(())) => return answers,
            Ok(Err(cause)) => cause,
            Err(_) => lost(format!("no answer within {ANSWER_WITHIN:?}")),
        };
        answers.resize(calls.len(), Err(cause));
        answers
    }

    /// As [`Connection::run`], with one call.
    pub(super) async fn call(&mut self, call: Call) -> Result<Answer, PgError> {
        self.run(&[call]).await.pop().expect("an answer for each call")
    }

    async fn exchange(&mut self, calls: &[Call], answers: &mut Vec<Result<Answer, PgError>>) -> Result<(), PgError> {
        if self.torn {
            return Err(lost("an earlier answer was given up"));
        }
        self.torn = true;
        let mut buffer = BytesMut::new();
        let mut parsed = Vec::with_capacity(calls.len());
        for call in calls {
            // A statement that occurs twice in one batch is parsed twice, under two names: only an answer says that one is known.
            let (name, fresh) = match self.named.get(call.sql) {
                Some(name) => (name.clone(), false),
                None => {
                    self.names += 1;
                    (format!("s{}", self.names), true)
                }
            };
            put_call(&mut buffer, call, &name, fresh);
            parsed.push(fresh.then_some((call.sql, name)));
        }
        self.stream.write_all(&buffer).await.map_err(lost)?;
        while self.owed > 0 {
            drop(self.answer(None).await?);
            self.owed -= 1;
        }
        for fresh in parsed {
            answers.push(self.answer(fresh).await?);
        }
        self.torn = false;
        Ok(())
    }

    /// Reads one answer, up to where the server is ready for the next call.
    async fn answer(&mut self, fresh: Option<(&'static str, String)>) -> Result<Result<Answer, PgError>, PgError> {
        let (mut answer, mut refusal) = (Answer::default(), None);
        loop {
            let (kind, mut body) = self.message().await?;
            match kind {
                b'1' => self.named.extend(fresh.clone()),
                b'D' => answer.rows.push(columns(&mut body).ok_or_else(|| lost("a row ends too early"))?),
                b'C' => answer.done = text(&body),
                b'E' => {
                    let complaint = Complaint::read(&body);
                    if complaint.ends_session {
                        return Err(PgError::Lost(complaint.message));
                    }
                    refusal = Some(PgError::from(complaint));
                }
                b'Z' => return Ok(refusal.map_or(Ok(answer), Err)),
                _ => {}
            }
        }
    }

    /// Runs `sql`, which may hold several statements, without parameters: for what is done once.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), PgError> {
        if self.torn {
            return Err(lost("an earlier answer was given up"));
        }
        self.torn = true;
        let all = async {
            let mut body = BytesMut::new();
            put_text(&mut body, sql);
            self.send(b'Q', &body).await?;
            self.answer(None).await
        };
        let answered = timeout(ANSWER_WITHIN, all).await.map_err(|_| lost("no answer in time"))??;
        self.torn = false;
        answered.map(drop)
    }

    /// Ends the transaction without waiting for the server's word. `false`: the session is of no further use.
    pub(super) fn roll_back_soon(&mut self) -> bool {
        let mut message = BytesMut::new();
        put_message(&mut message, b'Q', |body| put_text(body, "ROLLBACK"));
        // A socket that was idle takes these few bytes at once, or something is wrong with it.
        let sent = !self.torn && self.stream.try_write(&message).is_ok_and(|sent| sent == message.len());
        self.owed += usize::from(sent);
        sent
    }

    /// Returns once there was a notification since the last call, or after `patience`.
    pub(super) async fn notified(&mut self, patience: Duration) -> Result<(), PgError> {
        if self.torn {
            return Err(lost("an earlier answer was given up"));
        }
        let deadline = tokio::time::Instant::now() + patience;
        while !std::mem::take(&mut self.notified) {
            // Reading is safe to give up: what has arrived stays in the buffer.
            match tokio::time::timeout_at(deadline, self.message()).await {
                Ok(Ok((b'E', body))) => return Err(PgError::Lost(Complaint::read(&body).message)),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    async fn send(&mut self, kind: u8, body: &[u8]) -> Result<(), PgError> {
        let mut message = BytesMut::new();
        put_message(&mut message, kind, |out| out.extend_from_slice(body));
        self.stream.write_all(&message).await.map_err(lost)
    }

    /// The next message: its kind and its body. A notification is noted as well.
    async fn message(&mut self) -> Result<(u8, Bytes), PgError> {
        loop {
            if let Some(header) = self.received.first_chunk::<5>() {
                let [kind, length @ ..] = *header;
                let bytes = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
                if !(4..=MESSAGE_BYTES_LIMIT).contains(&bytes) {
                    return Err(lost("what answers there does not speak Postgres' protocol"));
                }
                if self.received.len() > bytes {
                    let mut message = self.received.split_to(bytes + 1);
                    message.advance(5);
                    self.notified |= kind == b'A';
                    return Ok((kind, message.freeze()));
                }
                self.received.reserve(bytes + 1 - self.received.len());
            }
            if self.stream.read_buf(&mut self.received).await.map_err(lost)? == 0 {
                return Err(lost("the server closed it"));
            }
        }
    }
}

fn put_call(buffer: &mut BytesMut, call: &Call, name: &str, fresh: bool) {
    if fresh {
        put_message(buffer, b'P', |body| {
            put_text(body, name);
            put_text(body, call.sql);
            body.put_i16(0);
        });
    }
    put_message(buffer, b'B', |body| {
        put_text(body, "");
        put_text(body, name);
        // One format for all parameters, and one for all columns: binary.
        body.put_slice(&[0, 1, 0, 1]);
        body.put_i16(i16::try_from(call.params.len()).expect("statements have few parameters"));
        call.params.iter().for_each(|param| put_param(body, param));
        body.put_slice(&[0, 1, 0, 1]);
    });
    put_message(buffer, b'E', |body| {
        put_text(body, "");
        body.put_i32(0);
    });
    put_message(buffer, b'S', |_| {});
}

fn put_param(body: &mut BytesMut, param: &Param) {
    const BYTEA: i32 = 17;
    match param {
        Param::Bytes(bytes) => put_bytes(body, bytes),
        Param::Number(number) => {
            body.put_i32(8);
            body.put_i64(*number);
        }
        Param::List(items) => {
            let header = if items.is_empty() { 12 } else { 20 };
            body.put_i32(size(header + items.iter().map(|item| 4 + item.len()).sum::<usize>()));
            // Dimensions, no nulls, the element's type; then the one dimension's length, counted from 1.
            body.put_i32(i32::from(!items.is_empty()));
            body.put_i32(0);
            body.put_i32(BYTEA);
            if !items.is_empty() {
                body.put_i32(size(items.len()));
                body.put_i32(1);
            }
            items.iter().for_each(|item| put_bytes(body, item));
        }
    }
}

fn put_bytes(body: &mut BytesMut, bytes: &[u8]) {
    body.put_i32(size(bytes.len()));
    body.put_slice(bytes);
}

fn put_text(body: &mut BytesMut, text: &str) {
    body.put_slice(text.as_bytes());
    body.put_u8(0);
}

fn put_message(buffer: &mut BytesMut, kind: u8, fill: impl FnOnce(&mut BytesMut)) {
    buffer.put_u8(kind);
    let at = buffer.len();
    buffer.put_i32(0);
    fill(buffer);
    let bytes = size(buffer.len() - at);
    buffer[at..at + 4].copy_from_slice(&bytes.to_be_bytes());
}

fn size(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a commit's size is limited far below")
}

fn columns(body: &mut Bytes) -> Option<Vec<Bytes>> {
    let columns = body.try_get_u16().ok()?;
    let column = |_| {
        // No column that is asked for can be null.
        let bytes = usize::try_from(body.try_get_i32().ok()?).ok()?;
        (bytes <= body.len()).then(|| body.split_to(bytes))
    };
    (0..columns).map(column).collect()
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body.strip_suffix(&[0]).unwrap_or(body)).into_owned()
}

fn texts(body: &[u8]) -> impl Iterator<Item = String> {
    body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned())
}

fn refused(code: &str, message: &str) -> PgError {
    PgError::Refused { code: code.to_owned(), message: message.to_owned() }
}

/// What the server says when something is wrong.
struct Complaint {
    ends_session: bool,
    code: String,
    message: String,
}

impl Complaint {
    fn read(body: &[u8]) -> Self {
        let field = |kind: char| texts(body).find_map(|field| field.strip_prefix(kind).map(str::to_owned));
        // `V` is the severity in English, whatever the server's language.
        let severity = field('V').or_else(|| field('S')).unwrap_or_default();
        Self {
            ends_session: severity != "ERROR",
            code: field('C').unwrap_or_default(),
            message: field('M').unwrap_or_default(),
        }
    }
}

impl From<Complaint> for PgError {
    fn from(complaint: Complaint) -> Self {
        Self::Refused { code: complaint.code, message: complaint.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_written_as_the_protocol_says() {
        let mut buffer = BytesMut::new();
        let call = Call::new("SELECT $1::bytea, $2::int8", [Param::Bytes(Bytes::from("ab")), Param::Number(-1)]);
        put_call(&mut buffer, &call, "s1", false);
        let mut expected = vec![b'B', 0, 0, 0, 36];
        expected.extend_from_slice(
            b"\0s1\0\0\x01\0\x01\0\x02\0\0\0\x02ab\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xff\0\x01\0\x01",
        );
        expected.extend_from_slice(b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04");
        assert_eq!(buffer.as_ref(), expected);
    }

    #[test]
    fn lists_and_rows_survive_their_encoding() {
        let mut body = BytesMut::new();
        put_param(&mut body, &Param::List(vec![Bytes::from("x"), Bytes::new()]));
        assert_eq!(body.len(), 4 + usize::try_from(i32::from_be_bytes(*body.first_chunk().unwrap())).unwrap());
        let mut row = Bytes::from_static(b"\0\x02\0\0\0\x01x\0\0\0\0");
        assert_eq!(columns(&mut row), Some(vec![Bytes::from("x"), Bytes::new()]));
        assert_eq!(columns(&mut Bytes::from_static(b"\0\x01\0\0\0\x09x")), None);
    }

    #[test]
    fn what_ends_the_session_is_told_from_what_only_fails_a_statement() {
        let complaint = Complaint::read(b"SFEHLER\0VERROR\0C42501\0Mno\0\0");
        assert!(!complaint.ends_session);
        assert_eq!(PgError::from(complaint).to_string(), "no (42501)");
        assert!(Complaint::read(b"VFATAL\0C57P01\0Mterminating\0\0").ends_session);
    }
}
