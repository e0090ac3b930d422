//! Expressions: a column's value, or the condition under which a record becomes a row, made of paths, literals, what is
//! known of the record, and functions.
//!
//! ```text
//!   text ──words──► tokens ──parse──► Expr ──value──► Value ──► JSON text in the row
//! ```
//!
//! An expression is compiled once; places of singular paths are found by the one pass over the document that finds the
//! columns' paths, and no tree is built. Numbers stay digits. What is missing counts as null, and a function of null is null
//! unless its line in `docs/expressions.md` says something else.

mod compare;
mod eval;
mod functions;
mod lex;
mod number;
mod parse;
#[cfg(test)]
mod tests;
mod texts;
mod times;
mod value;

use regex::Regex;

use super::document::{Document, Paths, Wanted};
use crate::record::Record;
use functions::Function;
use lex::Compare;
use value::Value;

/// What an expression is made of, for hints.
const GRAMMAR: &str = "$.path, 'text', 1.5, true, null, @offset, function(…), = != < <= > >=, and, or, not, in (…), like, \
                       matches, is null";

/// Why an expression can't be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Byte of the expression at which it is wrong.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do.
    pub(crate) hint: String,
}

impl Mistake {
    fn new(at: usize, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at, what: what.into(), hint: hint.into() }
    }
}

/// Checks an expression of the configuration.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn check(text: &str) -> Result<(), Mistake> {
    let mut paths = Paths::default();
    parse::value(text, Places { element: &mut paths, record: None }).map(drop)
}

/// Checks a condition of the configuration.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn check_condition(text: &str) -> Result<(), Mistake> {
    let mut paths = Paths::default();
    parse::condition(text, Places { element: &mut paths, record: None }).map(drop)
}

/// Whose paths an expression may name.
pub(super) struct Places<'p> {
    /// The document that `$` means.
    pub(super) element: &'p mut Paths,
    /// The document that `$$` means, if it is another one.
    pub(super) record: Option<&'p mut Paths>,
}

/// A compiled expression.
pub(super) struct Compiled {
    expr: Expr,
    /// The record's value has to be read for it.
    pub(super) reads_value: bool,
}

/// Something of the record.
#[derive(Clone, Debug)]
enum Meta {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Header(String),
    LoadTime,
}

enum Expr {
    Constant(Value<'static>),
    /// Of the document that `$` means.
    Path(Wanted),
    /// Of the document that `$$` means.
    RecordPath(Wanted),
    Meta(Meta),
    Condition(Box<Condition>),
    /// The first argument that is not null.
    Coalesce(Vec<Expr>),
    /// Condition, value, condition, value, and what else.
    Case(Vec<Expr>),
    Call(Function, Vec<Expr>),
}

/// What is true, false or null.
enum Condition {
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Not(Expr),
    Compare(Compare, Expr, Expr),
    In(Expr, Vec<Expr>),
    Matches(Expr, Regex),
    IsNull(Expr),
    /// The document that `$` (true) or `$$` means has something at a path.
    Exists(Wanted, bool),
}

/// What an expression can see.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) record: &'a Record<'a>,
    pub(super) topic: &'a str,
    /// When the record is loaded, milliseconds since the Unix epoch.
    pub(super) load_time_ms: i64,
    /// The document that `$` means.
    pub(super) element: Option<&'a Document<'a>>,
    /// The document that `$$` means.
    pub(super) whole: Option<&'a Document<'a>>,
}

impl Compiled {
    /// Compiles an expression for a column.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(super) fn value(text: &str, places: Places<'_>) -> Result<Self, Mistake> {
        parse::value(text, places)
    }

    /// Compiles a condition.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(super) fn condition(text: &str, places: Places<'_>) -> Result<Self, Mistake> {
        parse::condition(text, places)
    }

    /// True if the condition is fulfilled; one that is null is not.
    ///
    /// # Errors
    /// Which function failed and why, and nothing of the values.
    pub(super) fn holds(&self, scene: &Scene<'_>) -> Result<bool, String> {
        Ok(self.expr.truth(scene)? == Some(true))
    }

    /// Appends the value as JSON text; `as_text`: as a JSON string, unless it is null.
    ///
    /// # Errors
    /// Which function failed and why, and nothing of the values.
    pub(super) fn write(&self, scene: &Scene<'_>, as_text: bool, out: &mut Vec<u8>) -> Result<(), String> {
        let value = self.expr.value(scene)?;
        if as_text {
            value.write_as_text(out)
        } else {
            value.write(out)
        }
        Ok(())
    }
}
