//! What came back, and its parts by name.

use std::fmt;

use serde_json::Value;

/// What came back of a step.
#[derive(Clone, Debug)]
pub(crate) enum Came {
    /// An answer by HTTP.
    Http(Box<HttpAnswer>),
    /// The connection ended without one; what was seen of it.
    Closed(String),
    /// Columns and rows of a statement.
    Rows(Vec<String>, Vec<Vec<Option<String>>>),
    /// What a statement was refused with.
    SqlError(String),
}

/// An answer by HTTP.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
    /// `100 Continue` came first.
    pub(crate) continued: bool,
    /// Path and query of the request.
    pub(crate) path: String,
    /// Nodes that the request went to, in order.
    pub(crate) way: Vec<String>,
}

impl HttpAnswer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; several objects, one a line, are an array.
    pub(crate) fn json(&self) -> Option<Value> {
        if let Ok(whole) = serde_json::from_str(&self.text) {
            return Some(whole);
        }
        let lines: Result<Vec<Value>, _> = self.text.lines().map(serde_json::from_str).collect();
        lines.ok().filter(|lines| !lines.is_empty()).map(Value::Array)
    }
}

impl Came {
    /// A field by its path: `Status`, `data.backends.0.ip`; of rows the first one's column.
    pub(crate) fn field(&self, path: &str) -> Option<Value> {
        match self {
            Self::Http(answer) => {
                let mut found = answer.json()?;
                for piece in path.split('.') {
                    found = match piece.parse::<usize>() {
                        Ok(at) => found.get_mut(at)?.take(),
                        Err(_) => found.get_mut(piece)?.take(),
                    };
                }
                Some(found)
            }
            Self::Rows(columns, rows) => {
                let at = columns.iter().position(|column| column.eq_ignore_ascii_case(path))?;
                Some(rows.first()?[at].clone().map_or(Value::Null, Value::String))
            }
            Self::Closed(_) | Self::SqlError(_) => None,
        }
    }

    /// The whole of it as text.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Http(answer) => answer.text.clone(),
            Self::Closed(text) | Self::SqlError(text) => text.clone(),
            Self::Rows(_, rows) => rows.iter().map(|row| line(row)).collect::<Vec<_>>().join("\n"),
        }
    }
}

/// A row as a line: cells divided by `|`.
pub(crate) fn line(row: &[Option<String>]) -> String {
    row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join("|")
}

/// A JSON value as text: a string without its quotes, numbers by their digits.
pub(crate) fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(answer) => {
                write!(f, "{}", answer.status)?;
                if answer.continued {
                    f.write_str(" behind 100 Continue")?;
                }
                writeln!(f, " from {}", answer.way.join(", then "))?;
                answer.headers.iter().try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))?;
                f.write_str(answer.text.trim_end())
            }
            Self::Closed(why) => write!(f, "no answer: {why}"),
            Self::Rows(columns, rows) => {
                writeln!(f, "{} rows of {}", rows.len(), columns.join("|"))?;
                f.write_str(&self.text())
            }
            Self::SqlError(text) => write!(f, "an error: {text}"),
        }
    }
}
