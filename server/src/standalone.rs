//! `millrace standalone`: one process, its own catalog, any Kafka.

use std::io::{Write, stdout};
use std::sync::Arc;

use crate::cli::StandaloneArgs;
use crate::compose::Node;
use crate::data_dir::DataDir;
use crate::stop_signal::StopSignals;
use vfs::World;

/// Starts the server, says where it is, and runs until it is told to stop.
///
/// # Errors
/// If it cannot start: the message names what is in the way.
pub async fn run(args: StandaloneArgs) -> anyhow::Result<()> {
    let settings = args.server.settings()?;
    let world = World::system();
    let clock = Arc::clone(&world.clock);
    // Before anybody is told that it is ready.
    let mut signals = StopSignals::watch()?;
    let data_dir = DataDir::open(&args.data_dir, &*world.random)?;
    let node = Node::start(settings, data_dir, world).await?;
    // Whether anybody hears it or not: a closed pipe or a full disk is no reason not to serve, nor to stop without a commit.
    let _unheard = tell_where(&args, &node);
    node.until_stopped(&mut signals).await?;
    let _unheard = writeln!(stdout(), "stopping: committing what is visible");
    signals.stop(node, &*clock).await;
    Ok(())
}

fn tell_where(args: &StandaloneArgs, node: &Node) -> std::io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "millrace {} is ready", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  data   {}", args.data_dir.display())?;
    writeln!(out, "  mysql  {}   millrace sql --port {}", node.mysql_address, node.mysql_address.port())?;
    writeln!(out, "  http   {}   /healthz /readyz /metrics", node.http_address)
}
