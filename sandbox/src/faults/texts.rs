//! The engines' words for failures that a plan can name without giving a text.
//!
//! StarRocks 4.0: `mem_tracker.cpp`, `delta_writer.cpp`, `DatabaseTransactionMgr`, `TransactionState`. Doris 3.x:
//! `rowset_builder.cpp`, `global_memory_arbitrator`, `DatabaseTransactionMgr`.

use super::{Call, FaultKind};
use crate::table::EngineKind;

/// An answer of failure.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Status; without it the engine's usual one.
    pub(super) status: Option<&'static str>,
    pub(super) message: String,
    /// True if a transaction in PREPARE is rolled back by it.
    pub(super) aborts: bool,
}

/// The words of a kind that has its own.
pub(super) fn refusal(engine: EngineKind, call: Call, kind: &FaultKind) -> Option<Refusal> {
    use EngineKind::{Doris, StarRocks};
    let (status, message, aborts) = if *kind == FaultKind::InProcessing {
        (Some("TXN_IN_PROCESSING"), "Transaction is in processing", false)
    } else if *kind == FaultKind::MemoryLimit {
        match engine {
            StarRocks => (
                Some("MEM_LIMIT_EXCEEDED"),
                "Memory of process exceed limit. try consume:67108864 Backend: 127.0.0.1, Used: 9663676416, Limit: \
                 9663676416. Mem usage has exceed the limit of BE",
                call != Call::Begin,
            ),
            Doris => (
                None,
                "[MEM_LIMIT_EXCEEDED]Process memory not enough, process memory used 9.01 GB exceed limit 9.00 GB or \
                 sys available memory 191.25 MB less than low water mark 3.20 GB. Execute again after enough memory",
                true,
            ),
        }
    } else if *kind == FaultKind::TooManyVersions {
        match engine {
            StarRocks => (
                Some("SERVICE_UNAVAILABLE"),
                "Failed to load data into tablet 10010, because of too many versions, current/limit: 1001/1000. You \
                 can reduce the loading job concurrency, or increase loading data batch size.",
                call != Call::Begin,
            ),
            Doris => (
                None,
                "[E-235]failed to init rowset builder. version count: 2001, exceed limit: 2000, tablet: 10010",
                true,
            ),
        }
    } else if *kind == FaultKind::RunningTxnLimit {
        match engine {
            StarRocks => {
                (Some("ANALYSIS_ERROR"), "current running txns on db 10001 is 1000, larger than limit 1000", false)
            }
            Doris => (
                None,
                "[ANALYSIS_ERROR]TStatus: errCode = 2, detailMessage = current running txns on db 10001 is 10000, \
                 larger than limit 10000",
                false,
            ),
        }
    } else {
        return None;
    };
    Some(Refusal { status, message: message.to_owned(), aborts })
}

/// Why a prepared transaction can't be committed, in the engine's words.
pub(crate) fn not_committable(engine: EngineKind, id: i64) -> String {
    match engine {
        // Without a space behind the number, as StarRocks 3.3.8 to 3.5.1 say it.
        EngineKind::StarRocks => format!("Failed to commit txn when callback {id}could not be found"),
        EngineKind::Doris => format!(
            "transaction [{id}] check schema compatibility failed, partial update can't commit with old schema \
             sucessfully ."
        ),
    }
}

/// What a backend says when it does not know what became of its call to the frontend.
pub(crate) fn unclear_call(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::StarRocks => {
            "call frontend service failed, address=127.0.0.1:9020, reason=THRIFT_EAGAIN (timed out)"
        }
        EngineKind::Doris => {
            "[THRIFT_RPC_ERROR]failed to call frontend service, FE address=127.0.0.1:9020, reason: timed out"
        }
    }
}

/// A stack as Doris' backends append it to messages.
pub(super) const STACK: &str = "\n\n\t0#  doris::StreamLoadAction::_handle(std::shared_ptr<doris::StreamLoadContext>) at \
                                be/src/http/action/stream_load.cpp:0\n\t1#  doris::StreamLoadAction::handle(doris::HttpRequest*) \
                                at be/src/http/action/stream_load.cpp:0\n\t2#  ?\n";
