//! The second phase: `_stream_load_2pc` by transaction id or by label.

use std::sync::Arc;

use hyper::HeaderMap;

use super::backend::NO_LEADER;
use super::{DETAIL, two_phase_reply};
use crate::auth::Login;
use crate::cluster::{Cluster, StepError};
use crate::faults::{Asked, Call, Node, under};
use crate::http::{HangUp, HttpResponse, header};
use crate::nodes::Backend;
use crate::transactions::{State, StepRefused, Transaction};

/// Answers a second phase.
pub(super) async fn answer(
    cluster: &Arc<Cluster>,
    own: Backend,
    asked: &Asked,
    database: &str,
    headers: &HeaderMap,
) -> Result<HttpResponse, HangUp> {
    let call = match header(headers, "txn_operation") {
        Some("commit") => Call::Commit,
        Some("abort") => Call::Rollback,
        _ => {
            let message = "transaction operation should be 'commit' or 'abort'";
            return Ok(two_phase_reply("INTERNAL_ERROR", message));
        }
    };
    let refuse = |status: Option<&str>, message: &str| two_phase_reply(status.unwrap_or("INTERNAL_ERROR"), message);
    under(cluster, asked.acts(call, Node::Backend, own.index), refuse, async {
        if let Err(message) = cluster.leader_answers() {
            return Ok(two_phase_reply(NO_LEADER, &message));
        }
        Ok(match perform(cluster, database, headers, call).await {
            Ok(done) => two_phase_reply("Success", &done),
            Err(message) => two_phase_reply("ANALYSIS_ERROR", &format!("{DETAIL}{message}")),
        })
    })
    .await
}

async fn perform(cluster: &Arc<Cluster>, database: &str, headers: &HeaderMap, call: Call) -> Result<String, String> {
    match cluster.login(headers) {
        Login::Granted => {}
        Login::Missing => return Err("no valid Basic authorization".to_owned()),
        Login::Denied(user) => return Err(format!("Access denied for user '{user}' (using password: YES)")),
    }
    if !cluster.has_database(database) {
        return Err(format!("unknown database, database={database}"));
    }
    let label = header(headers, "label").filter(|l| !l.is_empty());
    let id = header(headers, "txn_id").filter(|t| !t.is_empty()).map(parse_id).transpose()?;
    let (id, named) = match (id, label) {
        (Some(id), None) => (id, format!("transaction [{id}]")),
        // The id decides; the label is only echoed.
        (Some(id), Some(label)) => (id, format!("label [{label}] transaction [{id}]")),
        (None, Some(label)) => (by_label(cluster, database, label, call)?, format!("label [{label}]")),
        (None, None) => return Err("No transaction id or label selected.".to_owned()),
    };
    // The id must be of this database, as an engine looks it up there.
    if cluster.transaction(id).is_none_or(|t| t.database != database) {
        return Err(format!("transaction [{id}] not found"));
    }
    let (result, done) = match call {
        Call::Rollback => (cluster.abort(id, "User Abort").await, "abort"),
        Call::Begin | Call::Load | Call::Prepare | Call::Commit | Call::State | Call::Cancel | Call::Query => {
            (cluster.commit(id).await, "commit")
        }
    };
    match result {
        Ok(_) => Ok(format!("{named} {done} successfully.")),
        Err(error @ (StepError::Store(_) | StepError::NoLeader(_) | StepError::Forced(_))) => Err(error.to_string()),
        Err(StepError::Refused(StepRefused::Unknown)) => Err(format!("transaction [{id}] not found")),
        Err(StepError::Refused(StepRefused::In(now))) => {
            Err(if call == Call::Rollback { cannot_abort(&now) } else { cannot_commit(&now) })
        }
    }
}

/// As C++ `stoull` reads it: leading digits, the rest ignored.
fn parse_id(text: &str) -> Result<i64, String> {
    let digits: String = text.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().map_err(|_| format!("convert txn_id [{text}] failed, reason=stoull"))
}

fn by_label(cluster: &Cluster, database: &str, label: &str, call: Call) -> Result<i64, String> {
    let known = cluster.by_label(database, label);
    if known.is_empty() {
        return Err(format!("transaction not found, label={label}"));
    }
    let fits = |t: &&Transaction| match t.state {
        State::Prepared => true,
        State::Prepare => call == Call::Rollback,
        State::Committed | State::Visible | State::Aborted => false,
    };
    match known.iter().find(fits) {
        Some(found) => Ok(found.id),
        None => Err(format!("running transaction not found, label={label}")),
    }
}

fn cannot_commit(now: &Transaction) -> String {
    let id = now.id;
    match now.state {
        State::Committed => format!("transaction [{id}] is already committed, not pre-committed."),
        State::Visible => format!("transaction [{id}] is already visible, not pre-committed."),
        State::Aborted => format!("transaction [{id}] is already aborted. abort reason: {}", now.reason),
        State::Prepare | State::Prepared => format!("transaction [{id}] is prepare, not pre-committed."),
    }
}

fn cannot_abort(now: &Transaction) -> String {
    let id = now.id;
    match now.state {
        State::Aborted => format!("transaction [{id}] is already aborted, abort reason: {}", now.reason),
        State::Prepare | State::Prepared | State::Committed | State::Visible => {
            format!("transaction [{id}] is already {}, could not abort.", now.state.name())
        }
    }
}
