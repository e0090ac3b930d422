//! The two dialects against one table of situations: what means the same has to be sorted into the same reply.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use loadlock::config::Timeouts;
use loadlock::domain::{Delivery, Label, Table, TxnId};
use loadlock::load::engine::{Call, Engine, Reply, Response, Step};
use loadlock::load::{Class, Doris, StarRocks, Target, TxnName};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Situation {
    situation: String,
    reply: String,
    says: Option<String>,
    #[serde(default)]
    starrocks: Vec<Sample>,
    #[serde(default)]
    doris: Vec<Sample>,
    /// Why only one of the engines has it.
    only: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    step: String,
    #[serde(default = "ok")]
    status: u16,
    body: Option<Value>,
    text: Option<String>,
    /// Where this engine says more than the other.
    reply: Option<String>,
}

fn ok() -> u16 {
    200
}

#[test]
fn both_engines_sort_the_same_situation_into_the_same_reply() {
    let text = include_str!("data/engines/replies.json");
    let situations: Vec<Situation> = serde_json::from_str(text).expect("the table is valid");
    let (starrocks, doris) = (StarRocks::new(timeouts()), Doris::new(timeouts()));
    let mut wrong = String::new();
    for situation in &situations {
        let both = !situation.starrocks.is_empty() && !situation.doris.is_empty();
        assert_eq!(both, situation.only.is_none(), "{}: `only` goes with one engine", situation.situation);
        let engines: [(&dyn Engine, _); 2] = [(&starrocks, &situation.starrocks), (&doris, &situation.doris)];
        for (engine, sample) in engines.iter().flat_map(|(engine, samples)| samples.iter().map(move |s| (engine, s))) {
            let body = sample.body.as_ref().map(|body| format!("{body:#}\n"));
            let body = body.or_else(|| sample.text.clone()).expect("a sample has body or text");
            let reply = engine.read(step(&sample.step), &Response { status: sample.status, body: body.clone() });
            let (found, expected) = (show(&reply), sample.reply.as_ref().unwrap_or(&situation.reply));
            let says = situation.says.as_deref().unwrap_or_default().to_lowercase();
            if found != *expected || !format!("{reply:?}").to_lowercase().contains(&says) {
                let _ =
                    writeln!(wrong, "{} ({}): {reply:?}\n  expected {expected}", situation.situation, engine.name());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn show(reply: &Reply) -> String {
    let id = |id: &Option<TxnId>| id.map(|id| format!(" id={id}")).unwrap_or_default();
    match reply {
        Reply::Done { id: txn, counts: None } => format!("done{}", id(txn)),
        Reply::Done { id: txn, counts: Some(c) } => format!(
            "done{} total={} loaded={} filtered={} unselected={}",
            id(txn),
            c.total,
            c.loaded,
            c.filtered,
            c.unselected
        ),
        Reply::State(state) => format!("state {state:?}"),
        Reply::Again(_) => "again".into(),
        Reply::Elsewhere(_) => "elsewhere".into(),
        Reply::Failed { class, error_url, id: txn, .. } => {
            let class = match class {
                Class::Away => "away",
                Class::Busy => "busy",
                Class::Refused => "refused",
                Class::NotCommittable => "not-committable",
                Class::Unclear => "unclear",
            };
            let log = error_url.as_ref().map(|url| format!(" log={url}")).unwrap_or_default();
            format!("failed {class}{log}{}", id(txn))
        }
    }
}

fn step(word: &str) -> Step {
    match word {
        "begin" => Step::Begin,
        "load" => Step::Load,
        "load-at-once" => Step::LoadAtOnce,
        "prepare" => Step::Prepare,
        "commit" => Step::Commit,
        "abort" => Step::Abort,
        "cancel" => Step::Cancel,
        "state" => Step::State,
        other => panic!("no such step: {other}"),
    }
}

fn timeouts() -> Timeouts {
    let seconds = Duration::from_secs;
    Timeouts {
        connect: seconds(5),
        call: seconds(30),
        continue_: seconds(30),
        stall: seconds(60),
        prepare: seconds(600),
        transaction: seconds(600),
        prepared: seconds(86_400),
    }
}

fn target(columns: &[&str], headers: &[(&str, &str)]) -> Target {
    Target {
        delivery: Delivery::ExactlyOnce,
        table: Table { database: "ods".into(), name: "表 1".into() },
        label: Label("ll-1".into()),
        columns: columns.iter().map(ToString::to_string).collect(),
        headers: headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
    }
}

fn txn(id: Option<i64>) -> TxnName {
    let Target { table, label, .. } = target(&[], &[]);
    TxnName { table, label, id: id.map(TxnId) }
}

fn shown(call: &Call) -> String {
    let headers: BTreeMap<_, _> = call.headers.iter().cloned().collect();
    let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{} {} [{}]", call.method, call.path, headers.join(", "))
}

#[test]
fn starrocks_calls_have_the_shape_that_its_frontends_take() {
    let (engine, target) = (StarRocks::new(timeouts()), target(&["id", "order"], &[]));
    let calls = [
        (
            engine.begin(&target).expect("StarRocks begins"),
            "POST /api/transaction/begin [db: ods, label: ll-1, table: 表 1, timeout: 600]",
        ),
        (
            engine.load(&target),
            "PUT /api/transaction/load [columns: `id`,`order`, db: ods, format: json, ignore_json_size: true, \
             label: ll-1, max_filter_ratio: 0, strict_mode: true, strip_outer_array: true, table: 表 1]",
        ),
        (
            engine.prepare(&target).expect("StarRocks prepares"),
            "POST /api/transaction/prepare [db: ods, label: ll-1, prepared_timeout: 86400]",
        ),
        (
            engine.commit(&txn(None)).expect("by label"),
            "POST /api/transaction/commit [db: ods, label: ll-1, timeout: 20]",
        ),
        (engine.abort(&txn(Some(7))), "POST /api/transaction/rollback [db: ods, label: ll-1]"),
        (engine.cancel(&txn(None)).expect("has it"), "POST /api/ods/%E8%A1%A8%201/_cancel?label=ll-1 []"),
        (engine.state(&txn(None)), "GET /api/ods/get_load_state?label=ll-1 []"),
    ];
    for (call, expected) in calls {
        assert_eq!(shown(&call), expected);
    }
}

#[test]
fn doris_calls_have_the_shape_that_its_frontends_take() {
    let (engine, target) = (Doris::new(timeouts()), target(&["id", "order"], &[]));
    assert_eq!((engine.begin(&target), engine.prepare(&target), engine.cancel(&txn(None))), (None, None, None));
    let calls = [
        (
            engine.load(&target),
            "PUT /api/ods/%E8%A1%A8%201/_stream_load [columns: `id`,`order`, format: json, label: ll-1, \
             max_filter_ratio: 0, read_json_by_line: true, strict_mode: true, timeout: 600, two_phase_commit: true]",
        ),
        (
            engine.commit(&txn(Some(18_036))).expect("by id"),
            "PUT /api/ods/%E8%A1%A8%201/_stream_load_2pc [txn_id: 18036, txn_operation: commit]",
        ),
        (
            engine.abort(&txn(Some(18_036))),
            "PUT /api/ods/%E8%A1%A8%201/_stream_load_2pc [txn_id: 18036, txn_operation: abort]",
        ),
        (engine.abort(&txn(None)), "PUT /api/ods/%E8%A1%A8%201/_stream_load_2pc [label: ll-1, txn_operation: abort]"),
        (engine.state(&txn(None)), "GET /api/ods/get_load_state?label=ll-1 []"),
    ];
    for (call, expected) in calls {
        assert_eq!(shown(&call), expected);
    }
}

#[test]
fn a_load_in_one_phase_has_nothing_around_it() {
    let at_once = Target { delivery: Delivery::AtLeastOnce, ..target(&["id"], &[("two_phase_commit", "true")]) };
    let (starrocks, doris) = (StarRocks::new(timeouts()), Doris::new(timeouts()));
    for engine in [&starrocks as &dyn Engine, &doris] {
        assert_eq!((engine.begin(&at_once), engine.prepare(&at_once)), (None, None), "{}", engine.name());
        assert_eq!(engine.body_limit(&at_once), None, "{}: a second body would be a second load", engine.name());
        assert!(engine.load(&at_once).streams());
    }
    let at_once = Target { headers: BTreeMap::new(), ..at_once };
    assert_eq!(
        shown(&starrocks.load(&at_once)),
        "PUT /api/ods/%E8%A1%A8%201/_stream_load [columns: `id`, format: json, ignore_json_size: true, label: ll-1, \
         max_filter_ratio: 0, strict_mode: true, strip_outer_array: true, timeout: 600]"
    );
    assert_eq!(
        shown(&doris.load(&at_once)),
        "PUT /api/ods/%E8%A1%A8%201/_stream_load [columns: `id`, format: json, label: ll-1, max_filter_ratio: 0, \
         read_json_by_line: true, strict_mode: true, timeout: 600]"
    );
}

#[test]
fn doris_is_never_asked_to_commit_by_label() {
    let refused = Doris::new(timeouts()).commit(&txn(None)).expect_err("a label can't tell done from aborted");
    assert!(refused.what.contains("transaction id is not known"), "{refused}");
}

#[test]
fn routes_set_options_but_not_what_the_protocol_needs() {
    let headers = [
        ("max_filter_ratio", "0.1"),
        ("timezone", "UTC"),
        ("label", "mine"),
        ("format", "csv"),
        ("two_phase_commit", "false"),
        ("strip_outer_array", "false"),
        ("read_json_by_line", "false"),
        ("timeout", "1"),
    ];
    let target = target(&["id"], &headers);
    for call in [StarRocks::new(timeouts()).load(&target), Doris::new(timeouts()).load(&target)] {
        assert_eq!(call.header("max_filter_ratio"), Some("0.1"));
        assert_eq!(call.header("timezone"), Some("UTC"));
        assert_eq!(call.header("label"), Some("ll-1"));
        assert_eq!(call.header("format"), Some("json"));
    }
    let doris = Doris::new(timeouts()).load(&target);
    assert_eq!(doris.header("two_phase_commit"), Some("true"));
    assert_eq!(doris.header("read_json_by_line"), Some("true"));
    assert_eq!(doris.header("timeout"), Some("600"));
    assert_eq!(StarRocks::new(timeouts()).load(&target).header("strip_outer_array"), Some("true"));
}

#[test]
fn columns_are_listed_unless_the_route_or_a_hidden_column_rules_it_out() {
    let (starrocks, doris) = (StarRocks::new(timeouts()), Doris::new(timeouts()));
    let deletes = starrocks.load(&target(&["id", "__op"], &[]));
    assert_eq!(deletes.header("columns"), Some("`id`"), "a row's `__op` is read by itself unless it is listed");
    let derived = target(&["id", "ts"], &[("columns", "id,ts,day=date(ts)")]);
    assert_eq!(starrocks.load(&derived).header("columns"), Some("id,ts,day=date(ts)"));
    assert_eq!(doris.load(&derived).header("columns"), Some("id,ts,day=date(ts)"));
    let hidden = doris.load(&target(&["id", "__DORIS_DELETE_SIGN__"], &[]));
    assert_eq!(hidden.header("columns"), None);
    assert_eq!(hidden.header("hidden_columns"), Some("__DORIS_DELETE_SIGN__"));
    let flexible = doris.load(&target(&["id"], &[("unique_key_update_mode", "UPDATE_FLEXIBLE_COLUMNS")]));
    assert_eq!(flexible.header("columns"), None);
}

#[test]
fn a_warehouse_is_named_in_each_call_of_a_transaction() {
    let (engine, target) = (StarRocks::new(timeouts()), target(&["id"], &[("warehouse", "w1")]));
    for call in [engine.begin(&target), Some(engine.load(&target)), engine.prepare(&target)].into_iter().flatten() {
        assert_eq!(call.header("warehouse"), Some("w1"), "{:?}", call.step);
    }
}
