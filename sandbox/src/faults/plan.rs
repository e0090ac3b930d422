//! The plan of a running cluster: what is still to strike, and what has.

use std::cell::LazyCell;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::asked::{Asked, matches};
use super::hits::{Hit, Hits};
use super::{Call, Calls, Fault, FaultCount, FaultKind, Node};
use crate::table::EngineKind;
use crate::topology::Machines;

/// A call that a node has met, as far as faults ask for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met<'a> {
    pub(crate) call: Call,
    pub(crate) node: Node,
    pub(crate) node_index: usize,
    /// False where the node only redirects.
    pub(crate) acts: bool,
    pub(crate) asked: &'a Asked,
}

/// A fault of the plan, with its past.
#[derive(Debug)]
struct Planned {
    /// Never used twice, so that a hit finds its fault or learns that it is gone.
    id: u64,
    count: FaultCount,
    random: fastrand::Rng,
    /// When it strikes next, if it strikes at a time.
    due: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    planned: Vec<Planned>,
    /// Faults that were ever added.
    added: u64,
    /// Roll-backs that come later than their answers: when, and of which transaction.
    undone: Vec<(Instant, i64)>,
}

/// What a call names that its request doesn't.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    pub(crate) table: String,
    pub(crate) label: String,
}

/// What is to happen at a time.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Ids of faults, and their events.
    pub(super) events: Vec<(u64, FaultKind)>,
    /// Transactions whose roll-back comes now.
    pub(super) undone: Vec<i64>,
    /// When to look again.
    pub(super) next: Option<Instant>,
}

/// The plan of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// The engine, whose words failures have.
    engine: EngineKind,
    state: Arc<Mutex<State>>,
    /// The processes that events kill and start, once there are any.
    machines: Arc<OnceLock<Weak<Machines>>>,
    /// Rung when a fault was added.
    pub(super) changed: Arc<Notify>,
}

impl Faults {
    /// An empty plan.
    pub(crate) fn new(engine: EngineKind) -> Self {
        Self { engine, state: Arc::default(), machines: Arc::default(), changed: Arc::default() }
    }

    /// Says which processes events are about.
    pub(crate) fn set_machines(&self, machines: &Arc<Machines>) {
        // Once, when the sandbox starts.
        let _ = self.machines.set(Arc::downgrade(machines));
    }

    pub(super) fn machines(&self) -> Option<Arc<Machines>> {
        self.machines.get().and_then(Weak::upgrade)
    }

    /// The engine, whose words failures have.
    pub(crate) fn engine(&self) -> EngineKind {
        self.engine
    }

    /// Adds faults to the plan.
    pub(crate) fn add(&self, faults: Vec<Fault>) {
        let mut state = self.lock();
        for fault in faults {
            let random = fastrand::Rng::with_seed(fault.seed.unwrap_or(state.planned.len() as u64));
            let due = fault.at_millis.map(|millis| Instant::now() + Duration::from_millis(millis));
            let id = state.added;
            state.added += 1;
            let count = FaultCount { fault, skipped: 0, hit: 0, happened: 0 };
            state.planned.push(Planned { id, count, random, due });
        }
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn clear(&self) {
        self.lock().planned.clear();
    }

    pub(crate) fn counts(&self) -> Vec<FaultCount> {
        self.lock().planned.iter().map(|planned| planned.count.clone()).collect()
    }

    /// True without any fault.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().planned.is_empty()
    }

    /// The faults that hit this call, counted as hit; `find` is asked for what the request doesn't name.
    pub(super) fn meet(&self, met: &Met<'_>, find: &dyn Fn() -> Named) -> Hits {
        let mut hits = Vec::new();
        let found = LazyCell::new(find);
        for planned in &mut self.lock().planned {
            let count = &mut planned.count;
            if count.hit >= count.fault.times || !count.fault.fits(met, &found) {
                continue;
            }
            let is_let_through = count.skipped < count.fault.skip;
            // Drawn in any case, so that the choices depend on nothing but the fitting calls before.
            let drawn = planned.random.f64();
            let is_spared = count.fault.probability.is_some_and(|chance| drawn >= chance);
            if is_let_through || is_spared {
                count.skipped += 1;
                continue;
            }
            count.hit += 1;
            hits.push(Hit::new(planned.id, count.fault.kind.clone(), planned.random.u64(..)));
        }
        Hits::new(self.clone(), hits)
    }

    /// Notes that a hit had its effect.
    pub(super) fn happened(&self, id: u64) {
        if let Some(planned) = self.lock().planned.iter_mut().find(|planned| planned.id == id) {
            planned.count.happened += 1;
        }
    }

    /// Has a transaction rolled back so many milliseconds later.
    pub(crate) fn undo_later(&self, id: i64, millis: u64) {
        self.lock().undone.push((Instant::now() + Duration::from_millis(millis), id));
        self.changed.notify_one();
    }

    /// Events whose time has come, counted as hit; and when the next one is due.
    pub(super) fn due(&self, now: Instant) -> Due {
        let mut state = self.lock();
        let undone = state.undone.extract_if(.., |(due, _)| *due <= now).map(|(_, id)| id).collect();
        let next = state.undone.iter().map(|(due, _)| *due).min();
        let mut found = Due { events: Vec::new(), undone, next };
        for planned in &mut state.planned {
            let fault = &planned.count.fault;
            let (Some(millis), Some(due)) = (fault.at_millis, planned.due) else { continue };
            if due <= now {
                found.events.push((planned.id, fault.kind.clone()));
                planned.count.hit += 1;
                let goes_on = planned.count.hit < planned.count.fault.times;
                planned.due = goes_on.then(|| now + Duration::from_millis(millis.max(1)));
            }
            found.next = [found.next, planned.due].into_iter().flatten().min();
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    /// True if a call fits all conditions.
    fn fits(&self, met: &Met<'_>, found: &impl Deref<Target = Named>) -> bool {
        let asked = met.asked;
        let is_named = match self.call {
            Some(Calls::Any) => true,
            Some(Calls::Only(call)) => call == met.call,
            None => false,
        };
        let is_here = match self.node {
            Some(node) => node == met.node,
            None if self.kind.redirects() => met.node == Node::Frontend,
            None => met.acts,
        };
        let calls = self.kind.calls();
        is_named
            && is_here
            && (calls.is_empty() || calls.contains(&met.call))
            && self.node_index.is_none_or(|index| index == met.node_index)
            && self.path.as_ref().is_none_or(|path| matches(path, &asked.path))
            && self.label.as_ref().is_none_or(|label| {
                let named = if asked.label.is_empty() { &found.label } else { &asked.label };
                matches(label, named)
            })
            && self.table.as_ref().is_none_or(|table| {
                let named = if asked.table.is_empty() { &found.table } else { &asked.table };
                matches(table, named) || matches(table, &format!("{}.{named}", asked.database))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(label: &str) -> Asked {
        let text = str::to_owned;
        Asked {
            path: text("/api/d/t/_stream_load"),
            database: text("d"),
            table: text("t"),
            label: label.to_owned(),
            ..Asked::default()
        }
    }

    fn hit(faults: &Faults, met: &Met<'_>) -> Vec<FaultKind> {
        faults.meet(met, &Named::default).kinds()
    }

    fn plan(json: &str) -> Faults {
        let faults = Faults::new(EngineKind::Doris);
        faults.add(Fault::read_plan(json).unwrap());
        faults
    }

    #[test]
    fn a_fault_hits_the_calls_it_names() {
        let faults = plan(
            r#"[{"call":"commit","kind":"drop_after","skip":1,"times":2},
                {"call":"load","node":"frontend","kind":"delay","millis":5}]"#,
        );
        let asked = asked("l");
        let commits = (0..4).map(|_| hit(&faults, &asked.acts(Call::Commit, Node::Frontend, 0)).len());
        assert_eq!(commits.collect::<Vec<_>>(), [0, 1, 1, 0]);
        assert_eq!(hit(&faults, &asked.acts(Call::Load, Node::Backend, 0)), []);
        assert_eq!(hit(&faults, &asked.redirects(Call::Load, 0)), [FaultKind::Delay { millis: 5 }]);
        assert_eq!(faults.counts().iter().map(|c| (c.skipped, c.hit)).collect::<Vec<_>>(), [(1, 2), (0, 1)]);
    }

    #[test]
    fn a_redirect_is_not_the_call() {
        let faults = plan(r#"[{"call":"commit","kind":"drop_before"},{"call":"commit","kind":"redirect_loop"}]"#);
        let asked = asked("l");
        assert_eq!(hit(&faults, &asked.redirects(Call::Commit, 0)), [FaultKind::RedirectLoop]);
        assert_eq!(hit(&faults, &asked.acts(Call::Commit, Node::Backend, 0)), [FaultKind::DropBefore]);
    }

    #[test]
    fn every_condition_must_fit() {
        for (conditions, fits) in [
            (r#""call":"any""#, true),
            (r#""call":"commit""#, false),
            (r#""call":"load","label":"l-*""#, true),
            (r#""call":"load","label":"m*""#, false),
            (r#""call":"load","table":"t""#, true),
            (r#""call":"load","table":"d.*""#, true),
            (r#""call":"load","table":"x.t""#, false),
            (r#""call":"load","path":"*/_stream_load""#, true),
            (r#""call":"load","path":"/api/transaction/*""#, false),
            (r#""call":"load","node_index":1"#, true),
            (r#""call":"load","node_index":0"#, false),
            (r#""call":"any","probability":0"#, false),
            (r#""call":"any","probability":1"#, true),
        ] {
            let faults = plan(&format!(r#"[{{{conditions},"kind":"drop_before"}}]"#));
            let asked = asked("l-7");
            assert_eq!(hit(&faults, &asked.acts(Call::Load, Node::Backend, 1)).len() == 1, fits, "{conditions}");
        }
        let by_id = Asked { label: String::new(), table: String::new(), ..asked("") };
        let faults = plan(r#"[{"call":"commit","kind":"drop_before","table":"d.t","label":"l?"}]"#);
        let named = || Named { table: "t".to_owned(), label: "l1".to_owned() };
        assert_eq!(faults.meet(&by_id.acts(Call::Commit, Node::Backend, 0), &named).kinds().len(), 1);
    }

    /// The places of the calls that a plan hits among a hundred, with other calls between them or without.
    fn places(seed: u64, with_others: bool) -> Vec<usize> {
        let faults = plan(&format!(
            r#"{{"seed":{seed},"faults":[
                {{"call":"state","kind":"drop_before","probability":0.5,"times":"always"}},
                {{"call":"commit","kind":"drop_after","probability":0.25,"times":"always"}}]}}"#
        ));
        let asked = asked("l");
        let hit = |place: &usize| {
            for _ in 0..if with_others { place % 3 } else { 0 } {
                hit(&faults, &asked.acts(Call::State, Node::Frontend, 0));
            }
            !hit(&faults, &asked.acts(Call::Commit, Node::Frontend, 0)).is_empty()
        };
        (0..100).filter(hit).collect()
    }

    #[test]
    fn a_seed_takes_the_same_choices_whatever_else_is_called() {
        let chosen = places(7, false);
        assert!((10..45).contains(&chosen.len()), "a quarter, more or less: {chosen:?}");
        assert_eq!(places(7, true), chosen);
        assert_ne!(places(8, false), chosen);
    }

    #[test]
    fn events_come_at_their_times_as_often_as_planned() {
        let faults = plan(r#"[{"at_millis":1000,"kind":"restart","role":"backend","times":2}]"#);
        let start = Instant::now();
        let seconds = |n: u64| start + Duration::from_millis(n * 1000 + 500);
        assert_eq!(faults.due(start).events.len(), 0);
        assert!(faults.due(start).next.is_some());
        assert_eq!(faults.due(seconds(1)).events.len(), 1);
        assert_eq!(faults.due(seconds(1)).events.len(), 0);
        assert_eq!(faults.due(seconds(2)).events.len(), 1);
        assert!(faults.due(seconds(9)).next.is_none());
        assert_eq!(faults.counts()[0].hit, 2);
    }
}
