//! The runner: starts everything, strikes, and lets the judge count.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people and scripts")]

mod admin;
mod arguments;
mod broker;
mod chaos;
mod engine;
mod fleet;
mod group;
mod judge;
mod member;
mod producer;
mod recovery;
mod report;
mod run;
mod topic;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::Arguments;

/// What stopped a run, for people.
pub(crate) type Failure = String;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let done = run::run(&arguments, seed);
    let good = match done {
        Ok(report) => {
            println!("{report}");
            report.is_good()
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            false
        }
    };
    println!("seed {seed}");
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
