//! Faults as data: which call goes wrong, how, and how often.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http::{HangUp, HttpResponse, text};

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

/// A node of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// Answers by itself or redirects.
    Frontend,
    /// Takes bodies.
    Backend,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// The connection is closed; nothing was done.
    DropBefore,
    /// Everything is done, then the connection is closed without the answer.
    DropAfter,
    /// An answer with this HTTP status and no JSON; nothing was done.
    Status {
        /// HTTP status, 400 to 599.
        code: u16,
    },
    /// Everything happens this much later.
    Delay {
        /// Milliseconds.
        millis: u64,
    },
    /// The engine's answer of failure when the headers have arrived; nothing was done and the body isn't read.
    RefuseAtHeader {
        /// `Status` of the answer; without it the engine's usual one.
        #[serde(default)]
        status: Option<String>,
        /// `Message` of the answer.
        message: String,
    },
    /// The engine's answer of failure in the middle of a load's body; the transaction is aborted.
    RefuseInBody {
        /// Body bytes that are read first.
        after_bytes: u64,
        /// `Message` of the answer.
        message: String,
    },
    /// The connection is closed in the middle of a load's body.
    DropInBody {
        /// Body bytes that are read first.
        after_bytes: u64,
    },
}

/// A fault of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The call that it hits.
    pub call: Call,
    /// The node that it hits; without it the one that carries the call out (not one that redirects).
    #[serde(default)]
    pub node: Option<Node>,
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// Calls that are let through first.
    #[serde(default)]
    pub skip: u32,
    /// Calls that are hit.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// A fault that hits the next such call once.
    #[must_use]
    pub fn once(call: Call, kind: FaultKind) -> Self {
        Self { call, node: None, kind, skip: 0, times: 1 }
    }

    /// Reads a JSON array of faults.
    ///
    /// # Errors
    /// When it is none, or has a field that no fault has: a misspelt `times` must not count as absent.
    pub fn read_plan(json: &str) -> Result<Vec<Self>, String> {
        let not_understood = |e: serde_json::Error| format!("the fault plan is not understood: {e}");
        let given: Vec<serde_json::Map<String, Value>> = serde_json::from_str(json).map_err(not_understood)?;
        given
            .into_iter()
            .map(|given| {
                let fault: Self = serde_json::from_value(Value::Object(given.clone())).map_err(not_understood)?;
                let known = serde_json::to_value(&fault).map_err(not_understood)?;
                match given.keys().find(|key| known.get(key.as_str()).is_none()) {
                    Some(key) => Err(format!("the fault plan is not understood: unknown field {key}")),
                    None => Ok(fault),
                }
            })
            .collect()
    }
}

/// A fault and how often it was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCount {
    /// The fault as it was set.
    pub fault: Fault,
    /// Calls that were let through.
    pub skipped: u32,
    /// Calls that were hit.
    pub hit: u32,
}

/// Carries a call out under the faults that hit it. `refuse` makes the engine's answer of failure from a status and a
/// message; faults in a load's body are for the one who reads the body.
pub(crate) async fn under(
    kinds: &[FaultKind],
    refuse: impl Fn(Option<&str>, &str) -> HttpResponse,
    act: impl Future<Output = Result<HttpResponse, HangUp>>,
) -> Result<HttpResponse, HangUp> {
    for kind in kinds {
        match kind {
            FaultKind::DropBefore => return Err(HangUp),
            FaultKind::Status { code } => {
                let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return Ok(text(status, "a fault of the sandbox's plan"));
            }
            FaultKind::Delay { millis } => tokio::time::sleep(Duration::from_millis(*millis)).await,
            FaultKind::RefuseAtHeader { status, message } => return Ok(refuse(status.as_deref(), message)),
            FaultKind::DropAfter | FaultKind::RefuseInBody { .. } | FaultKind::DropInBody { .. } => {}
        }
    }
    let response = act.await?;
    if kinds.contains(&FaultKind::DropAfter) { Err(HangUp) } else { Ok(response) }
}

/// The plan of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<FaultCount>>);

impl Faults {
    /// Adds faults to the plan.
    pub(crate) fn add(&self, faults: Vec<Fault>) {
        let new = faults.into_iter().map(|fault| FaultCount { fault, skipped: 0, hit: 0 });
        self.lock().extend(new);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn counts(&self) -> Vec<FaultCount> {
        self.lock().clone()
    }

    /// The faults that hit this call, counted as hit. `acts` is false where the node only redirects.
    pub(crate) fn take(&self, call: Call, node: Node, acts: bool) -> Vec<FaultKind> {
        let mut hit = Vec::new();
        for planned in self.lock().iter_mut() {
            let here = planned.fault.node.map_or(acts, |n| n == node);
            if planned.fault.call != call || !here || planned.hit >= planned.fault.times {
                continue;
            }
            if planned.skipped < planned.fault.skip {
                planned.skipped += 1;
                continue;
            }
            planned.hit += 1;
            hit.push(planned.fault.kind.clone());
        }
        hit
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<FaultCount>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_the_calls_it_names() {
        let faults = Faults::default();
        let plan = r#"[{"call":"commit","kind":"drop_after","skip":1,"times":2},
                       {"call":"load","node":"frontend","kind":"delay","millis":5}]"#;
        faults.add(Fault::read_plan(plan).unwrap());
        let commits: Vec<usize> = (0..4).map(|_| faults.take(Call::Commit, Node::Frontend, true).len()).collect();
        assert_eq!(commits, [0, 1, 1, 0]);
        assert_eq!(faults.take(Call::Load, Node::Backend, true), []);
        assert_eq!(faults.take(Call::Load, Node::Frontend, false), [FaultKind::Delay { millis: 5 }]);
        assert_eq!(faults.counts().iter().map(|c| (c.skipped, c.hit)).collect::<Vec<_>>(), [(1, 2), (0, 1)]);
    }

    #[test]
    fn a_redirect_is_not_the_call() {
        let faults = Faults::default();
        faults.add(vec![Fault::once(Call::Commit, FaultKind::DropBefore)]);
        assert_eq!(faults.take(Call::Commit, Node::Frontend, false), []);
        assert_eq!(faults.take(Call::Commit, Node::Backend, true), [FaultKind::DropBefore]);
    }

    #[test]
    fn what_is_not_a_fault_is_refused() {
        for unknown in [
            r#"[{"call":"commit","kind":"explode"}]"#,
            r#"[{"call":"commit","kind":"drop_after","tims":2}]"#,
            r#"[{"call":"commit","kind":"delay","millis":2,"tims":2}]"#,
            r#"{"call":"commit","kind":"drop_after"}"#,
        ] {
            assert!(Fault::read_plan(unknown).is_err(), "{unknown}");
        }
    }
}
