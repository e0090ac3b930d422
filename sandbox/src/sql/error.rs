//! Errors of statements: code, SQL state and text as the engines give them.

use crate::table::EngineKind;

/// Why a statement fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct SqlError {
    /// MySQL error code.
    pub(crate) code: u16,
    /// SQL state.
    pub(crate) state: &'static str,
    /// Text.
    pub(crate) message: String,
}

impl SqlError {
    pub(crate) fn new(code: u16, state: &'static str, message: impl Into<String>) -> Self {
        Self { code, state, message: message.into() }
    }

    /// A statement that can't be parsed (StarRocks `ParsingException`, Doris `ParseException`).
    pub(crate) fn syntax(kind: EngineKind, detail: &str) -> Self {
        match kind {
            EngineKind::StarRocks => {
                Self::new(1064, "42000", format!("Getting syntax error. Detail message: {}.", plain(detail)))
            }
            EngineKind::Doris => Self::new(1105, "HY000", format!("errCode = 2, detailMessage = {detail}")),
        }
    }

    /// A statement that means nothing (StarRocks `SemanticException`, Doris `AnalysisException`).
    pub(crate) fn analysis(kind: EngineKind, detail: &str) -> Self {
        match kind {
            EngineKind::StarRocks => {
                Self::new(1064, "HY000", format!("Getting analyzing error. Detail message: {}.", plain(detail)))
            }
            EngineKind::Doris => Self::new(1105, "HY000", format!("errCode = 2, detailMessage = {detail}")),
        }
    }

    /// What an engine does and the sandbox doesn't: refused, so that no answer is wrong.
    pub(crate) fn not_imitated(kind: EngineKind, what: &str) -> Self {
        Self::analysis(kind, &format!("{what} is not imitated by the sandbox"))
    }

    pub(crate) fn unknown_database(kind: EngineKind, name: &str) -> Self {
        match kind {
            EngineKind::StarRocks => {
                let text = format!("Getting analyzing error. Detail message: Unknown database '{name}'.");
                Self::new(5501, "42602", text)
            }
            EngineKind::Doris => {
                Self::new(1049, "42000", format!("errCode = 2, detailMessage = Unknown database '{name}'"))
            }
        }
    }

    pub(crate) fn unknown_table(kind: EngineKind, database: &str, name: &str) -> Self {
        match kind {
            EngineKind::StarRocks => {
                let text = format!("Getting analyzing error. Detail message: Unknown table '{database}.{name}'.");
                Self::new(5502, "42602", text)
            }
            EngineKind::Doris => {
                Self::analysis(kind, &format!("Table [{name}] does not exist in database [{database}]."))
            }
        }
    }

    pub(crate) fn unknown_column(kind: EngineKind, name: &str) -> Self {
        match kind {
            EngineKind::StarRocks => Self::analysis(kind, &format!("Column '{name}' cannot be resolved")),
            EngineKind::Doris => Self::analysis(kind, &format!("Unknown column '{name}' in 'table list'")),
        }
    }

    pub(crate) fn no_database() -> Self {
        Self::new(1046, "3D000", "No database selected")
    }

    pub(crate) fn unknown_variable(name: &str) -> Self {
        Self::new(1193, "HY000", format!("Unknown system variable '{name}'"))
    }

    /// Something that failed while it ran.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(1064, "HY000", message)
    }
}

/// A detail without the full stop that the frame around it sets.
fn plain(detail: &str) -> &str {
    detail.trim().trim_end_matches('.')
}
