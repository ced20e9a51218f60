//! A client that shows values as they came: text as text, bytes as hexadecimal digits, in either form of the protocol.

use bytes::Bytes;
use server::client::{ConnectOptions, Connection, Reply};
use server::mysql::Secret;
use server::mysql::auth::Plugin;
use server::mysql::column::ColumnDefinition;

/// How rows are written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The answer to a query.
    Text,
    /// The answer to a prepared statement.
    Binary,
}

impl Protocol {
    pub const ALL: [Self; 2] = [Self::Text, Self::Binary];

    /// Whether `found` is what `expected` says. The binary form does not tell whether a fraction of zero was written, where the
    /// column was declared without digits.
    pub fn agrees(self, found: Option<&str>, expected: Option<&str>) -> bool {
        match (self, found, expected) {
            (Self::Binary, Some(found), Some(expected)) => {
                found == expected || found.strip_suffix(".000000") == Some(expected)
            }
            (_, found, expected) => found == expected,
        }
    }
}

/// A session.
pub struct Client {
    pub connection: Connection,
}

impl Client {
    pub async fn connect(port: u16) -> Self {
        let options = ConnectOptions {
            host: "127.0.0.1".to_owned(),
            port,
            user: "root".to_owned(),
            password: Secret::new(String::new()),
            database: Some("default".to_owned()),
            plugin: Plugin::CachingSha2,
        };
        Self { connection: Connection::open(&options).await.unwrap() }
    }

    /// All rows of a query.
    pub async fn rows(&mut self, sql: &str, protocol: Protocol) -> Vec<Vec<Option<String>>> {
        let (columns, rows) = match protocol {
            Protocol::Text => {
                let Reply::Rows(mut rows) = self.connection.query(sql).await.unwrap() else { panic!("no rows: {sql}") };
                let mut all = Vec::new();
                while let Some(row) = rows.next().await.unwrap() {
                    all.push(row);
                }
                (rows.columns().to_vec(), all)
            }
            Protocol::Binary => {
                let prepared = self.connection.prepare(sql).await.unwrap();
                let answer = self.connection.execute(prepared, &[]).await.unwrap();
                (answer.columns, answer.rows)
            }
        };
        let show = |row: Vec<Option<Bytes>>| {
            row.into_iter().zip(&columns).map(|(cell, column)| cell.map(|cell| shown(column, &cell))).collect()
        };
        rows.into_iter().map(show).collect()
    }
}

fn shown(column: &ColumnDefinition, cell: &[u8]) -> String {
    match column.is_binary() {
        true => format!("0x{}", cell.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        false => String::from_utf8(cell.to_vec()).unwrap(),
    }
}
