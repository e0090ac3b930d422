//! How the process ends, for whatever started it.

use std::process::ExitCode;

/// Exit codes; the numbers are those of BSD's `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done: everything open was finished, or the command did what it was asked.
    Drained = 0,
    /// The command line makes no sense.
    Usage = 64,
    /// Something needs a decision by a person. A supervisor must not restart the process: it would end here again.
    NeedsPerson = 65,
    /// Kafka or the engine could not be reached: every command but `run`, which waits.
    Unreachable = 69,
    /// A mistake in this program.
    Bug = 70,
    /// Gave up for now: a restart goes on from where it stopped.
    GaveUp = 75,
    /// The configuration can't be used.
    Config = 78,
}

impl Exit {
    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
