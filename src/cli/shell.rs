//! `loadlock completions` and `loadlock man`: what a package or a shell takes from the command line's own description.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::report::{Console, Failure};
use super::{Cli, Exit, Stop};

#[derive(Debug, Args)]
#[command(after_help = "Example: loadlock completions bash > /etc/bash_completion.d/loadlock")]
pub(super) struct Completions {
    /// Shell to write them for
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: loadlock man | man -l -")]
pub(super) struct Man {
    /// Write the pages of all verbs into this directory instead of the main one to standard output
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

pub(super) fn completions(arguments: &Completions, console: &mut Console<'_>) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "loadlock", &mut script);
    let _ = console.out.write_all(&script);
    Exit::Drained
}

pub(super) fn man(arguments: &Man, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let mut command = Cli::command();
    command.build();
    let Some(directory) = &arguments.to else {
        let _ = console.out.write_all(&page(command)?);
        return Ok(Exit::Drained);
    };
    std::fs::create_dir_all(directory).map_err(|error| unwritable(directory, &error))?;
    for command in with_verbs(command) {
        let path = directory.join(format!("{}.1", command.get_display_name().unwrap_or(command.get_name())));
        std::fs::write(&path, page(command)?).map_err(|error| unwritable(&path, &error))?;
        console.line(&path.display().to_string());
    }
    Ok(Exit::Drained)
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let written = clap_mangen::Man::new(command).render(&mut page);
    written.map_err(|error| Failure::new(Exit::Bug, "bug", "the page can't be made").caused_by(&error))?;
    Ok(page)
}

/// A command and all below it.
fn with_verbs(command: Command) -> Vec<Command> {
    let verbs: Vec<_> = command.get_subcommands().filter(|verb| verb.get_name() != "help").cloned().collect();
    std::iter::once(command).chain(verbs.into_iter().flat_map(with_verbs)).collect()
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Usage, "output", format!("{} can't be written", path.display())).caused_by(error)
}
