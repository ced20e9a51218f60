//! Repeats requests to an object store that may have failed by chance. Owns how often and how long; not what callers do when
//! that was not enough.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

use super::trouble::{Class, Trouble};
use crate::World;

/// The attribute that says which put made an object. Azure takes no hyphen in such a name, and some proxies no underscore.
const MARK: &str = "writer";

/// How often a request is repeated, and how long to wait in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// The longest wait before the second attempt; each later one may last twice as long as the one before.
    pub first_backoff: Duration,
    /// The longest wait.
    pub max_backoff: Duration,
}

impl Default for RetrySettings {
    /// Eight attempts over at most 13 seconds: a store's restart is ridden out, an outage is handed to the caller.
    fn default() -> Self {
        Self { attempts: 8, first_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(5) }
    }
}

/// An object store that repeats what failed by chance (`Error::Generic`), after a random share of a growing wait, so that many
/// workers do not come back at once.
///
/// - **put**: an attempt without a reply may have happened, so that a later one finds the name taken. Whether by us is told by a mark
///   that each creating put carries ([`RetryingStore::with_marks`]); that is exact, also where another created the same bytes. An
///   object without a mark is ours if it holds our bytes: neither its length nor its ETag would say so, since an ETag is a digest of
///   the content only without encryption and only of one piece. A conditional update is never repeated: only its caller can tell.
/// - **get**: also a body that breaks off, or ends early, is fetched again from where it did.
/// - **delete**: an object that a repeated attempt no longer finds was deleted by an earlier one.
/// - **list**: repeated until the first entry has been handed on; after that its error is the caller's.
/// - **upload in parts**: only its beginning is repeated. A part that is put again is another part, so the caller repeats the whole.
#[derive(Debug)]
pub struct RetryingStore {
    inner: Arc<dyn ObjectStore>,
    retry: Retry,
    marks: bool,
}

impl RetryingStore {
    /// Repeats requests to `inner` as `settings` say.
    pub fn new(inner: Arc<dyn ObjectStore>, settings: RetrySettings, world: World) -> Self {
        Self { inner, retry: Retry { settings, world }, marks: false }
    }

    /// Marks what it creates. The store must keep attributes of objects, as those in clouds do.
    #[must_use]
    pub fn with_marks(self) -> Self {
        Self { marks: true, ..self }
    }

    /// For what repeats requests beside this.
    pub(super) fn retry(&self) -> &Retry {
        &self.retry
    }

    /// Whether the object that took the name of our put is what an earlier attempt of it put there. With a mark the first attempt is
    /// asked about too: what stands between us and the store may have repeated it.
    async fn find_own(
        &self,
        location: &Path,
        payload: &PutPayload,
        mark: Option<&str>,
        attempts: u32,
        refusal: Error,
    ) -> Result<PutResult> {
        let head = GetOptions { head: true, ..GetOptions::default() };
        let found = match self.retry.run("head", || self.inner.get_opts(location, head.clone())).await {
            // It was taken, and has been deleted since.
            Err(Error::NotFound { .. }) => return Err(refusal),
            found => found?,
        };
        match (found.attributes.get(&Attribute::Metadata(MARK.into())), mark) {
            (Some(theirs), Some(ours)) if **theirs == *ours => {
                tracing::info!(%location, "an earlier attempt of this put had succeeded");
                Ok(PutResult { e_tag: found.meta.e_tag, version: found.meta.version })
            }
            (None, _) if attempts > 1 => self.find_equal(location, payload, refusal).await,
            _ => Err(refusal),
        }
    }

    /// Whether the object holds the bytes of `payload`: then what would have put them there has succeeded, and else `refusal` is right.
    pub(super) async fn find_equal(&self, location: &Path, payload: &PutPayload, refusal: Error) -> Result<PutResult> {
        let found = match self.get_opts(location, GetOptions::default()).await {
            Err(Error::NotFound { .. }) => return Err(refusal),
            found => found?,
        };
        let (e_tag, version) = (found.meta.e_tag.clone(), found.meta.version.clone());
        let is_equal =
            found.meta.size == payload.content_length() as u64 && holds(found.into_stream(), payload).await?;
        if !is_equal {
            return Err(refusal);
        }
        tracing::info!(%location, "an earlier attempt of this put had succeeded");
        Ok(PutResult { e_tag, version })
    }

    fn listing(&self, prefix: Option<&Path>, offset: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, retry) = (self.inner.clone(), self.retry.clone());
        let (prefix, offset) = (prefix.cloned(), offset.cloned());
        let begin = async move {
            retry
                .run("list", || async {
                    let entries = match &offset {
                        Some(offset) => inner.list_with_offset(prefix.as_ref(), offset),
                        None => inner.list(prefix.as_ref()),
                    };
                    // Where there is no first one, the end is asked for twice.
                    let mut entries = entries.fuse();
                    let first = entries.try_next().await?;
                    Ok(stream::iter(first.map(Ok)).chain(entries))
                })
                .await
        };
        stream::once(begin).try_flatten().boxed()
    }
}

/// Whether a body that is as long as `payload` has its bytes.
async fn holds(mut body: BoxStream<'static, Result<Bytes>>, payload: &PutPayload) -> Result<bool> {
    let (mut blocks, mut block) = (payload.iter(), Bytes::new());
    while let Some(mut read) = body.try_next().await? {
        while !read.is_empty() {
            if block.is_empty() {
                match blocks.next() {
                    Some(next) => block = next.clone(),
                    None => return Ok(false),
                }
            }
            let bytes = read.len().min(block.len());
            if read.split_to(bytes) != block.split_to(bytes) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Repeats what fails by chance.
#[derive(Clone, Debug)]
pub(super) struct Retry {
    settings: RetrySettings,
    world: World,
}

impl Retry {
    /// Runs `attempt` until it succeeds, fails for good, or has been run often enough.
    pub(super) async fn run<T, F: Future<Output = Result<T>>>(
        &self,
        op: &'static str,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T> {
        let mut failures = 0;
        loop {
            match attempt().await {
                Err(error) if is_transient(&error) => self.wait_after(op, &mut failures, error).await?,
                result => return result,
            }
        }
    }

    /// Waits before the next attempt; hands the error back if there shall be none.
    async fn wait_after(&self, op: &'static str, failures: &mut u32, error: Error) -> Result<()> {
        *failures += 1;
        if *failures >= self.settings.attempts {
            return Err(error);
        }
        let wait = self.backoff(*failures);
        tracing::warn!(op, attempt = *failures, ?wait, %error, "an object store request failed and will be repeated");
        self.world.clock.sleep(wait).await;
        Ok(())
    }

    fn backoff(&self, failures: u32) -> Duration {
        let doubled = self.settings.first_backoff.saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX));
        let longest = doubled.min(self.settings.max_backoff);
        let share = (self.world.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        longest.mul_f64(share)
    }
}

/// Stores report what may be chance (timeouts, resets, 5xx, I/O errors) as `Generic`, and most else as a kind of its own. Of `Generic`
/// a cloud's store says which it is; of a local directory's, all may be chance.
fn is_transient(error: &Error) -> bool {
    let passes = |class: Class| match class {
        Class::Busy | Class::Unreachable | Class::Passing => true,
        Class::Denied | Class::Lasting => false,
    };
    matches!(error, Error::Generic { .. }) && Trouble::of(error).is_none_or(|trouble| passes(trouble.class()))
}

#[async_trait]
impl ObjectStore for RetryingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) {
            return self.inner.put_opts(location, payload, options).await;
        }
        let mark = (self.marks && options.mode == PutMode::Create)
            .then(|| format!("{:032x}", self.retry.world.random.next_u128()));
        if let Some(mark) = &mark {
            options.attributes.insert(Attribute::Metadata(MARK.into()), mark.clone().into());
        }
        let mut attempts = 0;
        let put = || {
            attempts += 1;
            self.inner.put_opts(location, payload.clone(), options.clone())
        };
        match self.retry.run("put", put).await {
            Err(refusal @ (Error::AlreadyExists { .. } | Error::Precondition { .. }))
                if attempts > 1 || mark.is_some() =>
            {
                self.find_own(location, &payload, mark.as_deref(), attempts, refusal).await
            }
            result => result,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.retry.run("put_multipart", || self.inner.put_multipart_opts(location, options.clone())).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut answer = self.retry.run("get", || self.inner.get_opts(location, options.clone())).await?;
        if let GetResultPayload::Stream(body) = answer.payload {
            let rest = Body {
                inner: self.inner.clone(),
                retry: self.retry.clone(),
                location: location.clone(),
                // The same object, or an error: a body is never sewn together from two.
                options: GetOptions { if_match: answer.meta.e_tag.clone(), head: false, ..options.clone() },
                next: answer.range.start,
                end: if options.head { answer.range.start } else { answer.range.end },
                body,
                failures: 0,
            };
            answer.payload = GetResultPayload::Stream(stream::try_unfold(rest, Body::next).boxed());
        }
        Ok(answer)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        const AT_ONCE: usize = 10;
        let (inner, retry) = (self.inner.clone(), self.retry.clone());
        let delete = move |location: Result<Path>| {
            let (inner, retry) = (inner.clone(), retry.clone());
            async move {
                let location = location?;
                let mut attempts = 0;
                let delete = || {
                    attempts += 1;
                    inner.delete(&location)
                };
                match retry.run("delete", delete).await {
                    Err(Error::NotFound { .. }) if attempts > 1 => {}
                    result => result?,
                }
                Ok(location)
            }
        };
        locations.map(delete).buffered(AT_ONCE).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.retry.run("list", || self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        if options.mode == CopyMode::Create {
            return self.inner.copy_opts(from, to, options).await; // A second attempt could not tell its own work from another's.
        }
        self.retry.run("copy", || self.inner.copy_opts(from, to, options.clone())).await
    }
}

impl fmt::Display for RetryingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Retrying({})", self.inner)
    }
}

/// The rest of a body that is being read: the bytes from `next` to `end` of the object.
struct Body {
    inner: Arc<dyn ObjectStore>,
    retry: Retry,
    location: Path,
    options: GetOptions,
    next: u64,
    end: u64,
    body: BoxStream<'static, Result<Bytes>>,
    /// In a row, without a byte between them.
    failures: u32,
}

impl Body {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        while self.next < self.end {
            let error = match self.body.next().await {
                Some(Ok(bytes)) if bytes.is_empty() => continue,
                Some(Ok(bytes)) => {
                    self.next += bytes.len() as u64;
                    self.failures = 0;
                    return Ok(Some((bytes, self)));
                }
                Some(Err(error)) if is_transient(&error) => error,
                Some(Err(error)) => return Err(error),
                None => self.ended_early(),
            };
            self.retry.wait_after("get", &mut self.failures, error).await?;
            let range = Some(GetRange::Bounded(self.next..self.end));
            let options = GetOptions { range, ..self.options.clone() };
            self.body =
                self.retry.run("get", || self.inner.get_opts(&self.location, options.clone())).await?.into_stream();
        }
        Ok(None)
    }

    fn ended_early(&self) -> Error {
        let source = format!("the body of {} ended {} bytes early", self.location, self.end - self.next).into();
        Error::Generic { store: "retrying", source }
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::{Fault, FaultyStore, StoreOp};

    fn stores(attempts: u32) -> (Arc<FaultyStore>, RetryingStore) {
        let world = World::system();
        let faulty = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), world.clock.clone()));
        let settings = RetrySettings { attempts, first_backoff: Duration::ZERO, max_backoff: Duration::ZERO };
        (faulty.clone(), RetryingStore::new(faulty, settings, world))
    }

    fn create() -> PutOptions {
        PutMode::Create.into()
    }

    #[tokio::test]
    async fn what_fails_by_chance_is_repeated_a_bounded_number_of_times() {
        let (faulty, store) = stores(3);
        faulty.script(StoreOp::Put, [Fault::ErrorBefore, Fault::ErrorBefore]);
        store.put(&"a".into(), "x".into()).await.expect("the third attempt");
        assert_eq!(faulty.requests(StoreOp::Put), 3);

        faulty.script(StoreOp::Put, [Fault::ErrorBefore, Fault::ErrorBefore, Fault::ErrorBefore]);
        store.put(&"b".into(), "x".into()).await.expect_err("there is no fourth");
        assert_eq!(faulty.requests(StoreOp::Put), 6);
    }

    #[tokio::test]
    async fn what_does_not_fail_by_chance_is_not_repeated() {
        let (faulty, store) = stores(3);
        assert!(matches!(store.get(&"absent".into()).await, Err(Error::NotFound { .. })));
        assert_eq!(faulty.requests(StoreOp::Get), 1);
    }

    #[tokio::test]
    async fn a_put_whose_reply_was_lost_finds_its_own_object() {
        let (faulty, store) = stores(3);
        faulty.script(StoreOp::Put, [Fault::ErrorAfter]);
        store.put_opts(&"a".into(), "mine".into(), create()).await.expect("it had happened");
    }

    #[tokio::test]
    async fn a_name_that_another_took_is_refused_also_after_a_retry() {
        let (faulty, store) = stores(3);
        store.put(&"a".into(), "not mine".into()).await.expect("no fault");
        faulty.script(StoreOp::Put, [Fault::ErrorBefore]);
        let refused = store.put_opts(&"a".into(), "mine".into(), create()).await.expect_err("of another length");
        assert!(matches!(refused, Error::AlreadyExists { .. }));
        let refused = store.put_opts(&"a".into(), "same len".into(), create()).await.expect_err("no earlier attempt");
        assert!(matches!(refused, Error::AlreadyExists { .. }));
    }

    #[tokio::test]
    async fn a_mark_tells_our_object_from_another_with_the_same_bytes() {
        let (faulty, store) = stores(3);
        let (store, other) = (store.with_marks(), stores(3).1.with_marks());
        faulty.script(StoreOp::Put, [Fault::ErrorAfter]);
        store.put_opts(&"a".into(), "the same".into(), create()).await.expect("it had happened");

        let other = RetryingStore { inner: faulty.clone(), ..other };
        faulty.script(StoreOp::Put, [Fault::ErrorBefore]);
        let refused = other.put_opts(&"a".into(), "the same".into(), create()).await.expect_err("the first won");
        assert!(matches!(refused, Error::AlreadyExists { .. }));
    }

    #[tokio::test]
    async fn without_a_mark_an_object_is_ours_by_its_bytes() {
        let (faulty, store) = stores(3);
        let payload: PutPayload = [b"mi".as_slice(), b"", b"ne"].map(Bytes::from_static).into_iter().collect();
        store.put(&"a".into(), "mime".into()).await.expect("no fault");
        faulty.script(StoreOp::Put, [Fault::ErrorBefore]);
        let refused = store.put_opts(&"a".into(), payload.clone(), create()).await.expect_err("of the same length");
        assert!(matches!(refused, Error::AlreadyExists { .. }));
        faulty.script(StoreOp::Put, [Fault::ErrorAfter]);
        store.put_opts(&"b".into(), payload, create()).await.expect("it had happened");
    }

    #[tokio::test]
    async fn a_body_that_ends_early_is_fetched_to_its_end() {
        let (faulty, store) = stores(3);
        store.put(&"a".into(), "0123456789".into()).await.expect("no fault");
        faulty.script(StoreOp::Get, [Fault::TruncatedRead(3), Fault::ErrorBefore, Fault::TruncatedRead(2)]);
        let body = store.get(&"a".into()).await.expect("it is there").bytes().await.expect("it is fetched");
        assert_eq!(body, "0123456789");
        assert_eq!(faulty.requests(StoreOp::Get), 4);

        faulty.script(StoreOp::Get, [Fault::TruncatedRead(0), Fault::TruncatedRead(0), Fault::TruncatedRead(0)]);
        let answer = store.get_range(&"a".into(), 2..7).await;
        answer.expect_err("a short answer is an error, not the object");
        assert_eq!(store.get_range(&"a".into(), 2..7).await.expect("the faults are over"), "23456");
    }

    #[tokio::test]
    async fn a_delete_whose_reply_was_lost_has_happened() {
        let (faulty, store) = stores(3);
        store.put(&"a".into(), "x".into()).await.expect("no fault");
        faulty.script(StoreOp::Delete, [Fault::ErrorAfter]);
        store.delete(&"a".into()).await.expect("it is gone");
        assert!(matches!(store.head(&"a".into()).await, Err(Error::NotFound { .. })));
    }

    #[tokio::test]
    async fn a_listing_is_begun_again() {
        let (faulty, store) = stores(3);
        store.put(&"a".into(), "x".into()).await.expect("no fault");
        faulty.script(StoreOp::List, [Fault::ErrorBefore]);
        let listed: Vec<ObjectMeta> = store.list(None).try_collect().await.expect("the second attempt");
        assert_eq!(listed.len(), 1);
    }

    #[test]
    fn waits_grow_and_stay_below_their_limit() {
        let (first_backoff, max_backoff) = (Duration::from_millis(100), Duration::from_secs(5));
        let retry =
            Retry { settings: RetrySettings { attempts: 100, first_backoff, max_backoff }, world: World::system() };
        for failures in 1..100 {
            let longest = (first_backoff * (1 << (failures - 1).min(20))).min(max_backoff);
            assert!(retry.backoff(failures) <= longest, "after {failures} failures");
        }
    }
}
