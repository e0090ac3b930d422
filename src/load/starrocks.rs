//! The dialect of StarRocks: its transaction interface, plain mode (one table, several loads, two phases).
//!
//! Shapes and texts are those of StarRocks 2.5 to 4.1 (`TransactionLoadAction`, `TransactionWithoutChannelHandler`,
//! `transaction_mgr.cpp`). Almost every outcome is HTTP 200, and one status name stands for many causes: the text decides.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::engine::{Call, Engine, Fields, Reply, Response, Step, clean, column_list, encode, seconds, sort};
use super::question::{self, Listed, Question, quoted};
use super::{Class, Failure, Target, TxnName, TxnState};
use crate::config::Timeouts;
use crate::decode::Framing;
use crate::domain::Delivery;

/// Largest body of one load. A backend keeps a JSON body in memory as a whole, and its own limit is 100 MB
/// (`streaming_load_max_batch_size_mb`).
pub const BODY_LIMIT: u64 = 90 << 20;

/// The operation column of primary-key tables: read from each row by itself as long as `columns` does not name it.
const OPERATION: &str = "__op";

/// Texts that mean the same at every step. The first that occurs decides.
const SIGNS: &[(&str, Class)] = &[
    ("too many versions", Class::Busy),
    ("mem_limit_exceeded", Class::Busy),
    ("memory of ", Class::Busy),
    ("current running txns on db", Class::Busy),
    ("txn num per be exceeds", Class::Busy),
    ("exceed http cuncurrent limit", Class::Busy),
    ("exceed http concurrent limit", Class::Busy),
    ("resource_busy", Class::Busy),
    ("too many filtered rows", Class::Refused),
    ("no rows were imported", Class::Refused),
    ("access denied", Class::Refused),
    ("need auth information", Class::Refused),
    ("no valid basic authorization", Class::Refused),
    ("unknown table", Class::Refused),
    ("unknown database", Class::Refused),
    ("does not exist.", Class::Refused),
    ("column has no default value", Class::Refused),
    ("unknown column", Class::Refused),
    ("only primary key table support", Class::Refused),
    ("primary key size exceed", Class::Refused),
    ("parse error", Class::Refused),
    ("should be array type", Class::Refused),
    ("exceed the max size", Class::Refused),
    ("streaming_load_max_mb", Class::Refused),
    ("unknown data format", Class::Refused),
    ("unsupported compression", Class::Refused),
    ("label format error", Class::Refused),
    ("invalid prepared_timeout", Class::Refused),
    ("load request not equal last", Class::Refused),
    ("not implemented", Class::Refused),
    ("no backend alive", Class::Away),
    ("service is shutting down", Class::Away),
    ("quorum", Class::Away),
    ("coordinate be is down", Class::Away),
    ("can't find the transaction", Class::Away),
    ("has no backend", Class::Away),
    ("has no node", Class::Away),
    ("current transaction is aborted", Class::Away),
    ("timeout by txn manager", Class::Away),
    ("the load is timeout", Class::Away),
    ("service_unavailable", Class::Away),
];

/// The StarRocks dialect.
#[derive(Clone, Debug)]
pub struct StarRocks {
    timeouts: Timeouts,
    body_limit: u64,
}

impl StarRocks {
    /// A dialect that gives the engine these time limits.
    pub fn new(timeouts: Timeouts) -> Self {
        Self { timeouts, body_limit: BODY_LIMIT }
    }

    /// The same with another limit for one body, in bytes.
    #[must_use]
    pub fn body_limit(self, bytes: u64) -> Self {
        Self { body_limit: bytes, ..self }
    }
}

fn post(step: Step, path: &str, headers: impl IntoIterator<Item = (&'static str, String)>) -> Call {
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Call { step, method: Method::POST, path: path.to_owned(), headers }
}

/// The call's own headers, and the warehouse if the route names one: each call of a transaction has to name it.
fn in_warehouse(mut call: Call, target: &Target) -> Call {
    if let Some(name) = target.headers.get("warehouse") {
        call.headers.push(("warehouse".to_owned(), name.clone()));
    }
    call
}

impl Engine for StarRocks {
    fn name(&self) -> &'static str {
        "starrocks"
    }

    fn framing(&self) -> Framing {
        Framing::Array
    }

    /// In one phase each body would be a load of its own.
    fn body_limit(&self, target: &Target) -> Option<u64> {
        (target.delivery == Delivery::ExactlyOnce).then_some(self.body_limit)
    }

    /// A POST: since 3.3.0 a frontend reads the content of every call but `load`, which fails for a PUT.
    fn begin(&self, target: &Target) -> Option<Call> {
        if target.delivery == Delivery::AtLeastOnce {
            return None;
        }
        let headers = [
            ("label", target.label.to_string()),
            ("db", target.table.database.to_string()),
            ("table", target.table.name.to_string()),
            ("timeout", seconds(self.timeouts.transaction)),
        ];
        Some(in_warehouse(post(Step::Begin, "/api/transaction/begin", headers), target))
    }

    /// The keys of a row are the names of its columns, so no `jsonpaths` are needed. `columns` is sent all the same:
    /// without it a column of the table that the route does not fill would get NULL instead of its default.
    fn load(&self, target: &Target) -> Call {
        let mut headers = BTreeMap::new();
        let mut set = |name: &str, value: &str| headers.insert(name.to_owned(), value.to_owned());
        set("strict_mode", "true");
        set("max_filter_ratio", "0");
        set("columns", &column_list(target.columns.iter().filter(|name| *name != OPERATION)));
        headers.extend(target.headers.clone());
        let mut set = |name: &str, value: &str| headers.insert(name.to_owned(), value.to_owned());
        set("label", &target.label.0);
        set("format", "json");
        set("strip_outer_array", "true");
        set("ignore_json_size", "true");
        let (step, path) = match target.delivery {
            Delivery::ExactlyOnce => {
                set("db", &target.table.database);
                set("table", &target.table.name);
                (Step::Load, "/api/transaction/load".to_owned())
            }
            Delivery::AtLeastOnce => {
                set("timeout", &seconds(self.timeouts.transaction));
                let [database, table] = [&*target.table.database, &*target.table.name].map(encode);
                (Step::LoadAtOnce, format!("/api/{database}/{table}/_stream_load"))
            }
        };
        Call { step, method: Method::PUT, path, headers: headers.into_iter().collect() }
    }

    fn prepare(&self, target: &Target) -> Option<Call> {
        if target.delivery == Delivery::AtLeastOnce {
            return None;
        }
        let headers = [
            ("label", target.label.to_string()),
            ("db", target.table.database.to_string()),
            ("prepared_timeout", seconds(self.timeouts.prepared)),
        ];
        Some(in_warehouse(post(Step::Prepare, "/api/transaction/prepare", headers), target))
    }

    /// By label: the nonce in it is the fence. The wait for the rows to be visible ends before our own deadline does.
    fn commit(&self, txn: &TxnName) -> Result<Call, Failure> {
        let headers = [
            ("label", txn.label.to_string()),
            ("db", txn.table.database.to_string()),
            ("timeout", seconds(self.timeouts.call.mul_f64(2.0 / 3.0))),
        ];
        Ok(post(Step::Commit, "/api/transaction/commit", headers))
    }

    fn abort(&self, txn: &TxnName) -> Call {
        let headers = [("label", txn.label.to_string()), ("db", txn.table.database.to_string())];
        post(Step::Abort, "/api/transaction/rollback", headers)
    }

    /// Ends a transaction that is still unprepared, whether or not a backend knows of it. Versions differ in the path,
    /// all of them read the label from the query.
    fn cancel(&self, txn: &TxnName) -> Option<Call> {
        let [database, table, label] = [&*txn.table.database, &*txn.table.name, &*txn.label.0].map(encode);
        Some(post(Step::Cancel, &format!("/api/{database}/{table}/_cancel?label={label}"), []))
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
        let Some(verdict) = fields.text(&["Status", "status"]) else {
            return fields.failed(Class::Unclear, "the answer has no status");
        };
        let message = fields.text(&["Message", "msg", "message"]).unwrap_or_default();
        let said = if message.is_empty() { verdict.to_owned() } else { format!("{verdict}: {message}") };
        // A load in one phase is committed then, and visible a little later.
        let late = step == Step::LoadAtOnce && verdict.eq_ignore_ascii_case("publish timeout");
        let good = late || verdict.eq_ignore_ascii_case("ok") || verdict.eq_ignore_ascii_case("success");
        if good {
            return match step {
                Step::State => state(&fields),
                // The parallel mode says OK to a commit of something that is not prepared.
                Step::Commit if message.contains("not prepared") => fields.failed(Class::Unclear, &said),
                Step::Begin
                | Step::Load
                | Step::LoadAtOnce
                | Step::Prepare
                | Step::Commit
                | Step::Abort
                | Step::Cancel => Reply::Done { id: fields.id(), counts: fields.counts() },
            };
        }
        if verdict.eq_ignore_ascii_case("txn_in_processing") {
            Reply::Again(clean(&said))
        } else if contains(message, "is not master") {
            Reply::Elsewhere(clean(&said))
        } else {
            fields.failed(class(step, &said), &said)
        }
    }

    /// SQL over HTTP came with 3.2 (`ExecuteSqlAction`): SELECT and SHOW only, and only on a frontend that can read.
    fn query(&self, sql: &str) -> Question {
        Question::post("/api/v1/catalogs/default_catalog/sql", &json!({ "query": sql }))
    }

    /// Objects behind each other; the one with the statistics comes last (`HttpResultSender`, `JsonSerializer`). A SHOW
    /// has everything in one object, and its rows are objects.
    fn listed(&self, answer: &Response) -> Result<Listed, String> {
        if answer.status != 200 {
            return Err(question::refusal(answer));
        }
        let (mut listed, mut whole) = (Listed::default(), false);
        for object in question::values(&answer.body)? {
            if let Some(meta) = object.get("meta") {
                listed.columns = question::columns(meta);
            }
            match object.get("data") {
                Some(Value::Array(rows)) if rows.iter().any(Value::is_object) => {
                    listed.rows.extend(rows.iter().map(|row| question::row(row, &listed.columns)));
                }
                // A SHOW without rows: its object has its columns, too.
                Some(Value::Array(rows)) if rows.is_empty() && object.get("meta").is_some() => {}
                Some(cells) => listed.rows.push(question::row(cells, &listed.columns)),
                None => {}
            }
            whole |= object.get("statistics").is_some();
        }
        if whole { Ok(listed) } else { Err("the answer broke off".to_owned()) }
    }

    fn version(&self) -> &'static str {
        "SELECT current_version()"
    }

    /// One by one: all of them together are more than is read of an answer. Needs the privilege OPERATE on SYSTEM.
    fn settings(&self, names: &[&str]) -> Vec<Question> {
        let ask = |name: &&str| self.query(&format!("ADMIN SHOW FRONTEND CONFIG LIKE {}", quoted(name)));
        names.iter().map(ask).collect()
    }

    fn settings_in(&self, answer: &Response) -> Result<BTreeMap<String, String>, String> {
        Ok(self.listed(answer)?.pairs("Key", "Value"))
    }

    /// `loads` shows what the frontend still has in memory, `loads_history` is a table that is written behind it
    /// (`LoadsHistorySyncer`).
    fn history(&self, txn: &TxnName) -> Vec<String> {
        let (label, database) = (quoted(&txn.label.0), quoted(&txn.table.database));
        let from = |place: &str| {
            format!("SELECT label FROM {place} WHERE label = {label} AND db_name = {database} AND state = 'FINISHED'")
        };
        vec![from("information_schema.loads"), from("_statistics_.loads_history")]
    }

    fn labels_like(&self, database: &str, pattern: &str) -> String {
        let (database, pattern) = (quoted(database), quoted(pattern));
        format!(
            "SELECT label FROM information_schema.loads WHERE db_name = {database} AND label LIKE {pattern} LIMIT 1"
        )
    }
}

fn contains(text: &str, sign: &str) -> bool {
    text.to_ascii_lowercase().contains(sign)
}

fn state(fields: &Fields) -> Reply {
    match fields.text(&["state"]) {
        Some("UNKNOWN") => Reply::State(TxnState::Unknown),
        Some("PREPARE") => Reply::State(TxnState::Loading),
        Some("PREPARED") => Reply::State(TxnState::Prepared),
        Some("COMMITTED") => Reply::State(TxnState::Committed),
        Some("VISIBLE") => Reply::State(TxnState::Visible),
        Some("ABORTED") => {
            Reply::State(TxnState::Aborted { reason: fields.text(&["reason"]).map(super::engine::clean) })
        }
        Some(other) => fields.failed(Class::Unclear, &format!("unknown state {other:?}")),
        None => fields.failed(Class::Unclear, "the answer has no state"),
    }
}

/// Sorts the text of a failed call.
fn class(step: Step, said: &str) -> Class {
    let own: &[(&str, Class)] = match step {
        // Somebody else's transaction, or an earlier copy of this very request: either way not this load's.
        Step::Begin | Step::LoadAtOnce => &[
            ("label_already_exists", Class::Unclear),
            ("label already exists", Class::Unclear),
            ("has already been used", Class::Unclear),
        ],
        Step::Load => &[("txn_not_exists", Class::Away)],
        // The backend forgets a transaction as soon as it is prepared, so this is also what a repeated call is told.
        Step::Prepare => &[("txn_not_exists", Class::Unclear), ("transaction not found", Class::Away)],
        Step::Commit => &[
            ("failed to commit txn when callback", Class::NotCommittable),
            ("unknown table", Class::NotCommittable),
            ("can not commit aborted", Class::Refused),
            ("no transaction found", Class::Unclear),
            ("write lock timeout", Class::Unclear),
            ("publish", Class::Unclear),
        ],
        Step::Abort | Step::Cancel => &[("can not abort", Class::Refused), ("found", Class::Unclear)],
        Step::State => &[],
    };
    sort(said, own).or_else(|| sort(said, SIGNS)).unwrap_or(Class::Unclear)
}
