//! The production pipeline in virtual time: several processes, each with its loop, its calls and back-offs, its decoding
//! and its HTTP client, over a simulated group and a simulated engine in which every request may be lost, late or doubled
//! and every process may die or be held at any moment. A judge that sees everything counts each row.
//!
//! `LOADLOCK_SEED=n` runs one seed and shows what led to its end, `LOADLOCK_SEEDS=n` the first n, `LOADLOCK_SEEDS=0` goes
//! on until something fails.
//!
//! What a seed repeats: dice, nonces, jitter and time are its own. Decoding runs on threads of the real machine; the
//! simulated clock stands still meanwhile, but which of two tasks goes first in the same millisecond can differ from run
//! to run, and with it, rarely, the rest. So a failing run shows its own trace.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a failing seed shows itself and what led to it")]

// The group, the judge and the dice are those of the world around the protocol alone.
#[path = "../../commit/tests/world/broker.rs"]
mod broker;
mod chaos;
mod climate;
mod dialect;
mod engine;
mod http;
#[path = "../../commit/tests/world/judge.rs"]
mod judge;
mod log;
mod mutant;
mod process;
#[path = "../../commit/tests/world/rng.rs"]
#[expect(dead_code, reason = "the world around the protocol draws nonces, too")]
mod rng;
mod source;
#[path = "../../commit/tests/world/tally.rs"]
mod tally;
mod wire;
mod world;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use judge::Violation;
use mutant::Mutant;
use tally::Tally;
use world::Shared;

/// Seeds of an ordinary run.
const SEEDS: u64 = 2000;

/// Every fault and every step: what a run has not seen it says nothing about.
const WANTED: &[&str] = &[
    "a commit is refused by the guard",
    "a commit without an answer",
    "a first copy was refused",
    "a first copy was stored",
    "an OffsetCommit arrives, and its process dies",
    "an OffsetCommit dies with its process",
    "an OffsetCommit is asked for late",
    "an old decision about a partition that came back is refused",
    "asked to drain under faults",
    "assigned",
    "bad-record",
    "connections broken while a commit was out",
    "crashes",
    "drain-unfinished",
    "engine, abort: answer lost",
    "engine, abort: arrives",
    "engine, abort: arrives late",
    "engine, abort: arrives, and its process dies",
    "engine, abort: dies with its process",
    "engine, abort: done, it says, and is not",
    "engine, abort: internal error",
    "engine, abort: lost",
    "engine, abort: unavailable",
    "engine, begin: answer lost",
    "engine, begin: arrives",
    "engine, begin: arrives late",
    "engine, begin: arrives, and its process dies",
    "engine, begin: dies with its process",
    "engine, begin: internal error",
    "engine, begin: lost",
    "engine, begin: slow",
    "engine, begin: unavailable",
    "engine, cancel: answer lost",
    "engine, cancel: arrives",
    "engine, cancel: arrives late",
    "engine, cancel: internal error",
    "engine, cancel: lost",
    "engine, cancel: slow",
    "engine, cancel: unavailable",
    "engine, commit: answer lost",
    "engine, commit: arrives",
    "engine, commit: arrives late",
    "engine, commit: arrives, and its process dies",
    "engine, commit: dies with its process",
    "engine, commit: done, it says, and is not",
    "engine, commit: internal error",
    "engine, commit: lost",
    "engine, commit: slow",
    "engine, commit: unavailable",
    "engine, load: answer lost",
    "engine, load: arrives",
    "engine, load: arrives late",
    "engine, load: arrives, and its process dies",
    "engine, load: busy",
    "engine, load: dies with its process",
    "engine, load: internal error",
    "engine, load: lost",
    "engine, load: slow",
    "engine, load: unavailable",
    "engine, prepare: answer lost",
    "engine, prepare: arrives",
    "engine, prepare: arrives late",
    "engine, prepare: arrives, and its process dies",
    "engine, prepare: internal error",
    "engine, prepare: lost",
    "engine, prepare: slow",
    "engine, prepare: unavailable",
    "engine, state: answer lost",
    "engine, state: arrives",
    "engine, state: arrives late",
    "engine, state: arrives, and its process dies",
    "engine, state: dies with its process",
    "engine, state: internal error",
    "engine, state: lost",
    "engine, state: slow",
    "engine, state: unavailable",
    "engine: bodies torn off",
    "engine: connections refused",
    "finished loads forgotten",
    "frontends restarted",
    "frontends restarted, open loads lost",
    "generation rose without a partition coming or going",
    "joined again as a new member",
    "living members expelled",
    "loads can't be committed for a while",
    "membership found lost",
    "no frontend in reach for a while",
    "no room for records",
    "not-committable",
    "partitions joined a running fill",
    "positions are stored inside a revocation",
    "positions half stored",
    "positions refused by a passing rebalance",
    "positions stored",
    "prepared loads timed out",
    "processes drained",
    "processes held",
    "processes held beyond their session",
    "processes killed",
    "read back without what has gone",
    "read-backs repeated",
    "reads of positions repeated",
    "rebalances",
    "revocation went on without release",
    "revocation while a commit is being read back",
    "revoked, none stay",
    "revoked, some stay",
    "roll-backs were left behind",
    "silent members expelled",
    "too-many-rejects",
    "worlds that came to rest",
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// What a seed's world came to.
struct Outcome {
    violations: Vec<Violation>,
    tally: Tally,
    /// What led to it.
    trace: VecDeque<String>,
}

fn run(seed: u64, mutant: Option<Mutant>) -> Outcome {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let sim = Shared::new(seed, mutant, directory.path().join("letters"));
        chaos::run(&sim).await;
        let trace = sim.trace();
        let mut world = sim.lock();
        let violations = std::mem::take(&mut world.judge.violations);
        Outcome { violations, tally: std::mem::take(&mut world.tally), trace }
    })
}

/// Shows what led to the end of a seed.
fn show(seed: u64, outcome: &Outcome) {
    println!("LOADLOCK_SEED={seed}");
    for line in &outcome.trace {
        println!("{line}");
    }
    for Violation { rule, what } in &outcome.violations {
        println!("{rule}: {what}");
    }
}

/// Runs seeds in order until one has an end that is `wanted`: that seed with its outcome, and the sum of all tallies.
fn search(
    seeds: std::ops::Range<u64>,
    mutant: Option<Mutant>,
    threads: usize,
    wanted: impl Fn(&Outcome) -> bool + Sync,
) -> (Option<(u64, Outcome)>, Tally) {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new((None, Tally::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = run(seed, mutant);
            let (found, tally) = &mut *found.lock().unwrap_or_else(PoisonError::into_inner);
            tally.add(&outcome.tally);
            if wanted(&outcome) && found.as_ref().is_none_or(|(first, _)| seed < *first) {
                *found = Some((seed, outcome));
                next.store(seeds.end, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn every_record_arrives_once() {
    let seeds = match (number("LOADLOCK_SEED"), number("LOADLOCK_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(0)) => 0..u64::MAX,
        (None, seeds) => 0..seeds.unwrap_or(SEEDS),
    };
    let complete = seeds.start == 0 && seeds.end >= SEEDS;
    let chosen = number("LOADLOCK_SEED");
    let fails = |outcome: &Outcome| !outcome.violations.is_empty();
    let (found, tally) = search(seeds, None, cores(), |outcome| chosen.is_some() || fails(outcome));
    println!("{}", tally.lines());
    if let Some((seed, outcome)) = found {
        show(seed, &outcome);
        assert!(!fails(&outcome), "a rule was broken\nLOADLOCK_SEED={seed}");
    }
    // A few seeds can't see everything.
    if complete {
        assert_eq!(tally.missing(WANTED), Vec::<&str>::new(), "never happened");
    }
}

/// What the simulation leans on: while a thread of the real machine decodes, the simulated clock stands still.
#[test]
fn the_clock_waits_for_decoding() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let began = tokio::time::Instant::now();
        let timer = tokio::spawn(tokio::time::sleep(std::time::Duration::from_secs(1)));
        let decoding = tokio::task::spawn_blocking(|| std::thread::sleep(std::time::Duration::from_millis(50)));
        decoding.await.expect("decoded");
        assert_eq!(began.elapsed(), std::time::Duration::ZERO);
        timer.await.expect("rung");
        assert!(began.elapsed() >= std::time::Duration::from_secs(1));
    });
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// The first seed in which a mistake doubles or loses rows.
fn seen(mutant: Mutant) {
    let damage =
        |outcome: &Outcome| outcome.violations.iter().any(|violation| matches!(violation.rule, "EO-1" | "EO-2"));
    let (found, _) = search(0..SEEDS, Some(mutant), 1, damage);
    println!("{mutant:?}: seed {:?}", found.as_ref().map(|(seed, _)| seed));
    assert!(found.is_some(), "{mutant:?} did no damage in {SEEDS} seeds");
}

macro_rules! the_simulation_sees {
    ($($name:ident: $mutant:ident,)*) => { $(
        #[test]
        fn $name() {
            seen(Mutant::$mutant);
        }
    )* };
}

the_simulation_sees! {
    the_simulation_sees_old_chunks_taken_for_fresh: OldChunksAreFresh,
    the_simulation_sees_commits_without_a_guard: NothingIsGuarded,
    the_simulation_sees_a_read_back_left_out: NothingIsReadBack,
    the_simulation_sees_a_copy_unnoticed: CopiesAreUnnoticed,
    the_simulation_sees_positions_from_before_the_assignment: PositionsAreOld,
    the_simulation_sees_a_commit_believed: CommitIsBelieved,
    the_simulation_sees_an_abort_believed: AbortIsBelieved,
}
