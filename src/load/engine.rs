//! What StarRocks and Doris have in common: the calls of a load and what their answers mean. Pure: a [`Call`] is data
//! that the HTTP client performs, a [`Response`] is data that it brings back.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::question::{Listed, Question};
use super::{Class, Counts, Failure, Target, TxnName, TxnState};
use crate::decode::Framing;
use crate::domain::TxnId;

/// A dialect of Stream Load. Two implementations: [`super::StarRocks`] and [`super::Doris`].
pub trait Engine: Send + Sync {
    /// Name for people.
    fn name(&self) -> &'static str;
    /// How rows stand in a body.
    fn framing(&self) -> Framing;
    /// Bytes after which the next body of the same transaction is begun; `None` if one body takes all.
    fn body_limit(&self, target: &Target) -> Option<u64>;
    /// Opens a transaction; `None` if the load itself does.
    fn begin(&self, target: &Target) -> Option<Call>;
    /// Sends rows into a transaction, or all rows of a load that is visible at once ([`Target::delivery`]).
    fn load(&self, target: &Target) -> Call;
    /// Prepares a transaction; `None` if the answer to the load already says that it is prepared.
    fn prepare(&self, target: &Target) -> Option<Call>;
    /// Makes a prepared transaction visible.
    ///
    /// # Errors
    /// When the transaction is not named well enough to be committed safely.
    fn commit(&self, txn: &TxnName) -> Result<Call, Failure>;
    /// Rolls a transaction back.
    fn abort(&self, txn: &TxnName) -> Call;
    /// Rolls back what [`Engine::abort`] no longer finds because the backend forgot it; `None` if there is no such case.
    fn cancel(&self, txn: &TxnName) -> Option<Call>;
    /// Asks for the state of a label.
    fn state(&self, txn: &TxnName) -> Call;
    /// Says what an answer means.
    fn read(&self, step: Step, answer: &Response) -> Reply;

    /// A question in SQL that only reads.
    fn query(&self, sql: &str) -> Question;
    /// Rows of the answer to such a question.
    ///
    /// # Errors
    /// The engine's words if it refused, or what is wrong with the answer.
    fn listed(&self, answer: &Response) -> Result<Listed, String>;
    /// SQL whose one cell holds the engine's version.
    fn version(&self) -> &'static str;
    /// Questions that together tell these settings of the frontends.
    fn settings(&self, names: &[&str]) -> Vec<Question>;
    /// Settings in an answer to one of them.
    ///
    /// # Errors
    /// As [`Engine::listed`].
    fn settings_in(&self, answer: &Response) -> Result<BTreeMap<String, String>, String>;
    /// SQL about the end of a load that the engine itself has forgotten: a row is there only if it became visible. Each
    /// looks in another place; none where the engine keeps no such history.
    fn history(&self, txn: &TxnName) -> Vec<String>;
    /// SQL whose column `label` names loads of a database that are remembered; `%` in the pattern is any text.
    fn labels_like(&self, database: &str, pattern: &str) -> String;
}

/// The calls of a load transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Open a transaction (StarRocks).
    Begin,
    /// Send rows.
    Load,
    /// Send all rows of a load in one phase, which is visible with its answer.
    LoadAtOnce,
    /// Prepare (StarRocks).
    Prepare,
    /// Make visible.
    Commit,
    /// Roll back.
    Abort,
    /// Roll back what the backend forgot (StarRocks).
    Cancel,
    /// Ask for the state of a label.
    State,
}

impl Step {
    /// Word for error texts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Load => "load",
            Self::LoadAtOnce => "load in one phase",
            Self::Prepare => "prepare",
            Self::Commit => "commit",
            Self::Abort => "rollback",
            Self::Cancel => "cancel",
            Self::State => "state query",
        }
    }
}

/// A request to a frontend, without host and credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which call it is.
    pub step: Step,
    /// HTTP method.
    pub method: http::Method,
    /// Path and query, percent-encoded.
    pub path: String,
    /// Headers of the engine; those of HTTP itself are the client's.
    pub headers: Vec<(String, String)>,
}

impl Call {
    /// True if rows are streamed as the body; all other calls have an empty one.
    pub fn streams(&self) -> bool {
        matches!(self.step, Step::Load | Step::LoadAtOnce)
    }

    /// Value of a header, by lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A whole HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Body as text.
    pub body: String,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The call did what it is for.
    Done {
        /// Transaction id, if named.
        id: Option<TxnId>,
        /// Row counts, if the answer has them.
        counts: Option<Counts>,
    },
    /// The state asked for.
    State(TxnState),
    /// The label is busy: the same call again after a pause.
    Again(String),
    /// Nothing was done because this frontend does not lead: ask another one.
    Elsewhere(String),
    /// The call failed.
    Failed {
        /// What that means for the next step.
        class: Class,
        /// The engine's reason, cleaned.
        what: String,
        /// Where the engine's error log can be read.
        error_url: Option<String>,
        /// Transaction id, if named.
        id: Option<TxnId>,
    },
}

impl Reply {
    /// What a call that was done says; any other reply comes back.
    pub(super) fn into_done(self) -> Result<(Option<TxnId>, Option<Counts>), Self> {
        match self {
            Self::Done { id, counts } => Ok((id, counts)),
            other @ (Self::State(_) | Self::Again(_) | Self::Elsewhere(_) | Self::Failed { .. }) => Err(other),
        }
    }

    pub(super) fn failed(class: Class, what: impl Into<String>) -> Self {
        Self::Failed { class, what: what.into(), error_url: None, id: None }
    }
}

/// Fields of a JSON answer. Both engines vary case, type and presence of fields between versions and calls.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads the body of an answer that a proxy or the HTTP layer has not already spoilt.
    pub(super) fn read(answer: &Response) -> Result<Self, Reply> {
        if let Some(reply) = http_refusal(answer) {
            return Err(reply);
        }
        match serde_json::from_str(&answer.body) {
            Ok(fields) => Ok(Self(fields)),
            Err(_) => Err(Reply::failed(
                Class::Unclear,
                format!("HTTP {} with {} bytes that are not a JSON object", answer.status, answer.body.len()),
            )),
        }
    }

    /// First of these fields that holds text, trimmed; empty text counts as absent.
    pub(super) fn text(&self, names: &[&str]) -> Option<&str> {
        names.iter().filter_map(|name| self.0.get(*name)?.as_str()).map(str::trim).find(|text| !text.is_empty())
    }

    /// An integer, written as a number or as text.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        let value = self.0.get(name)?;
        value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
    }

    /// True if the field says yes, as a boolean or as text.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let value = self.0.get(name)?;
        value.as_bool().or_else(|| value.as_str()?.trim().parse().ok())
    }

    /// Transaction id; engines write -1 for none.
    pub(super) fn id(&self) -> Option<TxnId> {
        self.number("TxnId").filter(|id| *id > 0).map(TxnId)
    }

    /// Row counts, if the answer has any.
    pub(super) fn counts(&self) -> Option<Counts> {
        let count = |name| self.number(name).and_then(|n| u64::try_from(n).ok());
        Some(Counts {
            total: count("NumberTotalRows")?,
            loaded: count("NumberLoadedRows")?,
            filtered: count("NumberFilteredRows").unwrap_or(0),
            unselected: count("NumberUnselectedRows").unwrap_or(0),
            load_ms: count("LoadTimeMs"),
        })
    }

    /// A failed call with everything that the answer says about it.
    pub(super) fn failed(&self, class: Class, what: &str) -> Reply {
        Reply::Failed {
            class,
            what: clean(what),
            error_url: self.text(&["ErrorURL"]).map(ToOwned::to_owned),
            id: self.id(),
        }
    }
}

/// Statuses that HTTP itself or something in between gives; both engines answer 200 to all that they decide.
fn http_refusal(answer: &Response) -> Option<Reply> {
    let said = || {
        let text: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let text = ["msg", "message", "Message"].iter().find_map(|name| text.get(name)?.as_str());
        format!("HTTP {}: {}", answer.status, text.map_or_else(|| clean(&answer.body), clean))
    };
    match answer.status {
        200..=299 => None,
        408 | 429 | 502..=504 => Some(Reply::failed(Class::Away, said())),
        300..=499 => Some(Reply::failed(Class::Refused, said())),
        _ => Some(Reply::failed(Class::Unclear, said())),
    }
}

/// First class whose sign occurs in the text, without regard to case.
pub(super) fn sort(text: &str, signs: &[(&str, Class)]) -> Option<Class> {
    let text = text.to_ascii_lowercase();
    signs.iter().find(|(sign, _)| text.contains(sign)).map(|(_, class)| *class)
}

/// Longest engine text that is shown, in characters.
const TEXT_LIMIT: usize = 600;

/// Takes out of an engine's text what does not belong into a log: stack trace, quoted row, credentials, line breaks.
pub(super) fn clean(text: &str) -> String {
    let mut text = text;
    for end in ["\n\n\t0#", "\n\t0#", " Row: ", " row: ", "src line"] {
        text = text.split(end).next().unwrap_or_default();
    }
    let words: Vec<_> = text.split_whitespace().map(without_user).collect();
    let mut short: String = words.join(" ");
    if let Some((end, _)) = short.char_indices().nth(TEXT_LIMIT) {
        short.truncate(end);
        short.push('…');
    }
    short
}

/// A word without the user and password of an address in it.
fn without_user(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.get(..end).and_then(|authority| authority.rfind('@')) {
        Some(at) => format!("{scheme}://{}", rest.get(at + 1..).unwrap_or_default()),
        None => word.to_owned(),
    }
}

/// Percent-encodes one piece of a path or query.
pub(super) fn encode(piece: &str) -> String {
    let mut out = String::with_capacity(piece.len());
    for byte in piece.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The `columns` header: names in back-ticks, so that reserved words are taken as names.
pub(super) fn column_list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| format!("`{}`", name.replace('`', "``"))).collect::<Vec<_>>().join(",")
}

/// Seconds for an engine's header: at least 1.
pub(super) fn seconds(time: std::time::Duration) -> String {
    time.as_secs().max(1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_texts_lose_rows_traces_and_credentials() {
        let cases = [
            ("plain", "plain"),
            ("[E]bad\n\n\t0#  doris::Status", "[E]bad"),
            ("Error: NULL value. Row: {\"a\":1}", "Error: NULL value."),
            ("see http://u:p%40w@be:8040/x?f=1 now", "see http://be:8040/x?f=1 now"),
            ("http://u:p@w@be/x", "http://be/x"),
            ("http://be/x@y", "http://be/x@y"),
            ("two\r\nlines", "two lines"),
        ];
        for (text, cleaned) in cases {
            assert_eq!(clean(text), cleaned, "{text:?}");
        }
        assert_eq!(clean(&"长".repeat(5000)).chars().count(), TEXT_LIMIT + 1);
    }

    #[test]
    fn path_pieces_are_encoded() {
        assert_eq!(encode("a-b_c.d~1"), "a-b_c.d~1");
        assert_eq!(encode("表/x?y z"), "%E8%A1%A8%2Fx%3Fy%20z");
    }

    #[test]
    fn large_ids_and_numbers_in_text_are_read_exactly() {
        let answer = Response { status: 200, body: r#"{"TxnId": 9223372036854775806, "code": "7"}"#.into() };
        let Ok(fields) = Fields::read(&answer) else { panic!("not read") };
        assert_eq!(fields.id(), Some(TxnId(9_223_372_036_854_775_806)));
        assert_eq!(fields.number("code"), Some(7));
    }

    #[test]
    fn column_names_are_quoted() {
        assert_eq!(column_list(["a".to_owned(), "o`b".to_owned()].iter()), "`a`,`o``b`");
    }
}
