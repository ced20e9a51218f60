//! One version of the file, and the thread that reads it: a page may have to come from the disk, and that wait may not
//! stand on a thread of the runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadableDatabase};
use tokio::sync::{mpsc, oneshot};

use super::super::transaction::{PAGE_BYTES, Snapshot};
use super::super::{KeyRange, RangePage, StoreError};
use super::file::{ENTRIES, from_redb};

/// How many reads may wait for the reader; further ones wait for a place.
const QUEUE: usize = 256;

/// One version of the entries; keeps its pages from being reused while it lives.
pub(super) struct View {
    version: u64,
    entries: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("version", &self.version).finish_non_exhaustive()
    }
}

impl View {
    /// The newest version of `database`, which is that of the commit `version`.
    pub(super) fn newest(database: &Database, version: u64) -> Result<Self, redb::Error> {
        let entries = database.begin_read()?.open_table(ENTRIES)?;
        Ok(Self { version, entries })
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, redb::Error> {
        Ok(self.entries.get(key)?.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn page(&self, range: &KeyRange, limit: usize, reverse: bool) -> Result<RangePage, redb::Error> {
        let mut page = RangePage::default();
        let mut bytes = 0;
        let mut entries = self.entries.range(range.start.as_ref()..range.end.as_ref())?;
        while let Some(entry) = if reverse { entries.next_back() } else { entries.next() } {
            if page.entries.len() == limit || bytes >= PAGE_BYTES {
                page.more = true;
                break;
            }
            let (key, value) = entry?;
            let (key, value) = (Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value.value()));
            bytes += key.len() + value.len();
            page.entries.push((key, value));
        }
        Ok(page)
    }
}

type ReadJob = Box<dyn FnOnce() + Send>;

/// The way to the reading thread, which ends once nobody has one any more.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    place: Arc<str>,
    jobs: mpsc::Sender<ReadJob>,
}

impl Reader {
    /// Starts the thread, for the file at `place`.
    pub(super) fn start(place: String) -> Result<Self, StoreError> {
        let (jobs, mut waiting) = mpsc::channel::<ReadJob>(QUEUE);
        super::spawn("catalog-read", move || {
            while let Some(job) = waiting.blocking_recv() {
                job();
            }
        })?;
        Ok(Self { place: place.into(), jobs })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let place = Arc::clone(&self.place);
        let job = move || {
            // The file was whole when it was opened. If its pages stop fitting together now, `redb` may panic on them, and that
            // must cost this read, not the thread.
            let outcome = match catch_unwind(AssertUnwindSafe(read)) {
                Ok(outcome) => outcome.map_err(|error| from_redb(&place, error)),
                Err(_) => {
                    let detail = "its pages do not fit together".to_owned();
                    Err(StoreError::Damaged { place: place.to_string(), detail })
                }
            };
            drop(answer.send(outcome));
        };
        let ended = || StoreError::Closed { cause: "its reading thread has ended".to_owned() };
        self.jobs.send(Box::new(job)).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// A transaction's hold on one version.
pub(super) struct RedbSnapshot {
    view: Arc<View>,
    reader: Reader,
}

impl RedbSnapshot {
    /// A hold on `view`, read through `reader`.
    pub(super) fn new(view: Arc<View>, reader: Reader) -> Self {
        Self { view, reader }
    }
}

#[async_trait]
impl Snapshot for RedbSnapshot {
    fn version(&self) -> u64 {
        self.view.version
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let (view, key) = (Arc::clone(&self.view), Bytes::copy_from_slice(key));
        self.reader.read(move || view.get(&key)).await
    }

    async fn page(&self, range: &KeyRange, limit: usize, reverse: bool) -> Result<RangePage, StoreError> {
        let (view, range) = (Arc::clone(&self.view), range.clone());
        self.reader.read(move || view.page(&range, limit, reverse)).await
    }
}
