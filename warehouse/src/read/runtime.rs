//! What queries run in: a bounded memory, a directory to spill to, and the one object store that they may read.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use object_store::ObjectStore;

/// The only address that a plan may read from.
const PARTS: &str = "millrace://parts";

/// Where scans find the parts.
pub(super) fn parts_url() -> ObjectStoreUrl {
    ObjectStoreUrl::parse(PARTS).expect("a constant address")
}

/// Queries reach the parts and nothing else: neither files of this machine nor the network.
struct PartsOnly {
    store: Arc<dyn ObjectStore>,
}

impl fmt::Debug for PartsOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartsOnly")
    }
}

/// An address, in the type that the engine takes.
type Address = <ObjectStoreUrl as Addressed>::Url;

/// Names the engine's address type without a crate of its own.
trait Addressed {
    type Url;
}

impl ObjectStoreRegistry for PartsOnly {
    fn register_store(&self, _url: &Address, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        Some(store)
    }

    fn get_store(&self, url: &Address) -> Result<Arc<dyn ObjectStore>> {
        let _ = url;
        Ok(Arc::clone(&self.store))
    }
}
