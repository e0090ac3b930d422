//! A panic in the sandbox ends the test program. The runtime would catch it, and the test might pass all the same.

use std::io::Write as _;
use std::panic;
use std::process;
use std::sync::Once;

/// From here on a panic outside of the tests' own code is fatal.
pub(crate) fn panics_are_fatal() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_own = |file: &str| file.contains("tests/") || file.contains("fuzz/targets/");
            if info.location().is_some_and(|at| is_own(at.file())) {
                return before(info);
            }
            // Not by a macro: what a test prints is held back, and would be lost.
            let _ = writeln!(std::io::stderr(), "\na part of the sandbox died: {info}");
            process::abort();
        }));
    });
}
