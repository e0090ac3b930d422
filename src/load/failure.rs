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
    fn neither_form_of_a_failure_quotes_the_error_log() {
        let failure =
            Failure { error_log: Some("Error: bad. Row: {\"secret\":1}".into()), ..Failure::new(Class::Refused, "no") };
        assert_eq!(failure.to_string(), "no");
        assert!(!format!("{failure:?}").contains("secret"), "{failure:?}");
    }
}
