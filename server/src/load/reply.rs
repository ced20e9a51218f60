//! What a load is answered with: JSON, whichever way it ends.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use warehouse::write::insert::{InsertError, Inserted};
use warehouse::write::load::{Leniency, LoadError};

/// Why a load was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    reason: String,
    line: Option<u64>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), line: None }
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "user and password are not known; send those of the MySQL port, as in curl -u user:password",
        )
    }

    /// A row that does not fit: nothing of the file is loaded.
    pub(super) fn of_row(error: &LoadError) -> Self {
        let reason = format!("nothing was loaded: {}", error.reason);
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, reason, line: error.line }
    }

    /// The body ended before its time.
    pub(super) fn cut(error: &axum::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("nothing was loaded: the request's body was cut: {error}"))
    }

    pub(super) fn of_insert(error: &InsertError) -> Self {
        let status = match error {
            InsertError::TryAgain { .. } | InsertError::Closing => StatusCode::SERVICE_UNAVAILABLE,
            InsertError::TableGone => StatusCode::NOT_FOUND,
            InsertError::TooManyParts { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            InsertError::Failed { .. } => StatusCode::BAD_REQUEST,
            InsertError::Unknown { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }

    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, reason, line } = refusal;
        let mut body = json!({ "status": "error", "error": reason });
        if let Some(line) = line {
            body["line"] = line.into();
        }
        let mut response = answer(status, &body);
        if status == StatusCode::UNAUTHORIZED {
            let asked = HeaderValue::from_static("Basic realm=\"millrace\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, asked);
        }
        response
    }
}

/// All rows are there.
pub(super) fn loaded(label: Option<&str>, inserted: &Inserted, leniency: &Leniency) -> Response {
    let mut body = outcome("ok", label, inserted);
    body["skipped"] = leniency.skipped.into();
    if let Some(first) = &leniency.first {
        body["first_error"] = json!({ "line": first.line, "error": first.reason });
    }
    answer(StatusCode::OK, &body)
}

/// An earlier load with this label was committed: this is how it ended.
pub(super) fn repeated(label: Option<&str>, inserted: &Inserted) -> Response {
    answer(StatusCode::CONFLICT, &outcome("label_exists", label, inserted))
}

fn outcome(status: &str, label: Option<&str>, inserted: &Inserted) -> Value {
    let version = inserted.version.map(|version| version.to_string());
    json!({ "status": status, "label": label, "rows": inserted.rows, "version": version })
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
