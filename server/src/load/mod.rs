//! `PUT /v1/load/{database}/{table}`: a file of rows, loaded whole or not at all.
//!
//! ```text
//!   body ─> reader (NDJSON, CSV; Parquet by a file on disk) ─> InsertWriter ─> one commit ─> JSON
//! ```
//!
//! Owns the request's headers, parameters and answers. Rows and formats are the warehouse's; who may is the MySQL port's accounts.

mod auth;
mod reply;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use catalog::{Catalog, CatalogError, Table};
use futures::StreamExt;
use tokio::sync::mpsc;
use vfs::World;
use warehouse::write::insert::{Begun, InsertError, InsertWriter, Inserts};
use warehouse::write::load::{CsvOptions, CsvReader, Leniency, LoadError, LoadReader, NdJsonReader, ParquetReader};

use crate::mysql::auth::Accounts;
use crate::sql::is_system_schema;
use auth::is_known;
use reply::Refusal;

/// What loads work with.
#[derive(Clone)]
pub struct Loads {
    /// Tables by name.
    pub catalog: Catalog,
    /// Takes the rows.
    pub inserts: Arc<Inserts>,
    /// Who may.
    pub accounts: Arc<dyn Accounts>,
    /// Randomness.
    pub world: World,
    /// Where a file lies that has to be read from its end.
    pub directory: PathBuf,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    NdJson,
    Csv,
    Parquet,
}

/// What the request asks for.
#[derive(Debug)]
struct Wanted {
    format: Format,
    label: Option<String>,
    columns: Option<Vec<String>>,
    errors_max: u64,
    separator: u8,
}

/// The parameters that there are: in the query, or as a header of the same name, as other loaders take them.
const PARAMETERS: [&str; 5] = ["format", "label", "columns", "max_errors", "column_separator"];

/// Carries out one load.
pub(crate) async fn put(
    State(loads): State<Loads>,
    Path((database, table)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match loads.load(&database, &table, query, &headers, body).await {
        Ok(response) => response,
        Err(refusal) => {
            tracing::debug!(database, table, reason = refusal.reason(), "a load was refused");
            refusal.into()
        }
    }
}

impl Loads {
    async fn load(
        &self,
        database: &str,
        name: &str,
        query: BTreeMap<String, String>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, Refusal> {
        match is_known(headers, &*self.accounts, &self.world).await {
            Ok(true) => {}
            Ok(false) => return Err(Refusal::unauthorized()),
            Err(error) => return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.message)),
        }
        let wanted = wanted(query, headers)?;
        let table = self.table(database, name).await?;
        let begun = self.inserts.begin(Arc::clone(&table), wanted.label.as_deref()).await;
        let mut writer = match begun.map_err(|error| Refusal::of_insert(&error))? {
            Begun::Writer(writer) => writer,
            Begun::Before(inserted) => return Ok(reply::repeated(wanted.label.as_deref(), &inserted)),
        };
        let leniency = match wanted.format {
            Format::Parquet => self.parquet(&mut writer, &wanted, body).await?,
            Format::NdJson | Format::Csv => self.lines(&mut writer, &wanted, body).await?,
        };
        let inserted = writer.finish().await.map_err(|error| Refusal::of_insert(&error))?;
        Ok(match inserted.repeated {
            true => reply::repeated(wanted.label.as_deref(), &inserted),
            false => reply::loaded(wanted.label.as_deref(), &inserted, &leniency),
        })
    }

    async fn table(&self, database: &str, name: &str) -> Result<Arc<Table>, Refusal> {
        if is_system_schema(database) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                format!("the tables of `{database}` are made by the server"),
            ));
        }
        match self.catalog.table(database, name).await {
            Ok(table) => Ok(table),
            Err(error @ CatalogError::NotFound { .. }) => Err(Refusal::new(StatusCode::NOT_FOUND, error.to_string())),
            Err(error) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
        }
    }

    /// A format that is read as it comes.
    async fn lines(&self, writer: &mut InsertWriter, wanted: &Wanted, body: Body) -> Result<Leniency, Refusal> {
        let leniency = Leniency::new(wanted.errors_max);
        let table = Arc::clone(writer.table());
        let bad = |error: LoadError| Refusal::of_row(&error);
        let mut reader: Box<dyn LoadReader> = match wanted.format {
            Format::Csv => {
                let options = CsvOptions { separator: wanted.separator, columns: wanted.columns.clone() };
                Box::new(CsvReader::new(&table, options, leniency).map_err(bad)?)
            }
            _ => Box::new(NdJsonReader::new(&table, wanted.columns.as_deref(), leniency).map_err(bad)?),
        };
        let mut bytes = body.into_data_stream();
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|error| Refusal::cut(&error))?;
            for rows in reader.push(&piece).map_err(bad)? {
                writer.push(rows).await.map_err(|error| Refusal::of_insert(&error))?;
            }
        }
        for rows in reader.finish().map_err(bad)? {
            writer.push(rows).await.map_err(|error| Refusal::of_insert(&error))?;
        }
        let told = reader.leniency();
        let mut leniency = Leniency::new(0);
        (leniency.skipped, leniency.first) = (told.skipped, told.first.clone());
        Ok(leniency)
    }

    /// A format whose index stands at its end: the file lies on disk while it is read, and is gone with the request.
    async fn parquet(&self, writer: &mut InsertWriter, wanted: &Wanted, body: Body) -> Result<Leniency, Refusal> {
        let directory = self.directory.clone();
        let full = |error: &std::io::Error| {
            Refusal::new(
                StatusCode::INSUFFICIENT_STORAGE,
                format!("the file could not be kept on disk while it is read: {error}"),
            )
        };
        std::fs::create_dir_all(&directory).map_err(|error| full(&error))?;
        let mut file = tempfile::tempfile_in(directory).map_err(|error| full(&error))?;
        let mut bytes = body.into_data_stream();
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|error| Refusal::cut(&error))?;
            file.write_all(&piece).map_err(|error| full(&error))?;
        }
        let (table, columns) = (Arc::clone(writer.table()), wanted.columns.clone());
        let (send, mut batches) = mpsc::channel(2);
        let reading = tokio::task::spawn_blocking(move || -> Result<(), LoadError> {
            let mut reader = ParquetReader::open(file, &table, columns.as_deref())?;
            while let Some(rows) = reader.next_rows()? {
                if send.blocking_send(rows).is_err() {
                    break;
                }
            }
            Ok(())
        });
        while let Some(rows) = batches.recv().await {
            writer.push(rows).await.map_err(|error| Refusal::of_insert(&error))?;
        }
        match reading.await {
            Ok(read) => read.map_err(|error| Refusal::of_row(&error))?,
            Err(error) => {
                let failed = InsertError::Failed { cause: error.to_string() };
                return Err(Refusal::of_insert(&failed));
            }
        }
        Ok(Leniency::new(0))
    }
}

/// What the query and the headers ask for; the query wins.
fn wanted(query: BTreeMap<String, String>, headers: &HeaderMap) -> Result<Wanted, Refusal> {
    let bad = |reason: String| Refusal::new(StatusCode::BAD_REQUEST, reason);
    if let Some(unknown) = query.keys().find(|name| !PARAMETERS.contains(&name.as_str())) {
        return Err(bad(format!("there is no parameter `{unknown}`; there are {}", PARAMETERS.join(", "))));
    }
    let of = |name: &str| -> Option<String> {
        query.get(name).cloned().or_else(|| headers.get(name)?.to_str().ok().map(str::to_owned))
    };
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let named = of("format").unwrap_or_else(|| content_type.split(';').next().unwrap_or_default().trim().to_owned());
    let format = match named.to_ascii_lowercase().as_str() {
        "ndjson" | "json" | "jsonl" | "application/x-ndjson" | "application/jsonl" | "application/json" => {
            Format::NdJson
        }
        "csv" | "text/csv" => Format::Csv,
        "parquet" | "application/vnd.apache.parquet" | "application/x-parquet" => Format::Parquet,
        _ => {
            let reason = format!(
                "the format {named:?} is not known; say ?format=ndjson, csv or parquet, or a Content-Type of them"
            );
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
        }
    };
    let errors_max = match of("max_errors") {
        None => 0,
        Some(text) => text.parse().map_err(|_| bad(format!("max_errors = {text:?} is not a number of rows")))?,
    };
    if errors_max > 0 && format == Format::Parquet {
        return Err(bad("max_errors is for ndjson and csv".to_owned()));
    }
    let separator = match of("column_separator").as_deref() {
        None => b',',
        Some("\\t" | "\t") => b'\t',
        Some(text) => match text.as_bytes() {
            [byte] if !matches!(byte, b'"' | b'\n' | b'\r') => *byte,
            _ => {
                return Err(bad(format!(
                    "column_separator = {text:?} is not one character that can stand between fields"
                )));
            }
        },
    };
    let names = |text: String| text.split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect();
    Ok(Wanted { format, label: of("label"), columns: of("columns").map(names), errors_max, separator })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &[(&str, &str)], headers: &[(&'static str, &str)]) -> Result<Wanted, Refusal> {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        wanted(query, &headers)
    }

    #[test]
    fn the_format_comes_from_the_query_or_the_content_type() {
        for (query, content_type, format) in [
            (Some("csv"), "application/json", Format::Csv),
            (None, "application/x-ndjson; charset=utf-8", Format::NdJson),
            (None, "text/csv", Format::Csv),
            (Some("Parquet"), "application/octet-stream", Format::Parquet),
        ] {
            let query: Vec<_> = query.map(|format| ("format", format)).into_iter().collect();
            assert_eq!(asked(&query, &[("content-type", content_type)]).unwrap().format, format);
        }
        assert_eq!(asked(&[], &[]).unwrap_err().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }

    #[test]
    fn parameters_are_read_from_both_and_misspelt_ones_are_told() {
        let headers = [("label", "l-1"), ("columns", "a, `b`")];
        let wanted = asked(&[("format", "csv"), ("max_errors", "3"), ("column_separator", "\\t")], &headers).unwrap();
        assert_eq!((wanted.label.as_deref(), wanted.errors_max, wanted.separator), (Some("l-1"), 3, b'\t'));
        assert_eq!(wanted.columns.unwrap(), ["a", "b"]);
        for bad in [("lable", "x"), ("max_errors", "some"), ("column_separator", "--")] {
            let error = asked(&[("format", "csv"), bad], &[]).unwrap_err();
            assert_eq!(error.status(), StatusCode::BAD_REQUEST);
            assert!(error.reason().contains(bad.0), "{}", error.reason());
        }
    }
}
