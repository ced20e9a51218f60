//! Parquet footers, kept in memory within a bound, and charged to the process's memory: the least recently used ones go first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use catalog::PartId;
use parquet::file::metadata::ParquetMetaData;

use crate::memory::MemoryBudget;

/// Footers never take more than this share of what queries may have.
const SHARE: u64 = 8;

#[derive(Debug)]
struct Entry {
    footer: Arc<ParquetMetaData>,
    bytes: usize,
    used: u64,
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<PartId, Entry>,
    /// The same parts, by when they were last used.
    by_use: BTreeMap<u64, PartId>,
    bytes: usize,
    uses: u64,
}

/// Parts never change, so a footer never goes stale.
#[derive(Debug)]
pub(super) struct Footers {
    bytes_max: usize,
    memory: Arc<MemoryBudget>,
    inner: Mutex<Inner>,
}

impl Drop for Footers {
    fn drop(&mut self) {
        let bytes = self.lock().bytes;
        self.memory.forget(bytes as u64);
    }
}

impl Footers {
    /// Keeps at most `bytes_max` bytes, and no more than a share of what queries may have.
    pub(super) fn new(bytes_max: usize, memory: Arc<MemoryBudget>) -> Self {
        let share = usize::try_from(memory.limits().query_max / SHARE).unwrap_or(usize::MAX);
        Self { bytes_max: bytes_max.min(share), memory, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The footer of `part`, if it is here.
    pub(super) fn get(&self, part: PartId) -> Option<Arc<ParquetMetaData>> {
        let inner = &mut *self.lock();
        inner.uses += 1;
        let entry = inner.entries.get_mut(&part)?;
        inner.by_use.remove(&entry.used);
        entry.used = inner.uses;
        inner.by_use.insert(inner.uses, part);
        Some(Arc::clone(&entry.footer))
    }

    /// Keeps the footer of `part`, in place of the least recently used ones.
    pub(super) fn put(&self, part: PartId, footer: Arc<ParquetMetaData>) {
        let bytes = footer.memory_size();
        let inner = &mut *self.lock();
        if bytes > self.bytes_max || inner.entries.contains_key(&part) {
            return;
        }
        inner.uses += 1;
        let used = inner.uses;
        inner.by_use.insert(used, part);
        inner.entries.insert(part, Entry { footer, bytes, used });
        inner.bytes += bytes;
        self.memory.keep(bytes as u64);
        while inner.bytes > self.bytes_max {
            let (_, oldest) = inner.by_use.pop_first().expect("something is here as long as there are bytes");
            let gone = inner.entries.remove(&oldest).expect("both maps hold the same parts").bytes;
            inner.bytes -= gone;
            self.memory.forget(gone as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::metadata::FileMetaData;
    use parquet::schema::types::{SchemaDescriptor, Type};

    use super::*;
    use crate::memory::MemoryLimits;

    fn footer() -> Arc<ParquetMetaData> {
        let root = Type::group_type_builder("root").build().unwrap();
        let schema = Arc::new(SchemaDescriptor::new(Arc::new(root)));
        Arc::new(ParquetMetaData::new(FileMetaData::new(2, 0, None, None, schema, None), vec![]))
    }

    #[test]
    fn the_least_recently_used_footer_makes_room() {
        let size = footer().memory_size();
        let memory = MemoryBudget::shared(MemoryLimits::of_queries(1 << 30));
        let footers = Footers::new(2 * size, Arc::clone(&memory));
        footers.put(PartId(1), footer());
        footers.put(PartId(2), footer());
        assert!(footers.get(PartId(1)).is_some());
        footers.put(PartId(3), footer());
        assert!(footers.get(PartId(2)).is_none());
        assert!(footers.get(PartId(1)).is_some() && footers.get(PartId(3)).is_some());
        assert!(footers.lock().bytes <= 2 * size);
        assert_eq!(memory.kept(), 2 * size as u64);
        drop(footers);
        assert_eq!(memory.kept(), 0);
    }

    #[test]
    fn a_footer_above_the_bound_is_not_kept() {
        let footers = Footers::new(1, MemoryBudget::shared(MemoryLimits::of_queries(1 << 30)));
        footers.put(PartId(1), footer());
        assert!(footers.get(PartId(1)).is_none());
    }
}
