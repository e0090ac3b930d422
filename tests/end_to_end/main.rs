//! The whole loader on a real broker: encrypted records, aborted producer transactions, gaps; real processes that are
//! stopped, started and joined while records flow. The judge reads the table by SQL, not the loader's word. The engine is
//! a sandbox, or the one that `ENGINE_KIND` and its companions name (`scripts/engines`).
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test")]

mod judge;
mod loader;
mod records;
#[path = "../support/target.rs"]
mod target;

use std::time::{Duration, Instant};

use loadlock_sandbox::EngineKind;

use judge::{Needs, World};

/// Committed records of a run.
const RECORDS: u64 = 200_000;

/// Batches small enough that a stop hits every step of several.
const SMALL_BATCHES: &str = "rows = 4000\nage = \"300ms\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starrocks_has_each_committed_record_once() {
    each_committed_record_once(EngineKind::StarRocks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doris_has_each_committed_record_once() {
    each_committed_record_once(EngineKind::Doris).await;
}

async fn each_committed_record_once(engine: EngineKind) {
    let Some(world) = World::start("plain", engine, Needs::Engine, "rows = 500000\nage = \"1s\"", "").await else {
        return;
    };
    let produced = records::produce(&world.brokers, &world.topic, 0..RECORDS);
    let loader = world.loader();
    world.wait_for_rows(produced.committed.len() as u64, &[&loader]).await;
    loader.drain().await;
    world.judge(&produced).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starrocks_five_stops_in_the_middle() {
    five_stops_in_the_middle(EngineKind::StarRocks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doris_five_stops_in_the_middle() {
    five_stops_in_the_middle(EngineKind::Doris).await;
}

async fn five_stops_in_the_middle(engine: EngineKind) {
    let Some(world) = World::start("stops", engine, Needs::Engine, SMALL_BATCHES, "").await else { return };
    let (brokers, topic) = (world.brokers.clone(), world.topic.clone());
    let producing = tokio::task::spawn_blocking(move || records::produce(&brokers, &topic, 0..RECORDS));
    for stop in 1..=5 {
        let loader = world.loader();
        world.wait_for_rows(stop * RECORDS / 8, &[&loader]).await;
        loader.drain().await;
        assert!(world.rows().await < RECORDS, "stop {stop} came after the end");
    }
    let produced = producing.await.expect("produced");
    let loader = world.loader();
    world.wait_for_rows(produced.committed.len() as u64, &[&loader]).await;
    loader.drain().await;
    world.judge(&produced).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starrocks_settles_after_a_kill_between_intent_and_commit() {
    settles_after_a_kill_between_intent_and_commit(EngineKind::StarRocks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doris_settles_after_a_kill_between_intent_and_commit() {
    settles_after_a_kill_between_intent_and_commit(EngineKind::Doris).await;
}

/// The intent is stored, the commit is not made: the next process aborts the load and loads its range again, although
/// that takes longer than the age at which it seals batches of its own.
async fn settles_after_a_kill_between_intent_and_commit(engine: EngineKind) {
    let (by_rows, by_age) = ("rows = 20000\nage = \"60s\"", "rows = 20000\nage = \"10ms\"");
    let Some(world) = World::start("settles", engine, Needs::Sandbox, by_rows, "").await else { return };
    let produced = records::produce(&world.brokers, &world.topic, 0..RECORDS / 4);
    world.commits_get_lost();
    let loader = world.loader();
    world.a_commit_was_lost().await;
    // Killed, not drained.
    drop(loader);
    world.seals_with(by_rows, by_age);
    let loader = world.loader();
    world.wait_for_rows(produced.committed.len() as u64, &[&loader]).await;
    let log = loader.drain().await;
    assert!(log.contains("settled an interrupted load"), "there was nothing to settle");
    world.judge_rows(&produced).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starrocks_at_least_once_loses_nothing() {
    at_least_once_loses_nothing(EngineKind::StarRocks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doris_at_least_once_loses_nothing() {
    at_least_once_loses_nothing(EngineKind::Doris).await;
}

/// One-phase loads and two kills: each committed record is there, some of them twice.
async fn at_least_once_loses_nothing(engine: EngineKind) {
    let Some(world) = World::start("at-least-once", engine, Needs::Engine, "rows = 1000\nage = \"200ms\"", "").await
    else {
        return;
    };
    world.at_least_once();
    let produced = records::produce(&world.brokers, &world.topic, 0..RECORDS / 4);
    for kill in 1..=2 {
        let loader = world.loader();
        world.wait_for_rows(kill * RECORDS / 16, &[&loader]).await;
    }
    let loader = world.loader();
    let deadline = Instant::now() + Duration::from_secs(90);
    while world.places().await.len() < produced.committed.len() {
        assert!(Instant::now() < deadline, "rows are missing\n{}", world.tail(&loader));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let log = loader.drain().await;
    assert!(log.contains("delivery is at-least-once"), "it is said");
    assert!(!log.contains("settled"), "there is no intent to settle");
    let places = world.places().await;
    let strange: Vec<_> = places.keys().filter(|place| !produced.committed.contains_key(place)).collect();
    assert_eq!((places.len(), strange.len()), (produced.committed.len(), 0), "missing or never committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starrocks_goes_away_and_comes_back() {
    the_engine_goes_away_and_comes_back(EngineKind::StarRocks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doris_goes_away_and_comes_back() {
    the_engine_goes_away_and_comes_back(EngineKind::Doris).await;
}

async fn the_engine_goes_away_and_comes_back(engine: EngineKind) {
    let Some(mut world) = World::start("away", engine, Needs::Sandbox, SMALL_BATCHES, "").await else { return };
    let produced = records::produce(&world.brokers, &world.topic, 0..RECORDS / 4);
    let loader = world.loader();
    for part in 1..=3 {
        world.wait_for_rows(part * RECORDS / 16, &[&loader]).await;
        world = world.engine_away(Duration::from_secs(2)).await;
    }
    world.wait_for_rows(produced.committed.len() as u64, &[&loader]).await;
    let log = loader.drain().await;
    let warnings = log.matches("\"level\":\"WARN\"").count();
    assert!(
        (1..=40).contains(&warnings),
        "{warnings} warnings for three outages: each is to be said once, not in every loop"
    );
    world.judge(&produced).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starrocks_a_second_process_joins_and_leaves_cooperative() {
    a_second_process_joins_and_leaves(EngineKind::StarRocks, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doris_a_second_process_joins_and_leaves_eager() {
    a_second_process_joins_and_leaves(EngineKind::Doris, "\"partition.assignment.strategy\" = \"range\"").await;
}

async fn a_second_process_joins_and_leaves(engine: EngineKind, properties: &str) {
    let Some(world) = World::start("members", engine, Needs::Engine, SMALL_BATCHES, properties).await else { return };
    let (brokers, topic) = (world.brokers.clone(), world.topic.clone());
    let producing = tokio::task::spawn_blocking(move || {
        let mut produced = records::Produced::default();
        for part in 0..20 {
            let part = part * RECORDS / 20..(part + 1) * RECORDS / 20;
            produced.extend(records::produce(&brokers, &topic, part));
            std::thread::sleep(Duration::from_millis(400));
        }
        produced
    });
    let first = world.loader();
    let mut helped = 0;
    for round in 1..=3 {
        world.wait_for_rows(round * RECORDS / 8, &[&first]).await;
        let second = world.loader();
        second.wait_for_line("committed", &world).await;
        world.wait_for_rows(round * RECORDS / 8 + RECORDS / 16, &[&first, &second]).await;
        helped += second.drain().await.matches("\"message\":\"committed\"").count();
    }
    assert!(helped > 0, "the second process has loaded nothing");
    let produced = producing.await.expect("produced");
    world.wait_for_rows(produced.committed.len() as u64, &[&first]).await;
    first.drain().await;
    world.judge(&produced).await;
}
