//! A whole server in this process, for the targets that speak to its front door. There is one, and it lives until the process ends.

use std::sync::OnceLock;

use server::compose::Node;
use server::data_dir::DataDir;
use server::settings::Settings;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use vfs::World;

/// A server with a table to ask.
pub(super) struct FuzzNode {
    pub(super) runtime: Runtime,
    pub(super) node: Node,
    _directory: TempDir,
}

impl FuzzNode {
    /// The one of this process.
    pub(super) fn get() -> anyhow::Result<&'static Self> {
        static NODE: OnceLock<FuzzNode> = OnceLock::new();
        if NODE.get().is_none() {
            let started = Self::start()?;
            // Campaigns run one after the other, so nobody else has started one meanwhile.
            drop(NODE.set(started));
        }
        NODE.get().ok_or_else(|| anyhow::anyhow!("the server did not start"))
    }

    fn start() -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_stack_size(8 << 20).enable_all().build()?;
        let directory = tempfile::tempdir()?;
        let mut settings = Settings::default();
        (settings.mysql.listen, settings.http.listen) = (([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 0).into());
        let node = runtime.block_on(async {
            let world = World::system();
            let data_dir = DataDir::open(directory.path(), &*world.random)?;
            Node::start(settings, data_dir, world).await
        })?;
        Ok(Self { runtime, node, _directory: directory })
    }
}
