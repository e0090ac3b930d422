//! Arguments → configuration → run → exit code. All of it is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    loadlock::cli::main()
}
