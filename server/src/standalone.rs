//! `millrace standalone`: one process, its own catalog, any Kafka.

use crate::cli::StandaloneArgs;
use crate::compose::Node;
use crate::data_dir::DataDir;
use vfs::World;

/// Starts the server, says where it is, and runs until it is told to stop.
///
/// # Errors
/// If it cannot start: the message names what is in the way.
pub async fn run(args: StandaloneArgs) -> anyhow::Result<()> {
    let settings = args.server.settings()?;
    let world = World::system();
    let data_dir = DataDir::open(&args.data_dir, &*world.random)?;
    let node = Node::start(settings, data_dir, world).await?;
    println!("millrace {} is ready", env!("CARGO_PKG_VERSION"));
    println!("  data   {}", args.data_dir.display());
    println!("  mysql  {}   millrace sql --port {}", node.mysql_address, node.mysql_address.port());
    println!("  http   {}   /healthz /readyz /metrics", node.http_address);
    node.until_stopped().await?;
    println!("stopping: committing what is visible");
    node.stop().await;
    Ok(())
}
