//! What the two engines are asked, and how they answer: shapes and texts of real ones, in the form of one version each.

use loadlock::commit::Tag;
use loadlock::config::EngineKind;
use loadlock::domain::{Label, Table, TxnId, TxnState};
use loadlock::load::engine::Step;
use serde_json::{Value, json};

use crate::engine::{Named, No, Stage};
use crate::http::Head;
use crate::log::Place;
use crate::world::World;

/// A request, understood.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) step: Step,
    pub(crate) named: Named,
    label: Label,
    table: Tag,
}

fn label(text: &str) -> Label {
    Label(text.into())
}

/// What a request asks for; `None` for one that no engine knows.
pub(crate) fn asked(kind: EngineKind, head: &Head) -> Option<Asked> {
    let pieces: Vec<&str> = head.plain_path().trim_start_matches("/api/").split('/').collect();
    let name = |database: &str, name: &str| Tag::of_table(&Table { database: database.into(), name: name.into() });
    let by_label = |step, text: &str, table| {
        let label = label(text);
        Some(Asked { step, named: Named::Label(label.clone()), label, table })
    };
    match (kind, head.method.as_str(), pieces.as_slice()) {
        (_, "GET", [database, "get_load_state"]) => by_label(Step::State, head.label_asked(), name(database, "")),
        (EngineKind::StarRocks, "POST", [database, table, "_cancel"]) => {
            by_label(Step::Cancel, head.label_asked(), name(database, table))
        }
        (EngineKind::StarRocks, "POST" | "PUT", ["transaction", step]) => {
            let step = match *step {
                "begin" => Step::Begin,
                "load" => Step::Load,
                "prepare" => Step::Prepare,
                "commit" => Step::Commit,
                "rollback" => Step::Abort,
                _ => return None,
            };
            by_label(step, head.header("label"), name(head.header("db"), head.header("table")))
        }
        (EngineKind::Doris, "PUT", [database, table, "_stream_load"]) => {
            by_label(Step::Load, head.header("label"), name(database, table))
        }
        (EngineKind::Doris, "PUT", [database, table, "_stream_load_2pc"]) => {
            let step = if head.header("txn_operation") == "commit" { Step::Commit } else { Step::Abort };
            let asked = by_label(step, head.header("label"), name(database, table))?;
            match head.header("txn_id").parse() {
                Ok(id) => Some(Asked { named: Named::Id(TxnId(id)), ..asked }),
                Err(_) => Some(asked),
            }
        }
        _ => None,
    }
}

/// Rows of a body, by the columns that every route of the simulation has.
pub(crate) fn rows(kind: EngineKind, body: &[u8]) -> Vec<Place> {
    let place = |row: &Value| {
        let number = |name| row.get(name).and_then(Value::as_i64);
        Some((i32::try_from(number("p")?).ok()?, number("o")?))
    };
    let rows: Vec<Value> = match kind {
        EngineKind::StarRocks => serde_json::from_slice(body).unwrap_or_default(),
        EngineKind::Doris => serde_json::Deserializer::from_slice(body).into_iter().filter_map(Result::ok).collect(),
    };
    rows.iter().filter_map(place).collect()
}

/// Before a body: a Doris load opens its transaction with the head of its request. An answer here ends the request.
pub(crate) fn opens(world: &mut World, asked: &Asked) -> Option<String> {
    match (world.climate.engine, asked.step) {
        (EngineKind::Doris, Step::Load) => {
            let begun = world.engine.begin(&asked.label, asked.table, &mut world.judge);
            let text = format!("Label [{}] has already been used, relate to txn [1]", asked.label);
            begun.err().map(|_| json!({"Status": "Label Already Exists", "Message": text}).to_string())
        }
        (EngineKind::StarRocks | EngineKind::Doris, _) => None,
    }
}

/// A body was torn off.
pub(crate) fn torn(world: &mut World, asked: &Asked) {
    match world.climate.engine {
        EngineKind::Doris => world.engine.torn(&asked.label),
        EngineKind::StarRocks => {}
    }
}

/// Does what is asked, and says so.
pub(crate) fn perform(world: &mut World, asked: &Asked, rows: &[Place]) -> String {
    match world.climate.engine {
        EngineKind::StarRocks => starrocks(world, asked, rows),
        EngineKind::Doris => doris(world, asked, rows),
    }
    .to_string()
}

/// Says that it is done, and does nothing.
pub(crate) fn lie(world: &mut World, asked: &Asked) -> String {
    told(world, asked);
    match world.climate.engine {
        EngineKind::StarRocks => json!({"Status": "OK", "Message": ""}),
        EngineKind::Doris => json!({"status": "Success", "msg": "done"}),
    }
    .to_string()
}

/// Refuses with a text that both dialects know.
pub(crate) fn refuse(kind: EngineKind, text: &str) -> String {
    match kind {
        EngineKind::StarRocks => json!({"Status": "FAILED", "Message": text}),
        EngineKind::Doris => json!({"Status": "Fail", "Message": text}),
    }
    .to_string()
}

fn told(world: &mut World, asked: &Asked) {
    let state = match asked.step {
        Step::Commit => TxnState::Visible,
        Step::Abort | Step::Cancel => TxnState::Aborted { reason: None },
        Step::Begin | Step::Load | Step::LoadAtOnce | Step::Prepare | Step::State => return,
    };
    world.engine.told(&asked.named, state);
}

fn commit(world: &mut World, asked: &Asked) -> Result<bool, No> {
    let made = world.engine.commit(&asked.named, &mut world.judge)?;
    if made {
        world.judge_commit(&asked.named);
    }
    told(world, asked);
    Ok(made)
}

fn abort(world: &mut World, asked: &Asked) -> Result<bool, No> {
    let ended = world.engine.abort(&asked.named)?;
    told(world, asked);
    Ok(ended)
}

fn starrocks(world: &mut World, asked: &Asked, rows: &[Place]) -> Value {
    let World { engine, judge, .. } = world;
    let fine = || json!({"Status": "OK", "Message": "", "Label": asked.label.to_string()});
    let failed = |text: &str| json!({"Status": "FAILED", "Message": text});
    match asked.step {
        Step::Begin => match engine.begin(&asked.label, asked.table, judge) {
            Ok(id) => json!({"Status": "OK", "Message": "", "TxnId": id.0}),
            Err(_) => json!({"Status": "LABEL_ALREADY_EXISTS", "Message": "Label has already been used"}),
        },
        Step::Load => match engine.write(&asked.label, rows, judge) {
            Ok(()) => fine(),
            Err(_) => json!({"Status": "TXN_NOT_EXISTS", "Message": "the transaction does not exist"}),
        },
        Step::Prepare => match engine.prepare(&asked.label) {
            Ok(load) => json!({"Status": "OK", "Message": "", "TxnId": load.id.0,
                "NumberTotalRows": load.written, "NumberLoadedRows": load.written}),
            Err(_) => json!({"Status": "TXN_NOT_EXISTS", "Message": "the transaction does not exist"}),
        },
        Step::Commit => match commit(world, asked) {
            Ok(_) => fine(),
            Err(No::NotFound | No::Exists) => failed("no transaction found by the label"),
            Err(No::NotCommittable) => failed("Failed to commit txn when callback 7 could not be found"),
            Err(No::Is(Stage::Aborted)) => failed("can not commit aborted transaction"),
            Err(No::Is(_)) => failed("transaction is not prepared yet"),
        },
        Step::Abort | Step::Cancel => match abort(world, asked) {
            Ok(_) => fine(),
            Err(No::Is(_)) => failed("transaction is already VISIBLE, can not abort it"),
            Err(No::NotFound | No::Exists | No::NotCommittable) => failed("transaction not found"),
        },
        Step::State => {
            let state = match engine.state(&asked.label) {
                TxnState::Unknown => "UNKNOWN",
                TxnState::Loading => "PREPARE",
                TxnState::Prepared => "PREPARED",
                TxnState::Committed => "COMMITTED",
                TxnState::Visible => "VISIBLE",
                TxnState::Aborted { .. } => "ABORTED",
            };
            json!({"status": "OK", "msg": "Success", "state": state})
        }
        Step::LoadAtOnce => failed("no such call"),
    }
}

fn doris(world: &mut World, asked: &Asked, rows: &[Place]) -> Value {
    let World { engine, judge, .. } = world;
    let failed = |text: &str| json!({"status": "ANALYSIS_ERROR", "msg": text});
    match asked.step {
        Step::Load => {
            let written = engine.write(&asked.label, rows, judge);
            match written.and_then(|()| engine.prepare(&asked.label)) {
                Ok(load) => json!({"Status": "Success", "Message": "OK", "TwoPhaseCommit": "true", "TxnId": load.id.0,
                    "NumberTotalRows": load.written, "NumberLoadedRows": load.written}),
                Err(_) => json!({"Status": "Fail", "Message": "transaction [1] not found"}),
            }
        }
        Step::Commit => match commit(world, asked) {
            Ok(true) => json!({"status": "Success", "msg": "transaction [1] commit successfully."}),
            Ok(false) => failed("transaction [1] is already VISIBLE, not pre-committed."),
            Err(No::NotCommittable) => failed("the table's schema compatibility check failed"),
            Err(No::Is(Stage::Aborted)) => {
                failed("transaction [1] is already aborted. abort reason: cancelled by user")
            }
            Err(No::Is(_)) => failed("transaction [1] is prepare, not pre-committed."),
            Err(No::NotFound | No::Exists) => failed("transaction [1] not found"),
        },
        Step::Abort => match abort(world, asked) {
            Ok(_) => json!({"status": "Success", "msg": "transaction [1] abort successfully."}),
            Err(No::Is(_)) => failed("transaction [1] is already VISIBLE, could not abort."),
            Err(No::NotFound | No::Exists | No::NotCommittable) => failed("transaction [1] not found"),
        },
        Step::State => {
            let state = match engine.state(&asked.label) {
                TxnState::Unknown => "UNKNOWN",
                TxnState::Loading => "PREPARE",
                TxnState::Prepared => "PRECOMMITTED",
                TxnState::Committed => "COMMITTED",
                TxnState::Visible => "VISIBLE",
                TxnState::Aborted { .. } => "ABORTED",
            };
            json!({"msg": "success", "code": 0, "data": state, "count": 0})
        }
        Step::Begin | Step::LoadAtOnce | Step::Prepare | Step::Cancel => failed("no such call"),
    }
}
