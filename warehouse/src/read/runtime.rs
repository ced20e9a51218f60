//! What queries run in: a bounded memory, a directory to spill to, and the one object store that they may read.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use object_store::ObjectStore;

use super::memory_pool::SharedPool;
use crate::memory::MemoryBudget;

/// What all queries of a process may use together.
#[derive(Clone, Debug)]
pub struct QueryLimits {
    /// The account that sorts, joins and aggregates charge. Where it refuses they spill, and where they cannot, the query fails.
    pub memory: Arc<MemoryBudget>,
    /// Where they spill to; `None` where they may not.
    pub spill_directory: Option<PathBuf>,
    /// Bytes that may be spilled at a time.
    pub spill_bytes: u64,
}

/// The only address that a plan may read from.
pub(super) fn parts_url() -> ObjectStoreUrl {
    ObjectStoreUrl::parse("millrace://parts").expect("a constant address")
}

/// Queries reach the parts and nothing else: neither files of this machine nor the network.
pub(super) fn runtime(limits: &QueryLimits, parts: Arc<dyn ObjectStore>) -> Result<Arc<RuntimeEnv>> {
    let mode = match &limits.spill_directory {
        Some(directory) => DiskManagerMode::Directories(vec![directory.clone()]),
        None => DiskManagerMode::Disabled,
    };
    let disk = DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(limits.spill_bytes);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(SharedPool::new(Arc::clone(&limits.memory))))
        .with_disk_manager_builder(disk)
        .build_arc()?;
    runtime.deregister_object_store(ObjectStoreUrl::local_filesystem().as_ref())?;
    runtime.register_object_store(parts_url().as_ref(), parts);
    Ok(runtime)
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::memory::MemoryLimits;

    #[test]
    fn queries_reach_the_parts_and_no_file_of_this_machine() {
        let limits = QueryLimits {
            memory: MemoryBudget::shared(MemoryLimits::of_queries(1 << 20)),
            spill_directory: None,
            spill_bytes: 0,
        };
        let runtime = runtime(&limits, Arc::new(InMemory::new())).unwrap();
        assert!(runtime.object_store(parts_url()).is_ok());
        assert!(runtime.object_store(ObjectStoreUrl::local_filesystem()).is_err());
    }
}
