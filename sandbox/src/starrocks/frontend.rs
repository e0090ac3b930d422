//! A StarRocks frontend: redirects what needs a backend, answers what it knows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::LOCATION;
use hyper::{Method, Response, StatusCode};

use super::{
    frontend_failed, frontend_ok, frontend_reply, is_label, other_mode, refuse_login, rest_failed, rest_failure, sql,
};
use crate::cluster::{Cluster, StepError};
use crate::faults::{Asked, Call, Node, under};
use crate::http::{
    HangUp, HttpRequest, HttpResponse, Object, content_length, header, json, path_pieces, query_parameter, read_small,
    text,
};
use crate::nodes::Backend;
use crate::sql::Server;
use crate::transactions::{Coordinator, State, StepRefused, Transaction};

/// Largest POST body that a frontend collects.
const POST_MAX_BYTES: u64 = 100 * 65_536;

/// What a frontend does with a request.
enum Decision {
    Answer(HttpResponse),
    Redirect(Call, SocketAddr),
    Act(Call, Act),
}

/// Steps that a frontend takes by itself.
enum Act {
    Commit(Transaction),
    Rollback(Transaction),
    State { database: String, label: String },
    Cancel { database: String, label: String },
    Query(Option<Bytes>),
}

/// Answers a request.
pub(crate) async fn answer(server: Arc<Server>, request: HttpRequest) -> Result<HttpResponse, HangUp> {
    let cluster = &server.cluster;
    let asked = Asked::of(&request);
    let pieces = path_pieces(&request);
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let method = request.method().clone();
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let publish_wait = header(request.headers(), "timeout").and_then(|t| t.parse().ok()).map(Duration::from_secs);
    let decision = if let Some(refusal) = refuse_login(cluster.login(request.headers())) {
        Decision::Answer(refusal)
    } else if let Some(leader) = server.leader_elsewhere().filter(|_| is_for_leader(&pieces)) {
        Decision::Answer(redirect(leader, &path))
    } else {
        match (method, pieces.as_slice()) {
            (Method::POST | Method::PUT, ["api", "transaction", op]) => transaction_call(cluster, request, op).await,
            (Method::PUT, ["api", database, table, "_stream_load"]) => stream_load(cluster, &request, database, table),
            (Method::GET, ["api", database, "get_load_state"]) => {
                let label = query_parameter(&request, "label").unwrap_or_default();
                Decision::Act(Call::State, Act::State { database: (*database).to_owned(), label })
            }
            (Method::POST, ["api", database, table_or_label, "_cancel"]) => {
                let label = query_parameter(&request, "label").unwrap_or_else(|| (*table_or_label).to_owned());
                Decision::Act(Call::Cancel, Act::Cancel { database: (*database).to_owned(), label })
            }
            (
                Method::POST,
                ["api", "v1", "catalogs", _, "sql"] | ["api", "v1", "catalogs", _, "databases", _, "sql"],
            ) => Decision::Act(Call::Query, Act::Query(read_small(request.into_body(), sql::BODY_MAX_BYTES).await)),
            _ => Decision::Answer(text(StatusCode::NOT_FOUND, "Not Found")),
        }
    };
    let refuse = |code: Option<&str>, message: &str| match code {
        Some(code) => frontend_reply(&super::status(code, message)),
        None => frontend_failed(message),
    };
    match decision {
        Decision::Answer(response) => Ok(response),
        Decision::Redirect(call, backend) => {
            let met = asked.redirects(call, server.frontend);
            under(cluster, met, refuse, async { Ok(redirect(backend, &path)) }).await
        }
        Decision::Act(call, act) => {
            let met = asked.acts(call, Node::Frontend, server.frontend);
            under(cluster, met, refuse, async { Ok(perform(&server, act, publish_wait).await) }).await
        }
    }
}

/// What followers leave to the leader. Plain Stream Load isn't among it: any frontend sends it to a backend.
fn is_for_leader(pieces: &[&str]) -> bool {
    matches!(pieces, ["api", "transaction", _] | ["api", _, "get_load_state"] | ["api", _, _, "_cancel"])
}

/// The same path on another node, without credentials.
fn redirect(node: SocketAddr, path: &str) -> HttpResponse {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(value) = format!("http://{node}{path}").parse() {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

fn failed(message: &str) -> Decision {
    Decision::Answer(frontend_failed(message))
}

async fn transaction_call(cluster: &Cluster, request: HttpRequest, op: &str) -> Decision {
    let headers = request.headers().clone();
    let is_put = request.method() == Method::PUT;
    let call = match op {
        "begin" => Call::Begin,
        "load" => Call::Load,
        "prepare" => Call::Prepare,
        "commit" => Call::Commit,
        "rollback" => Call::Rollback,
        other => return failed(&format!("Unsupported operation: {other}")),
    };
    let label = header(&headers, "label").unwrap_or_default();
    if call != Call::Load {
        if is_put {
            return failed("Invalid request");
        }
        if let Some(refusal) = check_post_body(request, label).await {
            return Decision::Answer(refusal);
        }
    }
    if label.is_empty() {
        return failed("Empty label.");
    }
    if !is_label(label) {
        return failed(&format!("Label format error. regex: ^[-\\w]{{1,128}}$, label: {label}"));
    }
    if let Some(mode) = other_mode(&headers) {
        return failed(&format!("the sandbox does not imitate the header {mode}"));
    }
    let Some(database) = header(&headers, "db").filter(|db| !db.is_empty()) else {
        return failed("No database selected.");
    };
    if !cluster.has_database(database) {
        return failed(&format!("Database[{database}] does not exist."));
    }
    by_label_state(cluster, call, database, label).await
}

async fn by_label_state(cluster: &Cluster, call: Call, database: &str, label: &str) -> Decision {
    match call {
        Call::Begin => match allocate(cluster, database, label) {
            Some(backend) => Decision::Redirect(call, backend.http),
            None => no_backend(),
        },
        Call::Commit | Call::Rollback => match cluster.newest(database, label).await {
            None => failed(&format!("No transaction found with db[{database}] and label[{label}]")),
            Some(found) if found.state == State::Prepare => to_node(cluster, call, label, Some(&found)),
            Some(found) if call == Call::Commit => Decision::Act(call, Act::Commit(found)),
            Some(found) => Decision::Act(call, Act::Rollback(found)),
        },
        Call::Load | Call::Prepare | Call::State | Call::Cancel | Call::Query => {
            match cluster.by_label(database, label).first() {
                None if cluster.memory.node(label).is_none() => failed(&format!(
                    "Can't find the transaction with db [{database}] and label[{label}]. The possible reasons: 1. FE \
                     leader is started or switched; 2. The transaction timeouts and is cleaned."
                )),
                found => to_node(cluster, call, label, found),
            }
        }
    }
}

/// The backend for a `begin`. A label that is known stays where it is as long as that backend runs, or has its
/// transaction in PREPARE.
fn allocate(cluster: &Cluster, database: &str, label: &str) -> Option<Backend> {
    let owns = |backend: Backend| {
        let newest = cluster.by_label(database, label).into_iter().next();
        newest.is_some_and(|t| t.state == State::Prepare && t.coordinator == Coordinator::Backend(backend.index))
    };
    let known = cluster.memory.node(label).map(|index| cluster.nodes.backend(index));
    let known = known.filter(|backend| cluster.nodes.is_alive(*backend) || owns(*backend));
    let backend = known.or_else(|| cluster.nodes.choose_backend())?;
    cluster.memory.remember_node(label, backend);
    Some(backend)
}

/// To the backend of a label: the remembered one, else the one in the transaction's state.
fn to_node(cluster: &Cluster, call: Call, label: &str, found: Option<&Transaction>) -> Decision {
    let index = cluster.memory.node(label).or(match found.map(|t| t.coordinator) {
        Some(Coordinator::Backend(index)) => Some(index),
        Some(Coordinator::Frontend) | None => None,
    });
    match index {
        Some(index) => Decision::Redirect(call, cluster.nodes.backend(index).http),
        None => {
            failed(&format!("The source type for transaction stream load with label[{label}] should be BE, but is FE."))
        }
    }
}

fn no_backend() -> Decision {
    let message = "class com.starrocks.common.DdlException: No backend alive.";
    Decision::Answer(frontend_reply(&super::status("FAILED", message)))
}

/// A frontend collects the body of a POST and wants JSON in it, if there is one. It never sends `100 Continue`, so a
/// body that waits for it isn't read.
async fn check_post_body(request: HttpRequest, label: &str) -> Option<HttpResponse> {
    let length = content_length(request.headers()).unwrap_or(0);
    if length > POST_MAX_BYTES {
        return Some(text(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"));
    }
    if length == 0 || request.headers().contains_key("expect") {
        return None;
    }
    let max = usize::try_from(POST_MAX_BYTES).unwrap_or(usize::MAX);
    let body = read_small(request.into_body(), max).await?;
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
    (!is_json).then(|| frontend_failed(&format!("Malformed json tablets, label is {label}")))
}

fn stream_load(cluster: &Cluster, request: &HttpRequest, database: &str, table: &str) -> Decision {
    if !request.headers().contains_key("expect") {
        let message = "class com.starrocks.common.DdlException: There is no 100-continue header";
        let mut response = frontend_reply(&Object::new().with("Status", "FAILED").with("Message", message));
        response.headers_mut().insert(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("close"));
        return Decision::Answer(response);
    }
    if !cluster.has_database(database) {
        return failed(&format!("Database[{database}] does not exist."));
    }
    if cluster.table(database, table).is_none() {
        return failed(&format!("unknown table \"{database}.{table}\""));
    }
    match cluster.nodes.choose_backend() {
        Some(backend) => Decision::Redirect(Call::Load, backend.http),
        None => no_backend(),
    }
}

async fn perform(server: &Server, act: Act, publish_wait: Option<Duration>) -> HttpResponse {
    let cluster = &server.cluster;
    match act {
        Act::Commit(found) => commit(cluster, found, publish_wait).await,
        Act::Rollback(found) => rollback(cluster, found).await,
        Act::State { database, label } => state(cluster, &database, &label).await,
        Act::Cancel { database, label } => cancel(cluster, &database, &label).await,
        Act::Query(body) => sql::answer(server, body).await,
    }
}

async fn commit(cluster: &Arc<Cluster>, found: Transaction, publish_wait: Option<Duration>) -> HttpResponse {
    if found.state == State::Prepared
        && !cluster.profile.commits_after_failover()
        && cluster.memory.is_older_than_frontend(found.id)
    {
        return frontend_failed(&format!("Failed to commit txn when callback {} could not be found", found.id));
    }
    let found = match cluster.commit(found.id).await {
        Ok(committed) => return wait_published(cluster, &committed, publish_wait).await,
        Err(StepError::Refused(StepRefused::In(now))) => now,
        Err(StepError::Refused(StepRefused::Unknown)) => {
            return frontend_failed(&format!(
                "No transaction found with db[{}] and label[{}]",
                found.database, found.label
            ));
        }
        Err(error @ (StepError::Store(_) | StepError::NoLeader(_) | StepError::Forced(_))) => {
            return frontend_failed(&error.to_string());
        }
    };
    let Transaction { id, label, state, .. } = found.as_ref();
    match state {
        State::Committed | State::Visible => {
            frontend_ok(label, *id, &format!("Transaction {id} has already committed, label is {label}"))
        }
        State::Prepare | State::Prepared | State::Aborted => {
            frontend_failed(&format!("Can not commit {} transaction {id}, label is {label}", state.name()))
        }
    }
}

async fn wait_published(cluster: &Cluster, committed: &Transaction, wait: Option<Duration>) -> HttpResponse {
    let wait = wait.unwrap_or(cluster.settings.publish_wait);
    if cluster.wait_visible(committed.id, wait).await {
        return frontend_ok(&committed.label, committed.id, "");
    }
    frontend_failed(&format!("publish timeout: {}, transactionId={}", wait.as_millis(), committed.id))
}

async fn rollback(cluster: &Cluster, found: Transaction) -> HttpResponse {
    let found = match cluster.abort(found.id, "User Aborted").await {
        Ok(aborted) => return frontend_ok(&aborted.label, aborted.id, ""),
        Err(StepError::Refused(StepRefused::In(now))) => now,
        Err(StepError::Refused(StepRefused::Unknown)) => {
            return frontend_failed(&format!(
                "No transaction found with db[{}] and label[{}]",
                found.database, found.label
            ));
        }
        Err(error @ (StepError::Store(_) | StepError::NoLeader(_) | StepError::Forced(_))) => {
            return frontend_failed(&error.to_string());
        }
    };
    let Transaction { id, label, state, .. } = found.as_ref();
    match state {
        State::Aborted => frontend_ok(label, *id, &format!("Transaction {id} has already aborted, label is {label}")),
        State::Prepare | State::Prepared | State::Committed | State::Visible => {
            frontend_failed(&format!("Can not abort {} transaction {id}, label is {label}", state.name()))
        }
    }
}

async fn state(cluster: &Cluster, database: &str, label: &str) -> HttpResponse {
    if label.is_empty() {
        return rest_failed("No label selected");
    }
    if !cluster.has_database(database) {
        return rest_failed(&format!("unknown database, database={database}"));
    }
    let found = cluster.newest(database, label).await;
    let (name, reason) = found.map_or(("UNKNOWN", String::new()), |t| (t.state.name(), t.reason));
    let body = Object::new().with("state", name);
    json(&rest_ok(if cluster.profile.tells_abort_reason() { body.with("reason", reason) } else { body }))
}

async fn cancel(cluster: &Cluster, database: &str, label: &str) -> HttpResponse {
    let newest = cluster.newest(database, label).await.filter(|t| t.state == State::Prepare);
    let Some(found) = newest else {
        return json(&rest_failure(&format!("transaction not found: {label}")));
    };
    match cluster.abort(found.id, "user cancel").await {
        Ok(_) => json(&rest_ok(Object::new())),
        Err(StepError::Refused(_)) => json(&rest_failure(&format!("transaction not found: {label}"))),
        Err(error @ (StepError::Store(_) | StepError::NoLeader(_) | StepError::Forced(_))) => {
            json(&rest_failure(&error.to_string()))
        }
    }
}

fn rest_ok(body: Object) -> Object {
    body.with("status", "OK").with("code", "0").with("msg", "Success").with("message", "OK")
}
