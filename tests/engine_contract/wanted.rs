//! What a line that begins with `<` wants of an answer.

use std::fmt;

use serde_json::Value;

use crate::answer::{Came, HttpAnswer, line, shown};

/// One wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// `200`: the HTTP status.
    Status(u16),
    /// `closed`: the connection ends without an answer.
    Closed,
    /// `redirect`, with or without credentials: 307 to the same path of a backend, no body.
    Redirect {
        credentials: bool,
    },
    /// `continue`, `no continue`: whether `100 Continue` came first.
    Continue(bool),
    /// `row 1|a`, `no rows`, `3 rows`: a statement's rows. The rows of a step are compared together.
    Row(String),
    Rows(usize),
    /// A part and what it has to be.
    Part(Part, Test),
    /// `TxnId as $ID`: the part gets a name.
    Named(Part, String),
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A JSON field, a column of the first row.
    Field(String),
    Header(String),
    /// All of it.
    Text,
    /// What a statement was refused with.
    Error,
}

/// What a part has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Is(String),
    Contains(String),
    Lacks(String),
    /// `*` stands for anything.
    Like(String),
    AnyOf(Vec<String>),
    Present,
    Absent,
    Empty,
    Type(&'static str),
}

const TYPES: &[&str] = &["integer", "number", "string", "boolean", "array", "object", "null"];

impl Wanted {
    /// Reads what stands behind `<`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            [] => return Err("nothing is wanted".to_owned()),
            ["row"] => return Ok(Self::Row(String::new())),
            ["closed"] => return Ok(Self::Closed),
            ["continue"] => return Ok(Self::Continue(true)),
            ["no", "continue"] => return Ok(Self::Continue(false)),
            ["redirect", "with", "credentials"] => return Ok(Self::Redirect { credentials: true }),
            ["redirect", "without", "credentials"] => return Ok(Self::Redirect { credentials: false }),
            ["no", "rows"] => return Ok(Self::Rows(0)),
            [count, "row" | "rows"] if count.bytes().all(|b| b.is_ascii_digit()) => {
                return count.parse().map(Self::Rows).map_err(|_| format!("{count} rows are too many"));
            }
            [status] if status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit()) => {
                return status.parse().map(Self::Status).map_err(|_| format!("{status} is no status"));
            }
            _ => {}
        }
        if let Some(row) = text.strip_prefix("row ") {
            return Ok(Self::Row(row.to_owned()));
        }
        let (part, test) = part(text)?;
        match test.strip_prefix("as $").filter(|name| is_name(name)) {
            Some(name) => Ok(Self::Named(part, name.to_owned())),
            None => Ok(Self::Part(part, Test::read(test)?)),
        }
    }
}

/// Names of variables: `$DB`, `$L2`.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn part(text: &str) -> Result<(Part, &str), String> {
    let cut = |text: &'_ str| -> Option<(String, usize)> {
        let end = text.find([' ', ':'])?;
        Some((text[..end].to_owned(), end))
    };
    let unclear = || format!("it is not clear what `{text}` wants");
    let (is_header, text) = text.strip_prefix("header ").map_or((false, text), |rest| (true, rest));
    let (name, end) = cut(text).ok_or_else(unclear)?;
    let part = match name.as_str() {
        _ if is_header => Part::Header(name),
        "text" => Part::Text,
        "error" => Part::Error,
        _ => Part::Field(name),
    };
    Ok((part, text[end..].trim_start()))
}

impl Test {
    fn read(text: &str) -> Result<Self, String> {
        if let Some(value) = text.strip_prefix(':') {
            return Ok(Self::Is(value.trim().to_owned()));
        }
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        Ok(match (word, rest) {
            ("absent", "") => Self::Absent,
            ("present", "") => Self::Present,
            ("empty", "") => Self::Empty,
            (word, "") if TYPES.contains(&word) => {
                Self::Type(TYPES[TYPES.iter().position(|known| *known == word).unwrap_or(0)])
            }
            (_, "") => return Err(format!("`{text}` is no test")),
            ("contains", piece) => Self::Contains(piece.to_owned()),
            ("lacks", piece) => Self::Lacks(piece.to_owned()),
            ("like", pattern) => Self::Like(pattern.to_owned()),
            ("any", list) if list.starts_with("of ") => {
                Self::AnyOf(list[3..].split(',').map(|value| value.trim().to_owned()).collect())
            }
            _ => return Err(format!("`{text}` is no test")),
        })
    }

    /// The same with its texts changed, for variables.
    pub(crate) fn map(&self, mut change: impl FnMut(&str) -> Result<String, String>) -> Result<Self, String> {
        Ok(match self {
            Self::Is(text) => Self::Is(change(text)?),
            Self::Contains(text) => Self::Contains(change(text)?),
            Self::Lacks(text) => Self::Lacks(change(text)?),
            Self::Like(text) => Self::Like(change(text)?),
            Self::AnyOf(texts) => Self::AnyOf(texts.iter().map(|text| change(text)).collect::<Result<_, _>>()?),
            other @ (Self::Present | Self::Absent | Self::Empty | Self::Type(_)) => other.clone(),
        })
    }

    fn holds(&self, value: Option<&Value>) -> bool {
        let text = value.map(shown);
        let is = |wanted: &String| text.as_ref() == Some(wanted);
        let text_is = |test: &dyn Fn(&str) -> bool| text.as_deref().is_some_and(test);
        match self {
            Self::Is(wanted) => is(wanted),
            Self::Contains(piece) => text_is(&|text| text.contains(piece.as_str())),
            Self::Lacks(piece) => text_is(&|text| !text.contains(piece.as_str())),
            Self::Like(pattern) => text_is(&|text| like(pattern, text)),
            Self::AnyOf(choices) => choices.iter().any(is),
            Self::Present => value.is_some(),
            Self::Absent => value.is_none(),
            Self::Empty => text_is(&str::is_empty),
            Self::Type(name) => value.is_some_and(|value| is_type(value, name)),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Closed => f.write_str("closed"),
            Self::Redirect { credentials: true } => f.write_str("redirect with credentials"),
            Self::Redirect { credentials: false } => f.write_str("redirect without credentials"),
            Self::Continue(true) => f.write_str("continue"),
            Self::Continue(false) => f.write_str("no continue"),
            Self::Row(row) => write!(f, "row {row}"),
            Self::Rows(count) => write!(f, "{count} rows"),
            Self::Part(part, test) => write!(f, "{part}{test}"),
            Self::Named(part, name) => write!(f, "{part} as ${name}"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(path) => f.write_str(path),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Text => f.write_str("text"),
            Self::Error => f.write_str("error"),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(text) => write!(f, ": {text}"),
            Self::Contains(text) => write!(f, " contains {text}"),
            Self::Lacks(text) => write!(f, " lacks {text}"),
            Self::Like(text) => write!(f, " like {text}"),
            Self::AnyOf(texts) => write!(f, " any of {}", texts.join(", ")),
            Self::Present => f.write_str(" present"),
            Self::Absent => f.write_str(" absent"),
            Self::Empty => f.write_str(" empty"),
            Self::Type(name) => write!(f, " {name}"),
        }
    }
}

fn is_type(value: &Value, name: &str) -> bool {
    match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Number(number) => name == "number" || (name == "integer" && number.as_i64().is_some()),
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    }
}

/// Whether a text is of a pattern in which `*` stands for anything.
pub(crate) fn like(pattern: &str, text: &str) -> bool {
    let Some((before, behind)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| like(behind, &rest[at..]))
}

/// Whether an answer is as wanted. Rows are compared by [`check_rows`].
pub(crate) fn check(wanted: &Wanted, came: &Came) -> bool {
    match (wanted, came) {
        (Wanted::Status(status), Came::Http(answer)) => answer.status == *status,
        (Wanted::Closed, Came::Closed(_)) => true,
        (Wanted::Continue(continued), Came::Http(answer)) => answer.continued == *continued,
        (Wanted::Redirect { credentials }, Came::Http(answer)) => is_redirect(answer, *credentials),
        (Wanted::Rows(count), Came::Rows(_, rows)) => rows.len() == *count,
        (Wanted::Row(_), Came::Rows(..)) => true,
        (Wanted::Part(part, test), came) => test.holds(find(part, came).as_ref()),
        (Wanted::Named(part, _), came) => find(part, came).is_some(),
        (
            Wanted::Status(_)
            | Wanted::Closed
            | Wanted::Continue(_)
            | Wanted::Redirect { .. }
            | Wanted::Rows(_)
            | Wanted::Row(_),
            _,
        ) => false,
    }
}

/// Whether the rows are the wanted ones, in this order.
pub(crate) fn check_rows(wanted: &[String], came: &Came) -> bool {
    let Came::Rows(_, rows) = came else { return false };
    wanted.len() == rows.len() && wanted.iter().zip(rows).all(|(pattern, row)| like(pattern, &line(row)))
}

/// A part of an answer, if it is there.
pub(crate) fn find(part: &Part, came: &Came) -> Option<Value> {
    match (part, came) {
        (Part::Field(path), came) => came.field(path),
        (Part::Header(name), Came::Http(answer)) => answer.header(name).map(Value::from),
        (Part::Text, Came::Http(_) | Came::Rows(..)) => Some(came.text().into()),
        (Part::Error, Came::SqlError(text)) => Some(text.as_str().into()),
        (Part::Header(_) | Part::Text | Part::Error, _) => None,
    }
}

/// 307 without a body, to the same path and query by plain HTTP.
fn is_redirect(answer: &HttpAnswer, credentials: bool) -> bool {
    let Some(rest) = answer.header("location").and_then(|location| location.strip_prefix("http://")) else {
        return false;
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // Older frontends of Doris put a bare `?` behind a path without a query.
    let path = path.strip_suffix('?').unwrap_or(path);
    answer.status == 307 && answer.text.is_empty() && path == answer.path && authority.contains('@') == credentials
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> HttpAnswer {
        HttpAnswer { status: 200, text: text.to_owned(), path: "/api/x?a=b".to_owned(), ..HttpAnswer::default() }
    }

    fn holds(wanted: &str, came: &Came) -> bool {
        check(&Wanted::read(wanted).unwrap(), came)
    }

    #[test]
    fn fields_by_name() {
        let body = r#"{"Status":"OK","Message":"","TxnId":9007199254740993,"ok":true,"none":null,"data":{"list":[{"ip":"::1"}]}}"#;
        let came = Came::Http(Box::new(answer(body)));
        let lines = [
            ("200", true),
            ("307", false),
            ("Status: OK", true),
            ("Status: ok", false),
            ("Status: O", false),
            ("Message:", true),
            ("Message empty", true),
            ("Status empty", false),
            ("TxnId: 9007199254740993", true),
            ("TxnId: 9007199254740992", false),
            ("TxnId integer", true),
            ("TxnId string", false),
            ("ok: true", true),
            ("ok boolean", true),
            ("none null", true),
            ("none present", true),
            ("other absent", true),
            ("other present", false),
            ("other: x", false),
            ("other lacks x", false),
            ("Status absent", false),
            ("Status contains K", true),
            ("Status contains X", false),
            ("Status lacks X", true),
            ("Status like *K", true),
            ("Status like K*", false),
            ("Status any of FAILED, OK", true),
            ("Status any of FAILED, ABORTED", false),
            ("data.list.0.ip: ::1", true),
            ("data.list.1.ip absent", true),
            ("text contains \"Status\"", true),
            ("closed", false),
            ("continue", false),
            ("no continue", true),
            ("TxnId as $ID", true),
            ("other as $ID", false),
            ("no rows", false),
        ];
        for (wanted, want) in lines {
            assert_eq!(holds(wanted, &came), want, "{wanted}");
            let shown = Wanted::read(wanted).unwrap().to_string();
            assert_eq!(shown.trim_end(), wanted.replace("no rows", "0 rows"), "as it is written");
        }
        let lines = Came::Http(Box::new(answer("{\"a\":1}\n{\"a\":2}\n")));
        assert!(holds("1.a: 2", &lines) && !holds("0.a: 2", &lines));
        assert!(holds("closed", &Came::Closed(String::new())) && !holds("200", &Came::Closed(String::new())));
    }

    #[test]
    fn headers_and_redirects() {
        let redirect = |location: &str| {
            let headers = vec![("LOCATION".to_owned(), location.to_owned())];
            Came::Http(Box::new(HttpAnswer { status: 307, headers, ..answer("") }))
        };
        let plain = redirect("http://be:8040/api/x?a=b");
        assert!(holds("redirect without credentials", &plain) && !holds("redirect with credentials", &plain));
        assert!(holds("header Location like http://*/x?a=b", &plain) && holds("header Server absent", &plain));
        assert!(holds("redirect with credentials", &redirect("http://u:p@be:8040/api/x?a=b")));
        for other in ["https://be:8040/api/x?a=b", "http://be:8040/api/y?a=b", "/api/x?a=b", "http://be:8040"] {
            assert!(!holds("redirect without credentials", &redirect(other)), "{other}");
        }
    }

    #[test]
    fn rows_of_statements() {
        let cell = |text: &str| Some(text.to_owned());
        let columns = vec!["id".to_owned(), "v".to_owned()];
        let came = Came::Rows(columns, vec![vec![cell("1"), None], vec![cell("2"), cell("b")]]);
        assert!(holds("2 rows", &came) && !holds("no rows", &came));
        assert!(holds("ID: 1", &came) && holds("v null", &came));
        let rows = |rows: &[&str]| check_rows(&rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>(), &came);
        assert!(rows(&["1|NULL", "2|b"]) && rows(&["*", "2|*"]));
        assert!(!rows(&["2|b", "1|NULL"]) && !rows(&["1|NULL"]));
        assert!(holds("error contains no", &Came::SqlError("no such table".to_owned())));
        assert!(!holds("error contains no", &came));
    }

    #[test]
    fn patterns() {
        for (pattern, text, want) in
            [("*", "", true), ("a*c", "abc", true), ("a*c", "abcd", false), ("*b*", "äbc", true), ("a", "ab", false)]
        {
            assert_eq!(like(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn wishes_that_are_none() {
        for bad in
            ["", "Status", "Status is OK", "Status contains", "Status any of", "header", "redirect", "TxnId as id"]
        {
            assert!(Wanted::read(bad).is_err(), "{bad}");
        }
    }
}
