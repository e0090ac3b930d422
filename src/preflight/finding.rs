//! What preflight has to say: data for a log line, a report, or a stop.

use std::fmt;
use std::sync::Arc;

/// How much it matters, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The pipeline can't work: it is refused.
    Refuse,
    /// It works, and something will go wrong some day.
    Warn,
    /// Worth knowing.
    Note,
}

/// One finding. Its text names the setting, the value found, and what would happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable name; each has an entry in `docs/operating.md`.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Topic of the one pipeline that it concerns; `None`: all of them.
    pub topic: Option<Arc<str>>,
    /// Setting, value, consequence.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    fn new(severity: Severity, name: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, severity, topic: None, what: what.into(), remedy: remedy.into() }
    }

    pub(super) fn refuse(name: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Refuse, name, what, remedy)
    }

    pub(super) fn warn(name: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Warn, name, what, remedy)
    }

    pub(super) fn note(name: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Note, name, what, remedy)
    }

    pub(super) fn of(self, topic: &Arc<str>) -> Self {
        Self { topic: Some(Arc::clone(topic)), ..self }
    }

    /// Nobody is refused for what was only assumed.
    pub(super) fn if_found(self, found: bool) -> Self {
        match self.severity {
            Severity::Refuse if !found => Self { severity: Severity::Warn, ..self },
            Severity::Refuse | Severity::Warn | Severity::Note => self,
        }
    }

    /// True if it makes the pipeline of this topic impossible.
    pub fn refuses(&self, topic: &str) -> bool {
        self.severity == Severity::Refuse && self.topic.as_deref().is_none_or(|own| own == topic)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(topic) = &self.topic {
            write!(f, "topic {topic}: ")?;
        }
        write!(f, "{}", self.what)
    }
}
