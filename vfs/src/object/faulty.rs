//! An object store that misbehaves as it was told to: for tests of what stands above it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::Clock;

/// What one request suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and did not happen.
    ErrorBefore,
    /// It happens, and its reply is lost.
    ErrorAfter,
    /// Of a get's body only the first so many bytes arrive, and then it ends as if it were whole.
    TruncatedRead(u64),
    /// It takes so long, and then goes on.
    Slow(Duration),
}

/// The requests that faults are scripted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreOp {
    /// A put in one piece.
    Put,
    /// The completion of an upload in parts.
    Complete,
    /// A get, of the whole, a range, or the metadata.
    Get,
    /// The deletion of one object.
    Delete,
    /// A listing.
    List,
    /// A copy.
    Copy,
}

/// A decorator with a script of faults: each request takes the next fault of its operation, if there is one.
#[derive(Clone, Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    script: Arc<Mutex<BTreeMap<StoreOp, Script>>>,
}

#[derive(Debug, Default)]
struct Script {
    faults: VecDeque<Fault>,
    requests: u64,
}

impl FaultyStore {
    /// `inner`, without faults until they are scripted.
    pub fn new(inner: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock, script: Arc::default() }
    }

    /// Adds `faults` for the next requests of `op`, one each.
    pub fn script(&self, op: StoreOp, faults: impl IntoIterator<Item = Fault>) {
        self.scripts().entry(op).or_default().faults.extend(faults);
    }

    /// How many requests of `op` there were.
    pub fn requests(&self, op: StoreOp) -> u64 {
        self.scripts().entry(op).or_default().requests
    }

    fn scripts(&self) -> MutexGuard<'_, BTreeMap<StoreOp, Script>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request and takes its fault.
    fn arrive(&self, op: StoreOp) -> Option<Fault> {
        let mut scripts = self.scripts();
        let script = scripts.entry(op).or_default();
        script.requests += 1;
        script.faults.pop_front()
    }

    /// Runs `request` under the next fault of `op`.
    async fn suffer<T>(&self, op: StoreOp, request: impl Future<Output = Result<T>>) -> Result<T> {
        match self.arrive(op) {
            Some(Fault::ErrorBefore) => Err(scripted(op)),
            Some(Fault::ErrorAfter) => request.await.and(Err(scripted(op))),
            Some(Fault::Slow(wait)) => {
                self.clock.sleep(wait).await;
                request.await
            }
            Some(Fault::TruncatedRead(_)) | None => request.await,
        }
    }

    fn listing(&self, entries: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.clone();
        stream::once(async move { store.suffer(StoreOp::List, async { Ok(entries) }).await }).try_flatten().boxed()
    }
}

fn scripted(op: StoreOp) -> Error {
    Error::Generic { store: "faulty", source: format!("scripted fault of {op:?}").into() }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.suffer(StoreOp::Put, self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(FaultyUpload { inner, store: self.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.arrive(StoreOp::Get);
        if matches!(fault, Some(Fault::ErrorBefore | Fault::ErrorAfter)) {
            return Err(scripted(StoreOp::Get));
        }
        if let Some(Fault::Slow(wait)) = fault {
            self.clock.sleep(wait).await;
        }
        let answer = self.inner.get_opts(location, options).await?;
        let Some(Fault::TruncatedRead(kept)) = fault else { return Ok(answer) };
        let (meta, range, attributes) = (answer.meta.clone(), answer.range.clone(), answer.attributes.clone());
        let body = answer.bytes().await?;
        let body = body.slice(..body.len().min(usize::try_from(kept).unwrap_or(usize::MAX)));
        let payload = GetResultPayload::Stream(stream::iter([Ok::<Bytes, Error>(body)]).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Result<Path>| {
            let store = store.clone();
            async move {
                let location = location?;
                store.suffer(StoreOp::Delete, store.inner.delete(&location)).await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.suffer(StoreOp::List, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.suffer(StoreOp::Copy, self.inner.copy_opts(from, to, options)).await
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    store: FaultyStore,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.store.suffer(StoreOp::Complete, self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
