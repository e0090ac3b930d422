//! What a run of all cases came to, for people.

use std::fmt;

use loadlock_sandbox::EngineKind;

use crate::named::name_of;
use crate::when::Version;

/// A case that was not as wanted.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) case: String,
    pub(crate) sent: String,
    pub(crate) came: String,
    pub(crate) wanted: String,
}

/// The counts of one engine in one version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) passed: usize,
    pub(crate) other_versions: usize,
    /// Cases that need the sandbox, against an engine that is none; and cases that are of real engines only.
    pub(crate) other_place: usize,
    pub(crate) failures: Vec<Failure>,
    /// A real engine does otherwise where the case says that it may.
    pub(crate) differences: Vec<Failure>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: {}", self.file, self.line, self.case)?;
        for (what, text) in [("sent", &self.sent), ("came", &self.came), ("wanted", &self.wanted)] {
            let mut lines = text.lines().filter(|line| !line.is_empty());
            writeln!(f, "  {what:<8}{}", lines.next().unwrap_or_default())?;
            lines.try_for_each(|line| writeln!(f, "          {line}"))?;
        }
        Ok(())
    }
}

impl Report {
    /// One line of counts.
    pub(crate) fn line(&self, kind: EngineKind, version: Version) -> String {
        let engine = name_of(kind);
        let differ = match self.differences.len() {
            0 => String::new(),
            count => format!(", {count} differ where they may"),
        };
        let skipped = match self.other_place {
            0 => "0 skipped".to_owned(),
            count => format!("{count} skipped (need the sandbox)"),
        };
        format!(
            "{engine} {version}: {} cases passed, {} not for this version, {} failed{differ}, {skipped}",
            self.passed,
            self.other_versions,
            self.failures.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_all_that_is_needed() {
        let failure = Failure {
            file: "x.txt".to_owned(),
            line: 7,
            case: "a case".to_owned(),
            sent: "PUT /a\nb: c\n\nbody".to_owned(),
            came: "200\n{}".to_owned(),
            wanted: "Status: OK".to_owned(),
        };
        let want = "x.txt:7: a case\n  sent    PUT /a\n          b: c\n          body\n  came    200\n          {}\n  \
                    wanted  Status: OK\n";
        assert_eq!(failure.to_string(), want);
        let mut report = Report { passed: 143, other_versions: 12, other_place: 3, ..Report::default() };
        let version = Version::read("3.3.16").unwrap();
        let line = report.line(EngineKind::StarRocks, version);
        assert_eq!(
            line,
            "starrocks 3.3.16: 143 cases passed, 12 not for this version, 0 failed, 3 skipped (need the sandbox)"
        );
        report.differences.push(failure);
        assert!(report.line(EngineKind::Doris, version).contains("0 failed, 1 differ where they may, 3"));
    }
}
