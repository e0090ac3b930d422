//! `loadlock run`: the main job.

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::report::Failure;
use super::{Exit, Selection, Stop};
use crate::commit::Protocol;
use crate::config::Config;
use crate::pipeline::{self, Decisions};
use crate::telemetry::{self, LogFormat};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Form of the log [default: text on a terminal, json elsewhere]
    #[arg(long, value_enum, value_name = "FORM")]
    log_format: Option<LogFormat>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    telemetry::init(arguments.log_format)
        .map_err(|error| Failure::new(Exit::Usage, "usage", "the log can't be set up").caused_by(&error))?;
    let (config, warnings) = arguments.selection.load()?;
    for warning in &warnings {
        tracing::warn!(hint = warning.hint, "{warning}");
    }
    Ok(run_with(config, |settings| Box::new(Protocol::new(settings)))?)
}

/// Runs the pipelines of a configuration until they have ended, as `loadlock run` does: on a runtime of its own, with
/// its answers to signals. The log is set up by the caller.
///
/// # Errors
/// When the process gets no threads or no signals.
pub fn run_with(config: Config, decisions: Decisions) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::GaveUp, "system", "the threads of the process can't be started").caused_by(&error)
    })?;
    let exit = runtime.block_on(until_done(config, decisions))?;
    // A thread that is stuck in a call must not keep a drained process alive.
    runtime.shutdown_background();
    Ok(exit)
}

/// Runs the pipelines; the first signal asks them to drain, the second ends the process at once.
async fn until_done(config: Config, decisions: Decisions) -> Result<Exit, Failure> {
    let unheard =
        |error: std::io::Error| Failure::new(Exit::GaveUp, "system", "signals can't be received").caused_by(&error);
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
    let (ask, asked) = watch::channel(false);
    let pipelines = pipeline::run_all(config, asked, decisions);
    tokio::pin!(pipelines);
    loop {
        tokio::select! {
            exit = &mut pipelines => return Ok(exit),
            Some(()) = terminate.recv() => drain_or_exit(&ask, "SIGTERM"),
            Some(()) = interrupt.recv() => drain_or_exit(&ask, "Ctrl-C"),
        }
    }
}

fn drain_or_exit(ask: &watch::Sender<bool>, signal: &str) {
    if ask.send_replace(true) {
        tracing::warn!("{signal} again: ending at once; what is open is settled by the next start");
        std::process::exit(Exit::GaveUp.code().into());
    }
    tracing::info!("{signal}: draining; once more to end at once");
}
