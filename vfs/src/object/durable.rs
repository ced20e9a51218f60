//! A local directory as an object store whose puts are durable and whole. Reading and listing are `LocalFileSystem`'s.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use super::staged::{FOLDER, StagedFile, Staging};
use crate::{DiskError, directory};

/// An object store in a local directory. When a put, a completed upload, a copy or a delete returns, it survives a power loss:
/// the data is synced before it gets its name, and the name, with those of all parents, before the call returns. A name never
/// shows a part of an object. `LocalFileSystem` alone promises neither.
#[derive(Clone, Debug)]
pub struct DurableLocalStore {
    files: Arc<LocalFileSystem>,
    staging: Arc<Staging>,
    root: Arc<FilePath>,
}

impl DurableLocalStore {
    /// The store in `root`, which is created if it is missing. Several processes may share a root.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self, DiskError> {
        let root: PathBuf = root.into();
        let path = root.clone();
        let opened = tokio::task::spawn_blocking(move || {
            directory::create_all(&root)?;
            let root = root.canonicalize()?;
            let files = LocalFileSystem::new_with_prefix(&root).map_err(io::Error::other)?;
            Ok((files, Staging::open(root.clone())?, root))
        })
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
        let (files, staging, root) =
            opened.map_err(|source| DiskError { operation: "open the object store in", path, source })?;
        Ok(Self { files: Arc::new(files), staging: Arc::new(staging), root: root.into() })
    }

    /// Publishes a staged file and answers as a put does.
    async fn publish(&self, staged: StagedFile, location: &Path, mode: PutMode) -> Result<PutResult> {
        let target = self.files.path_to_filesystem(location)?;
        let staging = self.staging.clone();
        blocking(location, "put", move || staging.publish(staged, &target, &mode)).await?;
        let meta = self.files.head(location).await?;
        Ok(PutResult { e_tag: meta.e_tag, version: None })
    }

    async fn sync_parent(&self, location: &Path) -> Result<()> {
        let target = self.files.path_to_filesystem(location)?;
        blocking(location, "sync the directory of", move || target.parent().map_or(Ok(()), directory::sync)).await
    }
}

#[async_trait]
impl ObjectStore for DurableLocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) {
            let operation = "a conditional update".to_owned();
            return Err(Error::NotImplemented { operation, implementer: self.to_string() });
        }
        let staging = self.staging.clone();
        let staged = blocking(location, "write", move || {
            let mut staged = staging.create()?;
            payload.iter().try_for_each(|bytes| staged.file.write_all(bytes))?;
            Ok(staged)
        })
        .await?;
        self.publish(staged, location, options.mode).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let staging = self.staging.clone();
        let staged = blocking(location, "write", move || staging.create()).await?;
        let (store, location) = (self.clone(), location.clone());
        let written = Arc::default();
        Ok(Box::new(DurableUpload { store, location, staged: Some(Arc::new(staged)), length: 0, written }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted = self.files.delete_stream(locations);
        // Else a deleted object can be back after a power loss, when nothing names it any more.
        let synced = deleted.then(move |deleted| {
            let store = store.clone();
            async move {
                let location = deleted?;
                store.sync_parent(&location).await?;
                Ok(location)
            }
        });
        synced.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.files.list_with_delimiter(prefix).await?;
        listed.common_prefixes.retain(|folder| folder.as_ref() != FOLDER);
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let target = self.files.path_to_filesystem(to)?;
        let staging = self.staging.clone();
        blocking(to, "create the directory of", move || {
            target.parent().map_or(Ok(()), |parent| staging.make_durable(parent))
        })
        .await?;
        self.files.copy_opts(from, to, options).await?;
        self.sync_parent(to).await
    }
}

impl fmt::Display for DurableLocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableLocalStore({})", self.root.display())
    }
}

/// An upload in parts, into one staged file.
#[derive(Debug)]
struct DurableUpload {
    store: DurableLocalStore,
    location: Path,
    /// Absent once completed or aborted.
    staged: Option<Arc<StagedFile>>,
    length: u64,
    written: Arc<AtomicU64>,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let start = self.length;
        self.length += data.content_length() as u64;
        let Some(staged) = self.staged.clone() else {
            return futures::future::ready(Err(refused(&self.location, "the upload has ended"))).boxed();
        };
        let (location, written) = (self.location.clone(), self.written.clone());
        let write = async move {
            let write = move || {
                let mut at = start;
                for bytes in &data {
                    staged.file.write_all_at(bytes, at)?;
                    at += bytes.len() as u64;
                }
                written.fetch_add(at - start, Ordering::Relaxed);
                Ok(())
            };
            blocking(&location, "write", write).await
        };
        write.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self.staged.take().ok_or_else(|| refused(&self.location, "the upload has ended"))?;
        let staged = Arc::into_inner(staged).filter(|_| self.written.load(Ordering::Relaxed) == self.length);
        let staged = staged.ok_or_else(|| refused(&self.location, "a part of the upload was not written"))?;
        self.store.publish(staged, &self.location, PutMode::Overwrite).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.staged = None;
        Ok(())
    }
}

/// Runs `work` on a blocking thread; its error names the operation and the object.
async fn blocking<T: Send + 'static>(
    location: &Path,
    operation: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let result = tokio::task::spawn_blocking(work).await?;
    result.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => Error::AlreadyExists { path: location.to_string(), source: source.into() },
        _ => {
            let path = PathBuf::from(location.as_ref());
            Error::Generic { store: "local", source: Box::new(DiskError { operation, path, source }) }
        }
    })
}

fn refused(location: &Path, reason: &'static str) -> Error {
    Error::Generic { store: "local", source: format!("upload {location}: {reason}").into() }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    async fn store() -> (tempfile::TempDir, DurableLocalStore) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = DurableLocalStore::open(directory.path().join("objects")).await.expect("it can be made");
        (directory, store)
    }

    async fn read(store: &DurableLocalStore, location: &str) -> Bytes {
        store.get(&location.into()).await.expect("it was put").bytes().await.expect("it can be read")
    }

    fn create() -> PutOptions {
        PutMode::Create.into()
    }

    #[tokio::test]
    async fn what_is_put_is_read_listed_and_deleted() {
        let (_directory, store) = store().await;
        let put = store.put(&"ab/1/x.parquet".into(), "first".into()).await.expect("room");
        assert_eq!(put.e_tag, store.head(&"ab/1/x.parquet".into()).await.expect("it is there").e_tag);
        store.put(&"ab/1/x.parquet".into(), "second".into()).await.expect("a put overwrites");
        store.copy(&"ab/1/x.parquet".into(), &"cd/2/y.parquet".into()).await.expect("a copy");
        assert_eq!(read(&store, "cd/2/y.parquet").await, "second");

        let mut listed: Vec<_> =
            store.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.expect("list");
        listed.sort();
        assert_eq!(listed, ["ab/1/x.parquet", "cd/2/y.parquet"]);
        let top = store.list_with_delimiter(None).await.expect("list");
        assert_eq!(top.common_prefixes, ["ab".into(), "cd".into()] as [Path; 2], "the staging folder is not shown");

        store.delete(&"ab/1/x.parquet".into()).await.expect("it is there");
        assert!(matches!(store.head(&"ab/1/x.parquet".into()).await, Err(Error::NotFound { .. })));
    }

    #[tokio::test]
    async fn creating_a_name_twice_is_refused_and_keeps_the_first() {
        let (_directory, store) = store().await;
        store.put_opts(&"a".into(), "first".into(), create()).await.expect("the name is free");
        let taken = store.put_opts(&"a".into(), "other".into(), create()).await.expect_err("the name is taken");
        assert!(matches!(taken, Error::AlreadyExists { .. }), "{taken}");
        assert_eq!(read(&store, "a").await, "first");
    }

    #[tokio::test]
    async fn an_upload_is_invisible_until_it_is_completed() {
        let (directory, store) = store().await;
        let mut upload = store.put_multipart(&"big".into()).await.expect("it begins");
        let parts = [upload.put_part("one,".into()), upload.put_part("two".into())];
        for part in parts.into_iter().rev() {
            part.await.expect("parts may be written in any order");
        }
        assert!(matches!(store.head(&"big".into()).await, Err(Error::NotFound { .. })));
        upload.complete().await.expect("all parts are written");
        assert_eq!(read(&store, "big").await, "one,two");

        let mut aborted = store.put_multipart(&"never".into()).await.expect("it begins");
        aborted.put_part("x".into()).await.expect("room");
        aborted.abort().await.expect("it can be given up");
        let mut incomplete = store.put_multipart(&"never".into()).await.expect("it begins");
        drop(incomplete.put_part("lost".into()));
        incomplete.complete().await.expect_err("a part was never written");
        assert!(matches!(store.head(&"never".into()).await, Err(Error::NotFound { .. })));
        let staged = directory.path().join("objects").join(FOLDER);
        assert_eq!(staged.read_dir().expect("it exists").count(), 0, "nothing is left behind");
    }

    #[tokio::test]
    async fn opening_removes_what_the_dead_left_and_nothing_of_the_living() {
        let (directory, store) = store().await;
        let root = directory.path().join("objects");
        std::fs::write(root.join(FOLDER).join("77-0#0"), "torn").expect("room");
        let mut alive = store.put_multipart(&"late".into()).await.expect("it begins");
        alive.put_part("done".into()).await.expect("room");

        DurableLocalStore::open(&root).await.expect("a second process may share the root");
        assert_eq!(root.join(FOLDER).read_dir().expect("it exists").count(), 1, "only the live one is left");
        alive.complete().await.expect("its file is still there");
        assert_eq!(read(&store, "late").await, "done");
    }
}
