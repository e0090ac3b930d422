//! Faults as data: which call goes wrong, how, and how often; and what happens to the cluster meanwhile.
//!
//! ```text
//!  plan (JSON) --read--> Fault --add--> Faults --meet(call)--> Hits --under--> before, act, after
//! ```

mod answer;
mod asked;
mod events;
mod hits;
mod kind;
mod plan;
mod read;
mod texts;

use serde::{Deserialize, Serialize};

pub(crate) use asked::{Asked, matches};
pub(crate) use events::keep_time;
pub(crate) use hits::{current, hits, under};
pub use kind::{FaultKind, When};
pub(crate) use plan::{Faults, Named};
pub(crate) use texts::{not_committable, unclear_call};

/// A call that a fault can hit, by its meaning in either engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// StarRocks `begin`.
    Begin,
    /// StarRocks `load` and `_stream_load`, Doris `_stream_load`.
    Load,
    /// StarRocks `prepare`.
    Prepare,
    /// StarRocks `commit`, Doris `_stream_load_2pc` with `commit`.
    Commit,
    /// StarRocks `rollback`, Doris `_stream_load_2pc` with `abort`.
    Rollback,
    /// `get_load_state`.
    State,
    /// StarRocks and Doris `_cancel`.
    Cancel,
    /// SQL over HTTP, Doris' page of settings.
    Query,
}

/// Which calls a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// All of them; `"any"` in JSON.
    Any,
    /// Those of one meaning.
    Only(Call),
}

/// A node of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// Answers by itself or redirects.
    Frontend,
    /// Takes bodies.
    Backend,
}

/// A fault of a plan: when it strikes, and what goes wrong then.
///
/// It strikes at a call that fits all its conditions, or at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The calls that it hits; `None` if it strikes at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Calls>,
    /// Milliseconds after it was added at which it strikes, and again as often as `times` says. Only for what happens
    /// to the cluster as a whole ([`FaultKind::is_event`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_millis: Option<u64>,
    /// The node that it hits; without it the one that carries the call out (not one that redirects).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Node>,
    /// Which of several such nodes, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_index: Option<usize>,
    /// The path of the request; `*` stands for any characters, `?` for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The table of the load, `table` or `database.table`; `*` and `?` as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The label; `*` and `?` as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// Fitting calls that are let through first.
    #[serde(default)]
    pub skip: u32,
    /// Calls that are hit; in JSON `"always"` stands for [`u32::MAX`].
    #[serde(default = "once", with = "read::always")]
    pub times: u32,
    /// The chance that a fitting call is hit, 0 to 1; without it each is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Where this fault's own random numbers begin; without it at its place in the plan. The same seed takes the same
    /// choices for the same sequence of fitting calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// A fault that hits the next such call once.
    #[must_use]
    pub fn once(call: Call, kind: FaultKind) -> Self {
        Self {
            call: Some(Calls::Only(call)),
            at_millis: None,
            node: None,
            node_index: None,
            path: None,
            table: None,
            label: None,
            kind,
            skip: 0,
            times: 1,
            probability: None,
            seed: None,
        }
    }

    /// A fault that hits the next call, whichever it is, once.
    #[must_use]
    pub fn any(kind: FaultKind) -> Self {
        Self { call: Some(Calls::Any), ..Self::once(Call::State, kind) }
    }

    /// A fault that hits every such call.
    #[must_use]
    pub fn always(call: Call, kind: FaultKind) -> Self {
        Self { times: u32::MAX, ..Self::once(call, kind) }
    }

    /// An event at a time: so many milliseconds after it was added.
    #[must_use]
    pub fn at(millis: u64, kind: FaultKind) -> Self {
        Self { call: None, at_millis: Some(millis), ..Self::once(Call::State, kind) }
    }
}

/// A fault and how often it was met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultCount {
    /// The fault as it was set.
    pub fault: Fault,
    /// Calls that were let through, by `skip` or by chance.
    pub skipped: u32,
    /// Calls that were hit.
    pub hit: u32,
    /// Hits that had their effect. One of `refuse_in_body` has none if the body ends before its place, one of
    /// `abort_lost` if nothing was aborted.
    #[serde(default)]
    pub happened: u32,
}
