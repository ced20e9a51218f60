//! What the server is told to do wrong, and to which requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Method;
use hyper::http::request::Parts;

/// What one request suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Fault {
    /// 503 SlowDown; it did not happen.
    SlowDown,
    /// 500 InternalError; it did not happen.
    InternalError,
    /// It waits so long, and then goes on.
    Latency(Duration),
    /// The connection ends; it did not happen.
    Reset,
    /// It happens, and the connection ends before the reply.
    ReplyLost,
    /// 409 ConditionalRequestConflict, as S3 tells one of two that write at once; it did not happen.
    Conflict,
    /// It happens, and the reply is 412 PreconditionFailed: something in between had repeated it.
    PreconditionAfterSuccess,
    /// 400 ExpiredToken, with a token in the reply as S3 has it; it did not happen.
    ExpiredToken,
    /// 301 PermanentRedirect to the region eu-west-1, as AWS answers who asks for a bucket in another; it did not happen.
    AnotherRegion,
    /// Of the body only so many bytes come, and then the connection ends.
    TruncatedBody(usize),
    /// A listing that is as it was when the same was last asked.
    StaleListing,
    /// It happens, and the reply is 200 with an error in its body, as S3 tells of a long request that failed late.
    ErrorInBody,
}

/// The kinds of requests that faults are scripted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum S3Op {
    /// A put in one request.
    Put,
    /// The beginning of an upload in pieces.
    CreateUpload,
    /// A piece of it.
    PutPiece,
    /// Its end.
    Complete,
    /// Its end without an object.
    Abort,
    /// A get, of the whole or a range.
    Get,
    /// A get of the metadata.
    Head,
    /// A listing.
    List,
    /// A deletion, of one or many.
    Delete,
    /// A copy.
    Copy,
    /// Whatever else.
    Other,
}

impl S3Op {
    /// Which kind a request is, by its method and its query. Buckets are the first segment of the path.
    pub(super) fn of(request: &Parts) -> Self {
        let query = request.uri.query().unwrap_or_default();
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let is_object = key(request.uri.path()).is_some();
        match (request.method.as_str(), is_object) {
            ("PUT", true) if has("partNumber") => Self::PutPiece,
            ("PUT", true) if request.headers.contains_key("x-amz-copy-source") => Self::Copy,
            ("PUT", true) => Self::Put,
            ("POST", true) if has("uploads") => Self::CreateUpload,
            ("POST", true) if has("uploadId") => Self::Complete,
            ("DELETE", true) if has("uploadId") => Self::Abort,
            ("DELETE", true) => Self::Delete,
            ("POST", false) if has("delete") => Self::Delete,
            ("GET", true) => Self::Get,
            ("GET", false) if has("list-type") => Self::List,
            _ if request.method == Method::HEAD && is_object => Self::Head,
            _ => Self::Other,
        }
    }
}

/// The key of a path-style request, if it names one.
fn key(path: &str) -> Option<&str> {
    let (_, key) = path.strip_prefix('/')?.split_once('/')?;
    (!key.is_empty()).then_some(key)
}

/// Faults to come, and requests that came.
#[derive(Debug, Default)]
pub(super) struct Script(Mutex<BTreeMap<S3Op, OfOp>>);

#[derive(Debug, Default)]
struct OfOp {
    faults: VecDeque<S3Fault>,
    requests: u64,
}

impl Script {
    pub(super) fn add(&self, op: S3Op, faults: impl IntoIterator<Item = S3Fault>) {
        self.ops().entry(op).or_default().faults.extend(faults);
    }

    pub(super) fn requests(&self, op: S3Op) -> u64 {
        self.ops().entry(op).or_default().requests
    }

    /// Counts a request and takes its fault.
    pub(super) fn arrive(&self, op: S3Op) -> Option<S3Fault> {
        let mut ops = self.ops();
        let of_op = ops.entry(op).or_default();
        of_op.requests += 1;
        of_op.faults.pop_front()
    }

    fn ops(&self) -> MutexGuard<'_, BTreeMap<S3Op, OfOp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    #[test]
    fn requests_are_told_apart_as_s3_does() {
        let op = |method: &str, uri: &str| {
            let (parts, ()) = Request::builder().method(method).uri(uri).body(()).expect("a request").into_parts();
            S3Op::of(&parts)
        };
        for (method, uri, expected) in [
            ("PUT", "/b/a/x", S3Op::Put),
            ("PUT", "/b/x?partNumber=1&uploadId=u", S3Op::PutPiece),
            ("POST", "/b/x?uploads=", S3Op::CreateUpload),
            ("POST", "/b/x?uploadId=u", S3Op::Complete),
            ("DELETE", "/b/x?uploadId=u", S3Op::Abort),
            ("DELETE", "/b/x", S3Op::Delete),
            ("POST", "/b?delete", S3Op::Delete),
            ("POST", "/b/?delete", S3Op::Delete),
            ("GET", "/b/x", S3Op::Get),
            ("HEAD", "/b/x", S3Op::Head),
            ("GET", "/b?list-type=2&prefix=x", S3Op::List),
            ("PUT", "/b", S3Op::Other),
            ("HEAD", "/b", S3Op::Other),
        ] {
            assert_eq!(op(method, uri), expected, "{method} {uri}");
        }
    }
}
