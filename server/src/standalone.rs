//! `millrace standalone`: one process, any Kafka; its catalog and its parts in the data directory, or where the settings say.

use std::sync::Arc;

use crate::cli::StandaloneArgs;
use crate::compose::Node;
use crate::console::say;
use crate::data_dir::DataDir;
use crate::stop_signal::StopSignals;
use vfs::World;

/// Starts the server, says where it is, and runs until it is told to stop.
///
/// # Errors
/// If it cannot start: the message names what is in the way.
pub async fn run(args: StandaloneArgs) -> anyhow::Result<()> {
    let settings = args.settings()?;
    let world = World::system();
    let clock = Arc::clone(&world.clock);
    // Before anybody is told that it is ready.
    let mut signals = StopSignals::watch()?;
    let data_dir = DataDir::open(&args.data_dir, &*world.random)?;
    let node = Node::start(settings, data_dir, world).await?;
    say(format_args!("millrace {} is ready", env!("CARGO_PKG_VERSION")));
    say(format_args!("  data   {}", args.data_dir.display()));
    say(format_args!("  mysql  {}   millrace sql --port {}", node.mysql_address, node.mysql_address.port()));
    say(format_args!("  http   {}   /healthz /readyz /metrics", node.http_address));
    node.until_stopped(&mut signals).await?;
    say(format_args!("stopping: committing what is visible"));
    signals.let_stop(node.stop(), &*clock).await;
    Ok(())
}
