//! The flow of all pipelines of a process.

use tokio::sync::watch;

use crate::cli::Exit;
use crate::config::Config;

/// Runs every pipeline of the configuration until `stop` turns true.
pub async fn run_all(config: Config, mut stop: watch::Receiver<bool>) -> Exit {
    tracing::info!(pipelines = config.pipelines.len(), "started");
    // A sender that is gone can't ask for anything but the end.
    let _ = stop.wait_for(|stop| *stop).await;
    Exit::Drained
}
