//! A batch becomes a prepared, then a visible transaction.
//!
//! [`Loader::open`] starts a task of its own for each load; [`Load`] is the handle that feeds it rows. What an engine
//! is asked and what its answers mean is pure ([`engine`], with the two dialects); `http` performs it.

pub mod engine;
pub mod question;
pub mod retry;

mod doris;
mod failure;
mod http;
mod loader;
mod starrocks;
mod task;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

pub use doris::Doris;
pub use failure::{Class, ERROR_LOG_BYTES, Failed, Failure};
pub use http::{Network, Opened, SetupError, Stream};
pub use loader::{Load, Loader};
pub use question::{Listed, Unanswered};
pub use starrocks::{BODY_LIMIT, StarRocks};

pub use crate::domain::TxnState;
use crate::domain::{Delivery, Label, Table, TxnId};

/// What a load goes into, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// Table.
    pub table: Table,
    /// Label of the transaction, used for this attempt only.
    pub label: Label,
    /// Columns of the table that the rows fill; the keys of the rows.
    pub columns: Vec<String>,
    /// In two phases, or visible at once.
    pub delivery: Delivery,
    /// Engine headers of the route, lower-case names. Those that the protocol needs are not overridden by them.
    pub headers: BTreeMap<String, String>,
}

/// A transaction as it is named to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnName {
    /// Table that the transaction loads into.
    pub table: Table,
    /// Label of the transaction.
    pub label: Label,
    /// Id of the transaction, where known. Doris commits by id only.
    pub id: Option<TxnId>,
}

/// Encoded rows on their way into a load.
#[derive(Debug)]
pub struct Rows {
    /// Whole rows in the engine's framing (`crate::decode::Framing`).
    pub bytes: Bytes,
    /// Number of rows in `bytes`.
    pub rows: u64,
    /// Share of the memory budget, often with rows of other tables; given back once the bytes are in the socket.
    pub permit: Option<Arc<OwnedSemaphorePermit>>,
}

/// A load whose rows are durable in the engine: not visible yet in two phases, visible or about to be in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Transaction id; Doris always names one.
    pub id: Option<TxnId>,
    /// Rows written, which is what the engine has counted too.
    pub rows: u64,
    /// Bytes of rows written.
    pub bytes: u64,
    /// The engine's own counts; `None` if its answer was lost and the state alone says that the load is prepared.
    pub counts: Option<Counts>,
}

/// Row counts of a prepared load, as the engine gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Rows read.
    pub total: u64,
    /// Rows that will be visible.
    pub loaded: u64,
    /// Rows left out for their quality, within the route's `max_filter_ratio`.
    pub filtered: u64,
    /// Rows left out by the route's `where`.
    pub unselected: u64,
    /// Time that the engine says it took, milliseconds.
    pub load_ms: Option<u64>,
}

/// What a call to commit or abort was told. Never the final word: that is the state read afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The engine says that it is done, now or earlier.
    Done,
    /// The engine says no.
    Refused(Failure),
    /// No answer, or one that does not say what happened.
    Unclear(Failure),
}
