//! StarRocks: the transaction interface (begin, load, prepare, commit, rollback) and plain Stream Load.
//!
//! Shapes and texts follow StarRocks 4.0 (`fe/…/http/rest`, `be/src/http/action`, `be/src/runtime/stream_load`).

pub(crate) mod backend;
pub(crate) mod frontend;
mod load;
mod memory;
mod sql;

pub(crate) use memory::Memory;

use hyper::StatusCode;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};

use crate::auth::Login;
use crate::http::{HttpResponse, Object, json, pretty_json};
use crate::transactions::State;

/// What the frontend puts before the text of an exception.
const EXCEPTION: &str = "class com.starrocks.common.StarRocksException: ";

/// Headers of modes that the sandbox doesn't imitate.
const OTHER_MODES: &[&str] = &["channel_num", "channel_id", "transaction_type"];

/// A frontend's answer to a transaction call.
fn frontend_reply(body: &Object) -> HttpResponse {
    pretty_json(body, 2)
}

fn frontend_ok(label: &str, id: i64, message: &str) -> HttpResponse {
    frontend_reply(&Object::new().with("Label", label).with("Status", "OK").with("TxnId", id).with("Message", message))
}

fn frontend_failed(message: &str) -> HttpResponse {
    frontend_reply(&Object::new().with("Status", "FAILED").with("Message", format!("{EXCEPTION}{message}")))
}

/// A backend's answer.
fn backend_reply(body: &Object) -> HttpResponse {
    pretty_json(body, 4)
}

fn status(status: &str, message: &str) -> Object {
    Object::new().with("Status", status).with("Message", message)
}

fn backend_failed(code: &str, message: &str) -> HttpResponse {
    backend_reply(&status(code, message))
}

/// The lower-case style of `get_load_state`, `_cancel` and failed logins.
fn rest_failed(message: &str) -> HttpResponse {
    json(&rest_failure(message))
}

fn rest_failure(message: &str) -> Object {
    Object::new().with("status", "FAILED").with("code", "1").with("msg", message).with("message", message)
}

/// HTTP 401, unless the login is granted.
fn refuse_login(login: Login) -> Option<HttpResponse> {
    let message = match login {
        Login::Granted => return None,
        Login::Missing => "Need auth information.".to_owned(),
        Login::Denied(user) => format!("Access denied for {user}@127.0.0.1"),
    };
    let mut response = rest_failed(&message);
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"\""));
    Some(response)
}

/// `ExistingJobStatus` of a used label.
fn job_status(state: State) -> &'static str {
    match state {
        State::Prepare | State::Prepared => "RUNNING",
        State::Committed | State::Visible => "FINISHED",
        State::Aborted => "",
    }
}

/// `^[-\w]{1,128}$`.
fn is_label(label: &str) -> bool {
    (1..=128).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// The first header of a mode that isn't imitated.
fn other_mode(headers: &hyper::HeaderMap) -> Option<&'static str> {
    OTHER_MODES.iter().copied().find(|name| headers.contains_key(*name))
}
