//! What a person sees: data on standard output, everything else on standard error.
//!
//! Writing can fail only because nobody reads any more; that changes nothing about the work, so it is ignored.

use std::io::{IsTerminal, Write};

use super::Exit;
use crate::config::{Excerpt, Problem, Problems, Severity, counted};
use crate::preflight::{self, Finding};

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[36m";
const BLUE: &str = "\x1b[1;34m";
const PLAIN: &str = "\x1b[0m";

/// Why a command ended without doing its work, for a person.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// Short name of the kind, shown in brackets.
    pub kind: &'static str,
    /// What happened, where, and what it means.
    pub what: String,
    /// What caused it, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure without cause and hint.
    pub fn new(exit: Exit, kind: &'static str, what: impl Into<String>) -> Self {
        Self { exit, kind, what: what.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// Adds an error and everything behind it.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Many errors repeat their source in their own words.
            if !self.causes.last().is_some_and(|last| last.contains(&text)) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// Where to write, and how much.
pub struct Console<'w> {
    /// Data.
    pub out: &'w mut dyn Write,
    /// Everything else.
    pub err: &'w mut dyn Write,
    /// Colours on `err`.
    pub colour: bool,
    /// `err` is read by a person now: show excerpts and progress.
    pub person: bool,
}

impl<'w> Console<'w> {
    /// The console of the process. `NO_COLOR` with any value turns colours off.
    pub fn of_process(out: &'w mut dyn Write, err: &'w mut dyn Write) -> Self {
        let person = std::io::stderr().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { out, err, colour: person && !no_color, person }
    }

    /// One line of data.
    pub fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }

    /// One line beside the data.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
    }

    /// Replaces the line of progress that a person sees; an empty text takes it away.
    pub fn progress(&mut self, text: &str) {
        if self.person {
            let _ = write!(self.err, "\r{text}\x1b[K");
            let _ = self.err.flush();
        }
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }

    fn hint(&mut self, hint: &str) {
        let word = self.painted(CYAN, "hint");
        self.note(&format!("  {word}: {hint}"));
    }

    /// A failed command.
    pub fn failure(&mut self, failure: &Failure) {
        let head = self.painted(RED, &format!("error[{}]", failure.kind));
        self.note(&format!("{head}: {}", failure.what));
        for cause in &failure.causes {
            self.note(&format!("  caused by: {cause}"));
        }
        for hint in &failure.hints {
            self.hint(hint);
        }
    }

    /// A configuration that can't be used.
    pub fn problems(&mut self, problems: &Problems) {
        for problem in &problems.all {
            self.problem(problem);
        }
        let count = counted(problems.errors(), "problem");
        self.note(&format!("{count} in {}", problems.file.display()));
    }

    /// One finding in a configuration.
    pub fn problem(&mut self, problem: &Problem) {
        let head = match problem.severity {
            Severity::Error => self.painted(RED, "error[config]"),
            Severity::Warning => self.painted(YELLOW, "warning[config]"),
        };
        self.note(&format!("{head}: {problem}"));
        if let (true, Some(excerpt), Some((line, _))) = (self.person, &problem.excerpt, problem.place) {
            self.excerpt(excerpt, line, problem.severity);
        }
        if let Some(hint) = &problem.hint {
            self.hint(hint);
        }
    }

    /// One finding of preflight.
    pub fn finding(&mut self, finding: &Finding) {
        let (colour, word) = match finding.severity {
            preflight::Severity::Refuse => (RED, "error"),
            preflight::Severity::Warn => (YELLOW, "warning"),
            preflight::Severity::Note => (BLUE, "note"),
        };
        let head = self.painted(colour, &format!("{word}[{}]", finding.name));
        self.note(&format!("{head}: {finding}"));
        self.hint(&finding.remedy);
    }

    fn excerpt(&mut self, excerpt: &Excerpt, line: usize, severity: Severity) {
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let colour = match severity {
            Severity::Error => RED,
            Severity::Warning => YELLOW,
        };
        let bar = self.painted(BLUE, "|");
        let number = self.painted(BLUE, &number);
        let caret = self.painted(colour, &"^".repeat(excerpt.width));
        let indent: String = excerpt.line.chars().take(excerpt.before).map(blank).collect();
        self.note(&format!("  {margin} {bar}"));
        self.note(&format!("  {number} {bar} {}", excerpt.line));
        self.note(&format!("  {margin} {bar} {indent}{caret}"));
    }
}

/// As many columns as the character takes on a terminal: Chinese, Japanese and Korean ones take two.
pub(super) fn blank(c: char) -> &'static str {
    let wide = matches!(u32::from(c), 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1F64F | 0x20000..=0x3FFFD);
    if wide { "  " } else { " " }
}
