//! A Doris backend: one PUT is begin, load and pre-commit (or commit).

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::{HeaderMap, Method, StatusCode};

use super::{DETAIL, backend_reply, is_label, state_name, two_phase};
use crate::auth::Login;
use crate::cluster::{Cluster, StepError};
use crate::faults::{Asked, Call, Node, under};
use crate::http::{
    HangUp, HttpRequest, HttpResponse, Object, content_length, garbled, header, is_chunked, path_pieces,
    query_parameter, text,
};
use crate::json_rows::Framing;
use crate::loader::Loader;
use crate::nodes::Backend;
use crate::options::{Door, Format, LoadOptions};
use crate::plan::{Plan, now_text};
use crate::pump::{BodyEnd, pump};
use crate::table::{EngineKind, Table};
use crate::transactions::{Begin, BeginRefused, Coordinator, Counts, State, StepRefused, Transaction};

/// Longest life of a transaction (`max_stream_load_timeout_second`).
const TIMEOUT_MAX_SECONDS: u64 = 259_200;

/// Code of a call to a frontend that can't be made.
pub(super) const NO_LEADER: &str = "THRIFT_RPC_ERROR";

/// Answers a request.
pub(crate) async fn answer(cluster: Arc<Cluster>, own: Backend, request: HttpRequest) -> Result<HttpResponse, HangUp> {
    let asked = Asked::of(&request);
    let pieces = path_pieces(&request);
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    match (request.method(), pieces.as_slice()) {
        (&Method::GET, ["api", "_load_error_log"]) => {
            Ok(match query_parameter(&request, "file").and_then(|file| cluster.error_logs.get(&file)) {
                Some(log) => text(StatusCode::OK, log),
                None => text(StatusCode::NOT_FOUND, "No such error log"),
            })
        }
        (&Method::PUT, ["api", database, table, "_stream_load"]) => {
            let reply = Reply::of(request.headers(), &cluster);
            let refuse = |status: Option<&str>, message: &str| {
                backend_reply(&reply.body(-1, status.unwrap_or("Fail"), message, Counts::default()))
            };
            let load = Load { cluster: &cluster, own, reply: &reply };
            under(&cluster, asked.acts(Call::Load, Node::Backend, own.index), refuse, async {
                load.run(request, database, table).await
            })
            .await
        }
        (&Method::PUT, ["api", database, "_stream_load_2pc"] | ["api", database, _, "_stream_load_2pc"]) => {
            two_phase::answer(&cluster, own, &asked, database, request.headers()).await
        }
        _ => Ok(text(StatusCode::NOT_FOUND, "Not Found")),
    }
}

/// What every answer to a load repeats.
struct Reply {
    label: String,
    comment: String,
    two_phases: bool,
}

impl Reply {
    fn of(headers: &HeaderMap, cluster: &Cluster) -> Self {
        Self {
            label: header(headers, "label").map_or_else(|| cluster.fresh_label(), str::to_owned),
            comment: header(headers, "comment").unwrap_or_default().to_owned(),
            two_phases: header(headers, "two_phase_commit") == Some("true"),
        }
    }

    fn head(&self, id: i64, status: &str) -> Object {
        Object::new()
            .with("TxnId", id)
            .with("Label", &*self.label)
            .with("Comment", &*self.comment)
            .with("TwoPhaseCommit", if self.two_phases { "true" } else { "false" })
            .with("Status", status)
    }

    fn body(&self, id: i64, status: &str, message: &str, counts: Counts) -> Object {
        counted(self.head(id, status).with("Message", message), counts, 0)
    }
}

fn counted(body: Object, counts: Counts, load_ms: u64) -> Object {
    body.with("NumberTotalRows", counts.total)
        .with("NumberLoadedRows", counts.loaded)
        .with("NumberFilteredRows", counts.filtered)
        .with("NumberUnselectedRows", counts.unselected)
        .with("LoadBytes", counts.bytes)
        .with("LoadTimeMs", load_ms)
        .with("BeginTxnTimeMs", 0)
        .with("StreamLoadPutTimeMs", 0)
        .with("ReadDataTimeMs", 0)
        .with("WriteDataTimeMs", 0)
        .with("ReceiveDataTimeMs", 0)
        .with("CommitAndPublishTimeMs", 0)
}

/// A load under way.
struct Load<'a> {
    cluster: &'a Arc<Cluster>,
    own: Backend,
    reply: &'a Reply,
}

impl Load<'_> {
    fn fail(&self, id: i64, code: &str, message: &str) -> Object {
        self.reply.body(id, "Fail", &format!("[{code}]{message}"), Counts::default())
    }

    async fn run(&self, request: HttpRequest, database: &str, table: &str) -> Result<HttpResponse, HangUp> {
        let cluster = self.cluster;
        let headers = request.headers().clone();
        let options = match self.admit(&headers) {
            Ok(options) => options,
            Err(refusal) => return Ok(backend_reply(&refusal)),
        };
        let (transaction, table) = match self.begin(&headers, database, table) {
            Ok(begun) => begun,
            Err(refusal) => return Ok(backend_reply(&refusal)),
        };
        if cluster.settings.is_cloud && self.reply.two_phases && table.merge_on_write {
            let message = "stream load 2pc is unsupported for mow table";
            self.roll_back(&transaction, message).await;
            return Ok(backend_reply(&self.fail(transaction.id, "NOT_IMPLEMENTED_ERROR", message)));
        }
        let mut loader = match loader(cluster, &table, &options) {
            Ok(loader) => loader,
            Err(message) => {
                self.roll_back(&transaction, &message).await;
                let body = self.fail(transaction.id, "ANALYSIS_ERROR", &format!("{DETAIL}{message}"));
                return Ok(backend_reply(&body));
            }
        };
        let started = Instant::now();
        let end = pump(cluster, self.own, request.into_body(), &mut loader, &transaction, &table).await;
        let failure = match end {
            BodyEnd::Whole => loader.verdict().err().map(|message| format!("[DATA_QUALITY_ERROR]{message}")),
            // A backend that dies rolls nothing back.
            BodyEnd::Lost => return Err(HangUp),
            BodyEnd::Garbled => {
                self.roll_back(&transaction, "the body is garbled").await;
                return Ok(garbled());
            }
            BodyEnd::Broken => Some("[INTERNAL_ERROR]cancelled: sender is gone".to_owned()),
            BodyEnd::Refused(message) => Some(message),
        };
        let (status, message) = match failure {
            Some(message) => {
                self.roll_back(&transaction, &message).await;
                ("Fail", message)
            }
            None => self.finish(&transaction, loader.counts()).await,
        };
        let load_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let head = self.reply.head(transaction.id, status).with("Message", message);
        Ok(backend_reply(&self.with_errors(counted(head, loader.counts(), load_ms), transaction.id, &loader)))
    }

    /// What can be told from the headers alone.
    fn admit(&self, headers: &HeaderMap) -> Result<LoadOptions, Object> {
        match self.cluster.login(headers) {
            Login::Granted => {}
            Login::Missing => return Err(self.fail(-1, "NOT_AUTHORIZED", "no valid Basic authorization")),
            Login::Denied(user) => {
                let message = format!("{DETAIL}Access denied for user '{user}' (using password: YES)");
                return Err(self.fail(-1, "NOT_AUTHORIZED", &message));
            }
        }
        let invalid = |message: &str| Err(self.fail(-1, "INVALID_ARGUMENT", message));
        let length = content_length(headers);
        if length.is_none() && !is_chunked(headers) {
            return invalid(
                "content_length is empty and transfer-encoding!=chunked, please set content_length or \
                 transfer-encoding=chunked",
            );
        }
        self.check_group_commit(headers)?;
        let options =
            LoadOptions::read(Door::Doris, headers).map_err(|message| self.fail(-1, "INTERNAL_ERROR", &message))?;
        let size = length.unwrap_or(0);
        let (max, json_max) = (self.cluster.settings.body_max_bytes, self.cluster.settings.json_max_bytes);
        if size > max {
            return invalid(&format!("body size {size} exceed BE's conf `streaming_load_max_mb` {max}"));
        }
        let is_whole = matches!(options.format, Format::Json { framing: Framing::Array, .. });
        if is_whole && size > json_max {
            return invalid(&format!("json body size {size} exceed BE's conf `streaming_load_json_max_mb` {json_max}"));
        }
        Ok(options)
    }

    /// Two phases turn group commit off; else it makes the label itself.
    fn check_group_commit(&self, headers: &HeaderMap) -> Result<(), Object> {
        let mode = header(headers, "group_commit").filter(|mode| !mode.eq_ignore_ascii_case("off_mode"));
        let Some(mode) = mode.filter(|_| !self.reply.two_phases) else { return Ok(()) };
        let message = match header(headers, "label") {
            Some(_) => "label and group_commit can't be set at the same time".to_owned(),
            None => format!("the sandbox does not imitate the header group_commit: {mode}"),
        };
        Err(self.fail(-1, "INVALID_ARGUMENT", &message))
    }

    fn begin(
        &self,
        headers: &HeaderMap,
        database: &str,
        table_name: &str,
    ) -> Result<(Transaction, Arc<Table>), Object> {
        let cluster = self.cluster;
        let label = self.reply.label.as_str();
        let refused = |detail: String| self.fail(-1, "ANALYSIS_ERROR", &format!("{DETAIL}{detail}"));
        if !is_label(label) {
            return Err(refused(format!("Label format error. regex: ^[-_A-Za-z0-9:]{{1,128}}$, label: {label}")));
        }
        if !cluster.has_database(database) {
            return Err(refused(format!("unknown database, database={database}")));
        }
        let Some(table) = cluster.table(database, table_name) else {
            return Err(refused(format!("table not found, table={table_name}")));
        };
        let timeout = match header(headers, "timeout").map(|t| (t, t.parse::<u64>())) {
            None => cluster.settings.load_timeout,
            Some((_, Ok(seconds @ 1..=TIMEOUT_MAX_SECONDS))) => Duration::from_secs(seconds),
            Some((text, _)) => {
                let limits = format!("Timeout should between 1 and {TIMEOUT_MAX_SECONDS} seconds");
                return Err(refused(format!("Invalid timeout: {text}. {limits}")));
            }
        };
        let coordinator = Coordinator::Backend(self.own.index);
        match cluster.begin(&Begin { database, table: table_name, label, coordinator, timeout }) {
            Ok(transaction) => Ok((transaction, table)),
            Err(BeginRefused::TooMany { running, limit }) => {
                Err(refused(format!("current running txns on db 10001 is {running}, larger than limit {limit}")))
            }
            Err(BeginRefused::NoLeader(message)) => Err(self.fail(-1, NO_LEADER, &message)),
            Err(BeginRefused::LabelUsed { id, state }) => Err(self.label_used(id, state)),
        }
    }

    fn label_used(&self, id: i64, state: State) -> Object {
        let job = match state {
            State::Prepare | State::Aborted => "RUNNING",
            State::Prepared => state_name(state),
            State::Committed | State::Visible => "FINISHED",
        };
        let label = &self.reply.label;
        let message =
            format!("[LABEL_ALREADY_EXISTS]{DETAIL}Label [{label}] has already been used, relate to txn [{id}]");
        let head = self.reply.head(-1, "Label Already Exists").with("ExistingJobStatus", job);
        counted(head.with("Message", message), Counts::default(), 0)
    }

    async fn roll_back(&self, transaction: &Transaction, reason: &str) {
        if let Err(error @ StepError::Store(_)) = self.cluster.abort(transaction.id, reason).await {
            tracing::error!(id = transaction.id, %error, "a failed load could not be aborted");
        }
        self.cluster.drop_rows_if_over(transaction);
    }

    /// Pre-commits, and in a one-phase load commits; an empty load is legal.
    async fn finish(&self, transaction: &Transaction, counts: Counts) -> (&'static str, String) {
        let (cluster, id) = (self.cluster, transaction.id);
        if let Err(error) = cluster.prepare(id, counts, cluster.settings.prepared_timeout).await {
            let message = match error {
                StepError::Refused(StepRefused::Unknown) => format!("transaction [{id}] not found"),
                StepError::Refused(StepRefused::In(now)) => {
                    format!("transaction [{id}] is already {}. abort reason: {}", now.state.name(), now.reason)
                }
                // A call to the frontend of which the backend doesn't know what became.
                StepError::Forced(message) => {
                    self.roll_back(transaction, &message).await;
                    return ("Fail", message);
                }
                StepError::Store(error) => {
                    self.roll_back(transaction, &error.0).await;
                    return ("Fail", format!("[INTERNAL_ERROR]{error}"));
                }
                StepError::NoLeader(message) => return ("Fail", format!("[{NO_LEADER}]{message}")),
            };
            self.roll_back(transaction, &message).await;
            return ("Fail", format!("[ANALYSIS_ERROR]{DETAIL}{message}"));
        }
        if self.reply.two_phases {
            return ("Success", "OK".to_owned());
        }
        match cluster.commit(id).await {
            Err(error) => ("Fail", format!("[INTERNAL_ERROR]{error}")),
            Ok(_) if cluster.wait_visible(id, cluster.settings.publish_wait).await => ("Success", "OK".to_owned()),
            Ok(_) => (
                "Publish Timeout",
                "[PUBLISH_TIMEOUT]transaction commit successfully, BUT data will be visible later".to_owned(),
            ),
        }
    }

    fn with_errors(&self, body: Object, id: i64, loader: &Loader) -> Object {
        let Some(first) = loader.error_log().first() else { return body };
        let file = self.cluster.error_logs.keep(id, loader.error_log());
        body.with("ErrorURL", format!("http://{}/api/_load_error_log?file={file}", self.own.http))
            .with("FirstErrorMsg", first.as_str())
    }
}

fn loader(cluster: &Cluster, table: &Arc<Table>, options: &LoadOptions) -> Result<Loader, String> {
    let plan = if cluster.settings.discard {
        None
    } else {
        let now = now_text(options, cluster.clock.now_ms());
        Some(Plan::new(EngineKind::Doris, Arc::clone(table), options, &now)?)
    };
    Ok(Loader::new(Door::Doris, options, plan))
}
