//! The object store as one process reaches it: requests fail, lose their answers, take effect late, are slow, and their answers
//! break off. What is in the store is the truth that all processes share.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use vfs::Clock;

use super::draw::Draw;

/// How often requests suffer, in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct ObjectWeather {
    /// Fail, and did not happen.
    pub failed: u32,
    /// Happen, and lose their answer.
    pub unanswered: u32,
    /// Are answered with an error, and happen later.
    pub late: u32,
    /// Answers of reads that break off.
    pub torn: u32,
    /// Take up to so many milliseconds.
    pub slow_ms: u64,
}

/// What all processes share of the object store. Clones are the same.
#[derive(Clone, Debug)]
pub struct Objects {
    /// The store itself.
    pub inner: Arc<InMemory>,
    weather: Arc<Mutex<ObjectWeather>>,
    late: Arc<Mutex<Vec<(Path, PutPayload)>>>,
}

impl Objects {
    /// An empty store in fair weather.
    pub fn new() -> Self {
        Self { inner: Arc::new(InMemory::new()), weather: Arc::default(), late: Arc::default() }
    }

    fn weather(&self) -> ObjectWeather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how requests fare.
    pub fn set_weather(&self, weather: ObjectWeather) {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    /// Lets the late puts happen.
    pub async fn arrive(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        for (path, payload) in late {
            self.inner.put(&path, payload).await.expect("a store in memory takes everything");
        }
    }

    /// The store as a process with this clock reaches it.
    pub fn of(&self, clock: Arc<dyn Clock>, draw: Draw) -> Arc<ProcessObjects> {
        Arc::new(ProcessObjects { shared: self.clone(), clock, draw })
    }
}

impl Default for Objects {
    fn default() -> Self {
        Self::new()
    }
}

/// The object store as one process reaches it.
#[derive(Clone, Debug)]
pub struct ProcessObjects {
    shared: Objects,
    clock: Arc<dyn Clock>,
    draw: Draw,
}

/// What one request suffers, apart from slowness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suffering {
    None,
    Failed,
    Unanswered,
    Late,
    Torn,
}

impl ProcessObjects {
    async fn arrive(&self) -> Suffering {
        let ObjectWeather { failed, unanswered, late, torn, slow_ms } = self.shared.weather();
        let wait =
            if slow_ms > 0 { self.draw.millis(0, slow_ms) } else { Duration::from_micros(self.draw.number(0, 6_000)) };
        self.clock.sleep(wait).await;
        if self.draw.happens(failed) {
            Suffering::Failed
        } else if self.draw.happens(unanswered) {
            Suffering::Unanswered
        } else if self.draw.happens(late) {
            Suffering::Late
        } else if self.draw.happens(torn) {
            Suffering::Torn
        } else {
            Suffering::None
        }
    }

    /// A request whose effect may come without an answer.
    async fn suffer<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        match self.arrive().await {
            Suffering::None | Suffering::Torn => request.await,
            Suffering::Failed | Suffering::Late => Err(trouble()),
            Suffering::Unanswered => request.await.and(Err(trouble())),
        }
    }
}

fn trouble() -> Error {
    Error::Generic { store: "simulated", source: "the store has trouble".into() }
}

#[async_trait]
impl ObjectStore for ProcessObjects {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = |payload| self.shared.inner.put_opts(location, payload, options);
        match self.arrive().await {
            Suffering::None | Suffering::Torn => put(payload).await,
            Suffering::Failed => Err(trouble()),
            Suffering::Unanswered => put(payload).await.and(Err(trouble())),
            Suffering::Late => {
                let mut late = self.shared.late.lock().unwrap_or_else(PoisonError::into_inner);
                late.push((location.clone(), payload));
                Err(trouble())
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.shared.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let suffering = self.arrive().await;
        if !matches!(suffering, Suffering::None | Suffering::Torn) {
            return Err(trouble());
        }
        let answer = self.shared.inner.get_opts(location, options).await?;
        if suffering == Suffering::None {
            return Ok(answer);
        }
        let (meta, range, attributes) = (answer.meta.clone(), answer.range.clone(), answer.attributes.clone());
        let body = answer.bytes().await?;
        let kept = body.slice(..self.draw.index(body.len() + 1));
        let payload = GetResultPayload::Stream(futures::stream::iter([Ok(kept)]).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Result<Path>| {
            let store = store.clone();
            async move {
                let location = location?;
                store.suffer(store.shared.inner.delete(&location)).await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, entries) = (self.clone(), self.shared.inner.list(prefix));
        // A stale listing: what is the newest is not seen yet.
        let listed = async move {
            let stale = matches!(store.arrive().await, Suffering::Late | Suffering::Torn);
            Ok::<_, Error>(entries.take(if stale { 1 } else { usize::MAX }).boxed())
        };
        futures::stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.suffer(self.shared.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.suffer(self.shared.inner.copy_opts(from, to, options)).await
    }
}

impl fmt::Display for ProcessObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated objects")
    }
}
