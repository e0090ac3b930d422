//! Carries a call out under the faults that hit it.
//!
//! They travel with the call's task: whoever takes a step of a transaction, reads a body or waits for rows asks
//! [`current`] whether the plan has something else in mind. So every way to load has the same faults.

#![expect(clippy::wildcard_enum_match_arm, reason = "the kinds that strike elsewhere are most of them")]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::StatusCode;

use super::answer::{self, Edit};
use super::events::happen;
use super::plan::Met;
use super::texts::{Refusal, refusal};
use super::{Asked, Call, FaultKind, Faults, Node, When};
use crate::cluster::Cluster;
use crate::delivery::Delivery;
use crate::http::{HangUp, HttpResponse, text};
use crate::transactions::State;

/// A fault that hit a call.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) id: u64,
    pub(super) kind: FaultKind,
    /// For what is shuffled.
    pub(super) seed: u64,
    had_effect: AtomicBool,
}

impl Hit {
    pub(super) fn new(id: u64, kind: FaultKind, seed: u64) -> Self {
        Self { id, kind, seed, had_effect: AtomicBool::new(false) }
    }
}

/// The faults that hit a call.
#[derive(Clone, Debug)]
pub(crate) struct Hits {
    faults: Faults,
    hits: Arc<[Hit]>,
}

tokio::task_local! {
    /// Those of the call under way.
    static HITS: Hits;
}

/// The first fault of the call under way that `pick` takes; it counts as happened.
pub(crate) fn current<T>(pick: impl Fn(&FaultKind) -> Option<T>) -> Option<T> {
    HITS.try_with(|hits| hits.first(pick)).ok().flatten()
}

/// All faults of the call under way, if it is hit by any.
pub(crate) fn hits() -> Option<Hits> {
    HITS.try_with(Clone::clone).ok()
}

impl Asked {
    /// A call that a node carries out.
    pub(crate) fn acts(&self, call: Call, node: Node, node_index: usize) -> Met<'_> {
        Met { call, node, node_index, acts: true, asked: self }
    }

    /// A call that a frontend sends on.
    pub(crate) fn redirects(&self, call: Call, node_index: usize) -> Met<'_> {
        Met { call, node: Node::Frontend, node_index, acts: false, asked: self }
    }
}

/// Carries a call out under the faults that hit it. `refuse` makes the engine's answer of failure from a status and a
/// message.
pub(crate) async fn under(
    cluster: &Arc<Cluster>,
    met: Met<'_>,
    refuse: impl Fn(Option<&str>, &str) -> HttpResponse,
    act: impl Future<Output = Result<HttpResponse, HangUp>>,
) -> Result<HttpResponse, HangUp> {
    if cluster.faults.is_empty() {
        return act.await;
    }
    let hits = cluster.faults.meet(&met, &|| cluster.named(&met.asked.database, &met.asked.label, met.asked.id));
    if hits.hits.is_empty() {
        return act.await;
    }
    if let Some(answer) = hits.before(cluster, &met, refuse).await {
        return answer;
    }
    let result = HITS.scope(hits.clone(), act).await;
    hits.after(cluster, result).await
}

impl Hits {
    pub(super) fn new(faults: Faults, hits: Vec<Hit>) -> Self {
        Self { faults, hits: hits.into() }
    }

    /// Hits and what they do, each counted once when `pick` takes it.
    pub(crate) fn first<T>(&self, pick: impl Fn(&FaultKind) -> Option<T>) -> Option<T> {
        self.hits.iter().find_map(|hit| pick(&hit.kind).inspect(|_| self.note(hit)))
    }

    /// As [`Hits::first`], among those that had no effect yet.
    pub(crate) fn next<T>(&self, pick: impl Fn(&FaultKind) -> Option<T>) -> Option<T> {
        let fresh = self.hits.iter().filter(|hit| !hit.had_effect.load(Ordering::Relaxed));
        fresh.into_iter().find_map(|hit| pick(&hit.kind).inspect(|_| self.note(hit)))
    }

    #[cfg(test)]
    pub(super) fn kinds(&self) -> Vec<FaultKind> {
        self.hits.iter().map(|hit| hit.kind.clone()).collect()
    }

    /// Lets an event happen in the middle of the call, but not as a part of it: its own steps are hit by nothing.
    pub(crate) async fn let_happen(&self, cluster: &Arc<Cluster>, event: &FaultKind) {
        HITS.scope(Self::new(self.faults.clone(), Vec::new()), happen(cluster, event)).await;
    }

    fn note(&self, hit: &Hit) {
        if !hit.had_effect.swap(true, Ordering::Relaxed) {
            self.faults.happened(hit.id);
        }
    }

    fn had_effect(&self, is: impl Fn(&FaultKind) -> bool) -> bool {
        self.hits.iter().any(|hit| is(&hit.kind) && hit.had_effect.load(Ordering::Relaxed))
    }

    /// What comes before the call's effect; an answer if it has none.
    async fn before(
        &self,
        cluster: &Arc<Cluster>,
        met: &Met<'_>,
        refuse: impl Fn(Option<&str>, &str) -> HttpResponse,
    ) -> Option<Result<HttpResponse, HangUp>> {
        for hit in self.hits.iter() {
            let answer = match &hit.kind {
                FaultKind::DropBefore => Err(HangUp),
                FaultKind::ResetBefore => Ok(Delivery::reset()),
                FaultKind::Status { code } => {
                    let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                    Ok(text(status, "a fault of the sandbox's plan"))
                }
                FaultKind::RefuseAtHeader { status, message } => Ok(refuse(status.as_deref(), message)),
                FaultKind::RedirectTo { authority } => Ok(answer::redirect(authority, &met.asked.target)),
                FaultKind::RedirectLoop => Ok(answer::redirect(&met.asked.host, &met.asked.target)),
                FaultKind::Delay { millis } => {
                    self.note(hit);
                    tokio::time::sleep(Duration::from_millis(*millis)).await;
                    continue;
                }
                event if event.when() == Some(When::Before) => {
                    self.note(hit);
                    happen(cluster, event).await;
                    continue;
                }
                other => match refusal(cluster.faults.engine(), met.call, other) {
                    Some(refusal) => Ok(refuse_as(cluster, met, &refusal, &refuse).await),
                    None => continue,
                },
            };
            self.note(hit);
            return Some(answer);
        }
        None
    }

    /// What comes behind the call's effect.
    async fn after(
        &self,
        cluster: &Arc<Cluster>,
        result: Result<HttpResponse, HangUp>,
    ) -> Result<HttpResponse, HangUp> {
        while let Some(event) = self.next(|kind| (kind.when() == Some(When::After)).then(|| kind.clone())) {
            happen(cluster, &event).await;
        }
        if self.had_effect(|kind| matches!(kind, FaultKind::ResetInBody { .. }))
            || self.first(|kind| (*kind == FaultKind::ResetAfter).then_some(())).is_some()
        {
            return Ok(Delivery::reset());
        }
        if self.had_effect(|kind| matches!(kind, FaultKind::DropInBody { .. }))
            || self.first(|kind| (*kind == FaultKind::DropAfter).then_some(())).is_some()
        {
            return Err(HangUp);
        }
        let mut response = result?;
        for hit in self.hits.iter() {
            if let Some(edit) = Edit::of(&hit.kind, hit.seed)
                && edit.apply(&mut response).await
            {
                self.note(hit);
            }
        }
        Ok(response)
    }
}

/// The engine's answer of failure; a load that fails so is rolled back.
async fn refuse_as(
    cluster: &Arc<Cluster>,
    met: &Met<'_>,
    refusal: &Refusal,
    refuse: &impl Fn(Option<&str>, &str) -> HttpResponse,
) -> HttpResponse {
    let Refusal { status, message, aborts } = refusal;
    if *aborts
        && let Some(open) = cluster.newest(&met.asked.database, &met.asked.label).await
        && open.state == State::Prepare
    {
        // A store that fails is told by every step.
        let _ = cluster.abort(open.id, message).await;
        cluster.memory.remove(&open);
        cluster.drop_rows_if_over(&open);
    }
    refuse(*status, message)
}
