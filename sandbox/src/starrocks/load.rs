//! A StarRocks backend's bodies: `load` of the transaction interface and plain `_stream_load`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::HeaderMap;

use super::backend::{begin_refused, context, error_url, give_up, in_processing, refuse_login, seconds};
use super::memory::{Context, Work};
use super::{backend_failed, backend_reply, status};
use crate::cluster::Cluster;
use crate::http::{HangUp, HttpRequest, HttpResponse, Object, content_length, garbled, header};
use crate::loader::Loader;
use crate::nodes::Backend;
use crate::options::{Door, LoadOptions};
use crate::plan::{Plan, now_text};
use crate::profile::Profile;
use crate::pump::{BodyEnd, pump};
use crate::table::{EngineKind, Table};
use crate::transactions::{Begin, BeginRefused, Coordinator, Counts, Transaction};

/// A load that is refused when its headers have arrived.
struct Refusal {
    code: &'static str,
    message: String,
    /// False where the transaction stays as it was.
    aborts: bool,
}

fn refusal(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into(), aborts: true }
}

/// One body of a label.
pub(super) async fn load(cluster: &Arc<Cluster>, own: Backend, request: HttpRequest) -> Result<HttpResponse, HangUp> {
    let headers = request.headers().clone();
    let context = match context(cluster, own, &headers) {
        Ok(context) => context,
        Err(refusal) => return Ok(backend_reply(&refusal)),
    };
    let Ok(mut work) = context.work.try_lock() else { return Ok(in_processing(&context)) };
    if let Err(Refusal { code, message, aborts }) = admit(cluster, &headers, &context, &mut work) {
        if aborts {
            give_up(cluster, &context.transaction, &message).await;
        }
        return Ok(backend_failed(code, &message));
    }
    let started = Instant::now();
    let Work { loader: Some(loader), is_broken, .. } = &mut *work else { return Err(HangUp) };
    let before = loader.counts().bytes;
    let end = pump(cluster, own, request.into_body(), loader, &context.transaction, &context.table).await;
    let bytes = loader.counts().bytes - before;
    context.touch(cluster.clock.now_ms());
    match end {
        BodyEnd::Whole => {
            let body = status("OK", "")
                .with("Label", &*context.transaction.label)
                .with("TxnId", context.transaction.id)
                .with("LoadBytes", bytes)
                .with("StreamLoadPlanTimeMs", 0)
                .with("ReceivedDataTimeMs", millis(started));
            Ok(backend_reply(&body))
        }
        BodyEnd::Broken => {
            *is_broken = true;
            Err(HangUp)
        }
        BodyEnd::Garbled => {
            *is_broken = true;
            Ok(garbled())
        }
        BodyEnd::Lost => Err(HangUp),
        BodyEnd::Refused(message) => {
            give_up(cluster, &context.transaction, &message).await;
            Ok(backend_failed("INTERNAL_ERROR", &message))
        }
    }
}

/// What can be told from the headers; makes the loader of a label's first load.
fn admit(cluster: &Cluster, headers: &HeaderMap, context: &Context, work: &mut Work) -> Result<(), Refusal> {
    for (name, what, own) in
        [("db", "database", &context.transaction.database), ("table", "table", &context.transaction.table)]
    {
        let asked = header(headers, name).unwrap_or_default();
        if asked != own {
            let message = format!("Request {what} {asked} not equal transaction {what} {own}");
            return Err(Refusal { code: "INVALID_ARGUMENT", message, aborts: false });
        }
    }
    if work.is_broken {
        return Err(Refusal { code: "ABORTED", message: "current transaction is aborted".to_owned(), aborts: false });
    }
    let options = LoadOptions::read(Door::Transaction, headers).map_err(|m| refusal("INTERNAL_ERROR", m))?;
    check_size(cluster, headers, &options, &mut work.json_bytes).map_err(|m| refusal("INTERNAL_ERROR", m))?;
    match &work.first {
        Some(first) if first.compared != options.compared => {
            return Err(refusal("INTERNAL_ERROR", "load request not equal last."));
        }
        Some(_) => {}
        None => {
            // The leader plans the load.
            cluster.leader_answers().map_err(|m| refusal("THRIFT_RPC_ERROR", m))?;
            let loader = loader(cluster, &context.table, Door::Transaction, &options)
                .map_err(|m| refusal("ANALYSIS_ERROR", m))?;
            work.loader = Some(loader);
            work.first = Some(options);
        }
    }
    Ok(())
}

fn loader(cluster: &Cluster, table: &Arc<Table>, door: Door, options: &LoadOptions) -> Result<Loader, String> {
    let plan = if cluster.settings.discard {
        None
    } else {
        let now = now_text(options, cluster.clock.now_ms());
        Some(Plan::new(EngineKind::StarRocks, Arc::clone(table), options, &now)?)
    };
    Ok(Loader::new(door, options, plan))
}

/// Bodies that tell their length are added up over all loads of a label; chunked ones aren't counted.
fn check_size(
    cluster: &Cluster,
    headers: &HeaderMap,
    options: &LoadOptions,
    json_bytes: &mut u64,
) -> Result<(), String> {
    let length = content_length(headers).unwrap_or(0);
    let max = cluster.settings.body_max_bytes;
    if length > max {
        return Err(format!(
            "body size {length} exceed limit: {max}, you can increase streaming_load_max_mb in be.conf"
        ));
    }
    if !options.is_json() {
        return Ok(());
    }
    *json_bytes += length;
    let max = cluster.settings.json_max_bytes;
    if *json_bytes > max && !options.ignore_json_size {
        return Err(format!(
            "The size of this batch exceed the max size [{max}]  of json type data  data [ {json_bytes} ]. Set \
             ignore_json_size to skip the check, although it may lead huge memory consuming."
        ));
    }
    Ok(())
}

/// `_stream_load`: begin, load and commit in one request.
pub(super) async fn stream_load(
    cluster: &Arc<Cluster>,
    own: Backend,
    request: HttpRequest,
    database: &str,
    table_name: &str,
) -> Result<HttpResponse, HangUp> {
    let headers = request.headers().clone();
    if refuse_login(cluster.login(&headers)).is_some() {
        return Ok(backend_reply(&outcome(-1, "", "Fail", "no valid Basic authorization", Counts::default())));
    }
    let label = header(&headers, "label").map_or_else(|| cluster.fresh_label(), str::to_owned);
    let fail = |id: i64, message: &str, counts| backend_reply(&outcome(id, &label, "Fail", message, counts));
    let none = Counts::default();
    if !super::is_label(&label) {
        let message = format!("Label format error. regex: ^[-\\w]{{1,128}}$, label: {label}");
        return Ok(fail(-1, &message, none));
    }
    let Some(table) = cluster.table(database, table_name) else {
        return Ok(fail(-1, &format!("unknown table \"{database}.{table_name}\""), none));
    };
    let timeout = match seconds(&headers, "timeout") {
        Ok(seconds) => seconds.map_or(cluster.settings.load_timeout, Duration::from_secs),
        Err(refusal) => return Ok(backend_reply(&refusal)),
    };
    let coordinator = Coordinator::Backend(own.index);
    let begin = Begin { database, table: table_name, label: &label, coordinator, timeout };
    let transaction = match cluster.begin(&begin) {
        Ok(transaction) => transaction,
        Err(refused) => return Ok(label_used(cluster.profile, &label, &refused)),
    };
    let id = transaction.id;
    let mut loader = match one_shot_loader(cluster, &headers, &table) {
        Ok(loader) => loader,
        Err(message) => {
            give_up(cluster, &transaction, &message).await;
            return Ok(fail(id, &message, none));
        }
    };
    let end = pump(cluster, own, request.into_body(), &mut loader, &transaction, &table).await;
    let failure = match end {
        BodyEnd::Whole => loader.verdict().err().or_else(|| empty(&loader)),
        BodyEnd::Lost => return Err(HangUp),
        BodyEnd::Garbled => {
            give_up(cluster, &transaction, "Cancelled: the body is garbled").await;
            return Ok(garbled());
        }
        BodyEnd::Broken => Some("Cancelled: the body ended too early".to_owned()),
        BodyEnd::Refused(message) => Some(message),
    };
    let url = error_url(cluster, own, id, Some(&loader));
    let with_url = |body: Object| match &url {
        Some(url) => body.with("ErrorURL", url.as_str()),
        None => body,
    };
    if let Some(message) = failure {
        give_up(cluster, &transaction, &message).await;
        return Ok(backend_reply(&with_url(outcome(id, &label, "Fail", &message, loader.counts()))));
    }
    let (status, message) = commit(cluster, &transaction, loader.counts()).await;
    Ok(backend_reply(&with_url(outcome(id, &label, status, &message, loader.counts()))))
}

/// `empty_load_as_error` is true by default.
fn empty(loader: &Loader) -> Option<String> {
    (loader.counts().loaded == 0)
        .then(|| "No rows were imported from upstream, please check the source data".to_owned())
}

async fn commit(cluster: &Arc<Cluster>, transaction: &Transaction, counts: Counts) -> (&'static str, String) {
    let id = transaction.id;
    if let Err(error) = cluster.prepare(id, counts, cluster.settings.prepared_timeout).await {
        return ("Fail", error.to_string());
    }
    match cluster.commit(id).await {
        Err(error) => ("Fail", error.to_string()),
        Ok(_) if cluster.wait_visible(id, cluster.settings.publish_wait).await => ("Success", "OK".to_owned()),
        Ok(_) => ("Publish Timeout", "The data will be visible after a while".to_owned()),
    }
}

fn one_shot_loader(cluster: &Cluster, headers: &HeaderMap, table: &Arc<Table>) -> Result<Loader, String> {
    let options = LoadOptions::read(Door::StreamLoad, headers)?;
    check_size(cluster, headers, &options, &mut 0)?;
    loader(cluster, table, Door::StreamLoad, &options)
}

fn label_used(profile: Profile, label: &str, refused: &BeginRefused) -> HttpResponse {
    let (code, job, message) = begin_refused(profile, label, refused);
    let status = if code == "LABEL_ALREADY_EXISTS" { "Label Already Exists" } else { "Fail" };
    let body = Object::new().with("TxnId", -1).with("Label", label).with("Status", status);
    let body = if job.is_empty() { body } else { body.with("ExistingJobStatus", job) };
    backend_reply(&body.with("Message", message))
}

fn outcome(id: i64, label: &str, status: &str, message: &str, counts: Counts) -> Object {
    Object::new()
        .with("TxnId", id)
        .with("Label", label)
        .with("Status", status)
        .with("Message", message)
        .with("NumberTotalRows", counts.total)
        .with("NumberLoadedRows", counts.loaded)
        .with("NumberFilteredRows", counts.filtered)
        .with("NumberUnselectedRows", counts.unselected)
        .with("LoadBytes", counts.bytes)
        .with("LoadTimeMs", 0)
        .with("BeginTxnTimeMs", 0)
        .with("StreamLoadPlanTimeMs", 0)
        .with("ReadDataTimeMs", 0)
        .with("WriteDataTimeMs", 0)
        .with("CommitAndPublishTimeMs", 0)
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
