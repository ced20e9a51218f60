//! Large objects go up in pieces, a few at a time, so that a failure costs a piece and not the whole. Owns how a put is cut; the
//! bytes stay where the caller has them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::retrying::RetryingStore;

/// S3 takes no more pieces of one object.
const PIECES_MAX: usize = 10_000;

/// When and how an object is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitSettings {
    /// Objects above this many bytes go up in pieces.
    pub above: usize,
    /// Bytes of a piece; S3 takes none below 5 MiB but the last. An object that would have more than 10,000 has larger ones.
    pub piece: usize,
    /// Pieces of one object on their way at once.
    pub at_once: usize,
}

impl Default for SplitSettings {
    fn default() -> Self {
        Self { above: 16 << 20, piece: 8 << 20, at_once: 4 }
    }
}

/// An object store that puts large objects in pieces.
///
/// - **put, overwriting**: above the limit, in pieces, each repeated by itself, nothing visible until the last step. If that step's reply
///   is lost, the object there is compared with ours. After an error the pieces are given up; those of a process that died stay with
///   the store, unseen and paid for, until a rule of the bucket removes them (docs/object-store.md).
/// - **put, creating or conditional**: always in one request, however large: of an upload in pieces the library has no condition. So
///   [`PutMode::Create`] means here what it means everywhere: of many that create one name, one succeeds. S3 takes 5 GiB in one
///   request, and a slow network less within the request's time.
/// - All else goes through.
#[derive(Debug)]
pub struct SplittingStore {
    inner: RetryingStore,
    pieces: Arc<dyn Pieces>,
    settings: SplitSettings,
}

/// A store by the pieces of an upload, each request counted.
pub(super) trait Pieces: MultipartStore + fmt::Debug {}

impl<S: MultipartStore + fmt::Debug> Pieces for S {}

impl SplittingStore {
    /// Puts through `inner`, and large objects through `pieces`, which is the same store without retries.
    pub(super) fn new(inner: RetryingStore, pieces: Arc<dyn Pieces>, settings: SplitSettings) -> Self {
        Self { inner, pieces, settings }
    }

    async fn put_split(&self, location: &Path, payload: PutPayload) -> Result<PutResult> {
        let retry = self.inner.retry();
        let id = retry.run("put_multipart", || self.pieces.create_multipart(location)).await?;
        let put = self.put_pieces(location, &id, &payload).await;
        if put.is_err()
            && let Err(error) = self.pieces.abort_multipart(location, &id).await
            // What has been completed, or removed by a rule, cannot be given up.
            && !matches!(error, Error::NotFound { .. })
        {
            tracing::warn!(%location, %error, "the pieces of a failed upload stay in the bucket until a rule of it removes them");
        }
        put
    }

    async fn put_pieces(&self, location: &Path, id: &MultipartId, payload: &PutPayload) -> Result<PutResult> {
        let retry = self.inner.retry();
        let pieces = cut(payload, self.settings.piece.max(payload.content_length().div_ceil(PIECES_MAX)));
        let put = async |(index, piece): (usize, PutPayload)| {
            retry.run("put_part", || self.pieces.put_part(location, id, index, piece.clone())).await
        };
        let ids: Vec<PartId> = stream::iter(pieces.into_iter().enumerate())
            .map(put)
            .buffered(self.settings.at_once.max(1))
            .try_collect()
            .await?;
        let mut attempts = 0;
        let complete = || {
            attempts += 1;
            self.pieces.complete_multipart(location, id, ids.clone())
        };
        match retry.run("complete", complete).await {
            // The upload is gone: an earlier attempt completed it, or somebody gave it up.
            Err(gone @ Error::NotFound { .. }) if attempts > 1 => self.inner.find_equal(location, payload, gone).await,
            result => result,
        }
    }
}

/// `payload` in pieces of `bytes`, the last one shorter, without copying.
fn cut(payload: &PutPayload, bytes: usize) -> Vec<PutPayload> {
    let mut pieces = Vec::with_capacity(payload.content_length().div_ceil(bytes));
    let (mut piece, mut filled): (Vec<Bytes>, usize) = (Vec::new(), 0);
    for block in payload {
        let mut block = block.clone();
        while !block.is_empty() {
            let taken = block.split_to(block.len().min(bytes - filled));
            filled += taken.len();
            piece.push(taken);
            if filled == bytes {
                pieces.push(std::mem::take(&mut piece).into_iter().collect());
                filled = 0;
            }
        }
    }
    if !piece.is_empty() {
        pieces.push(piece.into_iter().collect());
    }
    pieces
}

#[async_trait]
impl ObjectStore for SplittingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        // What says more about an object than its bytes has no place in the pieces' interface.
        let is_plain = options.mode == PutMode::Overwrite && options.attributes.is_empty();
        if !is_plain || payload.content_length() <= self.settings.above {
            return self.inner.put_opts(location, payload, options).await;
        }
        self.put_split(location, payload).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Display for SplittingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Splitting({})", self.inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;
    use crate::{RetrySettings, World};

    #[test]
    fn a_payload_is_cut_into_equal_pieces_and_a_rest() {
        let payload: PutPayload =
            [b"012".as_slice(), b"", b"3456789", b"ab"].map(Bytes::from_static).into_iter().collect();
        let pieces: Vec<Bytes> = cut(&payload, 4).into_iter().map(Bytes::from).collect();
        assert_eq!(pieces, [b"0123".as_slice(), b"4567", b"89ab"]);
        assert_eq!(cut(&payload, 5).len(), 3);
        assert_eq!(cut(&payload, 100).len(), 1);
    }

    /// Takes pieces and keeps none: counts those that are on their way at once, and those of which an object was made.
    #[derive(Debug, Default)]
    struct Watched {
        on_their_way: AtomicUsize,
        most: AtomicUsize,
        completed: AtomicUsize,
    }

    #[async_trait]
    impl MultipartStore for Watched {
        async fn create_multipart(&self, _path: &Path) -> Result<MultipartId> {
            Ok("upload".to_owned())
        }

        async fn put_part(&self, _path: &Path, _id: &MultipartId, index: usize, _data: PutPayload) -> Result<PartId> {
            let now = self.on_their_way.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(now, Ordering::Relaxed);
            tokio::task::yield_now().await;
            self.on_their_way.fetch_sub(1, Ordering::Relaxed);
            Ok(PartId { content_id: index.to_string() })
        }

        async fn complete_multipart(&self, _path: &Path, _id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
            assert!(parts.iter().enumerate().all(|(at, part)| part.content_id == at.to_string()), "they are in order");
            self.completed.store(parts.len(), Ordering::Relaxed);
            Ok(PutResult { e_tag: None, version: None })
        }

        async fn abort_multipart(&self, _path: &Path, _id: &MultipartId) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_bounded_number_of_pieces_is_on_its_way() {
        let watched = Arc::new(Watched::default());
        let retrying = RetryingStore::new(Arc::new(InMemory::new()), RetrySettings::default(), World::system());
        let settings = SplitSettings { above: 10, piece: 4, at_once: 3 };
        let store = SplittingStore::new(retrying, watched.clone(), settings);
        store.put(&"large".into(), vec![7_u8; 99].into()).await.expect("room");
        assert_eq!(watched.most.load(Ordering::Relaxed), 3);
        assert_eq!(watched.completed.load(Ordering::Relaxed), 25);
    }

    #[tokio::test]
    async fn large_objects_are_put_in_pieces_and_small_and_conditional_ones_are_not() {
        let (memory, world) = (Arc::new(InMemory::new()), World::system());
        let retrying = RetryingStore::new(memory.clone(), RetrySettings::default(), world);
        let store = SplittingStore::new(retrying, memory, SplitSettings { above: 10, piece: 4, at_once: 2 });
        store.put(&"large".into(), "0123456789ab".into()).await.expect("room");
        let read = store.get(&"large".into()).await.expect("it is there").bytes().await.expect("whole");
        assert_eq!(read, "0123456789ab");
        let create = || PutOptions::from(PutMode::Create);
        let taken = store.put_opts(&"large".into(), "an object that is large".into(), create()).await;
        assert!(matches!(taken, Err(Error::AlreadyExists { .. })), "a condition is kept, however large");
    }
}
