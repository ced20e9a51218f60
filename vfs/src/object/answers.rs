//! What a cloud store answered, read before its client library sees it. The library hands errors on as text, in which a request's
//! address and what the store repeats of it may hold a secret; here they become values that say what happened and no more.

use std::error::Error;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::trouble::gives_credentials;

/// A store's no, with its reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} answered {status}{}{}", spaced(code), said(message))]
pub(super) struct Refusal {
    pub(super) host: String,
    pub(super) status: u16,
    /// The store's own word for the reason; empty where it gave none.
    pub(super) code: String,
    pub(super) message: String,
    /// Where the bucket is, if the store said so.
    pub(super) region: Option<String>,
}

/// No answer: nothing is known of what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host}: {cause}")]
pub(super) struct Silence {
    pub(super) host: String,
    pub(super) cause: String,
    pub(super) kind: SilenceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SilenceKind {
    /// No connection came about.
    NoConnection,
    /// The time was over.
    Timeout,
    /// The connection broke, or what came was no answer.
    Broken,
}

fn spaced(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!(" {code}") }
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}

/// Makes clients whose failures are [`Refusal`]s and [`Silence`]s.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Client { inner }))
    }
}

#[derive(Debug)]
struct Client {
    inner: HttpClient,
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let is_post = request.method() == "POST";
        let response = self.inner.execute(request).await.map_err(|error| silence(&host, &error))?;
        let status = response.status();
        if status.is_success() && !is_post {
            return Ok(response);
        }
        let region = response.headers().get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
        let region = region.filter(|region| is_word(region)).map(str::to_owned);
        let code_of_header = response.headers().get("x-ms-error-code").and_then(|value| value.to_str().ok());
        let code_of_header = code_of_header.filter(|code| is_word(code)).map(str::to_owned);
        let (parts, body) = response.into_parts();
        let body = body.bytes().await.map_err(|error| silence(&host, &error))?;
        let text = String::from_utf8_lossy(&body);
        let code = code_of_header.or_else(|| element(&text, "Code").filter(|code| is_word(code)));
        let code = code.unwrap_or_default();
        // Some requests are long, and S3 says that they go well before it knows: the error is then in the body.
        let failed = match status.is_success() {
            true => is_error_document(&text),
            false => gives_credentials(&host) || !is_for_the_library(status.as_u16(), &code),
        };
        if !failed {
            return Ok(HttpResponse::from_parts(parts, body.into()));
        }
        let message: String = element(&text, "Message").unwrap_or_default().chars().take(300).collect();
        let refusal = Refusal { host, status: status.as_u16(), code, message, region };
        // Of this kind the library repeats nothing by itself.
        Err(HttpError::new(HttpErrorKind::Unknown, refusal))
    }
}

/// Statuses that `object_store` makes kinds of errors of, except where a store uses them for something else.
fn is_for_the_library(status: u16, code: &str) -> bool {
    let is_about_the_bucket = ["NoSuchBucket", "ContainerNotFound"].contains(&code);
    let passes = ["ConditionalRequestConflict", "OperationAborted"].contains(&code);
    [304, 404, 409, 412].contains(&status) && !is_about_the_bucket && !passes
}

fn silence(host: &str, error: &HttpError) -> HttpError {
    let kind = match error.kind() {
        HttpErrorKind::Connect => SilenceKind::NoConnection,
        HttpErrorKind::Timeout => SilenceKind::Timeout,
        _ => SilenceKind::Broken,
    };
    // The innermost cause says what happened; those around it say where, again and again.
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let silence = Silence { host: host.to_owned(), cause: cause.to_string(), kind };
    HttpError::new(HttpErrorKind::Unknown, silence)
}

/// The text of the first element of this name.
fn element(document: &str, name: &str) -> Option<String> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim().to_owned())
}

fn is_error_document(document: &str) -> bool {
    let root = document.trim_start().trim_start_matches('\u{feff}');
    let root = match root.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").map_or("", |(_, root)| root.trim_start()),
        None => root,
    };
    root.starts_with("<Error>") || root.starts_with("<Error ")
}

/// Whether it is a store's word for something, and not a piece of somebody's text.
fn is_word(text: &str) -> bool {
    (1..=60).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>ExpiredToken</Code><Message>The provided \
        token has expired.</Message><Token-0>the token itself</Token-0></Error>";

    #[test]
    fn of_an_error_document_the_code_and_the_message_are_taken_and_nothing_else() {
        assert_eq!(element(EXPIRED, "Code").as_deref(), Some("ExpiredToken"));
        assert_eq!(element(EXPIRED, "Message").as_deref(), Some("The provided token has expired."));
        assert!(is_error_document(EXPIRED) && is_error_document("<Error><Code>InternalError</Code></Error>"));
        assert!(!is_error_document("<DeleteResult><Error><Code>InternalError</Code></Error></DeleteResult>"));
        assert_eq!(element("no document", "Code"), None);
    }

    #[test]
    fn a_status_that_a_store_uses_for_something_else_is_not_the_librarys() {
        assert!(is_for_the_library(404, "NoSuchKey") && is_for_the_library(412, "PreconditionFailed"));
        assert!(!is_for_the_library(404, "NoSuchBucket"), "else every part would be missing");
        assert!(!is_for_the_library(409, "ConditionalRequestConflict"), "else a race would be a name taken");
        assert!(!is_for_the_library(403, "AccessDenied"));
    }
}
