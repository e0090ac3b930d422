//! A seeded random world around the production protocol: several processes, a broker and an engine in which every
//! request may be lost, late, doubled or half stored. A judge that sees everything counts each row.
//!
//! `LOADLOCK_SEED=n` runs one seed and prints what happened; `LOADLOCK_SEEDS=n` runs so many.

mod broker;
mod climate;
mod engine;
mod faults;
mod judge;
mod log;
mod mutant;
mod process;
mod rng;
mod source;
mod tally;
mod world;

use mutant::Mutant;
use tally::Tally;
use world::World;

/// Seeds of an ordinary run.
const SEEDS: u64 = 3000;

/// Lines of a failing world that are shown.
const LINES: usize = 300;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn seeds() -> std::ops::Range<u64> {
    match number("LOADLOCK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LOADLOCK_SEEDS").unwrap_or(SEEDS),
    }
}

/// Everything that a run has to have seen.
const WANTED: &[&str] = &["batches advanced"];

fn fail(seed: u64, mutant: Option<Mutant>) -> ! {
    let outcome = World::new(seed, mutant, true).run();
    let from = outcome.trace.len().saturating_sub(LINES);
    println!("LOADLOCK_SEED={seed}");
    for line in outcome.trace.iter().skip(from) {
        println!("{line}");
    }
    panic!("{:#?}\nLOADLOCK_SEED={seed}", outcome.violations);
}

#[test]
fn every_record_arrives_once() {
    let mut tally = Tally::default();
    for seed in seeds() {
        let outcome = World::new(seed, None, false).run();
        tally.add(&outcome.tally);
        if !outcome.violations.is_empty() {
            fail(seed, None);
        }
    }
    println!("{}", tally.lines());
    if number("LOADLOCK_SEED").is_none() {
        assert_eq!(tally.missing(WANTED), Vec::<&str>::new(), "never happened");
    }
}

/// The first seed in which a mistake doubles or loses rows.
fn seen(mutant: Mutant) {
    let damaged = (0..SEEDS).find(|seed| {
        let outcome = World::new(*seed, Some(mutant), false).run();
        outcome.violations.iter().any(|violation| matches!(violation.rule, "EO-1" | "EO-2"))
    });
    println!("{mutant:?}: seed {damaged:?}");
    assert!(damaged.is_some(), "{mutant:?} did no damage in {SEEDS} seeds");
}

macro_rules! the_world_sees {
    ($($name:ident: $mutant:ident,)*) => { $(
        #[test]
        fn $name() {
            seen(Mutant::$mutant);
        }
    )* };
}

the_world_sees! {
    the_world_sees_a_commit_before_its_intent: CommitsBeforeReadBack,
    the_world_sees_a_broker_believed: BelievesTheAnswer,
    the_world_sees_unknown_taken_for_aborted: UnknownIsAborted,
    the_world_sees_an_intent_that_is_not_settled: SkipsSettling,
    the_world_sees_a_rewind_to_the_stored_position: RewindsToTheStored,
    the_world_sees_a_nonce_used_twice: NonceFromOffsets,
    the_world_sees_doubt_ignored: IgnoresDoubt,
    the_world_sees_an_abort_believed: BelievesTheAbort,
    the_world_sees_a_commit_believed: BelievesTheCommit,
    the_world_sees_an_old_decision_served: ServesOldDecisions,
}
