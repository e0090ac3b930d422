//! For which versions, and on which kind of engine, a case or a line of it counts.

use std::fmt;

/// A release of an engine; without a patch it stands for its whole line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u16,
    pub(crate) minor: u16,
    pub(crate) patch: Option<u16>,
}

impl Version {
    /// Reads `3.5` or `3.5.4`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u16>> = text.split('.').map(|part| part.parse().ok()).collect();
        match numbers?[..] {
            [major, minor] => Some(Self { major, minor, patch: None }),
            [major, minor, patch] => Some(Self { major, minor, patch: Some(patch) }),
            _ => None,
        }
    }

    /// Finds the version in what an engine says of itself: `3.3.16-0a1b2c3`, `Doris version doris-3.0.8-rc01`.
    pub(crate) fn find(text: &str) -> Option<Self> {
        let digits_and_dots = text.split(|c: char| !c.is_ascii_digit() && c != '.');
        digits_and_dots.map(|piece| piece.trim_matches('.')).find_map(Self::read)
    }

    fn first(self) -> (u16, u16, u16) {
        (self.major, self.minor, self.patch.unwrap_or(0))
    }

    fn last(self) -> (u16, u16, u16) {
        (self.major, self.minor, self.patch.unwrap_or(u16::MAX))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

/// Releases in a row, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    since: Option<Version>,
    until: Option<Version>,
}

impl Span {
    fn has(self, version: Version) -> bool {
        let asked = version.first();
        self.since.is_none_or(|since| since.first() <= asked) && self.until.is_none_or(|until| asked <= until.last())
    }
}

/// What stands behind a name and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The sandbox of this process: its clock can be moved, its nodes restarted.
    Sandbox,
    /// An engine of which only the addresses are known.
    Real,
}

/// The brackets of a case or a line: all of them must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct When {
    /// Spans of which one must hold, or none if the flag says `not`.
    versions: Vec<(bool, Vec<Span>)>,
    pub(crate) only: Option<Place>,
    /// Why a real engine may do otherwise.
    pub(crate) may_differ: Option<String>,
}

impl When {
    /// Adds what stands in one pair of brackets.
    pub(crate) fn add(&mut self, bracket: &str) -> Result<(), String> {
        match bracket.trim() {
            "sandbox only" => self.only = Some(Place::Sandbox),
            "real only" => self.only = Some(Place::Real),
            other => match other.strip_prefix("may differ:") {
                Some(why) if !why.trim().is_empty() => self.may_differ = Some(why.trim().to_owned()),
                Some(_) => return Err("`may differ` needs its reason".to_owned()),
                None => {
                    let (negated, spans) = other.strip_prefix("not ").map_or((false, other), |rest| (true, rest));
                    let spans: Result<_, _> = spans.split(',').map(span).collect();
                    self.versions.push((negated, spans?));
                }
            },
        }
        Ok(())
    }

    /// Whether the versions fit.
    pub(crate) fn fits(&self, version: Version) -> bool {
        self.versions.iter().all(|(negated, spans)| spans.iter().any(|span| span.has(version)) != *negated)
    }

    /// Whether versions and kind of engine fit.
    pub(crate) fn holds(&self, version: Version, place: Place) -> bool {
        self.fits(version) && self.only.is_none_or(|only| only == place)
    }
}

fn span(text: &str) -> Result<Span, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let version = |word: &str| Version::read(word).ok_or_else(|| format!("{word} is no version"));
    let (since, until) = match words[..] {
        ["since", since] => (Some(version(since)?), None),
        ["until", until] => (None, Some(version(until)?)),
        ["since", since, "until", until] => (Some(version(since)?), Some(version(until)?)),
        _ => return Err(format!("[{text}] is no condition")),
    };
    if let (Some(since), Some(until)) = (since, until)
        && since.first() > until.last()
    {
        return Err(format!("[{text}] holds for no version"));
    }
    Ok(Span { since, until })
}

/// Takes brackets off the beginning of a line: the conditions and the rest.
pub(crate) fn leading(line: &str) -> Result<(When, &str), String> {
    let (mut when, mut rest) = (When::default(), line);
    while let Some(inner) = rest.strip_prefix('[') {
        let (bracket, behind) = inner.split_once(']').ok_or("a bracket is not closed")?;
        when.add(bracket)?;
        rest = behind.trim_start();
    }
    Ok((when, rest))
}

/// Takes brackets off the end of a line: the rest and the conditions.
pub(crate) fn trailing(line: &str) -> Result<(&str, When), String> {
    let Some((rest, brackets)) = line.split_once('[') else { return Ok((line.trim(), When::default())) };
    let (when, behind) = leading(&line[line.len() - brackets.len() - 1..])?;
    if behind.is_empty() { Ok((rest.trim(), when)) } else { Err(format!("{behind} stands behind the brackets")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(brackets: &[&str]) -> When {
        let mut when = When::default();
        brackets.iter().for_each(|bracket| when.add(bracket).unwrap());
        when
    }

    #[test]
    fn brackets_choose_versions() {
        let cases = [
            ("since 3.5", "3.5.0 4.0.1", "3.4.99"),
            ("since 3.5.4", "3.5.4 3.5.10 4.0.0", "3.5.3 3.4.9"),
            ("until 3.5", "3.5.99 3.1.0", "4.0.0"),
            ("until 3.3.13", "3.3.13 3.3.2", "3.3.14"),
            ("since 3.3.6 until 3.3.13, since 3.4.0 until 3.4.3", "3.3.6 3.3.13 3.4.0 3.4.3", "3.3.5 3.3.14 3.4.4"),
            ("not since 3.3.6 until 3.3.13, since 3.4 until 3.4.3", "3.3.5 3.3.14 3.4.4", "3.3.6 3.4.0"),
        ];
        for (bracket, fitting, others) in cases {
            let when = when(&[bracket]);
            let fits = |text: &str| when.fits(Version::read(text).unwrap());
            fitting.split(' ').for_each(|version| assert!(fits(version), "[{bracket}] {version}"));
            others.split(' ').for_each(|version| assert!(!fits(version), "[{bracket}] {version}"));
        }
        let both = when(&["since 3.3", "until 3.3"]);
        assert!(both.fits(Version::read("3.3.7").unwrap()) && !both.fits(Version::read("3.4.0").unwrap()));
    }

    #[test]
    fn brackets_choose_places() {
        let version = Version::read("3.5.1").unwrap();
        let sandbox = when(&["sandbox only", "since 3.5"]);
        assert!(sandbox.holds(version, Place::Sandbox) && !sandbox.holds(version, Place::Real));
        assert!(when(&["real only"]).holds(version, Place::Real));
        assert_eq!(when(&["may differ: load"]).may_differ.as_deref(), Some("load"));
    }

    #[test]
    fn bad_brackets_are_refused() {
        for bad in [
            "3.5",
            "since",
            "since x",
            "since 3",
            "since 3.5.x",
            "until 3.5 since 3.4",
            "since 4.0 until 3.5",
            "",
            "may differ:",
        ] {
            assert!(When::default().add(bad).is_err(), "[{bad}]");
        }
    }

    #[test]
    fn lines_come_apart() {
        let (when, rest) = leading("[since 3.5] [sandbox only] < a: [x]").unwrap();
        assert_eq!((rest, when.only), ("< a: [x]", Some(Place::Sandbox)));
        let (rest, when) = trailing("a name [until 3.5][may differ: why, then]").unwrap();
        assert_eq!((rest, when.may_differ.as_deref()), ("a name", Some("why, then")));
        assert!(trailing("a [since 3.5] name").is_err() && leading("[since 3.5 a").is_err());
    }

    #[test]
    fn engines_say_their_versions() {
        for (said, want) in [
            ("3.3.16-0a1b2c3", "3.3.16"),
            ("Doris version doris-3.0.8-rc01-5e6f", "3.0.8"),
            ("4.0.7-sandbox", "4.0.7"),
            ("StarRocks version 3.5.20", "3.5.20"),
        ] {
            assert_eq!(Version::find(said).unwrap().to_string(), want, "{said}");
        }
        assert_eq!(Version::find("main"), None);
    }
}
