//! A server and stores on it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use millrace_vfs::s3_server::{S3Server, credentials};
use millrace_vfs::{
    ObjectStoreAddress, ObjectStoreCredentials, ObjectStoreSettings, RetrySettings, SplitSettings, World,
    open_object_store,
};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

pub const BUCKET: &str = "millrace";
/// The smallest piece that S3 takes.
pub const PIECE: usize = 5 << 20;

pub struct Rig {
    pub server: S3Server,
    _directory: tempfile::TempDir,
}

impl Rig {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = S3Server::start(directory.path(), 0, World::system().clock).await.unwrap();
        server.make_bucket(BUCKET).unwrap();
        Self { server, _directory: directory }
    }

    /// A store under a prefix, as production stacks it, but that it waits for nothing.
    pub async fn store(&self) -> Arc<dyn ObjectStore> {
        open(&self.server.url("millrace/a prefix/p"), &credentials(), settings()).await
    }

    pub async fn store_with(&self, settings: ObjectStoreSettings) -> Arc<dyn ObjectStore> {
        open(&self.server.url(BUCKET), &credentials(), settings).await
    }
}

pub fn settings() -> ObjectStoreSettings {
    ObjectStoreSettings {
        request_timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(5),
        retry: RetrySettings { attempts: 3, first_backoff: Duration::ZERO, max_backoff: Duration::ZERO },
        split: SplitSettings { above: PIECE, piece: PIECE, at_once: 2 },
    }
}

pub async fn open(
    url: &str,
    credentials: &ObjectStoreCredentials,
    settings: ObjectStoreSettings,
) -> Arc<dyn ObjectStore> {
    let address: ObjectStoreAddress = url.parse().unwrap();
    open_object_store(&address, credentials, settings, &World::system()).await.unwrap()
}

pub fn create() -> PutOptions {
    PutMode::Create.into()
}

pub async fn read(store: &dyn ObjectStore, name: &str) -> Bytes {
    store.get(&name.into()).await.unwrap().bytes().await.unwrap()
}

pub async fn names(store: &dyn ObjectStore, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(Into::into);
    store.list(prefix.as_ref()).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
}

/// Bytes of which no two places look alike.
pub fn large(bytes: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()
    };
    let mut content: Vec<u8> = std::iter::repeat_with(word).take(bytes.div_ceil(8)).flatten().collect();
    content.truncate(bytes);
    content.into()
}
