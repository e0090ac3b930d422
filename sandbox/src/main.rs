//! The command line of the sandbox.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::builder()
                .with_default_directive(tracing_subscriber::filter::LevelFilter::WARN.into())
                .from_env_lossy(),
        )
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::report(&format!("no runtime: {error}")),
    };
    match runtime.block_on(cli.run(&mut std::io::stdout())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::report(&error.to_string()),
    }
}
