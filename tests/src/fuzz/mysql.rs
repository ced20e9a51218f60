//! The MySQL port: whatever a client sends, before its login or after it, it is answered or closed, and the next client is served.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Target;
use super::node::FuzzNode;

/// After this long without an end the server hangs: the client has said all that it will say.
const PATIENCE: Duration = Duration::from_secs(8);
const COM_QUERY: u8 = 3;

pub(super) struct MysqlTarget {
    node: &'static FuzzNode,
    logs_in: bool,
}

impl MysqlTarget {
    pub(super) fn before_login() -> anyhow::Result<Self> {
        Ok(Self { node: FuzzNode::get()?, logs_in: false })
    }

    pub(super) fn after_login() -> anyhow::Result<Self> {
        Ok(Self { node: FuzzNode::get()?, logs_in: true })
    }
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    [&length[..3], &[sequence], payload].concat()
}

/// A client of MySQL 8 as root without a password: protocol 4.1, secure connection, several statements in one text,
/// with the plugin's name.
fn login(database: &str) -> Vec<u8> {
    let capabilities: u32 = 0x0000_0200 | 0x0000_8000 | 0x0001_0000 | 0x0008_0000 | 0x0000_0008 | 0x0100_0000;
    let mut payload = capabilities.to_le_bytes().to_vec();
    payload.extend_from_slice(&(16_u32 << 20).to_le_bytes());
    payload.push(255);
    payload.extend_from_slice(&[0; 23]);
    payload.extend_from_slice(b"root\0\0");
    payload.extend_from_slice(database.as_bytes());
    payload.extend_from_slice(b"\0caching_sha2_password\0");
    packet(1, &payload)
}

fn command(code: u8, text: &[u8]) -> Vec<u8> {
    packet(0, &[&[code][..], text].concat())
}

/// A statement with two parameters, a piece of long data for each, its execution with these types and values, its reset, its
/// execution with the same types, a fetch, its close.
fn prepared(types: &[u8], values: &[u8]) -> Vec<u8> {
    let execution = [&[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1][..], types, values].concat();
    let again = [&[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0][..], values].concat();
    [
        command(0x16, b"SELECT ?, ?"),
        command(0x17, &execution),
        command(0x18, b"\x01\0\0\0\0\0a piece"),
        command(0x18, b"\x01\0\0\0\x01\0another"),
        command(0x17, &execution),
        command(0x1a, &[1, 0, 0, 0]),
        command(0x17, &again),
        command(0x1c, &[1, 0, 0, 0, 1, 0, 0, 0]),
        command(0x19, &[1, 0, 0, 0]),
    ]
    .concat()
}

async fn read_packet(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await?;
    let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Ok(payload)
}

impl Target for MysqlTarget {
    fn seeds(&self) -> Vec<Vec<u8>> {
        if !self.logs_in {
            return vec![login("default"), login("nothing"), packet(1, b""), Vec::new()];
        }
        let query = |text: &str| command(COM_QUERY, text.as_bytes());
        let mut several = query("SELECT 1");
        several.extend(query("SHOW DATABASES"));
        vec![
            query("SELECT 1"),
            query("SELECT * FROM system.parts"),
            several,
            command(14, b""),        // PING
            command(2, b"default"),  // INIT_DB
            command(4, b"parts\0%"), // FIELD_LIST
            prepared(&[253, 0, 8, 0], b"\x03abc\x01\0\0\0\0\0\0\0"),
            prepared(
                &[12, 0, 11, 0],
                b"\x0b\xe8\x07\x02\x1d\x01\x02\x03\x04\0\0\0\x0c\0\x01\0\0\0\x01\x02\x03\x04\0\0\0",
            ),
            prepared(&[246, 0, 5, 0], b"\x05-1.50\0\0\0\0\0\0\xf8\x3f"),
            command(0x16, b"SELECT a FROM nothing WHERE a = ?"),
            command(0x17, &[1, 0, 0, 0, 0, 1, 0, 0, 0]), // STMT_EXECUTE of none
            command(0x11, b"root\0\0default\0\xff\0caching_sha2_password\0"), // CHANGE_USER
            command(0x11, b"root\0\0default\0"),
            command(0x1b, &[0, 0]),       // SET_OPTION
            command(0x0c, &[1, 0, 0, 0]), // PROCESS_KILL
            query("PREPARE s FROM 'SELECT ?'; EXECUTE s USING @a; DEALLOCATE PREPARE s"),
            query("SET @a = 1; SELECT @@global.port; SHOW WARNINGS"),
            command(0x1f, b""), // RESET_CONNECTION
            command(9, b""),    // STATISTICS
            command(1, b""),    // QUIT
        ]
    }

    fn words(&self) -> &[&[u8]] {
        &[
            b"\xff\xff\xff\0",
            b"\0\0\0\0",
            b"\xfb",
            b"\xfc\xff\xff",
            b"\xfe",
            b"root\0",
            b"\0",
            b"mysql_native_password\0",
            b"SELECT ",
            b"\x14",
        ]
    }

    fn take(&mut self, input: &[u8]) -> Result<String, String> {
        let address = self.node.node.mysql_address;
        let logs_in = self.logs_in;
        self.node.runtime.block_on(async {
            let connected = async {
                let mut stream = TcpStream::connect(address).await?;
                // Closed with a reset: thousands of connections a second would use up all ports otherwise.
                stream.set_zero_linger()?;
                read_packet(&mut stream).await?;
                if logs_in {
                    stream.write_all(&login("default")).await?;
                    let verdict = read_packet(&mut stream).await?;
                    if verdict.first() != Some(&0) {
                        return Err(std::io::Error::other("the login is refused"));
                    }
                }
                Ok(stream)
            };
            let mut stream = match timeout(PATIENCE, connected).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Err(format!("a client is not served any more: {error}")),
                Err(_) => return Err("a client is not greeted any more".to_owned()),
            };
            let mut answer = Vec::new();
            let talk = async {
                // The server may have closed before it has read everything.
                let _closed = stream.write_all(input).await;
                let _closed = stream.shutdown().await;
                let _reset = stream.read_to_end(&mut answer).await;
            };
            if timeout(PATIENCE, talk).await.is_err() {
                return Err(format!("neither answered nor closed within {} s", PATIENCE.as_secs()));
            }
            Ok(way(&answer))
        })
    }
}

/// The kind of the first packet, and the error's code if it is one.
fn way(answer: &[u8]) -> String {
    match answer {
        [_, _, _, _, 0xff, low, high, ..] => format!("error {}", u16::from_le_bytes([*low, *high])),
        [_, _, _, _, kind, ..] => format!("packet {kind}"),
        _ => "closed".to_owned(),
    }
}
