//! The production core in small worlds, explored to the end: no order of events and faults breaks a rule, and each rule
//! is needed. `LOADLOCK_MODEL=soak` raises the budgets of faults, `LOADLOCK_MODEL_WORLD` names the one world to explore.

mod canon;
mod consumer;
mod engine;
mod explore;
mod fault;
mod group;
mod member;
mod mutant;
mod outside;
mod rules;
mod seen;
mod state;
mod step;
mod tasks;
mod world;
mod worlds;

use std::collections::BTreeSet;
use std::sync::Arc;

use explore::{Counterexample, Outcome, Run, explore};
use rules::{Rule, Shown};
use seen::Seen;

/// The invariants of `loadlock_commit::invariants`.
const INVARIANTS: [&str; 8] = ["Eo1", "Eo2", "Eo3", "Eo4", "Eo5", "Eo6", "Eo7", "Eo8"];

/// Threads that explore one world.
const THREADS: usize = 2;

fn soak() -> bool {
    std::env::var("LOADLOCK_MODEL").is_ok_and(|mode| mode == "soak")
}

fn show(broken: &Counterexample) -> String {
    let Counterexample { what, path, last } = broken;
    let steps: Vec<_> = path.iter().enumerate().map(|(number, action)| format!("  {number:3} {action:?}")).collect();
    format!("{what}\n{}\nwhich leads to {last:#?}", steps.join("\n"))
}

#[test]
fn every_world_is_explored_to_the_end() {
    let seen = Arc::new(Seen::default());
    println!("{:<28} {:>9} {:>9} {:>5} {:>7}", "world", "states", "unique", "depth", "seconds");
    let wanted = std::env::var("LOADLOCK_MODEL_WORLD").ok();
    for world in worlds::ALL.iter().filter(|world| wanted.as_ref().is_none_or(|wanted| wanted == world.name)) {
        let Outcome { states, unique, depth, seconds, cut_off, broken } =
            explore(Run { world, mutant: None, soak: soak(), threads: THREADS }, &seen);
        let end = if cut_off { "CUT OFF" } else { "explored to the end" };
        println!("{:<28} {states:>9} {unique:>9} {depth:>5} {seconds:>7.1} {end}", world.name);
        assert!(broken.is_none(), "{}: {}", world.name, broken.as_ref().map(show).unwrap_or_default());
        assert!(!cut_off, "{} has more states than expected", world.name);
    }
    for (name, times) in seen.all() {
        println!("{times:>9} {name}");
    }
    let never: Vec<_> = seen.all().into_iter().filter(|(_, times)| *times == 0).map(|(name, _)| name).collect();
    assert!(wanted.is_some() || never.is_empty(), "never happened: {never:?}");
}

#[test]
fn every_rule_is_needed() {
    let unseen = Arc::new(Seen::default());
    let mut wrong = Vec::new();
    let mut invariants: BTreeSet<_> = INVARIANTS.into();
    for Rule { rule, mutant, shown } in rules::ALL {
        let (name, why) = match shown {
            Shown::In(world) => (world, ""),
            Shown::NotNeeded(world, why) => (world, *why),
        };
        let world = worlds::ALL.iter().find(|world| world.name == *name).expect("a world of that name");
        let outcome = explore(Run { world, mutant: Some(*mutant), soak: false, threads: 1 }, &unseen);
        let mutant = format!("{mutant:?}");
        invariants.retain(|name| outcome.broken.as_ref().is_none_or(|broken| broken.what != *name));
        match &outcome.broken {
            Some(Counterexample { what, path, .. }) => println!(
                "{rule:<10} {mutant:<22} {:<28} {what} after {} steps, {} states",
                world.name,
                path.len(),
                outcome.unique
            ),
            None => {
                println!("{rule:<10} {mutant:<22} {:<28} breaks nothing, {} states: {why}", world.name, outcome.unique)
            }
        }
        if outcome.broken.is_some() != why.is_empty() || outcome.cut_off {
            wrong.push(mutant);
        }
    }
    assert_eq!(invariants, BTreeSet::new(), "no mutant breaks these");
    assert_eq!(wrong, Vec::<String>::new(), "not as the list of rules says");
}
