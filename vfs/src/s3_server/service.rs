//! One request: its fault, its lock, its answer.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH, TRANSFER_ENCODING};
use hyper::http::{request, response};
use hyper::{Request, Response, StatusCode};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3Result, s3_error};
use s3s_fs::FileSystem;

use super::faults::{S3Fault, S3Op, Script};
use super::locks::Locks;
use super::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use crate::Clock;

/// Listings that are remembered for stale ones.
const LISTINGS_KEPT: usize = 100;

/// What stands before the store.
pub(super) struct Front {
    service: S3Service,
    pub(super) script: Script,
    locks: Locks,
    /// The last answer to each listing, by what was asked.
    listings: Mutex<BTreeMap<String, Bytes>>,
    clock: Arc<dyn Clock>,
}

/// The connection is to end without a reply.
#[derive(Debug, thiserror::Error)]
#[error("the connection ends, as it was told to")]
pub(super) struct Hangup;

impl Front {
    pub(super) fn open(directory: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let files = FileSystem::new(directory).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(OneKey);
        builder.set_access(Door { directory: directory.to_owned() });
        let (script, locks, listings) = (Script::default(), Locks::new(), Mutex::default());
        Ok(Self { service: builder.build(), script, locks, listings, clock })
    }

    /// A moment, before something is tried again.
    pub(super) async fn pause(&self) {
        self.clock.sleep(Duration::from_millis(50)).await;
    }

    /// Answers one request, or ends its connection.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Hangup> {
        let (parts, body) = request.into_parts();
        // Taken whole first: what somebody who died on the way had sent never becomes an object, and holds no lock.
        let body = body.collect().await.map_err(|_| Hangup)?.to_bytes();
        let op = S3Op::of(&parts);
        let fault = self.script.arrive(op);
        if let Some(refused) = fault.and_then(|fault| instead(fault, &parts)) {
            return refused;
        }
        if let Some(S3Fault::Latency(wait)) = fault {
            self.clock.sleep(wait).await;
        }
        let asked = parts.uri.to_string();
        let earlier = if fault == Some(S3Fault::StaleListing) { self.remembered(&asked) } else { None };
        let response = self.serve(op, Request::from_parts(parts, body)).await?;
        if op == S3Op::Head {
            // It has a length and no body, so that it cannot be taken apart.
            return if fault == Some(S3Fault::ReplyLost) { Err(Hangup) } else { Ok(response.map(Body::from)) };
        }
        let (parts, body) = response.into_parts();
        if op == S3Op::List && parts.status.is_success() && earlier.is_none() {
            self.remember(asked, &body);
        }
        after(fault, parts, earlier.unwrap_or(body))
    }

    /// What the store says, once it is whole, with what it lacks.
    async fn serve(&self, op: S3Op, request: Request<Bytes>) -> Result<Response<Bytes>, Hangup> {
        let path = request.uri().path().to_owned();
        let wanted = request.headers().get(IF_MATCH).filter(|_| op == S3Op::Get).cloned();
        let _held = self.locks.hold(op, &path).await;
        let response = self.service.call(request.map(Body::from)).await.map_err(|_| Hangup)?;
        let (mut parts, body) = response.into_parts();
        // Read under the lock: a copy writes over what it replaces.
        let body = body.collect().await.map_err(|_| Hangup)?.to_bytes();
        // It has a length now.
        parts.headers.remove(TRANSFER_ENCODING);
        // The store below does not look at this condition. A range beyond the object is of another one than the condition means.
        let is_another = |wanted| {
            parts.status == StatusCode::RANGE_NOT_SATISFIABLE
                || parts.status.is_success() && parts.headers.get(ETAG) != Some(wanted)
        };
        if wanted.as_ref().is_some_and(is_another) {
            return Ok(refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", "It is another object."));
        }
        // An upload that has ended is nobody's to the store below, and gone to S3.
        let is_of_upload = [S3Op::PutPiece, S3Op::Complete, S3Op::Abort].contains(&op);
        if is_of_upload && parts.status == StatusCode::FORBIDDEN && contains(&body, b"<Code>AccessDenied</Code>") {
            return Ok(refusal(StatusCode::NOT_FOUND, "NoSuchUpload", "The specified upload does not exist."));
        }
        Ok(Response::from_parts(parts, body))
    }

    fn remember(&self, asked: String, body: &Bytes) {
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        if listings.len() >= LISTINGS_KEPT {
            listings.clear();
        }
        listings.insert(asked, body.clone());
    }

    fn remembered(&self, asked: &str) -> Option<Bytes> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).get(asked).cloned()
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("script", &self.script).finish_non_exhaustive()
    }
}

/// What is said instead of serving the request.
fn instead(fault: S3Fault, request: &request::Parts) -> Option<Result<Response<Body>, Hangup>> {
    let answer = match fault {
        S3Fault::SlowDown => refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Reduce your request rate."),
        S3Fault::InternalError => refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "Please try again."),
        S3Fault::Conflict => {
            let message = "A conflicting operation occurred during the request.";
            refusal(StatusCode::CONFLICT, "ConditionalRequestConflict", message)
        }
        S3Fault::ExpiredToken => expired(request.headers.get("x-amz-security-token")),
        S3Fault::AnotherRegion => elsewhere(),
        S3Fault::Reset => return Some(Err(Hangup)),
        S3Fault::Latency(_)
        | S3Fault::ReplyLost
        | S3Fault::PreconditionAfterSuccess
        | S3Fault::TruncatedBody(_)
        | S3Fault::StaleListing
        | S3Fault::ErrorInBody => return None,
    };
    Some(Ok(answer.map(Body::from)))
}

/// What becomes of an answer on its way.
fn after(fault: Option<S3Fault>, parts: response::Parts, body: Bytes) -> Result<Response<Body>, Hangup> {
    let spoiled = match fault {
        Some(S3Fault::ReplyLost) => return Err(Hangup),
        Some(S3Fault::TruncatedBody(kept)) if parts.status.is_success() => return Ok(truncated(parts, &body, kept)),
        Some(S3Fault::PreconditionAfterSuccess) => {
            let message = "At least one of the pre-conditions you specified did not hold";
            refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message)
        }
        Some(S3Fault::ErrorInBody) => refusal(StatusCode::OK, "InternalError", "Please try again."),
        _ => whole(parts, body),
    };
    Ok(spoiled.map(Body::from))
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    body.windows(wanted.len()).any(|window| window == wanted)
}

fn whole(mut parts: response::Parts, body: Bytes) -> Response<Bytes> {
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    Response::from_parts(parts, body)
}

/// The length of the whole, and so many bytes of it.
fn truncated(mut parts: response::Parts, body: &Bytes, kept: usize) -> Response<Body> {
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    let beginning = body.slice(..kept.min(body.len()));
    let cut = async move {
        // Time for the beginning to go out. The error then makes the server close the connection.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    };
    let body = stream::select(stream::iter([Ok(Frame::data(beginning))]), stream::once(cut));
    Response::from_parts(parts, Body::http_body_unsync(StreamBody::new(body)))
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    document(status, format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}

/// S3 repeats the token that it does not take.
fn expired(token: Option<&HeaderValue>) -> Response<Bytes> {
    let token = token.and_then(|token| token.to_str().ok()).unwrap_or_default();
    let message = "The provided token has expired.";
    document(
        StatusCode::BAD_REQUEST,
        format!("<Error><Code>ExpiredToken</Code><Message>{message}</Message><Token-0>{token}</Token-0></Error>"),
    )
}

fn elsewhere() -> Response<Bytes> {
    let message = "The bucket you are attempting to access must be addressed using the specified endpoint.";
    let mut response = refusal(StatusCode::MOVED_PERMANENTLY, "PermanentRedirect", message);
    response.headers_mut().insert("x-amz-bucket-region", HeaderValue::from_static("eu-west-1"));
    response
}

fn document(status: StatusCode, text: String) -> Response<Bytes> {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}");
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// Knows one key.
struct OneKey;

#[async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match access_key {
            ACCESS_KEY_ID => Ok(SecretKey::from(SECRET_ACCESS_KEY)),
            _ => Err(s3_error!(InvalidAccessKeyId, "The access key id you provided does not exist in our records.")),
        }
    }
}

/// Lets in who has signed, to buckets that are there: the files below would make a folder for any.
struct Door {
    directory: PathBuf,
}

#[async_trait]
impl S3Access for Door {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        }
        match context.s3_path().get_bucket_name() {
            Some(bucket) if context.s3_op().name() != "CreateBucket" && !self.directory.join(bucket).is_dir() => {
                Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"))
            }
            _ => Ok(()),
        }
    }
}
