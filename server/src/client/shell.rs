//! A statement's way from text to printed answer, with its time; and the connection that lasts over statements.

use std::io::{self, Write};
use std::time::Duration;

use vfs::Clock;

use super::connection::{ConnectOptions, Connection, Reply, Rows};
use super::error::ClientError;
use super::printer::Format;
use super::statements::{Layout, Statement};
use crate::mysql::reply::Done;

/// Why a statement was not shown to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShellError {
    /// The server or the connection failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The answer could not be printed.
    #[error("cannot print the answer: {0}")]
    Print(#[from] io::Error),
}

/// Runs statements on one connection and prints their answers.
pub(super) struct Shell {
    options: ConnectOptions,
    connection: Connection,
    format: Format,
    clock: Box<dyn Clock>,
}

impl Shell {
    /// Connects.
    pub(super) async fn open(
        options: ConnectOptions,
        format: Format,
        clock: Box<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let connection = Connection::open(&options).await?;
        Ok(Self { options, connection, format, clock })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Gives up the connection, and with it what runs on it, and connects again in the same database.
    pub(super) async fn reconnect(&mut self) -> Result<(), ClientError> {
        self.connection = Connection::open(&self.options).await?;
        Ok(())
    }

    pub(super) async fn close(self) {
        self.connection.close().await;
    }

    /// Runs one statement and prints its answer.
    pub(super) async fn run(&mut self, statement: &Statement, out: &mut (dyn Write + Send)) -> Result<(), ShellError> {
        let format = if statement.layout == Layout::Vertical { Format::Vertical } else { self.format };
        let begun = self.clock.now();
        let summary = match self.connection.query(&statement.sql).await? {
            Reply::Done(done) => describe(&done),
            Reply::Rows(rows) => match print_rows(rows, format, out).await? {
                1 => "1 row".to_owned(),
                count => format!("{count} rows"),
            },
        };
        if let Some(database) = used_database(&statement.sql) {
            self.options.database = Some(database);
        }
        if format.is_for_people() {
            writeln!(out, "{summary} in {}", seconds(self.clock.now().since(begun)))?;
        }
        out.flush()?;
        Ok(())
    }
}

/// Prints rows as they come; what came before an error is printed too.
async fn print_rows(mut rows: Rows<'_>, format: Format, out: &mut (dyn Write + Send)) -> Result<u64, ShellError> {
    let mut printer = format.printer(rows.columns());
    let mut count = 0;
    loop {
        match rows.next().await {
            Ok(Some(row)) => {
                printer.row(row, out)?;
                count += 1;
            }
            Ok(None) => {
                printer.finish(out)?;
                return Ok(count);
            }
            Err(error) => {
                printer.finish(out)?;
                out.flush()?;
                return Err(error.into());
            }
        }
    }
}

fn describe(done: &Done) -> String {
    let mut text = match done.affected_rows {
        0 => "OK".to_owned(),
        1 => "OK, 1 row changed".to_owned(),
        count => format!("OK, {count} rows changed"),
    };
    match done.warnings {
        0 => {}
        1 => text += ", 1 warning (SHOW WARNINGS shows it)",
        count => text += &format!(", {count} warnings (SHOW WARNINGS shows them)"),
    }
    if !done.info.is_empty() {
        text += &format!(", {}", done.info);
    }
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

/// The database that a USE statement names.
fn used_database(sql: &str) -> Option<String> {
    let (word, name) = sql.split_once(char::is_whitespace)?;
    word.eq_ignore_ascii_case("use").then(|| name.trim().trim_matches('`').replace("``", "`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_in_use_is_remembered_for_a_new_connection() {
        assert_eq!(used_database("USE `my``db`").as_deref(), Some("my`db"));
        assert_eq!(used_database("use demo").as_deref(), Some("demo"));
        assert_eq!(used_database("select 1"), None);
    }

    #[test]
    fn what_was_done_is_said_in_words() {
        assert_eq!(describe(&Done::default()), "OK");
        let done = Done { affected_rows: 2, warnings: 1, info: "two of them".into() };
        assert_eq!(describe(&done), "OK, 2 rows changed, 1 warning (SHOW WARNINGS shows it), two of them");
    }
}
