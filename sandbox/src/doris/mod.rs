//! Apache Doris: two-phase and plain Stream Load.
//!
//! Shapes and texts follow Doris 3.x (`fe/…/httpv2/rest`, `be/src/http/action`, `DatabaseTransactionMgr`).

pub(crate) mod backend;
pub(crate) mod frontend;
mod sql;
mod two_phase;

use serde_json::Value;

use crate::http::{HttpResponse, Object, json, pretty_json};
use crate::transactions::State;

/// What the frontend puts before the text of an exception when a backend passes it on.
const DETAIL: &str = "TStatus: errCode = 2, detailMessage = ";

/// The frontend's envelope: code 0 is success, 1 an error, 401 and 403 what HTTP means by them.
fn envelope(msg: &str, code: i64, data: impl Into<Value>) -> HttpResponse {
    json(&Object::new().with("msg", msg).with("code", code).with("data", data).with("count", 0))
}

/// A backend's answer.
fn backend_reply(body: &Object) -> HttpResponse {
    pretty_json(body, 4)
}

/// The answer to a second phase.
fn two_phase_reply(status: &str, msg: &str) -> HttpResponse {
    backend_reply(&Object::new().with("status", status).with("msg", msg))
}

/// Doris' name of a state.
fn state_name(state: State) -> &'static str {
    match state {
        State::Prepared => "PRECOMMITTED",
        State::Prepare | State::Committed | State::Visible | State::Aborted => state.name(),
    }
}

/// `^[-_A-Za-z0-9:]{1,128}$`.
fn is_label(label: &str) -> bool {
    (1..=128).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_:".contains(&b))
}
