//! A SQL client for tests, over the product's MySQL port.

use anyhow::{Context, bail};
use server::client::connection::{ConnectOptions, Connection, Reply};
use server::mysql::auth::{Plugin, Secret};

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
        let options = ConnectOptions {
            host: "127.0.0.1".to_owned(),
            port,
            user: "root".to_owned(),
            password: Secret::new(String::new()),
            database: Some("default".to_owned()),
            plugin: Plugin::CachingSha2,
        };
        Ok(Self { connection: Connection::open(&options).await? })
    }

    /// Runs a statement; its rows as text, NULL as `None`.
    ///
    /// # Errors
    /// If the server answers with an error, or not at all.
    pub async fn rows(&mut self, sql: &str) -> anyhow::Result<Vec<Vec<Option<String>>>> {
        let reply = self.connection.query(sql).await.with_context(|| sql.to_owned())?;
        let Reply::Rows(mut rows) = reply else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        while let Some(row) = rows.next().await.with_context(|| sql.to_owned())? {
            let text = row.into_iter().map(|cell| cell.map(|cell| String::from_utf8_lossy(&cell).into_owned()));
            all.push(text.collect());
        }
        Ok(all)
    }

    /// Runs a statement whose rows do not matter.
    ///
    /// # Errors
    /// As [`Sql::rows`].
    pub async fn run(&mut self, sql: &str) -> anyhow::Result<()> {
        self.rows(sql).await.map(|_| ())
    }

    /// The one value of a statement's one row.
    ///
    /// # Errors
    /// As [`Sql::rows`], or if it is not one value.
    pub async fn value(&mut self, sql: &str) -> anyhow::Result<String> {
        let rows = self.rows(sql).await?;
        match rows.as_slice() {
            [row] if row.len() == 1 => Ok(row[0].clone().unwrap_or_else(|| "NULL".to_owned())),
            other => bail!("{sql}: expected one value, got {other:?}"),
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

    /// The error that a statement must end with.
    ///
    /// # Errors
    /// If it succeeds.
    pub async fn error(&mut self, sql: &str) -> anyhow::Result<String> {
        match self.rows(sql).await {
            Ok(rows) => bail!("{sql}: expected an error, got {} rows", rows.len()),
            Err(error) => Ok(format!("{error:#}")),
        }
    }
}
