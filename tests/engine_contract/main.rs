//! What clients may rely on of StarRocks and Doris, as cases that run against both the sandbox and real engines.
//!
//! The cases are transcripts in `tests/data/engine_contract`: what goes over the wire and what comes back. How they are
//! written is in `docs/testing.md`. They always run against the sandbox, once for each version that it knows, and against
//! the engine that `ENGINE_KIND` and its companions name (`scripts/engines env` prints them).
//!
//! ```text
//!  data/engine_contract/*.txt ── parse ──> script ── run ──> engine (sandbox or addresses)
//!                                            │        │ http, mysql
//!                                 when <─────┘        └──> answer ── wanted ──> report
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![allow(clippy::print_stdout, reason = "the counts of a run are for people")]

mod answer;
mod engine;
mod http;
#[allow(dead_code, reason = "the sandbox's own tests use all of it")]
#[path = "../../sandbox/tests/mysql/client.rs"]
mod mysql;
#[path = "../support/named.rs"]
mod named;
mod parse;
mod report;
mod run;
mod script;
mod wanted;
mod when;

use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use loadlock_sandbox::{EngineKind, Profile};

use engine::{Target, address_of};
use named::{Named, name_of, variable};
use report::{Failure, Report};
use run::{Outcome, run};
use script::Case;
use when::{Place, Version};

/// Cases that run at the same time.
const AT_ONCE: usize = 8;

/// The file of a directory that has what all others know by name.
const SHARED: &str = "shared.txt";

/// The versions of the sandbox that the cases run against.
fn versions(kind: EngineKind) -> Vec<String> {
    // Beside the newest of each line, those with errors of their own.
    let releases = match kind {
        EngineKind::StarRocks => &["3.3.10", "3.4.2", "3.5.1", "4.0.7"][..],
        EngineKind::Doris => &[],
    };
    let releases = releases.iter().map(|release| (*release).to_owned());
    Profile::known(kind).into_iter().chain(releases).collect()
}

/// The release that a profile's name stands for.
fn profile_version(kind: EngineKind, name: &str) -> Version {
    let profile = Profile::read(kind, name).unwrap_or_else(|error| panic!("{error}"));
    Version::read(&profile.version().to_string()).unwrap()
}

/// The cases of an engine; `ENGINE_CASE` keeps those whose place or name has it.
fn cases(kind: EngineKind) -> Vec<Case> {
    let shown = format!("tests/data/engine_contract/{}", name_of(kind));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(&shown);
    let text = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let place = |name: &str| format!("{shown}/{name}");
    let shared = parse::shared(&place(SHARED), &text(SHARED)).unwrap_or_else(|e| panic!("{e}"));
    let files = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{shown}: {error}"));
    let mut files: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|name| name != SHARED);
    files.sort();
    let read =
        |name: &String| parse::cases(&place(name), &text(name), &shared).unwrap_or_else(|error| panic!("{error}"));
    files.iter().flat_map(read).collect()
}

fn asked(case: &Case) -> bool {
    let Some(filter) = variable("ENGINE_CASE") else { return true };
    format!("{}:{} {}", case.at.file, case.at.line, case.name).contains(&filter)
}

/// Runs all cases against an engine.
async fn run_all(target: Target, cases: &[Case], version: &str) -> Report {
    let target = Arc::new(target);
    let mut report = Report::default();
    let mut chosen = Vec::new();
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| asked(case)) {
        if !case.when.fits(target.version) {
            report.other_versions += 1;
        } else if case.when.holds(target.version, target.place) {
            chosen.push((number, case.select(target.version, target.place)));
        } else {
            report.other_place += 1;
        }
    }
    let outcomes = stream::iter(chosen).map(|(number, case)| {
        let (target, version) = (Arc::clone(&target), version.to_owned());
        let (file, line, name) = (case.at.file.clone(), case.at.line, case.name.clone());
        async move {
            let running = tokio::spawn(Box::pin(run_one(target, version, case, number)));
            running.await.unwrap_or_else(|panic| {
                let came = panic.to_string();
                Outcome::Failed(Failure { file, line, case: name, sent: String::new(), came, wanted: String::new() })
            })
        }
    });
    let outcomes: Vec<Outcome> = outcomes.buffer_unordered(AT_ONCE).collect().await;
    for outcome in outcomes {
        match outcome {
            Outcome::Passed => report.passed += 1,
            Outcome::Differs(differences) => report.differences.extend(differences),
            Outcome::Failed(failure) => report.failures.push(failure),
        }
    }
    report.failures.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    println!("{}", report.line(target.kind, target.version));
    report.differences.iter().for_each(|difference| println!("differs where it may: {difference}"));
    if let Some(target) = Arc::into_inner(target) {
        if target.place == Place::Real
            && let Err(error) = target.clean_up().await
        {
            println!("{error}");
        }
        if let Some(sandbox) = target.sandbox {
            sandbox.stop().await;
        }
    }
    report
}

/// One case; if it moves the engine, in a sandbox of its own.
async fn run_one(target: Arc<Target>, version: String, case: Case, number: usize) -> Outcome {
    if !case.moves_the_engine() {
        return run(target, case, number).await;
    }
    let own = Target::sandbox(target.kind, &version, &case.config).await;
    let own = Arc::new(own.unwrap_or_else(|error| panic!("{}:{}: {error}", case.at.file, case.at.line)));
    let outcome = run(Arc::clone(&own), case, number).await;
    if let Some(sandbox) = Arc::into_inner(own).and_then(|own| own.sandbox) {
        sandbox.stop().await;
    }
    outcome
}

fn panic_if_failed(failures: &[Failure]) {
    let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{} cases failed\n\n{}", failures.len(), texts.join("\n"));
}

async fn against_the_sandbox(kind: EngineKind) {
    let cases = cases(kind);
    let mut failures = Vec::new();
    for version in versions(kind) {
        let target = Target::sandbox(kind, &version, &[]).await.unwrap_or_else(|error| panic!("{version}: {error}"));
        failures.extend(run_all(target, &cases, &version).await.failures);
    }
    panic_if_failed(&failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn starrocks() {
    against_the_sandbox(EngineKind::StarRocks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doris() {
    against_the_sandbox(EngineKind::Doris).await;
}

#[test]
fn every_case_and_line_is_for_some_version() {
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        let versions: Vec<Version> = versions(kind).iter().map(|version| profile_version(kind, version)).collect();
        let never = script::never_looked_at(&cases(kind), &versions);
        assert!(never.is_empty(), "{}", never.join("\n"));
    }
}

/// Runs all cases against an engine of which only the addresses are known.
async fn against_addresses(address: Named, version: Option<&str>) {
    let cases = cases(address.kind);
    let target = Target::at(address, version).await.unwrap_or_else(|error| panic!("{error}"));
    target.wait_loadable().await.unwrap_or_else(|error| panic!("{error}"));
    panic_if_failed(&run_all(target, &cases, "").await.failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_of_the_environment() {
    match Named::of_environment() {
        Some(address) => against_addresses(address, variable("ENGINE_VERSION").as_deref()).await,
        None => {
            println!("SKIPPED engine contract on a real engine: ENGINE_KIND is not set (scripts/engines env prints it)")
        }
    }
}

/// The way to a real engine, walked to sandboxes that are known by their addresses alone.
#[tokio::test(flavor = "multi_thread")]
async fn engines_that_are_known_by_their_addresses() {
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        let sandbox = engine::builder(kind).frontends(2).start().await.unwrap();
        against_addresses(address_of(&sandbox), None).await;
        sandbox.stop().await;
    }
}
