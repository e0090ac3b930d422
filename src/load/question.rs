//! Questions that only read: SQL over HTTP, and settings of the frontends. Pure, like [`super::engine`].
//!
//! They help and decide nothing alone: an engine may be too old for them, or give this user no right to ask.

use std::collections::BTreeMap;

use serde_json::{Deserializer, Value};

use super::engine::{Response, clean};

/// A question to a frontend, without host and credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// HTTP method.
    pub method: http::Method,
    /// Path and query, percent-encoded.
    pub path: String,
    /// Headers beside those of HTTP itself.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: String,
}

impl Question {
    /// A JSON object posted to a frontend.
    pub(super) fn post(path: &str, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { method: http::Method::POST, path: path.to_owned(), headers, body: body.to_string() }
    }

    /// A page of a frontend.
    pub(super) fn get(path: &str) -> Self {
        Self { method: http::Method::GET, path: path.to_owned(), headers: Vec::new(), body: String::new() }
    }
}

/// Rows of an answer. Every cell is text; `None` is NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows, each with a cell per column.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Listed {
    /// The first cell of the first row.
    pub fn first(&self) -> Option<&str> {
        self.rows.first()?.first()?.as_deref()
    }

    /// Cells of a column, by its name in any case; NULLs are left out.
    pub fn column(&self, name: &str) -> impl Iterator<Item = &str> {
        let place = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
        self.rows.iter().filter_map(move |row| row.get(place?)?.as_deref())
    }

    /// Two columns as keys and values.
    pub(super) fn pairs(&self, key: &str, value: &str) -> BTreeMap<String, String> {
        let both = self.column(key).zip(self.column(value));
        both.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// For people; no credentials.
    pub what: String,
    /// Nobody answered at all: asking later may help.
    pub passing: bool,
}

/// A text as it stands in SQL.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A name as it stands in SQL.
pub fn named(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// An answer that is not what was asked for.
pub(super) fn refusal(answer: &Response) -> String {
    let fields: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let text = ["msg", "message", "exception"].iter().find_map(|name| fields.get(name)?.as_str());
    let said = text.map_or_else(|| clean(&answer.body), clean);
    format!("HTTP {}: {said}", answer.status)
}

/// The JSON values of a body that stand one behind the other.
pub(super) fn values(body: &str) -> Result<Vec<Value>, String> {
    let read = Deserializer::from_str(body).into_iter::<Value>().collect::<Result<Vec<_>, _>>();
    read.map_err(|_| format!("{} bytes that are not JSON", body.len()))
}

/// `[{"name": "a", …}, …]`.
pub(super) fn columns(meta: &Value) -> Vec<String> {
    let name = |column: &Value| column.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    meta.as_array().into_iter().flatten().map(name).collect()
}

/// One row: a list of cells, or an object by column name.
pub(super) fn row(cells: &Value, columns: &[String]) -> Vec<Option<String>> {
    match cells {
        Value::Object(fields) => columns.iter().map(|name| fields.get(name).and_then(cell)).collect(),
        Value::Array(cells) => cells.iter().map(cell).collect(),
        single @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => vec![cell(single)],
    }
}

fn cell(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Timeouts;
    use crate::load::engine::Engine;
    use crate::load::{Doris, StarRocks};
    use std::time::Duration;

    fn timeouts() -> Timeouts {
        let second = Duration::from_secs(1);
        Timeouts {
            connect: second,
            call: second,
            continue_: second,
            stall: second,
            prepare: second,
            transaction: second,
            prepared: second,
        }
    }

    fn answer(status: u16, body: &str) -> Response {
        Response { status, body: body.to_owned() }
    }

    fn row_of(cells: &[Option<&str>]) -> Vec<Option<String>> {
        cells.iter().map(|cell| cell.map(str::to_owned)).collect()
    }

    #[test]
    fn rows_of_starrocks_come_one_by_one_or_all_in_one_object() {
        let engine = StarRocks::new(timeouts());
        let select = "{\"connectionId\":7}\n{\"meta\":[{\"name\":\"n\",\"type\":\"bigint\"},{\"name\":\"s\",\"type\":\"varchar\"}]}\n\
                      {\"data\":[1,\"a\"]}\n{\"data\":[12345678901234567890,null]}\n{\"statistics\":{\"returnRows\":2}}\n";
        let listed = engine.listed(&answer(200, select)).expect("rows");
        assert_eq!(listed.columns, ["n", "s"]);
        assert_eq!(listed.rows, [row_of(&[Some("1"), Some("a")]), row_of(&[Some("12345678901234567890"), None])]);
        let show = "{\"meta\":[{\"name\":\"Key\"},{\"name\":\"Value\"}],\"data\":[{\"Key\":\"k\",\"Value\":\"v\"}],\
                    \"statistics\":{\"returnRows\":1}}";
        let settings = engine.settings_in(&answer(200, show)).expect("settings");
        assert_eq!(settings.get("k").map(String::as_str), Some("v"));
    }

    #[test]
    fn an_answer_that_broke_off_is_none() {
        let engine = StarRocks::new(timeouts());
        let broken = "{\"connectionId\":7}\n{\"meta\":[{\"name\":\"n\",\"type\":\"bigint\"}]}\n{\"data\":[0]}\n";
        assert_eq!(engine.listed(&answer(200, broken)), Err("the answer broke off".to_owned()));
        assert_eq!(engine.listed(&answer(200, "<html>")), Err("6 bytes that are not JSON".to_owned()));
    }

    #[test]
    fn refusals_say_why() {
        let starrocks = engine_says(&StarRocks::new(timeouts()), 500, r#"{"status":"FAILED","msg":"Access denied;"}"#);
        assert_eq!(starrocks, "HTTP 500: Access denied;");
        let doris = Doris::new(timeouts());
        let said = r#"{"msg":"Unauthorized","code":401,"data":"Access denied for u@h","count":0}"#;
        assert_eq!(engine_says(&doris, 200, said), "Unauthorized: Access denied for u@h");
        assert_eq!(engine_says(&doris, 404, "Not Found"), "HTTP 404: Not Found");
    }

    fn engine_says(engine: &dyn Engine, status: u16, body: &str) -> String {
        engine.listed(&answer(status, body)).expect_err("refused")
    }

    #[test]
    fn rows_and_settings_of_doris() {
        let doris = Doris::new(timeouts());
        let rows = r#"{"msg":"success","code":0,"data":{"type":"result_set","meta":[{"name":"a","type":"BIGINT"}],
                       "data":[[3],[null]],"time":1},"count":0}"#;
        let listed = doris.listed(&answer(200, rows)).expect("rows");
        assert_eq!((listed.first(), listed.rows.len()), (Some("3"), 2));
        let page = r#"{"msg":"success","code":0,"data":{"column_names":["Name","Value"],
                       "rows":[{"Name":"label_num_threshold","Value":"2000"}]},"count":0}"#;
        let settings = doris.settings_in(&answer(200, page)).expect("settings");
        assert_eq!(settings.get("label_num_threshold").map(String::as_str), Some("2000"));
    }

    #[test]
    fn texts_and_names_stay_one_piece_of_sql() {
        assert_eq!(quoted(r"a'b\c"), r"'a''b\\c'");
        assert_eq!(named("a`b"), "`a``b`");
    }
}
