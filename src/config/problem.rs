//! What is wrong with a configuration file: values, so that all of them can be shown at once.

use std::fmt;
use std::path::{Path, PathBuf};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing runs with this file.
    Error,
    /// It runs; a person should know.
    Warning,
}

/// One finding in a configuration file. Holds no secret: excerpts are masked before they get here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// Line and column, counted from 1, the column in characters; `None` when the whole file is meant.
    pub place: Option<(usize, usize)>,
    /// Path of the key, `topic2table[2].table`: entries of a list are counted from 1. Empty when no key is meant.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right, or what to do.
    pub hint: Option<String>,
    /// The line of the file, for showing.
    pub excerpt: Option<Excerpt>,
}

/// A finding that does not stop anything.
pub type Warning = Problem;

/// A line of the file with the place that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, with secrets left out.
    pub line: String,
    /// Characters in front of the place.
    pub before: usize,
    /// Characters of the place, at least 1.
    pub width: usize,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}

/// Everything found in a file that can't be used, in file order; the warnings too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} has {}", .file.display(), counted(self.errors(), "problem"))]
pub struct Problems {
    /// The file.
    pub file: PathBuf,
    /// The findings.
    pub all: Vec<Problem>,
}

impl Problems {
    /// The only finding is that the file can't be used at all.
    pub(super) fn whole_file(file: &Path, what: String, hint: Option<String>) -> Self {
        let problem = Problem {
            severity: Severity::Error,
            file: file.to_owned(),
            place: None,
            key: String::new(),
            what,
            hint,
            excerpt: None,
        };
        Self { file: file.to_owned(), all: vec![problem] }
    }

    /// Number of findings that stop a run.
    pub fn errors(&self) -> usize {
        self.all.iter().filter(|problem| problem.severity == Severity::Error).count()
    }
}

/// `1 problem`, `2 problems`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
