//! Counts what is asked of an object store: requests by outcome, bytes, and seconds, as metrics.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use super::splitting::Pieces;
use super::trouble::Trouble;
use crate::{Clock, Moment};

/// An object store whose every request is counted in `millrace_object_store_requests_total{op,outcome}`,
/// `millrace_object_store_bytes_total{op}` and `millrace_object_store_seconds{op}`. Under a [`super::RetryingStore`] that is every
/// attempt. Bytes go up with `put` and `put_part`, and are counted when the store has taken them; they come down with `get` and
/// `get_ranges`, and are counted as they come.
///
/// A get whose body comes in pieces ends with its body: it is `cut` where the caller stopped reading, as is a listing. Its seconds
/// last until its first byte can be read. `busy` is a store that asks for patience, `unreachable` one that did not answer.
#[derive(Debug)]
pub struct MeteredStore {
    inner: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
}

impl MeteredStore {
    /// Counts the requests to `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock }
    }

    fn start(&self, op: &'static str) -> Request {
        Request::start(op, self.clock.clone())
    }
}

/// One request that has been sent and not yet been answered.
#[derive(Debug)]
struct Request {
    op: &'static str,
    started: Moment,
    clock: Arc<dyn Clock>,
}

impl Request {
    fn start(op: &'static str, clock: Arc<dyn Clock>) -> Self {
        Self { op, started: clock.now(), clock }
    }

    fn end<T>(&self, result: &Result<T>) {
        self.end_as(outcome(result.as_ref().err()));
    }

    fn end_as(&self, outcome: &'static str) {
        count(self.op, outcome);
        self.took();
    }

    fn took(&self) {
        let seconds = self.clock.now().since(self.started).as_secs_f64();
        metrics::histogram!("millrace_object_store_seconds", "op" => self.op).record(seconds);
    }

    fn moved(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        metrics::counter!("millrace_object_store_bytes_total", "op" => self.op).increment(bytes);
    }
}

fn count(op: &'static str, outcome: &'static str) {
    metrics::counter!("millrace_object_store_requests_total", "op" => op, "outcome" => outcome).increment(1);
}

fn outcome(error: Option<&Error>) -> &'static str {
    if let Some(trouble) = error.filter(|error| matches!(error, Error::Generic { .. })).and_then(Trouble::of) {
        return trouble.class().outcome();
    }
    match error {
        None => "ok",
        Some(Error::NotFound { .. }) => "not_found",
        Some(Error::AlreadyExists { .. }) => "already_exists",
        Some(Error::Precondition { .. } | Error::NotModified { .. }) => "precondition",
        Some(Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) => "denied",
        Some(_) => "error",
    }
}

#[async_trait]
impl ObjectStore for MeteredStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (request, bytes) = (self.start("put"), payload.content_length() as u64);
        let result = self.inner.put_opts(location, payload, options).await;
        request.end(&result);
        request.moved(if result.is_ok() { bytes } else { 0 });
        result
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let request = self.start("put_multipart");
        let result = self.inner.put_multipart_opts(location, options).await;
        request.end(&result);
        Ok(Box::new(MeteredUpload { inner: result?, clock: self.clock.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_head = options.head;
        let request = self.start(if is_head { "head" } else { "get" });
        let mut answer = match self.inner.get_opts(location, options).await {
            Ok(answer) => answer,
            error => {
                request.end(&error);
                return error;
            }
        };
        let bytes = answer.range.end - answer.range.start;
        answer.payload = match answer.payload {
            GetResultPayload::Stream(inner) if !is_head => {
                request.took();
                GetResultPayload::Stream(MeteredBody { is_counted: false, left: bytes, inner }.boxed())
            }
            // A file, or nothing: it is there.
            payload => {
                request.end_as("ok");
                request.moved(if is_head { 0 } else { bytes });
                payload
            }
        };
        Ok(answer)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let request = self.start("get_ranges");
        let result = self.inner.get_ranges(location, ranges).await;
        request.end(&result);
        request.moved(result.iter().flatten().map(|bytes| bytes.len() as u64).sum());
        result
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let deleted = self.inner.delete_stream(locations);
        // A store may delete many in one request: what is counted is objects, and no time belongs to one of them.
        deleted.inspect(|result| count("delete", outcome(result.as_ref().err()))).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        MeteredListing { request: Some(self.start("list")), inner: self.inner.list(prefix) }.boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let inner = self.inner.list_with_offset(prefix, offset);
        MeteredListing { request: Some(self.start("list")), inner }.boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let request = self.start("list");
        let result = self.inner.list_with_delimiter(prefix).await;
        request.end(&result);
        result
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let request = self.start("copy");
        let result = self.inner.copy_opts(from, to, options).await;
        request.end(&result);
        result
    }
}

impl fmt::Display for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metered({})", self.inner)
    }
}

#[derive(Debug)]
struct MeteredUpload {
    inner: Box<dyn MultipartUpload>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl MultipartUpload for MeteredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (bytes, clock) = (data.content_length() as u64, self.clock.clone());
        let part = self.inner.put_part(data);
        let measured = async move {
            let request = Request::start("put_part", clock);
            let result = part.await;
            request.end(&result);
            request.moved(if result.is_ok() { bytes } else { 0 });
            result
        };
        measured.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let request = Request::start("complete", self.clock.clone());
        let result = self.inner.complete().await;
        request.end(&result);
        result
    }

    async fn abort(&mut self) -> Result<()> {
        let request = Request::start("abort", self.clock.clone());
        let result = self.inner.abort().await;
        request.end(&result);
        result
    }
}

/// The pieces of uploads, counted as those of [`MeteredUpload`].
#[derive(Debug)]
pub(super) struct MeteredPieces {
    inner: Arc<dyn Pieces>,
    clock: Arc<dyn Clock>,
}

impl MeteredPieces {
    pub(super) fn new(inner: Arc<dyn Pieces>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock }
    }

    async fn counted<T>(&self, op: &'static str, bytes: usize, work: impl Future<Output = Result<T>>) -> Result<T> {
        let request = Request::start(op, self.clock.clone());
        let result = work.await;
        request.end(&result);
        request.moved(if result.is_ok() { bytes as u64 } else { 0 });
        result
    }
}

#[async_trait]
impl MultipartStore for MeteredPieces {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.counted("put_multipart", 0, self.inner.create_multipart(path)).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, data: PutPayload) -> Result<PartId> {
        let bytes = data.content_length();
        self.counted("put_part", bytes, self.inner.put_part(path, id, index, data)).await
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        self.counted("complete", 0, self.inner.complete_multipart(path, id, parts)).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.counted("abort", 0, self.inner.abort_multipart(path, id)).await
    }
}

/// The body of a get, counted as it is read. The get ends with its last byte, with its first error, or when nobody reads on.
struct MeteredBody {
    is_counted: bool,
    /// Bytes that are still to come.
    left: u64,
    inner: BoxStream<'static, Result<Bytes>>,
}

impl MeteredBody {
    fn end_as(&mut self, outcome: &'static str) {
        if !std::mem::replace(&mut self.is_counted, true) {
            count("get", outcome);
        }
    }
}

impl Stream for MeteredBody {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.inner.poll_next_unpin(context));
        match &item {
            Some(Ok(bytes)) => {
                let bytes = bytes.len() as u64;
                metrics::counter!("millrace_object_store_bytes_total", "op" => "get").increment(bytes);
                self.left = self.left.saturating_sub(bytes);
                if self.left == 0 {
                    self.end_as("ok");
                }
            }
            Some(Err(error)) => self.end_as(outcome(Some(error))),
            None if self.left == 0 => self.end_as("ok"),
            // It ended as if it were whole.
            None => self.end_as("error"),
        }
        Poll::Ready(item)
    }
}

impl Drop for MeteredBody {
    fn drop(&mut self) {
        self.end_as(if self.left == 0 { "ok" } else { "cut" });
    }
}

/// A listing, counted as one request when it ends, first fails, or nobody reads on.
struct MeteredListing {
    request: Option<Request>,
    inner: BoxStream<'static, Result<ObjectMeta>>,
}

impl Stream for MeteredListing {
    type Item = Result<ObjectMeta>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.inner.poll_next_unpin(context));
        if !matches!(item, Some(Ok(_)))
            && let Some(request) = self.request.take()
        {
            request.end_as(outcome(item.as_ref().and_then(|item| item.as_ref().err())));
        }
        Poll::Ready(item)
    }
}

impl Drop for MeteredListing {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            request.end_as("cut");
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;
    use crate::SystemClock;

    #[test]
    fn requests_are_counted_by_operation_and_outcome_and_bytes_by_operation() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        metrics::with_local_recorder(&recorder, || {
            runtime.block_on(async {
                let store = MeteredStore::new(Arc::new(InMemory::new()), Arc::new(SystemClock::new()));
                store.put(&"a".into(), "12345".into()).await.expect("room");
                store.get_range(&"a".into(), 1..4).await.expect("it is there");
                store.get(&"b".into()).await.expect_err("it is not");
                store.list(None).try_collect::<Vec<_>>().await.expect("a listing");
                store.delete(&"a".into()).await.expect("it is there");
            })
        });
        let shown = recorder.handle().render();
        for line in [
            "millrace_object_store_requests_total{op=\"put\",outcome=\"ok\"} 1",
            "millrace_object_store_requests_total{op=\"get\",outcome=\"ok\"} 1",
            "millrace_object_store_requests_total{op=\"get\",outcome=\"not_found\"} 1",
            "millrace_object_store_requests_total{op=\"list\",outcome=\"ok\"} 1",
            "millrace_object_store_requests_total{op=\"delete\",outcome=\"ok\"} 1",
            "millrace_object_store_bytes_total{op=\"put\"} 5",
            "millrace_object_store_bytes_total{op=\"get\"} 3",
            "millrace_object_store_seconds_count{op=\"put\"} 1",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} is missing in:\n{shown}");
        }
    }
}
