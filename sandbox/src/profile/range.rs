//! In which releases something holds, and the tables of differences.

use std::fmt;

use super::{Profile, Version};

/// Releases in a row; a row without an end goes on in all later lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    first: Version,
    last: Option<Version>,
}

/// From a release on, in all later lines as well.
pub(super) const fn since(major: u16, minor: u16, patch: u16) -> Range {
    Range { first: Version::new(major, minor, patch), last: None }
}

/// From a release to the end of its line.
pub(super) const fn rest_of_line(major: u16, minor: u16, patch: u16) -> Range {
    Range { first: Version::new(major, minor, patch), last: Some(Version::new(major, minor, u16::MAX)) }
}

/// From one patch to another, both included.
pub(super) const fn patches(major: u16, minor: u16, first: u16, last: u16) -> Range {
    Range { first: Version::new(major, minor, first), last: Some(Version::new(major, minor, last)) }
}

impl Range {
    pub(super) fn has(self, version: Version) -> bool {
        self.first <= version && self.last.is_none_or(|last| version <= last)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            None => write!(f, "since {}", self.first),
            Some(Version { major, minor, patch: u16::MAX }) => {
                write!(f, "{major}.{minor}")?;
                if self.first.patch == 0 { Ok(()) } else { write!(f, " since {}", self.first) }
            }
            Some(last) if last == self.first => write!(f, "{last}"),
            Some(last) => write!(f, "{} to {last}", self.first),
        }
    }
}

/// Something that an engine does in some of its versions.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// The name of the question in the code.
    pub name: &'static str,
    /// What those versions do.
    pub says: &'static str,
    pub(super) ranges: &'static [Range],
    /// Where that is to be read in the engine: file, pull request, release.
    pub source: &'static str,
}

impl Difference {
    /// The releases, as a person reads them: `3.3.6 to 3.3.13, since 4.0.0`.
    #[must_use]
    pub fn versions(&self) -> String {
        self.ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Whether it holds in a version.
    #[must_use]
    pub fn holds(&self, profile: Profile) -> bool {
        self.ranges.iter().any(|range| range.has(profile.version))
    }
}

/// The differences of one engine: a question on [`Profile`] for each, and the table of all. A profile of the other
/// engine answers no.
macro_rules! differences {
    ($kind:ident; $($(#[doc = $doc:literal])+ $name:ident: [$($range:expr),+ $(,)?], $source:literal;)+) => {
        impl Profile {
            $(
                $(#[doc = $doc])+
                ///
                #[doc = concat!("Source: ", $source)]
                pub(crate) fn $name(self) -> bool {
                    const VERSIONS: &[Range] = &[$($range),+];
                    self.kind == EngineKind::$kind && VERSIONS.iter().any(|range| range.has(self.version))
                }
            )+
        }

        /// All of them.
        pub(super) const DIFFERENCES: &[Difference] = &[$(Difference {
            name: stringify!($name),
            says: concat!($($doc),+),
            ranges: &[$($range),+],
            source: $source,
        }),+];
    };
}
pub(super) use differences;
