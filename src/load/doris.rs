//! The dialect of Apache Doris: one Stream Load with `two_phase_commit`, then commit or abort by transaction id.
//!
//! Shapes and texts are those of Doris 1.2 to 3.x and its cloud mode (`LoadAction`, `stream_load.cpp`,
//! `stream_load_2pc.cpp`, `DatabaseTransactionMgr`). Three spellings of status exist, all of them on HTTP 200.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::engine::{Call, Engine, Fields, Reply, Response, Step, clean, column_list, encode, seconds, sort};
use super::question::{self, Listed, Question, named, quoted};
use super::{Class, Failure, Target, TxnName, TxnState};
use crate::config::Timeouts;
use crate::decode::Framing;
use crate::domain::{Delivery, TxnId};

/// Columns of unique-key tables that `hidden_columns` names, because `columns` can't.
const HIDDEN: &str = "__DORIS_";

/// Done, and nothing more to say.
const DONE: Reply = Reply::Done { id: None, counts: None };

/// Texts that mean the same at every step. The first that occurs decides.
const SIGNS: &[(&str, Class)] = &[
    ("too many filtered rows", Class::Refused),
    ("data_quality_error", Class::Refused),
    ("err=-235", Class::Busy),
    ("e-235", Class::Busy),
    ("err=-238", Class::Busy),
    ("e-238", Class::Busy),
    ("e-233", Class::Busy),
    ("mem_limit_exceeded", Class::Busy),
    ("current running txns on db", Class::Busy),
    ("current committed txns on table", Class::Busy),
    ("disable_load_job is set", Class::Busy),
    ("is in restore process", Class::Busy),
    ("have not get fe master", Class::Away),
    ("no backend load available", Class::Away),
    ("no backend available", Class::Away),
    ("quorum", Class::Away),
    ("write lock timeout", Class::Away),
    ("cancelled: closed", Class::Away),
    ("sender is gone", Class::Away),
    ("receive body don't equal", Class::Away),
    ("timeout by txn manager", Class::Away),
    ("thrift_rpc_error", Class::Away),
    ("access denied", Class::Refused),
    ("command denied", Class::Refused),
    ("not_authorized", Class::Refused),
    ("unauthorized", Class::Refused),
    ("unknown database", Class::Refused),
    ("unknown table", Class::Refused),
    ("table not found", Class::Refused),
    ("no database selected", Class::Refused),
    ("no table selected", Class::Refused),
    ("unknown data format", Class::Refused),
    ("unknown column", Class::Refused),
    ("label format error", Class::Refused),
    ("unsupported for mow table", Class::Refused),
    ("(2pc) for stream load was disabled", Class::Refused),
    ("invalid timeout", Class::Refused),
    ("exceed be's conf", Class::Refused),
    ("exceed the max size", Class::Refused),
    ("can't be set at the same time", Class::Refused),
    ("no cloud cluster name", Class::Refused),
    ("100-continue header", Class::Refused),
];

/// The Doris dialect.
#[derive(Clone, Debug)]
pub struct Doris {
    timeouts: Timeouts,
}

impl Doris {
    /// A dialect that gives the engine these time limits.
    pub fn new(timeouts: Timeouts) -> Self {
        Self { timeouts }
    }

    /// The form with the table in the path, which asks for rights on the table only.
    fn second_phase(step: Step, operation: &str, txn: &TxnName) -> Call {
        let [database, table] = [&*txn.table.database, &*txn.table.name].map(encode);
        let name = match txn.id {
            Some(id) => ("txn_id".to_owned(), id.to_string()),
            None => ("label".to_owned(), txn.label.to_string()),
        };
        Call {
            step,
            method: Method::PUT,
            path: format!("/api/{database}/{table}/_stream_load_2pc"),
            headers: vec![("txn_operation".to_owned(), operation.to_owned()), name],
        }
    }
}

impl Engine for Doris {
    fn name(&self) -> &'static str {
        "doris"
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    /// Lines are read one by one: the limit for JSON that a backend has to hold as a whole does not apply.
    fn body_limit(&self, _target: &Target) -> Option<u64> {
        None
    }

    fn begin(&self, _target: &Target) -> Option<Call> {
        None
    }

    /// The keys of a row are the names of its columns. `columns` is sent so that a column which the route does not fill
    /// gets its default in every version; hidden columns rule it out, and so does the flexible partial update.
    fn load(&self, target: &Target) -> Call {
        let mut headers = BTreeMap::new();
        let mut set = |name: &str, value: &str| headers.insert(name.to_owned(), value.to_owned());
        set("strict_mode", "true");
        set("max_filter_ratio", "0");
        let hidden: Vec<_> =
            target.columns.iter().filter(|name| name.starts_with(HIDDEN)).map(String::as_str).collect();
        let own_columns = ["columns", "hidden_columns"].iter().any(|name| target.headers.contains_key(*name));
        let flexible =
            target.headers.get("unique_key_update_mode").is_some_and(|mode| mode == "UPDATE_FLEXIBLE_COLUMNS");
        if !own_columns && !flexible {
            if hidden.is_empty() {
                set("columns", &column_list(target.columns.iter()));
            } else {
                set("hidden_columns", &hidden.join(","));
            }
        }
        headers.extend(target.headers.clone());
        let mut set = |name: &str, value: &str| headers.insert(name.to_owned(), value.to_owned());
        set("label", &target.label.0);
        let step = match target.delivery {
            Delivery::ExactlyOnce => {
                set("two_phase_commit", "true");
                Step::Load
            }
            Delivery::AtLeastOnce => Step::LoadAtOnce,
        };
        set("format", "json");
        set("read_json_by_line", "true");
        set("timeout", &seconds(self.timeouts.transaction));
        let [database, table] = [&*target.table.database, &*target.table.name].map(encode);
        Call {
            step,
            method: Method::PUT,
            path: format!("/api/{database}/{table}/_stream_load"),
            headers: headers.into_iter().collect(),
        }
    }

    fn prepare(&self, _target: &Target) -> Option<Call> {
        None
    }

    /// By id only: by label, "already committed" and "aborted" get the same answer.
    fn commit(&self, txn: &TxnName) -> Result<Call, Failure> {
        if txn.id.is_none() {
            let what = format!(
                "doris transaction of label {} (table {}) can't be committed: its transaction id is not known",
                txn.label, txn.table
            );
            return Err(Failure::new(Class::Unclear, what));
        }
        Ok(Self::second_phase(Step::Commit, "commit", txn))
    }

    /// By id if it is known, else by label (Doris 2.1 and later).
    fn abort(&self, txn: &TxnName) -> Call {
        Self::second_phase(Step::Abort, "abort", txn)
    }

    fn cancel(&self, _txn: &TxnName) -> Option<Call> {
        None
    }

    fn state(&self, txn: &TxnName) -> Call {
        let [database, label] = [&*txn.table.database, &*txn.label.0].map(encode);
        Call {
            step: Step::State,
            method: Method::GET,
            path: format!("/api/{database}/get_load_state?label={label}"),
            headers: Vec::new(),
        }
    }

    fn read(&self, step: Step, answer: &Response) -> Reply {
        let fields = match Fields::read(answer) {
            Ok(fields) => fields,
            Err(reply) => return reply,
        };
        let message = fields.text(&["Message", "msg", "message"]).unwrap_or_default();
        let Some(verdict) = fields.text(&["Status", "status"]) else {
            return envelope(step, &fields, message);
        };
        let said = if message.is_empty() { verdict.to_owned() } else { format!("{verdict}: {message}") };
        if contains(&said, "is not master") || contains(&said, "not_master") {
            return Reply::Elsewhere(clean(&said));
        }
        match step {
            Step::Load => loaded(&fields, verdict, message, &said),
            Step::LoadAtOnce => loaded_at_once(&fields, verdict, message, &said),
            Step::Commit if verdict == "Success" || already(message, &["committed", "visible"]) => DONE,
            Step::Abort if verdict == "Success" || already(message, &["aborted"]) => DONE,
            Step::Begin | Step::Prepare | Step::Commit | Step::Abort | Step::Cancel | Step::State => {
                fields.failed(class(step, &said), &said)
            }
        }
    }

    /// `StmtExecutionAction`: the frontend asks itself over MySQL, as this user. Newer versions stream the answer unless
    /// told otherwise.
    fn query(&self, sql: &str) -> Question {
        let mut question = Question::post("/api/query/internal/information_schema", &json!({ "stmt": sql }));
        question.headers.push(("x-doris-stream".to_owned(), "false".to_owned()));
        question
    }

    fn listed(&self, answer: &Response) -> Result<Listed, String> {
        let data = enveloped(answer)?;
        let columns = data.get("meta").map(question::columns).unwrap_or_default();
        let rows = data.get("data").and_then(Value::as_array).ok_or("the answer has no rows")?;
        let rows = rows.iter().map(|row| question::row(row, &columns)).collect();
        Ok(Listed { columns, rows })
    }

    fn version(&self) -> &'static str {
        "SELECT @@version_comment"
    }

    /// All of them on one page (`ConfigController`), for which a user needs the privilege ADMIN.
    fn settings(&self, _names: &[&str]) -> Vec<Question> {
        vec![Question::get("/rest/v1/config/fe")]
    }

    fn settings_in(&self, answer: &Response) -> Result<BTreeMap<String, String>, String> {
        let data = enveloped(answer)?;
        let columns = ["Name", "Value"].map(str::to_owned).to_vec();
        let rows = data.get("rows").and_then(Value::as_array).ok_or("the answer has no settings")?;
        let rows = rows.iter().map(|row| question::row(row, &columns)).collect();
        Ok(Listed { columns, rows }.pairs("Name", "Value"))
    }

    /// What `SHOW TRANSACTION` has forgotten is forgotten.
    fn history(&self, _txn: &TxnName) -> Vec<String> {
        Vec::new()
    }

    fn labels_like(&self, database: &str, pattern: &str) -> String {
        format!("SHOW TRANSACTION FROM {} WHERE label LIKE {}", named(database), quoted(pattern))
    }
}

/// What is in the frontend's envelope: `msg`, `code`, `data`.
fn enveloped(answer: &Response) -> Result<Value, String> {
    if answer.status != 200 {
        return Err(question::refusal(answer));
    }
    let mut envelope = question::values(&answer.body)?.into_iter().next().unwrap_or_default();
    if envelope.get("code").and_then(Value::as_i64) == Some(0) {
        return Ok(envelope["data"].take());
    }
    let text = |name| envelope.get(name).and_then(Value::as_str).map(clean);
    let said: Vec<String> = ["msg", "data"].into_iter().filter_map(text).collect();
    Err(said.join(": "))
}

fn contains(text: &str, sign: &str) -> bool {
    text.to_ascii_lowercase().contains(sign)
}

/// True for `… is already <state>…`, in any case of letters.
fn already(message: &str, states: &[&str]) -> bool {
    states.iter().any(|state| contains(message, &format!("is already {state}")))
}

/// The frontend's own form of answer: `msg`, `code`, `data`.
fn envelope(step: Step, fields: &Fields, message: &str) -> Reply {
    let code = fields.number("code");
    let data = fields.text(&["data"]);
    if code == Some(0) && step == Step::State {
        return match data {
            Some("UNKNOWN") => Reply::State(TxnState::Unknown),
            Some("PREPARE") => Reply::State(TxnState::Loading),
            Some("PRECOMMITTED") => Reply::State(TxnState::Prepared),
            Some("COMMITTED") => Reply::State(TxnState::Committed),
            Some("VISIBLE") => Reply::State(TxnState::Visible),
            Some("ABORTED") => Reply::State(TxnState::Aborted { reason: None }),
            Some(other) => fields.failed(Class::Unclear, &format!("unknown state {other:?}")),
            None => fields.failed(Class::Unclear, "the answer has no state"),
        };
    }
    let said = format!("{message}: {}", data.unwrap_or_default());
    match code {
        _ if contains(&said, "is not master") => Reply::Elsewhere(clean(&said)),
        Some(401 | 403 | 404) => fields.failed(Class::Refused, &said),
        Some(_) => fields.failed(class(step, &said), &said),
        None => fields.failed(Class::Unclear, "the answer has no status"),
    }
}

/// The answer to the load itself.
fn loaded(fields: &Fields, verdict: &str, message: &str, said: &str) -> Reply {
    let two_phases = fields.flag("TwoPhaseCommit").unwrap_or(true) && !fields.flag("GroupCommit").unwrap_or(false);
    match verdict {
        // Rows that are visible already can't be taken back: whoever tried again would double them.
        "Success" | "Publish Timeout" if !two_phases || verdict != "Success" => fields.failed(
            Class::Refused,
            "the rows were loaded in one phase although two were asked for: they are, or will be, visible without a \
             commit; something between here and the backend drops the header two_phase_commit",
        ),
        "Success" => match fields.id() {
            Some(id) => Reply::Done { id: Some(id), counts: fields.counts() },
            None => fields.failed(Class::Unclear, "the load succeeded, but its transaction id is missing"),
        },
        "Label Already Exists" => {
            Reply::Failed { class: Class::Unclear, what: clean(said), error_url: None, id: related(message) }
        }
        _ => fields.failed(class(Step::Load, said), said),
    }
}

/// The answer to a load in one phase. "Publish Timeout": committed, and visible a little later.
fn loaded_at_once(fields: &Fields, verdict: &str, message: &str, said: &str) -> Reply {
    match verdict {
        "Success" | "Publish Timeout" => Reply::Done { id: fields.id(), counts: fields.counts() },
        "Label Already Exists" => {
            Reply::Failed { class: Class::Unclear, what: clean(said), error_url: None, id: related(message) }
        }
        _ => fields.failed(class(Step::LoadAtOnce, said), said),
    }
}

/// The id in `… has already been used, relate to txn [18036]`: it stands nowhere else.
fn related(message: &str) -> Option<TxnId> {
    let (_, rest) = message.split_once("relate to txn [")?;
    let (digits, _) = rest.split_once(']')?;
    digits.trim().parse().ok().map(TxnId)
}

/// Sorts the text of a failed call.
fn class(step: Step, said: &str) -> Class {
    let own: &[(&str, Class)] = match step {
        Step::Commit => &[
            ("schema compatibility", Class::NotCommittable),
            ("unknown table", Class::NotCommittable),
            ("table not found", Class::NotCommittable),
            ("is already aborted", Class::Refused),
            ("is prepare, not pre-committed", Class::Unclear),
            ("not found", Class::Unclear),
        ],
        Step::Abort => &[("is already", Class::Refused), ("not found", Class::Unclear)],
        // The pre-commit at the end of a load: the frontend lost the transaction at a change of master.
        Step::Load | Step::LoadAtOnce => &[("] not found", Class::Away)],
        Step::Begin | Step::Prepare | Step::Cancel | Step::State => &[],
    };
    sort(said, own).or_else(|| sort(said, SIGNS)).unwrap_or(Class::Unclear)
}
