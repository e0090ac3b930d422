//! The loader with strikes: what `loadlock run` runs, on the same signals, killing or stopping itself at named points.

mod strikes;
mod weakened;

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use loadlock::cli::{Exit, run_with};
use loadlock::commit::Protocol;
use loadlock::config::Config;
use loadlock::telemetry::STEPS;
use loadlock_conservation::strike::Strike;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, fmt};

use strikes::Striker;
use weakened::Weakness;

/// A member that strikes itself; started by loadlock-conservation.
#[derive(Debug, Parser)]
#[command(name = "loadlock-member")]
struct Arguments {
    /// Configuration file, as for `loadlock run`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What to do to itself; several times, and each happens once
    #[arg(long, value_name = "POINT:NTH:kill|stop:MICROSECONDS")]
    strike: Vec<Strike>,
    /// Where each strike is written down before it happens
    #[arg(long, value_name = "FILE")]
    struck: PathBuf,
    /// Put a weaker protocol in the place of the real one
    #[arg(long, value_enum)]
    weakened: Option<Weakness>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(exit) => exit.into(),
        Err(error) => {
            tracing::error!("{error}");
            Exit::Config.into()
        }
    }
}

fn run(arguments: Arguments) -> Result<Exit, String> {
    let struck = OpenOptions::new().create(true).append(true).open(&arguments.struck);
    let struck = struck.map_err(|error| format!("{}: {error}", arguments.struck.display()))?;
    let log = fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
    let subscriber = tracing_subscriber::registry()
        .with(Striker::new(arguments.strike, struck).with_filter(Targets::new().with_target(STEPS, LevelFilter::TRACE)))
        .with(log.with_filter(EnvFilter::new("info")));
    tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())?;
    let (config, _warnings) = Config::load(&arguments.config).map_err(|problems| format!("{problems:?}"))?;
    let decisions = match arguments.weakened {
        Some(weakness) => weakness.decisions(),
        None => |settings| Box::new(Protocol::new(settings)) as _,
    };
    run_with(config, decisions).map_err(|failure| format!("{failure:?}"))
}
