//! Version numbers, read and shown.

use std::fmt;

use crate::table::EngineKind;

/// A release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u16,
    /// Second number; the first two are a line of releases.
    pub minor: u16,
    /// Third number.
    pub patch: u16,
}

/// Why a text names no version that a sandbox can stand in for.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no version of {kind} that the sandbox knows: give one of {known}, or a release of these")]
pub struct VersionError {
    text: String,
    kind: EngineKind,
    known: String,
}

impl Version {
    /// A version by its numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    fn is_of_line(self, other: Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// How an engine is written on a command line.
pub(super) const fn word(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::StarRocks => "starrocks",
        EngineKind::Doris => "doris",
    }
}

/// Reads a version; `newest` has the newest release of each known line.
pub(super) fn read(kind: EngineKind, text: &str, newest: &[Version]) -> Result<Version, VersionError> {
    let unknown = || {
        let known: Vec<String> = newest.iter().map(|line| format!("{}.{}", line.major, line.minor)).collect();
        VersionError { text: text.to_owned(), kind, known: known.join(", ") }
    };
    let numbers = text.strip_prefix(word(kind)).and_then(|rest| rest.strip_prefix('-')).unwrap_or(text);
    let numbers: Option<Vec<u16>> = numbers.split('.').map(number).collect();
    let (asked, has_patch) = match numbers.as_deref() {
        Some([major, minor]) => (Version::new(*major, *minor, 0), false),
        Some([major, minor, patch]) => (Version::new(*major, *minor, *patch), true),
        _ => return Err(unknown()),
    };
    let line = newest.iter().find(|line| line.is_of_line(asked)).ok_or_else(unknown)?;
    Ok(if has_patch { asked } else { *line })
}

/// Digits alone: Rust's own reading would take a sign.
fn number(text: &str) -> Option<u16> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let newest = [Version::new(3, 3, 22), Version::new(4, 0, 17)];
        let cases = [
            ("3.3", Some("3.3.22")),
            ("3.3.10", Some("3.3.10")),
            ("3.3.99", Some("3.3.99")),
            ("starrocks-4.0", Some("4.0.17")),
            ("starrocks-3.3.0", Some("3.3.0")),
            ("doris-3.3", None),
            ("starrocks3.3", None),
            ("starrocks-", None),
            ("3.2", None),
            ("3", None),
            ("3.3.1.1", None),
            ("3.3.", None),
            ("3.+3", None),
            ("3.3.70000", None),
            ("", None),
            ("newest", None),
        ];
        for (text, want) in cases {
            let got = read(EngineKind::StarRocks, text, &newest);
            assert_eq!(got.as_ref().ok().map(ToString::to_string).as_deref(), want, "{text}");
            if let Err(error) = got {
                let said = error.to_string();
                assert!(said.contains(&format!("{text:?}")) && said.contains("3.3, 4.0"), "{said}");
            }
        }
        assert!(Version::new(3, 3, 9) < Version::new(3, 3, 10) && Version::new(3, 5, 20) < Version::new(4, 0, 0));
    }
}
