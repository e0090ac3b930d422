//! Takes values out of a spanned TOML tree and notes every problem on the way, instead of stopping at the first.
//!
//! A [`Section`] is a table of which keys are taken; what nobody took is unknown. An [`Item`] is a value with its place.
//! A reading function that returns `None` has noted why.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mask;
use super::problem::{Problem, Severity};
use super::units;

/// A place in the file, in bytes.
pub(super) type Span = Range<usize>;

/// A key is taken for a misspelling of another when they are at least this similar (Damerau-Levenshtein, 0 to 1).
const SIMILAR: f64 = 0.6;

/// Looks up environment variables.
pub type Environment<'t> = &'t dyn Fn(&str) -> Option<String>;

/// One reading of one file: its surroundings, and what was noted.
pub(super) struct Reading<'t> {
    text: &'t str,
    file: &'t Path,
    environment: Environment<'t>,
    problems: RefCell<Vec<(Span, Problem)>>,
    secrets: RefCell<Vec<Span>>,
    known: RefCell<BTreeSet<String>>,
}

impl<'t> Reading<'t> {
    pub(super) fn new(text: &'t str, file: &'t Path, environment: Environment<'t>) -> Self {
        Self {
            text,
            file,
            environment,
            problems: RefCell::default(),
            secrets: RefCell::default(),
            known: RefCell::default(),
        }
    }

    pub(super) fn note(&self, severity: Severity, span: &Span, key: &str, what: String, hint: Option<String>) {
        let problem = Problem {
            severity,
            file: self.file.to_owned(),
            place: Some(self.place(span)),
            key: key.to_owned(),
            what: mask::text(what),
            hint,
            excerpt: None,
        };
        self.problems.borrow_mut().push((span.clone(), problem));
    }

    /// Notes an error of the syntax, without showing the line: nothing says which part of it is a secret. (The second line
    /// of a base64 key that was wrapped looks like a key and its `=`.)
    pub(super) fn note_syntax(&self, span: &Span, what: &str) {
        self.secrets.borrow_mut().push(0..self.text.len());
        self.note(Severity::Error, span, "", format!("is not TOML: {what}"), None);
    }

    /// Line and column of a place, counted from 1, the column in characters.
    fn place(&self, span: &Span) -> (usize, usize) {
        let before = self.text.get(..span.start.min(self.text.len())).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        (before.matches('\n').count() + 1, column + 1)
    }

    /// Line of a place, counted from 1.
    pub(super) fn line(&self, span: &Span) -> usize {
        self.place(span).0
    }

    /// Value of an environment variable.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// A path of the file: relative ones are meant from the directory of the file.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Ends the reading: everything noted in file order, and the paths of all keys that were asked for.
    pub(super) fn finish(self) -> (Vec<Problem>, BTreeSet<String>) {
        let secrets = self.secrets.into_inner();
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|(span, problem)| (span.start, problem.severity == Severity::Warning));
        let with_excerpt = |(span, problem): (Span, Problem)| Problem {
            excerpt: mask::excerpt(self.text, &span, &secrets),
            ..problem
        };
        (problems.into_iter().map(with_excerpt).collect(), self.known.into_inner())
    }
}

/// A table being read.
pub(super) struct Section<'t> {
    reading: &'t Reading<'t>,
    table: &'t DeTable<'t>,
    /// Where the table is meant in messages about what it lacks.
    pub(super) span: Span,
    path: String,
    /// `path` without the numbers of list entries.
    pattern: String,
    asked: BTreeSet<&'static str>,
}

impl<'t> Section<'t> {
    pub(super) fn root(reading: &'t Reading<'t>, table: &'t Spanned<DeTable<'t>>) -> Self {
        let (path, pattern) = (String::new(), String::new());
        Self { reading, table: table.get_ref(), span: 0..0, path, pattern, asked: BTreeSet::new() }
    }

    /// Takes a key; `None` when the file does not have it.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'t>> {
        self.asked.insert(key);
        let pattern = joined(&self.pattern, key);
        self.reading.known.borrow_mut().insert(pattern.clone());
        let value = self.table.get(key)?;
        Some(Item { reading: self.reading, value, path: joined(&self.path, key), pattern, span: value.span() })
    }

    /// Takes a key that has to be there.
    pub(super) fn require(&mut self, key: &'static str, hint: &str) -> Option<Item<'t>> {
        let found = self.take(key);
        if found.is_none() {
            let what = format!("`{key}` is missing");
            self.reading.note(Severity::Error, &self.span, &self.path, what, Some(hint.to_owned()));
        }
        found
    }

    /// Every entry, for tables whose keys are the user's own, in file order.
    pub(super) fn entries(&self) -> Vec<(&'t str, Item<'t>)> {
        let mut entries: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| {
                let key = key.get_ref().as_ref();
                let (path, pattern) = (joined(&self.path, key), self.pattern.clone());
                (key, Item { reading: self.reading, value, path, pattern, span: value.span() })
            })
            .collect();
        entries.sort_by_key(|(_, item)| item.span.start);
        entries
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Notes an error about the table as a whole.
    pub(super) fn problem(&self, what: impl Into<String>, hint: impl Into<String>) {
        self.reading.note(Severity::Error, &self.span, &self.path, what.into(), Some(hint.into()));
    }

    /// Ends the table: what nobody took is unknown.
    pub(super) fn finish(self) {
        for (key, value) in self.table {
            let name = key.get_ref().as_ref();
            if self.asked.contains(name) {
                continue;
            }
            let nearest = nearest(name, self.asked.iter().copied());
            let hint = match nearest {
                Some(known) => format!("did you mean `{known}`?"),
                None => {
                    let known: Vec<_> = self.asked.iter().map(|key| format!("`{key}`")).collect();
                    format!("known here: {}", known.join(", "))
                }
            };
            // It may be the key of a secret, misspelt.
            conceal_all(value, &mut self.reading.secrets.borrow_mut());
            self.reading.note(Severity::Error, &key.span(), &self.path, format!("unknown key `{name}`"), Some(hint));
        }
    }
}

/// The places of all values in a value: a table that is made by a dotted key spans only its key.
fn conceal_all(value: &Spanned<DeValue<'_>>, secrets: &mut Vec<Span>) {
    match value.get_ref() {
        DeValue::Table(table) => table.values().for_each(|value| conceal_all(value, secrets)),
        DeValue::Array(array) => array.iter().for_each(|value| conceal_all(value, secrets)),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            secrets.push(value.span())
        }
    }
}

fn joined(path: &str, key: &str) -> String {
    let bare = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let key = if bare { key.to_owned() } else { format!("\"{key}\"") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// All values, if every one could be read. Reads all before it gives up, so that every problem is noted.
pub(super) fn all<T, C: FromIterator<T>>(read: impl Iterator<Item = Option<T>>) -> Option<C> {
    let all: Vec<_> = read.collect();
    all.into_iter().collect()
}

/// The name that was probably meant.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|key| (strsim::normalized_damerau_levenshtein(name, key), key))
        .filter(|(similar, _)| *similar >= SIMILAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, key)| key)
}

/// A value being read.
#[derive(Clone)]
pub(super) struct Item<'t> {
    reading: &'t Reading<'t>,
    value: &'t Spanned<DeValue<'t>>,
    /// Key path, for messages.
    pub(super) path: String,
    pattern: String,
    /// Place of the value.
    pub(super) span: Span,
}

impl<'t> Item<'t> {
    pub(super) fn reading(&self) -> &'t Reading<'t> {
        self.reading
    }

    pub(super) fn value(&self) -> &'t DeValue<'t> {
        self.value.get_ref()
    }

    pub(super) fn line(&self) -> usize {
        self.reading.line(&self.span)
    }

    /// Notes an error at this value.
    pub(super) fn problem(&self, what: impl Into<String>, hint: impl Into<String>) {
        self.reading.note(Severity::Error, &self.span, &self.path, what.into(), Some(hint.into()));
    }

    /// Notes an error at byte `at` of a string, if it stands in the file as it is.
    pub(super) fn problem_within(&self, at: usize, what: impl Into<String>, hint: impl Into<String>) {
        let written = self.reading.text.get(self.span.start + 1..self.span.end.saturating_sub(1));
        let place = if written == self.value().as_str() { self.span.start + 1 + at } else { self.span.start };
        self.reading.note(Severity::Error, &(place..self.span.end), &self.path, what.into(), Some(hint.into()));
    }

    /// Notes an error that needs no more words.
    pub(super) fn error(&self, what: impl Into<String>) {
        self.reading.note(Severity::Error, &self.span, &self.path, what.into(), None);
    }

    /// Notes a warning at this value.
    pub(super) fn warn(&self, what: impl Into<String>, hint: impl Into<String>) {
        self.reading.note(Severity::Warning, &self.span, &self.path, what.into(), Some(hint.into()));
    }

    /// Keeps the value out of every excerpt.
    pub(super) fn conceal(&self) {
        self.reading.secrets.borrow_mut().push(self.span.clone());
    }

    /// Notes that the value has another type than `expected`, without showing it.
    pub(super) fn mistyped(&self, expected: &str) {
        let found = match self.value() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("expected {expected}, found {found}"));
    }

    /// A string; `expected` says what it is for.
    pub(super) fn string(&self, expected: &str) -> Option<&'t str> {
        let text = self.value().as_str();
        if text.is_none() {
            self.mistyped(expected);
        }
        text
    }

    /// A string that says something.
    pub(super) fn words(&self, expected: &str) -> Option<&'t str> {
        let text = self.string(expected)?;
        if text.trim().is_empty() {
            self.error(format!("expected {expected}, found an empty string"));
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let value = self.value().as_bool();
        if value.is_none() {
            self.mistyped("true or false");
        }
        value
    }

    /// An integer within `allowed`.
    pub(super) fn integer(&self, allowed: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let Some(integer) = self.value().as_integer() else {
            self.mistyped("an integer");
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| allowed.contains(number));
        if number.is_none() {
            let (least, most) = (allowed.start(), allowed.end());
            let range = if *most == u64::MAX { format!("at least {least}") } else { format!("{least} to {most}") };
            self.error(format!("expected an integer, {range}, found {integer}"));
        }
        number
    }

    /// A duration within `allowed`.
    pub(super) fn duration(&self, allowed: std::ops::RangeInclusive<Duration>) -> Option<Duration> {
        const FORM: &str = "a duration like \"500ms\", \"5s\" or \"2m\"";
        let text = self.string(FORM)?;
        let Some(duration) = units::duration(text) else {
            self.error(format!("expected {FORM}, found {text:?}"));
            return None;
        };
        if !allowed.contains(&duration) {
            let (least, most) = (units::show_duration(*allowed.start()), units::show_duration(*allowed.end()));
            self.error(format!("expected {least} to {most}, found {text:?}"));
            return None;
        }
        Some(duration)
    }

    /// A size in bytes, at least `least`.
    pub(super) fn size(&self, least: u64) -> Option<u64> {
        const FORM: &str = "a size like \"64KiB\", \"90MiB\" or \"1GB\"";
        let text = self.string(FORM)?;
        let Some(size) = units::size(text) else {
            self.error(format!("expected {FORM}, found {text:?}"));
            return None;
        };
        if size < least {
            self.error(format!("expected at least {}, found {text:?}", units::show_size(least)));
            return None;
        }
        Some(size)
    }

    /// A table.
    pub(super) fn section(&self, expected: &str) -> Option<Section<'t>> {
        let Some(table) = self.value().as_table() else {
            self.mistyped(expected);
            return None;
        };
        let (path, pattern) = (self.path.clone(), self.pattern.clone());
        Some(Section { reading: self.reading, table, span: self.span.clone(), path, pattern, asked: BTreeSet::new() })
    }

    /// The entries of a list, numbered from 1.
    pub(super) fn list(&self, expected: &str) -> Option<Vec<Item<'t>>> {
        let Some(array) = self.value().as_array() else {
            self.mistyped(expected);
            return None;
        };
        let item = |(index, value): (usize, &'t Spanned<DeValue<'t>>)| Item {
            reading: self.reading,
            value,
            path: format!("{}[{}]", self.path, index + 1),
            pattern: self.pattern.clone(),
            span: value.span(),
        };
        Some(array.iter().enumerate().map(item).collect())
    }
}
