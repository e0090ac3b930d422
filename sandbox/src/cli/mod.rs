//! Commands: `up`, `kafka`, `sql`.

mod kafka;
mod sql;
mod up;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

/// What a command fails with: a text for a person.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A stand-in for a StarRocks or Apache Doris cluster, and a Kafka to go with it.
#[derive(Debug, Parser)]
#[command(name = "loadlock-sandbox", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an engine, and a Kafka if topics are named
    Up(up::Up),
    /// Run a Kafka alone: librdkafka's mock cluster, in memory
    Kafka(kafka::Kafka),
    /// Run a SELECT against a running sandbox
    Sql(sql::Sql),
}

/// Where to tell a script that everything is ready.
#[derive(Debug, clap::Args)]
struct Ready {
    /// JSON file with all addresses, written when everything is ready
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Cli {
    /// Runs the command; what it has to say goes to `out`.
    pub(crate) async fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        match self.command {
            Command::Up(up) => up.run(out).await,
            Command::Kafka(kafka) => kafka.run(out).await,
            Command::Sql(sql) => sql.run(out).await,
        }
    }
}

impl Ready {
    /// Writes the file whole: a reader finds it complete or not at all.
    fn write(&self, addresses: &Value) -> Result<(), Failure> {
        let Some(path) = &self.ready_file else { return Ok(()) };
        let name = path.file_name().ok_or_else(|| format!("{} is no file name", path.display()))?;
        let mut partial = name.to_owned();
        partial.push(".partial");
        let partial = path.with_file_name(partial);
        let text = format!("{addresses:#}\n");
        std::fs::write(&partial, text)
            .and_then(|()| std::fs::rename(&partial, path))
            .map_err(|e| cannot_write(path, &e))
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    format!("cannot write the ready file {}: {error}", path.display()).into()
}

/// Waits for SIGTERM or SIGINT.
async fn until_stopped() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}

/// Shows an error and fails.
#[expect(clippy::print_stderr, reason = "the one place where an error reaches a person")]
pub(crate) fn report(error: &str) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
