//! Versions of the engines, and what is known to be wrong with some.

use std::fmt;

/// Major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u32, pub(super) u32, pub(super) u32);

impl Version {
    /// The first three numbers with points between them: `3.5.2-abc`, `Doris version doris-2.1.8-rc01-834`.
    pub(super) fn find(text: &str) -> Option<Self> {
        let starts = text.char_indices().filter(|(at, c)| {
            c.is_ascii_digit()
                && !text.get(..*at).is_some_and(|before| before.ends_with(|b: char| b.is_ascii_digit() || b == '.'))
        });
        starts.into_iter().find_map(|(at, _)| Self::at_start(text.get(at..)?))
    }

    fn at_start(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (major, minor, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        Some(Self(major.parse().ok()?, minor.parse().ok()?, rest.get(..digits)?.parse().ok()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(major, minor, patch) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// StarRocks: a commit of a prepared load fails for good after the leading frontend was restarted or changed ("callback
/// … could not be found", StarRocks issue 60244). First and first mended version of each line.
const COMMIT_LOST: [(Version, Version); 3] =
    [(Version(3, 3, 8), Version(3, 3, 16)), (Version(3, 4, 1), Version(3, 4, 6)), (Version(3, 5, 0), Version(3, 5, 2))];

/// The first mended version, if this one loses prepared loads at a change of the leading frontend.
pub(super) fn loses_prepared_loads(version: Version) -> Option<Version> {
    COMMIT_LOST.into_iter().find(|(first, mended)| (*first..*mended).contains(&version)).map(|(_, mended)| mended)
}

/// From here on a load says itself how long it may stay prepared (StarRocks).
pub(super) const PREPARED_BY_LOAD: Version = Version(3, 5, 4);

/// From here on a load can be aborted by its label (Doris).
pub(super) const ABORT_BY_LABEL: Version = Version(2, 1, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_the_engines_own_words() {
        for (text, version) in [
            ("3.5.2-7b6b8c6", Some(Version(3, 5, 2))),
            ("4.0.7", Some(Version(4, 0, 7))),
            ("Doris version doris-2.1.8-rc01-834d8021d2", Some(Version(2, 1, 8))),
            ("doris version doris-4.1.0-43f06a5e26 (Cloud Mode)", Some(Version(4, 1, 0))),
            ("main-782d2184", None),
            ("5.7", None),
            ("", None),
            ("99999999999.1.1", None),
        ] {
            assert_eq!(Version::find(text), version, "{text}");
        }
    }

    #[test]
    fn hazards_by_version() {
        for (version, mended) in [
            (Version(3, 3, 7), None),
            (Version(3, 3, 8), Some(Version(3, 3, 16))),
            (Version(3, 3, 15), Some(Version(3, 3, 16))),
            (Version(3, 3, 16), None),
            (Version(3, 4, 0), None),
            (Version(3, 4, 5), Some(Version(3, 4, 6))),
            (Version(3, 5, 1), Some(Version(3, 5, 2))),
            (Version(3, 5, 2), None),
            (Version(4, 0, 0), None),
        ] {
            assert_eq!(loses_prepared_loads(version), mended, "{version}");
        }
    }
}
