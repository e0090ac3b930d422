//! One world, explored: every state that it can reach, by every order of events and faults.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::mutant::Mutant;
use crate::seen::Seen;
use crate::state::{Action, State};
use crate::step;
use crate::world::World;

/// More states than any world has: one that reaches this is cut off, which fails.
const STATES_MAX: usize = 8_000_000;

/// The same for the raised budgets.
const STATES_MAX_SOAK: usize = 500_000_000;

/// More steps than any state needs to settle without faults.
const STEPS_TO_SETTLE: usize = 1_000;

/// Which world, and how.
#[derive(Clone, Copy)]
pub(crate) struct Run<'w> {
    pub(crate) world: &'w World,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) soak: bool,
    /// With one, the first counterexample is a shortest one.
    pub(crate) threads: usize,
}

/// What came of a world.
pub(crate) struct Outcome {
    pub(crate) states: usize,
    pub(crate) unique: usize,
    pub(crate) depth: usize,
    pub(crate) seconds: f64,
    /// Not all states were seen.
    pub(crate) cut_off: bool,
    pub(crate) broken: Option<Counterexample>,
}

/// What was broken, and how it came to that.
pub(crate) struct Counterexample {
    pub(crate) what: String,
    pub(crate) path: Vec<Action>,
    pub(crate) last: State,
}

struct Explored {
    world: World,
    mutant: Option<Mutant>,
    soak: bool,
    seen: Arc<Seen>,
    /// Digests of states from which a run without faults has settled.
    settling: Mutex<HashSet<u64>>,
}

impl Model for Explored {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(&self.world, self.soak)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        state.actions(&self.world, self.mutant, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.seen.action(state, &action);
        Some(step::next(state, &action, &self.world, self.mutant))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no rule is broken", |model: &Self, state: &State| {
                model.seen.state(state);
                state.outside.broken.is_none()
            }),
            Property::always("whatever ends is settled", |model: &Self, state: &State| {
                state.outside.broken.is_some() || model.ends_well(state)
            }),
            Property::always("settles when faults stop", |model: &Self, state: &State| {
                state.outside.broken.is_some() || model.settles(state)
            }),
        ]
    }
}

impl Explored {
    /// Where nothing but a fault can happen, everything is settled.
    fn ends_well(&self, state: &State) -> bool {
        !state.rests(&self.world, self.mutant) || state.is_settled(&self.world)
    }

    /// A run without faults, the most urgent step first, comes to a settled end. What it passes need not be tried again.
    fn settles(&self, state: &State) -> bool {
        let mut passed = Vec::new();
        let mut now = state.clone();
        let good = loop {
            if self.settling.lock().unwrap_or_else(PoisonError::into_inner).contains(&now.digest()) {
                break true;
            }
            passed.push(now.digest());
            match now.most_urgent(&self.world, self.mutant) {
                Some(action) if passed.len() < STEPS_TO_SETTLE => {
                    now = step::next(&now, &action, &self.world, self.mutant);
                }
                Some(_) => break false,
                None => break now.is_settled(&self.world),
            }
        };
        if good {
            self.settling.lock().unwrap_or_else(PoisonError::into_inner).extend(passed);
        }
        // What breaks a rule on the way is found where the way is explored.
        good || now.outside.broken.is_some()
    }
}

pub(crate) fn explore(run: Run<'_>, seen: &Arc<Seen>) -> Outcome {
    let began = Instant::now();
    let Run { world, mutant, soak, threads } = run;
    let settling = Mutex::default();
    let model = Explored { world: *world, mutant, soak, seen: Arc::clone(seen), settling };
    let states_max = if soak { STATES_MAX_SOAK } else { STATES_MAX };
    let checker = model.checker().threads(threads).target_state_count(states_max);
    let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let paths = checker.discoveries().into_iter();
    let broken = paths.min_by_key(|(name, _)| *name).map(|(name, path)| {
        let last = path.last_state().clone();
        let what = last.outside.broken.map_or_else(|| name.to_owned(), |broken| format!("{broken:?}"));
        Counterexample { what, path: path.into_actions(), last }
    });
    Outcome {
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: began.elapsed().as_secs_f64(),
        cut_off: checker.state_count() >= states_max,
        broken,
    }
}
