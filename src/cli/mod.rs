//! The command line: one file per verb, and how errors are shown.

mod check;
mod exit;
mod explain;
mod offsets;
pub mod produce;
pub mod report;
mod run;
mod shell;
mod value;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use exit::Exit;
use report::{Console, Failure};
pub use run::run_with;

use crate::config::{Config, Warning};

/// Moves records from Kafka into StarRocks or Apache Doris, exactly once.
#[derive(Debug, Parser)]
#[command(name = "loadlock", version, about, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
   0  done; everything open was finished
  64  the command line makes no sense
  65  needs a person: a supervisor must not restart it
  69  Kafka or the engine could not be reached (all commands but run, which waits)
  70  a mistake in this program
  75  gave up for now: restart it
  78  the configuration can't be used";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the routes of a configuration until SIGTERM or Ctrl-C
    Run(run::Arguments),
    /// Check a configuration; without --online neither Kafka nor the engine is asked
    Check(check::Arguments),
    /// Look at the positions of a configuration's groups, and mend them
    #[command(subcommand)]
    Offsets(offsets::Verb),
    /// Show what each step makes of one record, and why it is rejected
    Explain(explain::Arguments),
    /// Write records to a topic as its route expects them, for tests and trials
    Produce(produce::Arguments),
    /// Make the value of a record from its plain text
    Encrypt(value::Encrypt),
    /// Show the plain text of a record's value
    Decrypt(value::Decrypt),
    /// Write the completions of a shell to standard output
    Completions(shell::Completions),
    /// Write the manual pages
    Man(shell::Man),
}

/// Which configuration, and which part of it.
#[derive(Debug, Args)]
struct Selection {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Only the routes of this topic; can be given several times
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
}

impl Selection {
    /// Loads the configuration and keeps what was asked for.
    fn load(&self) -> Result<(Config, Vec<Warning>), Stop> {
        let (mut config, warnings) = Config::load(&self.config).map_err(Stop::Problems)?;
        config.select_topics(&self.topics).map_err(|unknown| {
            let failure = Failure::new(Exit::Usage, "usage", format!("{unknown} in {}", self.config.display()));
            Stop::Failure(match &unknown.nearest {
                Some(nearest) => failure.hint(format!("did you mean --topic {nearest}?")),
                None => failure.hint("`loadlock check` lists the topics of a file"),
            })
        })?;
        Ok((config, warnings))
    }

    /// Like [`Selection::load`], and shows the warnings at once.
    fn load_shown(&self, console: &mut Console<'_>) -> Result<Config, Stop> {
        let (config, warnings) = self.load()?;
        for warning in &warnings {
            console.problem(warning);
        }
        Ok(config)
    }
}

/// Why a verb ended early.
#[derive(Debug)]
enum Stop {
    Problems(crate::config::Problems),
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    exit_on_panic();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap writes help and version to standard output, mistakes to standard error.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Drained.into() };
        }
    };
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let mut console = Console::of_process(&mut out, &mut err);
    let done = match cli.verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments, &mut console),
        Verb::Offsets(verb) => offsets::run(&verb, &mut console),
        Verb::Explain(arguments) => explain::run(&arguments, &mut console),
        Verb::Produce(arguments) => produce::run(&arguments, &mut console),
        Verb::Encrypt(arguments) => value::encrypt(&arguments, &mut console),
        Verb::Decrypt(arguments) => value::decrypt(&arguments, &mut console),
        Verb::Completions(arguments) => Ok(shell::completions(&arguments, &mut console)),
        Verb::Man(arguments) => shell::man(&arguments, &mut console),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(Stop::Problems(problems)) => {
            console.problems(&problems);
            Exit::Config.into()
        }
        Err(Stop::Failure(failure)) => {
            console.failure(&failure);
            failure.exit.into()
        }
    }
}

/// A panic in any thread ends the process: what is open is settled by whoever takes over. The hook runs before the
/// unwinding or abort, so the exit code is ours in every build.
fn exit_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let _ = writeln!(std::io::stderr(), "error[bug]: {panic}\n  hint: please report this; a restart is safe");
        std::process::exit(Exit::Bug.code().into());
    }));
}
