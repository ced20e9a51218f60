//! Our client against our server over real sockets, with a stand-in for SQL: what the port promises, seen from outside.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vfs::World;
use warehouse::memory::{MemoryBudget, MemoryLimits};

use super::connection::{ConnectOptions, Connection, Reply, Row};
use super::error::ClientError;
use crate::mysql::auth::{FixedAccounts, Plugin, Secret};
use crate::mysql::capabilities::Capabilities;
use crate::mysql::reply::{end_status, is_end};
use crate::mysql::stand_in::StandIn;
use crate::mysql::{Listener, ListenerSettings};

const PASSWORD: &str = "s3cret";

struct Server {
    address: SocketAddr,
    stand_in: StandIn,
    memory: Arc<MemoryBudget>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

/// What clients may send at a time, with what becomes of it.
const MEMORY: u64 = 256 << 20;

impl Server {
    async fn start() -> Self {
        Self::start_with(PASSWORD, ListenerSettings::default()).await
    }

    async fn start_with(password: &str, settings: ListenerSettings) -> Self {
        let (stand_in, cancel) = (StandIn::new(), CancellationToken::new());
        let accounts = Arc::new(FixedAccounts::root(&Secret::new(password.to_owned())));
        let address = "127.0.0.1:0".parse().unwrap();
        let sessions = Arc::new(stand_in.clone());
        let memory = MemoryBudget::shared(MemoryLimits::of_queries(MEMORY));
        let (charged, world) = (Arc::clone(&memory), World::system());
        let listener = Listener::bind(address, accounts, sessions, world, settings, charged, cancel.clone());
        let listener = listener.await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, stand_in, memory, cancel, task: tokio::spawn(listener.run()) }
    }

    fn options(&self) -> ConnectOptions {
        ConnectOptions {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            user: "root".to_owned(),
            password: Secret::new(PASSWORD.to_owned()),
            database: None,
            plugin: Plugin::CachingSha2,
        }
    }

    async fn connect(&self) -> Connection {
        Connection::open(&self.options()).await.unwrap()
    }

    /// A socket that has read the greeting and nothing else.
    async fn stranger(&self) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        read_packet(&mut socket).await;
        socket
    }
}

async fn read_packet(socket: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 4];
    socket.read_exact(&mut header).await.unwrap();
    let mut payload = vec![0; u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize];
    socket.read_exact(&mut payload).await.unwrap();
    payload
}

async fn all_rows(connection: &mut Connection, sql: &str) -> Result<Vec<Row>, ClientError> {
    let Reply::Rows(mut rows) = connection.query(sql).await? else { panic!("no rows: {sql}") };
    let mut all = Vec::new();
    while let Some(row) = rows.next().await? {
        all.push(row);
    }
    Ok(all)
}

async fn one_text(connection: &mut Connection, sql: &str) -> Option<String> {
    let rows = all_rows(connection, sql).await.unwrap();
    rows[0][0].as_ref().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn code_of<T>(outcome: Result<T, ClientError>) -> u16 {
    match outcome {
        Err(ClientError::Server(error)) => error.code,
        Err(other) => panic!("not an answer: {other}"),
        Ok(_) => panic!("no error"),
    }
}

#[tokio::test]
async fn the_right_password_logs_in_by_both_methods_and_nothing_else_does() {
    let server = Server::start().await;
    for plugin in [Plugin::CachingSha2, Plugin::Native] {
        let right = ConnectOptions { plugin, ..server.options() };
        let mut connection = Connection::open(&right).await.unwrap();
        assert_eq!(one_text(&mut connection, "select 1").await.as_deref(), Some("1"));
        for (user, password) in [("root", "wrong"), ("root", ""), ("nobody", PASSWORD), ("nobody", ""), ("", "")] {
            let (user, password) = (user.to_owned(), Secret::new(password.to_owned()));
            let refused = Connection::open(&ConnectOptions { user, password, ..right.clone() }).await;
            assert_eq!(code_of(refused), 1045);
        }
    }
}

#[tokio::test]
async fn a_client_without_the_newer_capabilities_is_served_too() {
    let server = Server::start().await;
    let old = Capabilities::SERVED.without(Capabilities::DEPRECATE_EOF).without(Capabilities::PLUGIN_AUTH);
    let native = ConnectOptions { plugin: Plugin::Native, ..server.options() };
    let mut connection = Connection::open_with(&native, old).await.unwrap();
    assert_eq!(all_rows(&mut connection, "rows 3 10").await.unwrap().len(), 3 * 1024);
    assert_eq!(code_of(all_rows(&mut connection, "fail after 3").await), 1105);
    assert_eq!(one_text(&mut connection, "select 1").await.as_deref(), Some("1"));
    let wrong = ConnectOptions { password: Secret::new("wrong".to_owned()), ..native };
    assert_eq!(code_of(Connection::open_with(&wrong, old).await), 1045);
}

#[tokio::test]
async fn an_empty_password_lets_in_only_who_gives_none() {
    let server = Server::start_with("", ListenerSettings::default()).await;
    for plugin in [Plugin::CachingSha2, Plugin::Native] {
        let empty = ConnectOptions { plugin, password: Secret::new(String::new()), ..server.options() };
        assert!(Connection::open(&empty).await.is_ok());
        assert_eq!(code_of(Connection::open(&ConnectOptions { plugin, ..server.options() }).await), 1045);
        let stranger = ConnectOptions { user: "nobody".to_owned(), ..empty };
        assert_eq!(code_of(Connection::open(&stranger).await), 1045);
    }
}

#[tokio::test]
async fn a_user_that_does_not_exist_sees_the_same_exchange_as_a_wrong_password() {
    let server = Server::start().await;
    let mut messages = Vec::new();
    for user in ["root", "nosy"] {
        let options =
            ConnectOptions { user: user.to_owned(), password: Secret::new("wrong".to_owned()), ..server.options() };
        let Err(error) = Connection::open(&options).await else { panic!("let in {user}") };
        messages.push(error.to_string().replace(user, "<user>"));
    }
    assert_eq!(messages[0], messages[1]);
    assert_eq!(messages[0], "ERROR 1045 (28000): Access denied for user '<user>'@'127.0.0.1' (using password: YES)");
}

#[tokio::test]
async fn the_login_reaches_the_session_and_a_wrong_database_refuses_it() {
    let server = Server::start().await;
    let options = ConnectOptions { database: Some("demo".to_owned()), ..server.options() };
    let connection = Connection::open(&options).await.unwrap();
    let login = server.stand_in.login.borrow().clone().unwrap();
    assert_eq!((login.user.as_str(), login.database.as_deref()), ("root", Some("demo")));
    assert_eq!(login.connection_id, connection.id());
    assert!(login.peer.starts_with("127.0.0.1:"));
    assert_eq!(login.attributes["program_name"], "millrace sql");
    for (database, code) in [("nowhere", 1049), ("panic", 1105)] {
        let options = ConnectOptions { database: Some(database.to_owned()), ..server.options() };
        assert_eq!(code_of(Connection::open(&options).await), code);
    }
}

#[tokio::test]
async fn an_error_leaves_the_connection_as_it_was() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    assert_eq!(code_of(connection.query("fail").await), 1146);
    let Err(error) = all_rows(&mut connection, "fail after 3").await else {
        panic!("no error in the middle of the rows")
    };
    assert_eq!(error.to_string(), "ERROR 1105 (HY000): the disk went away");
    assert_eq!(code_of(all_rows(&mut connection, "fail after 0").await), 1105);
    assert_eq!(code_of(connection.command(0x03, b"select '\xFF'").await), 1300);
    assert_eq!(code_of(connection.command(0x16, b"fail").await), 1146);
    assert_eq!(code_of(connection.command(0x17, &[1, 0, 0, 0, 0, 1, 0, 0, 0]).await), 1243);
    assert_eq!(code_of(connection.command(0x1A, &[1, 0, 0, 0]).await), 1243);
    assert_eq!(code_of(connection.command(0xEE, b"").await), 1047);
    assert_eq!(code_of(connection.command(0x02, b"nowhere").await), 1049);
    assert_eq!(one_text(&mut connection, "select 1").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn each_command_has_its_answer() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    assert_eq!(&connection.command(0x0E, b"").await.unwrap()[..], [0, 0, 0, 2, 0, 0, 0], "ping");
    assert_eq!(&connection.command(0x09, b"").await.unwrap()[..], b"Uptime: 1  Threads: 1");
    assert_eq!(connection.command(0x1B, &[1, 0]).await.unwrap()[0], 0xFE, "set option");
    assert_eq!(connection.command(0x02, b"demo").await.unwrap()[0], 0);
    assert_eq!(one_text(&mut connection, "database").await.as_deref(), Some("demo"));
    assert_eq!(connection.command(0x1F, b"").await.unwrap()[0], 0, "reset");
    assert_eq!(one_text(&mut connection, "database").await, None);
    let Reply::Done(done) = connection.query("change").await.unwrap() else { panic!("rows") };
    assert_eq!((done.affected_rows, done.warnings, done.info.as_str()), (3, 2, "three of them"));
    let field = connection.command(0x04, b"flights\0").await.unwrap();
    assert_eq!(&field[..8], b"\x03def\0\0\0\x01", "the definition of the column `1`");
}

/// The packet of an execution of statement 1 with one text.
fn execution(value: &[u8]) -> Vec<u8> {
    [&[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 253, 0, value.len() as u8][..], value].concat()
}

#[tokio::test]
async fn a_prepared_statement_is_announced_executed_reset_and_closed() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let prepared = connection.command(0x16, b"echo ?").await.unwrap();
    assert_eq!(&prepared[..], [0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0], "number, columns, parameters");
    for _ in 0..2 {
        assert!(connection.packet().await.unwrap().starts_with(b"\x03def\0\0\0\x01?"), "a parameter, a column");
    }
    // Its columns, and a row whose NULL bitmap begins at the third bit, of a text and a BIGINT.
    let mut echoed = async |packet: &[u8]| {
        assert_eq!(&connection.command(0x17, packet).await.unwrap()[..], [2], "columns");
        connection.packet().await.unwrap();
        connection.packet().await.unwrap();
        let row = connection.packet().await.unwrap();
        let text = row[3..3 + usize::from(row[2])].to_vec();
        assert_eq!((&row[..2], &row[3 + text.len()..]), (&[0, 0][..], &[0xFF; 8][..]));
        assert_eq!(end_status(&connection.packet().await.unwrap()), Some(2));
        String::from_utf8(text).unwrap()
    };
    assert_eq!(echoed(&execution(b"x")).await, r#"[Text("x")]"#);
    assert_eq!(echoed(&[1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0]).await, "[Null]");
    for piece in [b"lo", b"ng"] {
        connection.send_command(0x18, &[&[1, 0, 0, 0, 0, 0][..], piece].concat()).await.unwrap();
    }
    let bound = &[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0][..];
    assert_eq!(&connection.command(0x17, bound).await.unwrap()[..], [2]);
    for _ in 0..2 {
        connection.packet().await.unwrap();
    }
    assert!(connection.packet().await.unwrap().ends_with(b"[Text(\"long\")]\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"));
    connection.packet().await.unwrap();
    assert_eq!(code_of(connection.command(0x1C, &[1, 0, 0, 0, 1, 0, 0, 0]).await), 1421, "no cursor is open");
    assert_eq!(connection.command(0x1A, &[1, 0, 0, 0]).await.unwrap()[0], 0, "reset");
    connection.send_command(0x19, &[1, 0, 0, 0]).await.unwrap();
    assert_eq!(code_of(connection.command(0x17, bound).await), 1243, "closed");
    assert_eq!(one_text(&mut connection, "select 1").await.as_deref(), Some("1"));
}

/// The status behind the rows of an execution that asks for a cursor, and how many rows there were.
async fn executed_with_cursor(connection: &mut Connection, id: u8) -> (Option<u16>, usize) {
    assert_eq!(&connection.command(0x17, &[id, 0, 0, 0, 1, 1, 0, 0, 0]).await.unwrap()[..], [2], "columns");
    for _ in 0..2 {
        connection.packet().await.unwrap();
    }
    let mut rows = 0;
    loop {
        let packet = connection.packet().await.unwrap();
        if is_end(&packet) {
            return (end_status(&packet), rows);
        }
        rows += 1;
    }
}

#[tokio::test]
async fn who_asks_for_a_cursor_gets_all_rows_at_once_and_a_cursor_without_rows_where_there_are_none() {
    const CURSOR_EXISTS: u16 = 64;
    const LAST_ROW_SENT: u16 = 128;
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for sql in ["rows 1 1", "rows 0 1"] {
        connection.command(0x16, sql.as_bytes()).await.unwrap();
    }
    assert_eq!(executed_with_cursor(&mut connection, 1).await, (Some(2), 1024));
    assert_eq!(executed_with_cursor(&mut connection, 2).await, (Some(2 | CURSOR_EXISTS), 0));
    let fetch = [2, 0, 0, 0, 10, 0, 0, 0];
    assert_eq!(end_status(&connection.command(0x1C, &fetch).await.unwrap()), Some(2 | LAST_ROW_SENT));
    assert_eq!(code_of(connection.command(0x1C, &fetch).await), 1421, "it is closed");
}

#[tokio::test]
async fn a_reset_of_the_connection_forgets_its_prepared_statements() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    connection.command(0x16, b"select 1").await.unwrap();
    assert_eq!(connection.command(0x1F, b"").await.unwrap()[0], 0);
    assert_eq!(code_of(connection.command(0x17, &[1, 0, 0, 0, 0, 1, 0, 0, 0]).await), 1243);
}

#[tokio::test]
async fn several_statements_are_answered_one_after_the_other_until_one_fails() {
    let server = Server::start().await;
    let several = Capabilities::SERVED.without(Capabilities::FOUND_ROWS);
    let mut connection = Connection::open_with(&server.options(), several).await.unwrap();
    let first = connection.command(0x03, b"change; value 3; fail; change").await.unwrap();
    assert_eq!(end_status(&first), Some(10), "another answer follows");
    for wanted in [1, 24, 4, 7] {
        assert!(connection.packet().await.unwrap().len() >= wanted);
    }
    assert_eq!(code_of(connection.packet().await), 1146);
    // Nothing follows the error: the next answer is that of the next command.
    assert_eq!(end_status(&connection.command(0x03, b"change").await.unwrap()), Some(2));
    assert_eq!(end_status(&connection.command(0x1B, &[1, 0]).await.unwrap()), Some(2), "one at a time from now on");
    assert_eq!(one_text(&mut connection, "change; change").await.as_deref(), Some("change; change"));
    assert_eq!(connection.command(0x1B, &[0, 0]).await.unwrap()[0], 0xFE);
    assert_eq!(end_status(&connection.command(0x03, b"change; change").await.unwrap()), Some(10));
}

/// COM_CHANGE_USER as this client, and the answer to the salt that it gets.
async fn change_user(connection: &mut Connection, options: &ConnectOptions) -> Result<(), ClientError> {
    let name = options.plugin.name();
    let body = format!("{}\0\0{}\0\x2D\0{name}\0", options.user, options.database.as_deref().unwrap_or_default());
    let switch = connection.command(0x11, body.as_bytes()).await?;
    assert_eq!(switch[0], 0xFE, "a new salt");
    connection.switch_login(options, &switch[1..]).await?;
    match connection.packet().await?.as_ref() {
        [1, 3] => assert_eq!(connection.packet().await?[0], 0),
        other => assert_eq!(other[0], 0),
    }
    Ok(())
}

#[tokio::test]
async fn another_user_on_a_connection_shows_a_password_and_begins_anew() {
    let server = Server::start().await;
    for plugin in [Plugin::CachingSha2, Plugin::Native] {
        let options = ConnectOptions { plugin, database: Some("demo".to_owned()), ..server.options() };
        let mut connection = server.connect().await;
        connection.command(0x16, b"select 1").await.unwrap();
        change_user(&mut connection, &options).await.unwrap();
        assert_eq!(one_text(&mut connection, "database").await.as_deref(), Some("demo"));
        assert_eq!(code_of(connection.command(0x17, &[1, 0, 0, 0, 0, 1, 0, 0, 0]).await), 1243);
        let wrong = ConnectOptions { password: Secret::new("wrong".to_owned()), ..options.clone() };
        assert_eq!(code_of(change_user(&mut connection, &wrong).await), 1045);
        assert!(
            matches!(connection.query("select 1").await, Err(ClientError::Lost(_))),
            "it is not the old user's either"
        );
    }
}

#[tokio::test]
async fn a_connection_that_is_killed_is_closed_whether_it_is_idle_or_not() {
    let server = Server::start().await;
    let (mut idle, mut busy) = (server.connect().await, server.connect().await);
    let (mut begun, mut cancelled) = (server.stand_in.begun.subscribe(), server.stand_in.cancelled.subscribe());
    let busy = tokio::spawn(async move { busy.query("hang").await.map(|_| ()) });
    begun.wait_for(|count| *count == 1).await.unwrap();
    server.stand_in.killed.cancel();
    assert_eq!(code_of(idle.farewell().await), 1927);
    assert!(matches!(idle.farewell().await, Err(ClientError::Lost(_))));
    assert!(matches!(busy.await.unwrap(), Err(ClientError::Lost(_))));
    cancelled.wait_for(|count| *count == 1).await.unwrap();
}

#[tokio::test]
async fn a_value_of_more_than_one_packet_comes_back_whole() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for length in [0, 250, 251, 70_000, 0xFF_FFFF - 5, 0xFF_FFFF - 4, 0xFF_FFFF, 40 << 20] {
        let rows = all_rows(&mut connection, &format!("value {length}")).await.unwrap();
        let value = rows[0][0].as_ref().unwrap();
        assert!(value.len() == length && value.iter().all(|byte| *byte == b'x'), "{length}");
    }
    let long = format!("/* {} */", "c".repeat(20 << 20));
    assert_eq!(one_text(&mut connection, &long).await.unwrap(), long, "a statement of more than one packet");
}

#[tokio::test]
async fn rows_are_produced_only_as_fast_as_the_client_reads() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let Reply::Rows(mut rows) = connection.query("rows 2000 10000").await.unwrap() else { panic!("no rows") };
    for expected in 0..1024 * 20 {
        let row = rows.next().await.unwrap().unwrap();
        assert_eq!(row[0].as_deref(), Some(expected.to_string().as_bytes()));
    }
    // Each batch is 10 MB, and the sockets hold a few MB at most: the server cannot have run further ahead.
    assert!(*server.stand_in.drawn.borrow() <= 22, "{} batches were drawn", *server.stand_in.drawn.borrow());
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_statement() {
    let server = Server::start().await;
    let (mut begun, mut cancelled) = (server.stand_in.begun.subscribe(), server.stand_in.cancelled.subscribe());
    let mut connection = server.connect().await;
    let asked = tokio::spawn(async move { connection.query("hang").await.map(|_| ()) });
    begun.wait_for(|count| *count == 1).await.unwrap();
    asked.abort();
    cancelled.wait_for(|count| *count == 1).await.unwrap();

    let mut connection = server.connect().await;
    let Reply::Rows(mut rows) = connection.query("rows 1000000 1000").await.unwrap() else { panic!("no rows") };
    rows.next().await.unwrap();
    drop(connection);
    cancelled.wait_for(|count| *count == 2).await.unwrap();
}

#[tokio::test]
async fn a_panic_ends_its_connection_with_an_error_and_no_other_one() {
    let server = Server::start().await;
    let mut other = server.connect().await;
    for sql in ["panic", "panic later"] {
        let mut connection = server.connect().await;
        let Err(error) = all_rows(&mut connection, sql).await else { panic!("no error") };
        assert!(error.to_string().contains("a defect of the server"), "{error}");
        assert!(matches!(connection.query("select 1").await, Err(ClientError::Lost(_))));
    }
    assert_eq!(one_text(&mut other, "select 1").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_connection_above_the_limit_is_told_so_and_a_free_place_is_used_again() {
    let server = Server::start_with(PASSWORD, ListenerSettings { max_connections: 2, ..Default::default() }).await;
    let (first, _second) = (server.connect().await, server.connect().await);
    assert_eq!(code_of(Connection::open(&server.options()).await), 1040);
    first.close().await;
    while let Err(error) = Connection::open(&server.options()).await {
        assert!(error.to_string().contains("1040"), "{error}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stranger_can_neither_stay_nor_send_much() {
    let settings = ListenerSettings { login_timeout: Duration::from_millis(200), ..Default::default() };
    let server = Server::start_with(PASSWORD, settings).await;
    let mut silent = server.stranger().await;
    assert_eq!(silent.read(&mut [0; 10]).await.unwrap(), 0, "closed without a word");
    let mut greedy = server.stranger().await;
    greedy.write_all(&[0xFF, 0xFF, 0xFF, 1]).await.unwrap();
    assert_eq!(&read_packet(&mut greedy).await[..3], [0xFF, 0x81, 0x04], "1153");
    let mut confused = server.stranger().await;
    confused.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(read_packet(&mut confused).await[0], 0xFF);
}

#[tokio::test]
async fn a_statement_above_max_allowed_packet_is_refused_with_an_error() {
    let server =
        Server::start_with(PASSWORD, ListenerSettings { max_allowed_packet: 1 << 20, ..Default::default() }).await;
    let mut connection = server.connect().await;
    assert_eq!(code_of(connection.query(&"x".repeat(30 << 20)).await), 1153);
}

#[tokio::test]
async fn i8_a_statement_that_takes_more_memory_than_is_left_is_refused_with_an_error_and_a_smaller_one_is_answered() {
    let server = Server::start().await;
    assert!(server.memory.try_take_for_query(MEMORY - (1 << 20)));
    let mut connection = server.connect().await;
    match connection.query(&"x".repeat(30 << 20)).await.err() {
        Some(ClientError::Server(error)) => {
            assert!(error.code == 1038 && error.message.contains("memory.limit"), "{error:?}");
        }
        other => panic!("{other:?}"),
    }
    let mut connection = server.connect().await;
    assert!(connection.query(&format!("ok -- {}", "x".repeat(200 << 10))).await.is_ok());
    connection.close().await;
    let is_given_back = || server.memory.query_used() == MEMORY - (1 << 20);
    while !is_given_back() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_is_silent_for_too_long_is_told_and_left() {
    let server =
        Server::start_with(PASSWORD, ListenerSettings { idle_timeout: Duration::ZERO, ..Default::default() }).await;
    let mut connection = server.connect().await;
    assert_eq!(code_of(connection.farewell().await), 4031);
    assert!(matches!(connection.farewell().await, Err(ClientError::Lost(_))));
}

#[tokio::test]
async fn when_the_server_stops_every_connection_is_told_and_the_port_is_closed() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let mut idle = server.connect().await;
    let running = tokio::spawn(async move { code_of(connection.query("hang").await) });
    server.stand_in.begun.subscribe().wait_for(|count| *count == 1).await.unwrap();
    server.cancel.cancel();
    assert_eq!(running.await.unwrap(), 1053);
    assert_eq!(code_of(idle.farewell().await), 1053);
    server.task.await.unwrap();
    assert!(matches!(Connection::open(&refused(server.address)).await, Err(ClientError::Connect { .. })));
}

fn refused(address: SocketAddr) -> ConnectOptions {
    ConnectOptions {
        host: address.ip().to_string(),
        port: address.port(),
        user: "root".to_owned(),
        password: Secret::new(String::new()),
        database: None,
        plugin: Plugin::CachingSha2,
    }
}

#[tokio::test]
async fn where_no_server_is_the_error_says_where_and_what_to_do() {
    let server = Server::start().await;
    server.cancel.cancel();
    server.task.await.unwrap();
    let Err(error) = Connection::open(&refused(server.address)).await else { panic!("connected") };
    let message = error.to_string();
    assert!(message.contains(&server.address.to_string()) && message.contains("millrace demo"), "{message}");
}
