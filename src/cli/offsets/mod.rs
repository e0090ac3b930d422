//! `loadlock offsets`: positions as people see and mend them.

mod resolve;
mod show;
mod table;

use clap::Subcommand;

use super::report::{Console, Failure};
use super::{Exit, Stop};
use crate::load::{Class, Loader};
use crate::source::SourceError;
use crate::{config, telemetry};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show positions, lag and open intents, with the engine's state of each load
    Show(show::Arguments),
    /// Decide an intent by hand that the engine has forgotten (stop code outcome-unknown)
    Resolve(resolve::Arguments),
}

pub(super) fn run(verb: &Verb, console: &mut Console<'_>) -> Result<Exit, Stop> {
    telemetry::init_quiet()
        .map_err(|error| Failure::new(Exit::Usage, "usage", "the log can't be set up").caused_by(&error))?;
    match verb {
        Verb::Show(arguments) => show::run(arguments, console),
        Verb::Resolve(arguments) => resolve::run(arguments, console),
    }
}

fn loader(engine: &config::Engine) -> Result<Loader, Failure> {
    Loader::new(engine).map_err(|error| {
        Failure::new(Exit::Config, "config", "the connection to the engine can't be set up").caused_by(&error)
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::GaveUp, "system", "the threads of the process can't be started").caused_by(&error)
    })
}

/// How a command ends that Kafka does not answer as it should.
pub(super) fn exit_of_kafka(error: &SourceError) -> Exit {
    match error {
        SourceError::Settings { .. } => Exit::Config,
        SourceError::Unanswered { .. } => Exit::Unreachable,
        SourceError::Thread { .. } | SourceError::Fatal { .. } | SourceError::Closed { .. } => Exit::GaveUp,
        SourceError::TopicMissing { .. }
        | SourceError::OutOfRange { .. }
        | SourceError::PositionRefused { .. }
        | SourceError::Denied { .. }
        | SourceError::Fenced { .. }
        | SourceError::Seek { .. }
        | SourceError::NoPosition { .. }
        | SourceError::StartIncomplete { .. } => Exit::NeedsPerson,
    }
}

/// How a command ends that the engine does not answer as it should.
fn exit_of_engine(class: Class) -> Exit {
    match class {
        Class::Away | Class::Busy | Class::Unclear => Exit::Unreachable,
        Class::Refused | Class::NotCommittable => Exit::NeedsPerson,
    }
}

/// A time for people.
fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| format!("{ms} ms since 1970"), |time| time.to_string())
}
