//! Which version of an engine a sandbox stands in for, and what that version does differently.
//!
//! Each difference is a question by name with its versions and its source, in one table for each engine
//! ([`starrocks`], [`doris`]). Code asks the question and never compares versions.

mod doris;
mod range;
mod starrocks;
mod version;

use std::fmt;

pub use range::Difference;
pub use version::{Version, VersionError};

use crate::table::EngineKind;

/// A version of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    kind: EngineKind,
    version: Version,
}

impl Profile {
    /// The version that a sandbox has unless told otherwise.
    #[must_use]
    pub const fn default_of(kind: EngineKind) -> Self {
        let version = match kind {
            EngineKind::StarRocks => starrocks::DEFAULT,
            EngineKind::Doris => doris::DEFAULT,
        };
        Self { kind, version }
    }

    /// Reads `3.3`, `3.3.10` or `starrocks-3.3`. A line alone means its newest release that is known here; a later
    /// release of a known line behaves like that one.
    ///
    /// # Errors
    /// When it is no version, or one of an unknown line or of another engine.
    pub fn read(kind: EngineKind, text: &str) -> Result<Self, VersionError> {
        Ok(Self { kind, version: version::read(kind, text, lines(kind))? })
    }

    /// The profiles of an engine, oldest first, as [`Profile::read`] takes them: `starrocks-3.3`.
    #[must_use]
    pub fn known(kind: EngineKind) -> Vec<String> {
        let word = version::word(kind);
        lines(kind).iter().map(|newest| format!("{word}-{}.{}", newest.major, newest.minor)).collect()
    }

    /// Everything that the versions of an engine do differently.
    #[must_use]
    pub fn differences(kind: EngineKind) -> &'static [Difference] {
        match kind {
            EngineKind::StarRocks => starrocks::DIFFERENCES,
            EngineKind::Doris => doris::DIFFERENCES,
        }
    }

    /// Which engine it is of.
    #[must_use]
    pub const fn kind(self) -> EngineKind {
        self.kind
    }

    /// The version.
    #[must_use]
    pub const fn version(self) -> Version {
        self.version
    }

    /// What the frontend says that it is, in the engine's own form; the build is the sandbox's.
    #[must_use]
    pub fn told_version(self) -> String {
        match self.kind {
            EngineKind::StarRocks => format!("{}-sandbox", self.version),
            EngineKind::Doris => format!("doris-{}-sandbox", self.version),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", version::word(self.kind), self.version)
    }
}

fn lines(kind: EngineKind) -> &'static [Version] {
    match kind {
        EngineKind::StarRocks => starrocks::NEWEST,
        EngineKind::Doris => doris::NEWEST,
    }
}
