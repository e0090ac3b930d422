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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use arguments::Arguments;

/// What stopped a run, for people.
pub(crate) type Failure = String;

/// Becomes true with SIGTERM or Ctrl-C: a runner that just ended would leave its processes behind.
fn interruptions() -> Result<Arc<AtomicBool>, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&interrupted);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let signals = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    };
    let (mut terminate, mut interrupt) =
        (signals.0.map_err(|error| error.to_string())?, signals.1.map_err(|error| error.to_string())?);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        told.store(true, Ordering::Relaxed);
    });
    Ok(interrupted)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let done = interruptions().and_then(|interrupted| run::run(&arguments, seed, interrupted));
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
