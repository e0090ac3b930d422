//! The log of the process: readable on a terminal, one JSON object per line elsewhere; always on standard error.
//!
//! `LOADLOCK_LOG` chooses what is logged, in the words of `tracing_subscriber::EnvFilter`: `debug`, or
//! `info,kafka=debug`. Secrets and payloads are never logged, whatever it says.

use std::io::IsTerminal;

use rdkafka::config::RDKafkaLogLevel;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt;

/// Name of the environment variable that chooses what is logged.
pub const FILTER_VARIABLE: &str = "LOADLOCK_LOG";

/// Log target that says, at level `trace` and in the field `point`, which step the process is about to take.
pub const STEPS: &str = "loadlock::step";

/// What is logged when the variable is not set.
const FILTER: &str = "info";

/// The same beside a command that speaks for itself.
const QUIET: &str = "warn";

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Why the log can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The variable holds no filter.
    #[error("{FILTER_VARIABLE} is no log filter: {0}; write for example info or info,kafka=debug")]
    Filter(#[from] ParseError),
}

/// Starts the log of the process; without a format it is text on a terminal and JSON elsewhere. A second call changes
/// nothing.
///
/// # Errors
/// When `LOADLOCK_LOG` is no filter.
pub fn init(format: Option<LogFormat>) -> Result<(), LogError> {
    init_at(FILTER, format)
}

/// The same for a command whose words stand on the console: without `LOADLOCK_LOG` only warnings, as text.
///
/// # Errors
/// As [`init`].
pub fn init_quiet() -> Result<(), LogError> {
    init_at(QUIET, Some(LogFormat::Text))
}

fn init_at(usual: &str, format: Option<LogFormat>) -> Result<(), LogError> {
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::try_new(if filter.trim().is_empty() { usual } else { &filter })?;
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal && !no_color);
    // The only error is that a subscriber is already there, as when tests share a process.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    Ok(())
}

/// A log line of librdkafka: call it from `ClientContext::log`. Target `kafka`.
///
/// librdkafka calls many things errors that pass by themselves (a broker that restarts); what needs a person is said by
/// whoever uses the client, so nothing here is above a warning unless the client itself is done for.
pub fn kafka_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "kafka", facility, "{message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(target: "kafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(target: "kafka", facility, "{message}"),
        RDKafkaLogLevel::Debug => tracing::debug!(target: "kafka", facility, "{message}"),
    }
}

/// How much librdkafka should say, so that it does not format lines that nobody wants: for `ClientConfig::set_log_level`.
pub fn kafka_log_level() -> RDKafkaLogLevel {
    if tracing::enabled!(target: "kafka", Level::DEBUG) {
        RDKafkaLogLevel::Debug
    } else if tracing::enabled!(target: "kafka", Level::INFO) {
        RDKafkaLogLevel::Info
    } else if tracing::enabled!(target: "kafka", Level::WARN) {
        RDKafkaLogLevel::Warning
    } else {
        RDKafkaLogLevel::Critical
    }
}
