//! Loads as SQL shows them: `information_schema.loads`, `SHOW LOAD`, `SHOW TRANSACTION`, `SHOW STREAM LOAD`.

use sqlparser::tokenizer::Token;

use super::error::SqlError;
use super::session::{Server, Session};
use super::words::Words;
use super::{Grid, time};
use crate::table::EngineKind;
use crate::transactions::{Coordinator, State, Transaction};

/// Columns of StarRocks' `information_schema.loads` (`LoadsSystemTable`); `:n` and `:t` as in [`super::schema_tables`].
pub(crate) const COLUMNS: &str = "ID:n LABEL PROFILE_ID DB_NAME TABLE_NAME USER WAREHOUSE STATE PROGRESS TYPE PRIORITY \
     SCAN_ROWS:n SCAN_BYTES:n FILTERED_ROWS:n UNSELECTED_ROWS:n SINK_ROWS:n RUNTIME_DETAILS CREATE_TIME:t \
     LOAD_START_TIME:t LOAD_COMMIT_TIME:t LOAD_FINISH_TIME:t PROPERTIES ERROR_MSG TRACKING_SQL REJECTED_RECORD_PATH \
     JOB_ID:n";

/// The state of a stream load task (StarRocks `StreamLoadTask.State`).
fn task_state(state: State) -> &'static str {
    match state {
        State::Prepare => "LOADING",
        State::Prepared => "PREPARED",
        State::Committed => "COMMITED",
        State::Visible => "FINISHED",
        State::Aborted => "CANCELLED",
    }
}

/// Rows of `information_schema.loads` and of the load history.
pub(crate) fn rows(server: &Server, transactions: Vec<Transaction>) -> Vec<Vec<Option<String>>> {
    let task = |t: Transaction| {
        let when = |is: bool| is.then(|| time::of_millis(t.changed_ms));
        let text = |text: &str| Some(text.to_owned());
        let progress = if t.state.is_finished() { "100%" } else { "0%" };
        let begun = Some(time::of_millis(t.begun_ms));
        vec![
            Some(t.id.to_string()),
            text(&t.label),
            None,
            text(&t.database),
            text(&t.table),
            text(server.user()),
            text(""),
            text(task_state(t.state)),
            text(progress),
            text("STREAM LOAD"),
            text("NORMAL"),
            Some(t.counts.total.to_string()),
            Some(t.counts.bytes.to_string()),
            Some(t.counts.filtered.to_string()),
            text("0"),
            Some(t.counts.loaded.to_string()),
            text("{}"),
            begun.clone(),
            begun,
            when(matches!(t.state, State::Committed | State::Visible)),
            when(t.state.is_finished()),
            text("{}"),
            (!t.reason.is_empty()).then(|| t.reason.clone()),
            None,
            None,
            Some(t.id.to_string()),
        ]
    };
    transactions.into_iter().map(task).collect()
}

/// The state as the engine's transaction lists have it (`TransactionStatus`).
fn status(kind: EngineKind, state: State) -> &'static str {
    match (kind, state) {
        (EngineKind::Doris, State::Prepared) => "PRECOMMITTED",
        (EngineKind::StarRocks | EngineKind::Doris, state) => state.name(),
    }
}

/// Titles of StarRocks' `TransProcDir`.
const STARROCKS_TRANSACTION: &str = "TransactionId Label Coordinator TransactionStatus LoadJobSourceType PrepareTime \
     CommitTime PublishTime FinishTime Reason ErrorReplicasCount ListenerId TimeoutMs ErrMsg";
/// Titles of Doris' `TransProcDir`.
const DORIS_TRANSACTION: &str = "TransactionId Label Coordinator TransactionStatus LoadJobSourceType PrepareTime \
     PreCommitTime CommitTime PublishTime FinishTime Reason ErrorReplicasCount ListenerId TimeoutMs ErrMsg";
/// Titles of StarRocks' `LoadProcDir`.
const STARROCKS_JOB: &str = "JobId Label State Progress Type Priority ScanRows FilteredRows UnselectedRows SinkRows \
     EtlInfo TaskInfo ErrorMsg CreateTime EtlStartTime EtlFinishTime LoadStartTime LoadFinishTime TrackingSQL JobDetails";
/// Titles of Doris' `LoadProcDir`.
const DORIS_JOB: &str = "JobId Label State Progress Type EtlInfo TaskInfo ErrorMsg CreateTime EtlStartTime \
     EtlFinishTime LoadStartTime LoadFinishTime URL JobDetails TransactionId ErrorTablets User Comment";
/// Titles of StarRocks' `ShowStreamLoadStmt`.
const STARROCKS_STREAM_LOAD: &str = "Label Id LoadId TxnId DbName TableName State ErrorMsg TrackingURL ChannelNum \
     PreparedChannelNum NumRowsNormal NumRowsAbNormal NumRowsUnselected NumLoadBytes TimeoutSecond CreateTimeMs \
     BeforeLoadTimeMs StartLoadingTimeMs StartPreparingTimeMs FinishPreparingTimeMs EndTimeMs ChannelState Type";
/// Titles of Doris' `ShowStreamLoadStmt`.
const DORIS_STREAM_LOAD: &str = "Label Db Table ClientIp Status Message Url TotalRows LoadedRows FilteredRows \
     UnselectedRows LoadBytes StartTime FinishTime User Comment";

/// `SHOW TRANSACTION` of a database. The engines want a WHERE with an id, a label or, in Doris, a status.
pub(crate) fn transactions(server: &Server, session: &Session, words: &mut Words<'_>) -> Result<Grid, SqlError> {
    let database = database(server, session, words)?;
    if !words.next_is("WHERE") {
        return Err(SqlError::analysis(server.kind, "Where clause should looks like one of them: id = 123"));
    }
    let mut grid = Grid::titled(match server.kind {
        EngineKind::StarRocks => STARROCKS_TRANSACTION,
        EngineKind::Doris => DORIS_TRANSACTION,
    });
    for t in server.cluster.transactions().into_iter().filter(|t| t.database == database) {
        let when = |is: bool| if is { time::of_millis(t.changed_ms) } else { "NULL".to_owned() };
        let mut row = vec![
            t.id.to_string(),
            t.label.clone(),
            coordinator(server, &t),
            status(server.kind, t.state).to_owned(),
            "BACKEND_STREAMING".to_owned(),
            time::of_millis(t.begun_ms),
        ];
        if server.kind == EngineKind::Doris {
            row.push(when(t.state == State::Prepared));
        }
        row.extend([
            when(matches!(t.state, State::Committed | State::Visible)),
            when(t.state == State::Visible),
            when(t.state.is_finished()),
            t.reason.clone(),
            "0".to_owned(),
            "0".to_owned(),
            timeout_ms(&t).to_string(),
            String::new(),
        ]);
        grid.push(row);
    }
    Ok(grid)
}

/// What a `SHOW TRANSACTION` says that finds nothing, if it asks for a single id or label.
pub(crate) fn unknown_transaction(kind: EngineKind, condition: &str) -> Option<SqlError> {
    let mut words = Words::of(kind, condition).ok()?;
    let by_label = words.take("WHERE") && words.take("label");
    if !(by_label || words.take("id")) || !words.take_token(&Token::Eq) {
        return None;
    }
    let asked = if by_label { format!("label {}", words.text().ok()?) } else { format!("id {}", words.number().ok()?) };
    words.is_end().then(|| SqlError::analysis(kind, &format!("transaction with {asked} does not exist")))
}

fn timeout_ms(transaction: &Transaction) -> i64 {
    (transaction.deadline_ms - transaction.begun_ms).max(0)
}

/// `SHOW LOAD`: stream loads aren't among its jobs.
pub(crate) fn jobs(server: &Server, session: &Session, words: &mut Words<'_>) -> Result<Grid, SqlError> {
    database(server, session, words)?;
    Ok(Grid::titled(match server.kind {
        EngineKind::StarRocks => STARROCKS_JOB,
        EngineKind::Doris => DORIS_JOB,
    }))
}

/// `SHOW STREAM LOAD`; Doris records finished loads only.
pub(crate) fn stream_loads(server: &Server, session: &Session, words: &mut Words<'_>) -> Result<Grid, SqlError> {
    let database = database(server, session, words)?;
    let loads = server.cluster.transactions().into_iter().filter(|t| t.database == database);
    let mut grid;
    match server.kind {
        EngineKind::StarRocks => {
            grid = Grid::titled(STARROCKS_STREAM_LOAD);
            loads.for_each(|t| grid.push(starrocks_stream_load(t)));
        }
        EngineKind::Doris => {
            grid = Grid::titled(DORIS_STREAM_LOAD);
            loads.filter(|t| t.state.is_finished()).for_each(|t| grid.push(doris_stream_load(server, t)));
        }
    }
    Ok(grid)
}

fn starrocks_stream_load(t: Transaction) -> [String; 24] {
    let (begun, changed) = (time::of_millis(t.begun_ms), time::of_millis(t.changed_ms));
    let zero = || "0".to_owned();
    let timeout = (timeout_ms(&t) / 1000).to_string();
    [
        t.label,
        t.id.to_string(),
        String::new(),
        t.id.to_string(),
        t.database,
        t.table,
        task_state(t.state).to_owned(),
        t.reason,
        String::new(),
        zero(),
        zero(),
        t.counts.loaded.to_string(),
        t.counts.filtered.to_string(),
        zero(),
        t.counts.bytes.to_string(),
        timeout,
        begun.clone(),
        begun.clone(),
        begun.clone(),
        begun,
        changed.clone(),
        changed,
        String::new(),
        "STREAM_LOAD".to_owned(),
    ]
}

fn doris_stream_load(server: &Server, t: Transaction) -> [String; 16] {
    [
        t.label,
        t.database,
        t.table,
        coordinator_ip(server, t.coordinator),
        if t.state == State::Visible { "Success" } else { "Fail" }.to_owned(),
        t.reason,
        "N/A".to_owned(),
        t.counts.total.to_string(),
        t.counts.loaded.to_string(),
        t.counts.filtered.to_string(),
        "0".to_owned(),
        t.counts.bytes.to_string(),
        time::of_millis(t.begun_ms),
        time::of_millis(t.changed_ms),
        server.user().to_owned(),
        String::new(),
    ]
}

/// `BE: ip`, as the engines show a transaction's coordinator.
fn coordinator(server: &Server, t: &Transaction) -> String {
    let kind = match t.coordinator {
        Coordinator::Frontend => "FE",
        Coordinator::Backend(_) => "BE",
    };
    format!("{kind}: {}", coordinator_ip(server, t.coordinator))
}

fn coordinator_ip(server: &Server, coordinator: Coordinator) -> String {
    let nodes = &server.cluster.nodes;
    let address = match coordinator {
        Coordinator::Frontend => nodes.last_leader().http,
        Coordinator::Backend(index) => nodes.backend(index).http,
    };
    address.ip().to_string()
}

/// `FROM db`, or the database in use.
fn database(server: &Server, session: &Session, words: &mut Words<'_>) -> Result<String, SqlError> {
    let named = if words.take_any(&["FROM", "IN"]) { Some(words.name()?) } else { None };
    let database = session.database_or(named)?;
    if server.cluster.has_database(&database) {
        Ok(database)
    } else {
        Err(SqlError::unknown_database(server.kind, &database))
    }
}
