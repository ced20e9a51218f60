//! A SQL client for tests, over the product's MySQL port.

use anyhow::{Context, bail};
use server::client::{ClientError, ConnectOptions, Connection, Reply};
use server::mysql::Secret;
use server::mysql::auth::Plugin;
use tokio::sync::oneshot;

/// One row: each value as text, NULL as `None`.
pub type Row = Vec<Option<String>>;

/// One session.
pub struct Sql {
    connection: Connection,
}

impl Sql {
    /// Connects as root, without a password.
    ///
    /// # Errors
    /// If the server is not there or does not let it in.
    pub async fn connect(port: u16) -> anyhow::Result<Self> {
        Self::connect_with(port, "", Some("default")).await
    }

    /// Connects as root, with this password.
    ///
    /// # Errors
    /// If the server is not there or does not let it in.
    pub async fn connect_with(port: u16, password: &str, database: Option<&str>) -> anyhow::Result<Self> {
        let options = ConnectOptions {
            host: "127.0.0.1".to_owned(),
            port,
            user: "root".to_owned(),
            password: Secret::new(password.to_owned()),
            database: database.map(str::to_owned),
            plugin: Plugin::CachingSha2,
        };
        Ok(Self { connection: Connection::open(&options).await? })
    }

    /// Runs a statement; its rows.
    ///
    /// # Errors
    /// If the server answers with an error, or not at all.
    pub async fn rows(&mut self, sql: &str) -> anyhow::Result<Vec<Row>> {
        match self.rows_until_error(sql).await {
            (rows, None) => Ok(rows),
            (_, Some(error)) => Err(error.context(sql.to_owned())),
        }
    }

    /// Runs a statement; its rows up to its end or to the error that ended it.
    pub async fn rows_until_error(&mut self, sql: &str) -> (Vec<Row>, Option<anyhow::Error>) {
        let mut all = Vec::new();
        let mut rows = match self.connection.query(sql).await {
            Ok(Reply::Rows(rows)) => rows,
            Ok(Reply::Done(_)) => return (all, None),
            Err(error) => return (all, Some(error.into())),
        };
        loop {
            match rows.next().await {
                Ok(Some(row)) => {
                    let text = row.into_iter().map(|cell| cell.map(|cell| String::from_utf8_lossy(&cell).into_owned()));
                    all.push(text.collect());
                }
                Ok(None) => return (all, None),
                Err(error) => return (all, Some(error.into())),
            }
        }
    }

    /// Runs a statement, reads one row of it, and the others when `go` says so: the error that ends them, if one does.
    pub async fn error_behind_first_row(&mut self, sql: &str, go: oneshot::Receiver<()>) -> Option<anyhow::Error> {
        let mut rows = match self.connection.query(sql).await {
            Ok(Reply::Rows(rows)) => rows,
            Ok(Reply::Done(_)) => return None,
            Err(error) => return Some(error.into()),
        };
        let mut next = rows.next().await;
        // Nobody who could say so is left: it reads on.
        drop(go.await);
        loop {
            match next {
                Ok(Some(_)) => next = rows.next().await,
                Ok(None) => return None,
                Err(error) => return Some(error.into()),
            }
        }
    }

    /// Runs a statement whose rows do not matter.
    ///
    /// # Errors
    /// As [`Sql::rows`].
    pub async fn run(&mut self, sql: &str) -> anyhow::Result<()> {
        self.rows(sql).await.map(|_| ())
    }

    /// The one row of a statement, NULL as "NULL".
    ///
    /// # Errors
    /// As [`Sql::rows`], or if it is not one row.
    pub async fn row(&mut self, sql: &str) -> anyhow::Result<Vec<String>> {
        let mut rows = self.rows(sql).await?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(row.into_iter().map(|cell| cell.unwrap_or_else(|| "NULL".to_owned())).collect()),
            (last, _) => bail!("{sql}: expected one row, got {rows:?} and {last:?}"),
        }
    }

    /// The one value of a statement's one row.
    ///
    /// # Errors
    /// As [`Sql::row`], or if it is not one value.
    pub async fn value(&mut self, sql: &str) -> anyhow::Result<String> {
        match <[String; 1]>::try_from(self.row(sql).await?) {
            Ok([value]) => Ok(value),
            Err(row) => bail!("{sql}: expected one value, got {row:?}"),
        }
    }

    /// The one number of a statement's one row.
    ///
    /// # Errors
    /// As [`Sql::value`], or if it is not a number.
    pub async fn number(&mut self, sql: &str) -> anyhow::Result<i64> {
        let value = self.value(sql).await?;
        value.parse().with_context(|| format!("{sql}: {value:?} is not a number"))
    }

    /// The error that a statement must end with, in the server's words.
    ///
    /// # Errors
    /// If it succeeds.
    pub async fn error(&mut self, sql: &str) -> anyhow::Result<String> {
        match self.rows_until_error(sql).await {
            (_, Some(error)) => Ok(words(&error)),
            (rows, None) => bail!("{sql}: expected an error, got {} rows", rows.len()),
        }
    }
}

/// What the server said, without the statement that it said it about.
fn words(error: &anyhow::Error) -> String {
    error.downcast_ref::<ClientError>().map_or_else(|| format!("{error:#}"), ToString::to_string)
}
