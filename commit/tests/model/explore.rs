//! One world, explored.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::mutant::Mutant;
use crate::outside::Broken;
use crate::state::{Action, State};
use crate::step;
use crate::world::World;

struct Explored {
    world: World,
    mutant: Option<Mutant>,
    soak: bool,
}

impl Model for Explored {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(&self.world, self.soak)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        state.actions(&self.world, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        Some(step::next(state, &action, &self.world, self.mutant))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no rule is broken", |_, state: &State| state.outside.broken.is_none()),
            Property::always("settles", |model: &Self, state: &State| {
                state.outside.broken.is_some() || !state.rests(&model.world) || state.is_settled(&model.world)
            }),
        ]
    }
}

pub(crate) fn explore(world: &World, mutant: Option<Mutant>, soak: bool) -> String {
    let began = Instant::now();
    let model = Explored { world: *world, mutant, soak };
    let checker = model.checker().threads(2).target_state_count(1_500_000).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let mut text = format!(
        "{}: {} states, {} unique, depth {}, {:.1} s",
        world.name,
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    for (name, path) in checker.discoveries() {
        text += &format!("\n  {name}: {:?}", path.last_state().outside.broken);
        let last = path.last_state().clone();
        for action in path.into_actions() {
            text += &format!("\n    {action:?}");
        }
        text += &format!("\n {:#?}", last);
    }
    text
}
#[allow(dead_code)]
fn x(_: Broken) {}
