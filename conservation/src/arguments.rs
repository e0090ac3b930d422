//! What a run is asked for.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Kills, stops and starves members, engine and broker while records flow, then counts every record in the tables.
#[derive(Debug, Parser)]
#[command(name = "loadlock-conservation")]
pub(crate) struct Arguments {
    /// Engine to load into
    #[arg(long, value_enum, default_value_t = Engine::Starrocks)]
    pub(crate) engine: Engine,
    /// Committed records at least
    #[arg(long, default_value_t = 100_000)]
    pub(crate) records: u64,
    /// Seed of all choices; drawn and printed if not given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Members that run side by side; the last one is the plain loader
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=9))]
    pub(crate) members: u32,
    /// Kills of members at least
    #[arg(long, default_value_t = 60)]
    pub(crate) kills: u32,
    /// Stops of members for longer than their session, at least
    #[arg(long, default_value_t = 20)]
    pub(crate) stops: u32,
    /// Kills after which nothing else is done to anybody until the partitions move again
    #[arg(long, default_value_t = 10)]
    pub(crate) recoveries: u32,
    /// Ask only for the points around intent, commit and advance
    #[arg(long)]
    pub(crate) short: bool,
    /// Run members with a protocol that leaves something out; good is then what the judge finds damaged
    #[arg(long, value_name = "VARIANT")]
    pub(crate) weakened: Option<String>,
    /// Fail when the strikes take longer
    #[arg(long, default_value_t = 40)]
    pub(crate) minutes: u64,
    /// Kafka
    #[arg(long, env = "KAFKA_BROKERS")]
    pub(crate) brokers: String,
    /// Name of the broker under scripts/kafka; without it the broker is left in peace
    #[arg(long, value_name = "NAME")]
    pub(crate) kafka: Option<String>,
    /// Root of the repository, for scripts/kafka
    #[arg(long, default_value = ".")]
    pub(crate) root: PathBuf,
    /// Keep logs and tables here
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Also write the report here, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Starrocks,
    Doris,
}

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Starrocks => "starrocks",
            Self::Doris => "doris",
        }
    }
}
