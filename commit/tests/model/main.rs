//! Small worlds, explored to the end: no order of events and faults breaks a rule.

mod canon;
mod consumer;
mod engine;
mod explore;
mod fault;
mod group;
mod member;
mod mutant;
mod outside;
mod state;
mod step;
mod world;
mod worlds;

use explore::explore;

#[test]
fn every_world_is_explored_to_the_end() {
    for world in worlds::ALL {
        println!("{}", explore(world, None, false));
    }
}
