//! What went wrong with a load, and what that means for the batch.

use std::fmt;

use crate::domain::TxnId;

/// What a failure means for the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The engine can't be reached, is failing over, or lost the load: try again.
    Away,
    /// Too many versions, transaction quota, memory: try again slowly, with larger and rarer batches.
    Busy,
    /// Will never succeed as it is: the data or the configuration has to change.
    Refused,
    /// Prepared, but the engine says that it can never be committed (`docs/exactly-once.md`, rule 9).
    NotCommittable,
    /// The answer is missing or does not say what happened: the state decides; the label is burnt.
    Unclear,
}

/// A call or a load that did not succeed.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it means for the next step.
    pub class: Class,
    /// Which call failed, where, and the engine's own reason. Holds no credentials and no row.
    pub what: String,
    /// Beginning of the engine's error log (at most [`ERROR_LOG_BYTES`]). It quotes rows: never write it to a log.
    pub error_log: Option<String>,
    /// Transaction id, if the engine named one.
    pub id: Option<TxnId>,
}

/// Most that is read of an engine's error log, in bytes.
pub const ERROR_LOG_BYTES: usize = 4096;

impl Failure {
    /// A failure without error log or transaction id.
    pub fn new(class: Class, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), error_log: None, id: None }
    }
}

impl Failure {
    /// The reasons in the error log, once each, without the rows and the values that they quote: fit for a log.
    pub fn error_reasons(&self) -> String {
        let mut reasons: Vec<String> = Vec::new();
        for line in self.error_log.iter().flat_map(|log| log.lines()) {
            let reason = without_values(line);
            if !reason.is_empty() && !reasons.contains(&reason) && reasons.len() < REASONS_MAX {
                reasons.push(reason);
            }
        }
        reasons.join("; ")
    }
}

/// Reasons of an error log that are shown.
const REASONS_MAX: usize = 5;

/// What an engine puts before the row that it quotes.
const ROW_FOLLOWS: [&str; 3] = ["Row:", "src line", "row:"];

/// What an engine puts before a value that it quotes.
const VALUE_FOLLOWS: [&str; 4] = ["Value '", "String '", "Decimal '", "value '"];

/// What follows a quoted value. The last one counts: a value may hold the same text.
const VALUE_ENDS: [&str; 3] = ["' is out of range", "'(length=", "'"];

fn without_values(line: &str) -> String {
    let end = ROW_FOLLOWS.iter().filter_map(|mark| line.find(mark)).min().unwrap_or(line.len());
    let mut reason = line.get(..end).unwrap_or_default().trim_end_matches([' ', '.', ',', ';']).to_owned();
    for mark in VALUE_FOLLOWS {
        if let Some(at) = reason.find(mark) {
            let start = at + mark.len();
            let rest = reason.get(start..).unwrap_or_default();
            let len = VALUE_ENDS.iter().find_map(|end| rest.rfind(end)).unwrap_or(rest.len());
            reason.replace_range(start..start + len, "…");
        }
    }
    reason
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Shows the size of the error log only: it quotes rows.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = self.error_log.as_ref().map(|text| format!("{} bytes", text.len()));
        f.debug_struct("Failure")
            .field("class", &self.class)
            .field("what", &self.what)
            .field("error_log", &log)
            .field("id", &self.id)
            .finish()
    }
}

impl std::error::Error for Failure {}

/// The load takes no more rows; [`super::Load::prepare`] says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the load has failed")
    }
}

impl std::error::Error for Failed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_shown_without_what_they_quote() {
        let log = "Error: Value 'top secret' is out of range. The type of 'c' is INT. Row: {\"a\":\"secret\"}\n\
                   Error: String 'it's secret'(length=30) is too long. The max length of 'c' is 5. Row: secret\n\
                   Reason: null value for not null column, column=c. src line [secret]; \n";
        let failure = Failure { error_log: Some(log.into()), ..Failure::new(Class::Refused, "no") };
        let reasons = failure.error_reasons();
        assert!(!reasons.contains("secret"), "{reasons}");
        for kept in ["is out of range", "is too long", "null value for not null column, column=c"] {
            assert!(reasons.contains(kept), "{reasons}");
        }
    }

    #[test]
    fn neither_form_of_a_failure_quotes_the_error_log() {
        let failure =
            Failure { error_log: Some("Error: bad. Row: {\"secret\":1}".into()), ..Failure::new(Class::Refused, "no") };
        assert_eq!(failure.to_string(), "no");
        assert!(!format!("{failure:?}").contains("secret"), "{failure:?}");
    }
}
