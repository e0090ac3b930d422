//! A StarRocks backend: holds the context of each label from begin to prepare.

use std::sync::Arc;
use std::time::Duration;

use hyper::{HeaderMap, Method, StatusCode};

use super::memory::{Context, Work};
use super::{backend_failed, backend_reply, job_status, load, other_mode, status};
use crate::auth::Login;
use crate::cluster::{Cluster, StepError};
use crate::faults::{Asked, Call, Node, under};
use crate::http::{HangUp, HttpRequest, HttpResponse, Object, header, path_pieces, query_parameter, text};
use crate::loader::Loader;
use crate::nodes::Backend;
use crate::profile::Profile;
use crate::transactions::{Begin, BeginRefused, Coordinator, Counts, StepRefused, Transaction};

/// Longest life of a transaction (`max_stream_load_timeout_second`).
const TIMEOUT_MAX_SECONDS: u64 = 259_200;

/// Answers a request.
pub(crate) async fn answer(cluster: Arc<Cluster>, own: Backend, request: HttpRequest) -> Result<HttpResponse, HangUp> {
    let pieces = path_pieces(&request);
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let put = request.method() == Method::PUT;
    let call = match (request.method(), pieces.as_slice()) {
        (&Method::GET, ["api", "_load_error_log"]) => return Ok(error_log(&cluster, &request)),
        (&Method::PUT, ["api", _, _, "_stream_load"]) => Call::Load,
        (&Method::POST | &Method::PUT, ["api", "transaction", op]) => match *op {
            "begin" => Call::Begin,
            "load" if put => Call::Load,
            "prepare" => Call::Prepare,
            "commit" => Call::Commit,
            "rollback" => Call::Rollback,
            other => {
                let message = format!("unsupport transaction operation {other}");
                return Ok(backend_failed("INVALID_ARGUMENT", &message));
            }
        },
        _ => return Ok(text(StatusCode::NOT_FOUND, "Not Found")),
    };
    let asked = Asked::of(&request);
    let refuse = |code: Option<&str>, message: &str| backend_failed(code.unwrap_or("INTERNAL_ERROR"), message);
    under(&cluster, asked.acts(call, Node::Backend, own.index), refuse, async {
        let headers = request.headers().clone();
        match call {
            Call::Load => match pieces.as_slice() {
                ["api", database, table, _] => load::stream_load(&cluster, own, request, database, table).await,
                _ => load::load(&cluster, own, request).await,
            },
            Call::Begin => Ok(begin(&cluster, own, &headers)),
            Call::Prepare => Ok(prepare(&cluster, own, &headers).await),
            Call::Commit => Ok(commit(&cluster, own, &headers).await),
            Call::Rollback => Ok(rollback(&cluster, own, &headers).await),
            Call::State | Call::Cancel | Call::Query => Ok(text(StatusCode::NOT_FOUND, "Not Found")),
        }
    })
    .await
}

fn error_log(cluster: &Cluster, request: &HttpRequest) -> HttpResponse {
    match query_parameter(request, "file").and_then(|file| cluster.error_logs.get(&file)) {
        Some(log) => text(StatusCode::OK, log),
        None => text(StatusCode::NOT_FOUND, "No such error log"),
    }
}

/// What the frontend says to a backend that begins for this user.
pub(super) fn refuse_login(login: Login) -> Option<HttpResponse> {
    match login {
        Login::Granted => None,
        Login::Missing => Some(backend_failed("INTERNAL_ERROR", "no valid Basic authorization")),
        Login::Denied(user) => {
            Some(backend_failed("ANALYSIS_ERROR", &format!("Access denied for user '{user}' (using password: YES)")))
        }
    }
}

/// A header in whole seconds within the frontend's limits.
pub(super) fn seconds(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Object> {
    let Some(value) = header(headers, name) else { return Ok(None) };
    match value.parse::<u64>() {
        Ok(seconds @ 1..=TIMEOUT_MAX_SECONDS) => Ok(Some(seconds)),
        Ok(other) => {
            let text = format!("Invalid timeout: {other}. Timeout should between 1 and {TIMEOUT_MAX_SECONDS} seconds");
            Err(status("ANALYSIS_ERROR", &text))
        }
        Err(_) => Err(status("INVALID_ARGUMENT", &format!("Invalid {name}: {value}"))),
    }
}

/// The answer to a label or a database that can't begin.
pub(super) fn begin_refused(
    profile: Profile,
    label: &str,
    refused: &BeginRefused,
) -> (&'static str, &'static str, String) {
    match refused {
        BeginRefused::LabelUsed { .. } if profile.duplicate_label_is_analysis_error() => {
            ("ANALYSIS_ERROR", "", format!("Label [{label}] has already been used."))
        }
        BeginRefused::LabelUsed { state, .. } => {
            ("LABEL_ALREADY_EXISTS", job_status(*state), format!("Label [{label}] has already been used."))
        }
        BeginRefused::NoLeader(message) => ("THRIFT_RPC_ERROR", "", message.clone()),
        BeginRefused::TooMany { running, limit } => {
            ("ANALYSIS_ERROR", "", format!("current running txns on db 10001 is {running}, larger than limit {limit}"))
        }
    }
}

fn begin(cluster: &Cluster, own: Backend, headers: &HeaderMap) -> HttpResponse {
    if let Some(refusal) = refuse_login(cluster.login(headers)) {
        return refusal;
    }
    if let Some(mode) = other_mode(headers) {
        let message = format!("the sandbox does not imitate the header {mode}");
        return backend_failed("INVALID_ARGUMENT", &message);
    }
    let get = |name| header(headers, name).unwrap_or_default();
    let (label, database, table_name) = (get("label"), get("db"), get("table"));
    if !super::is_label(label) {
        let message = format!("Label format error. regex: ^[-\\w]{{1,128}}$, label: {label}");
        return backend_failed("ANALYSIS_ERROR", &message);
    }
    if cluster.memory.context(own, label).is_some() {
        let body = status("LABEL_ALREADY_EXISTS", "").with("Label", label).with("ExistingJobStatus", "");
        return backend_reply(&body);
    }
    let Some(table) = cluster.table(database, table_name) else {
        return backend_failed("ANALYSIS_ERROR", &format!("unknown table \"{database}.{table_name}\""));
    };
    let (timeout, idle) = match (seconds(headers, "timeout"), seconds(headers, "idle_transaction_timeout")) {
        (Ok(timeout), Ok(idle)) => (timeout, idle),
        (Err(refusal), _) | (_, Err(refusal)) => return backend_reply(&refusal),
    };
    let timeout = timeout.map_or(cluster.settings.load_timeout, Duration::from_secs);
    let coordinator = Coordinator::Backend(own.index);
    match cluster.begin(&Begin { database, table: table_name, label, coordinator, timeout }) {
        Ok(transaction) => {
            let body = status("OK", "").with("Label", label).with("TxnId", transaction.id).with("BeginTxnTimeMs", 0);
            let idle_ms = idle.map(|s| i64::try_from(s * 1000).unwrap_or(i64::MAX));
            cluster.memory.add(own, Context::new(transaction, table, idle_ms));
            backend_reply(&body)
        }
        Err(refused) => {
            let (code, job, message) = begin_refused(cluster.profile, label, &refused);
            let body = status(code, &message).with("Label", label);
            backend_reply(&if job.is_empty() { body } else { body.with("ExistingJobStatus", job) })
        }
    }
}

/// The context that a call names, if it may go on.
pub(super) fn context(cluster: &Cluster, own: Backend, headers: &HeaderMap) -> Result<Arc<Context>, Object> {
    let label = header(headers, "label").unwrap_or_default();
    let Some(context) = cluster.memory.context(own, label) else {
        let message = format!("transaction with label {label} not exists");
        return Err(status("TXN_NOT_EXISTS", &message));
    };
    if context.is_expired(cluster.clock.now_ms()) {
        return Err(status("ABORTED", "The load is timeout, and will be aborted"));
    }
    Ok(context)
}

/// The answer while another call holds the label.
pub(super) fn in_processing(context: &Context) -> HttpResponse {
    let body = status("TXN_IN_PROCESSING", "Transaction is in processing").with("Label", &*context.transaction.label);
    backend_reply(&body)
}

/// Gives a label up: its transaction is aborted, its context dropped.
pub(super) async fn give_up(cluster: &Cluster, transaction: &Transaction, reason: &str) {
    if let Err(StepError::Store(error)) = cluster.abort(transaction.id, reason).await {
        tracing::error!(id = transaction.id, %error, "a failed load could not be aborted");
    }
    cluster.memory.remove(transaction);
    cluster.drop_rows_if_over(transaction);
}

/// What stands in the way of a prepare: status, message.
fn obstacle(work: &Work) -> Option<(&'static str, String)> {
    let Some(loader) = &work.loader else {
        return Some(("INTERNAL_ERROR", "transaction hasn't send any data yet".to_owned()));
    };
    if work.is_broken {
        return Some(("CANCELLED", "Cancelled: a load of this transaction ended before its body did".to_owned()));
    }
    if let Err(message) = loader.verdict() {
        return Some(("INTERNAL_ERROR", message));
    }
    if loader.counts().loaded == 0 {
        let message = "No rows were imported from upstream, please check the source data and the filter conditions";
        return Some(("ANALYSIS_ERROR", message.to_owned()));
    }
    None
}

/// `http://backend/api/_load_error_log?file=…` of a load's rejected rows, if it has any.
pub(super) fn error_url(cluster: &Cluster, own: Backend, id: i64, loader: Option<&Loader>) -> Option<String> {
    let lines = loader.map(Loader::error_log).filter(|lines| !lines.is_empty())?;
    let file = cluster.error_logs.keep(id, lines);
    Some(format!("http://{}/api/_load_error_log?file={file}", own.http))
}

/// The counts of a prepared or committed load.
fn counted(body: Object, counts: Counts) -> Object {
    body.with("NumberTotalRows", counts.total)
        .with("NumberLoadedRows", counts.loaded)
        .with("NumberFilteredRows", counts.filtered)
        .with("NumberUnselectedRows", counts.unselected)
        .with("LoadBytes", counts.bytes)
        .with("LoadTimeMs", 0)
        .with("StreamLoadPlanTimeMs", 0)
        .with("ReceivedDataTimeMs", 0)
        .with("WriteDataTimeMs", 0)
        .with("CommitAndPublishTimeMs", 0)
}

async fn prepare(cluster: &Cluster, own: Backend, headers: &HeaderMap) -> HttpResponse {
    let context = match context(cluster, own, headers) {
        Ok(context) => context,
        Err(refusal) => return backend_reply(&refusal),
    };
    let Ok(mut work) = context.work.try_lock() else { return in_processing(&context) };
    let life = match header(headers, "prepared_timeout") {
        None => cluster.settings.prepared_timeout,
        Some(text) => match text.parse::<u64>() {
            Ok(seconds @ 1..) => Duration::from_secs(seconds),
            _ => return backend_failed("INVALID_ARGUMENT", &format!("Invalid prepared_timeout: {text}")),
        },
    };
    match finish(cluster, own, &context, &mut work, life).await {
        Ok((_, body)) => backend_reply(&body),
        Err(refusal) => backend_reply(&refusal),
    }
}

/// Prepares a label; its context is gone afterwards, whatever came of it.
async fn finish(
    cluster: &Cluster,
    own: Backend,
    context: &Context,
    work: &mut Work,
    life: Duration,
) -> Result<(Transaction, Object), Object> {
    let transaction = &context.transaction;
    if let Some(loader) = work.loader.as_mut() {
        loader.finish();
        if let Some(chunk) = loader.take_chunk(true) {
            cluster.append(transaction, &context.table, chunk).await;
        }
    }
    let url = error_url(cluster, own, transaction.id, work.loader.as_ref());
    let with_url = |body: Object| match &url {
        Some(url) => body.with("ErrorURL", url.as_str()),
        None => body,
    };
    if let Some((code, message)) = obstacle(work) {
        give_up(cluster, transaction, &message).await;
        return Err(with_url(status(code, &message)));
    }
    let counts = work.loader.as_ref().map(Loader::counts).unwrap_or_default();
    match cluster.prepare(transaction.id, counts, life).await {
        Ok(prepared) => {
            cluster.memory.remove(transaction);
            let body = status("OK", "").with("Label", &*prepared.label).with("TxnId", prepared.id);
            Ok((prepared, with_url(counted(body, counts))))
        }
        // The backend doesn't know what became of its call to the frontend.
        Err(StepError::NoLeader(message) | StepError::Forced(message)) => {
            give_up(cluster, transaction, &message).await;
            Err(status("THRIFT_RPC_ERROR", &message))
        }
        Err(error) => {
            let message = match error {
                StepError::Refused(StepRefused::Unknown) => format!("transaction not found: {}", transaction.id),
                StepError::Refused(StepRefused::In(now)) => {
                    format!("transaction {} is already {}. abort reason: {}", now.id, now.state.name(), now.reason)
                }
                StepError::Store(_) | StepError::NoLeader(_) | StepError::Forced(_) => error.to_string(),
            };
            give_up(cluster, transaction, &message).await;
            Err(status("ANALYSIS_ERROR", &message))
        }
    }
}

/// Commit of a label that was never prepared: one phase.
async fn commit(cluster: &Arc<Cluster>, own: Backend, headers: &HeaderMap) -> HttpResponse {
    let context = match context(cluster, own, headers) {
        Ok(context) => context,
        Err(refusal) => return backend_reply(&refusal),
    };
    let Ok(mut work) = context.work.try_lock() else { return in_processing(&context) };
    let (prepared, body) = match finish(cluster, own, &context, &mut work, cluster.settings.prepared_timeout).await {
        Ok(prepared) => prepared,
        Err(refusal) => return backend_reply(&refusal),
    };
    match cluster.commit(prepared.id).await {
        Ok(committed) if cluster.wait_visible(committed.id, cluster.settings.publish_wait).await => {
            backend_reply(&body)
        }
        Ok(_) => backend_failed(
            "PUBLISH_TIMEOUT",
            "Publish timeout. The data will be visible after a while, transaction is committed",
        ),
        Err(error) => backend_failed("ANALYSIS_ERROR", &error.to_string()),
    }
}

async fn rollback(cluster: &Cluster, own: Backend, headers: &HeaderMap) -> HttpResponse {
    let label = header(headers, "label").unwrap_or_default();
    let Some(context) = cluster.memory.context(own, label) else {
        let message = format!("transaction with label {label} not exists");
        return backend_failed("TXN_NOT_EXISTS", &message);
    };
    let Ok(_work) = context.work.try_lock() else { return in_processing(&context) };
    if let Err(message) = cluster.leader_answers() {
        return backend_failed("THRIFT_RPC_ERROR", &message);
    }
    give_up(cluster, &context.transaction, "User Aborted").await;
    backend_reply(&status("OK", "").with("Label", label))
}
