//! All pipelines of a process: built from the configuration, run side by side, each stopping for itself.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::assemble::Allowance;
use super::identity::Identity;
use super::report::Reporter;
use super::{Pipeline, ROLLED_BACK_WITHIN, evidence, lookout, mapping_tag, pipeline_tag};
use crate::batch::{Limits, Progress};
use crate::cli::Exit;
use crate::commit::{Decide, Protocol, Settings, StartWish, Stop, StopCode, Tag};
use crate::config::{self, Config, RejectPolicy, Start};
use crate::dead_letter::DeadLetters;
use crate::decode::Decoder;
use crate::domain::Delivery;
use crate::load::{BODY_LIMIT, Loader};
use crate::source::{Source, SourceError, SourceSpec, Tenure, client_config};

/// Makes what decides for one pipeline: [`Protocol`], or something weaker in a test that has to
/// see what it leads to.
pub type Decisions = fn(Settings) -> Box<dyn Decide>;

/// Runs every pipeline until `stop` turns true and all are drained, or until each has stopped for a reason of its
/// own. A pipeline that stops leaves the others alone; the process ends with the exit code of the first that stopped.
pub async fn run_all(config: Config, stop: watch::Receiver<bool>, decisions: Decisions) -> Exit {
    let loader = match Loader::new(&config.engine) {
        Ok(loader) => loader,
        Err(error) => {
            tracing::error!("the connection to the engine can't be set up: {error}");
            return Exit::Config;
        }
    };
    let budget_kib = budget_kib(&config);
    let budget = Arc::new(Semaphore::new(budget_kib as usize));
    let mut running = JoinSet::new();
    let findings = lookout::begin(&config, &loader);
    let mut exit = Exit::Drained;
    for pipeline in &config.pipelines {
        let start = |spec| Source::start(spec, Arc::clone(&budget));
        match build(pipeline, &config, &loader, budget_kib, decisions, start) {
            Ok((mut built, source)) => {
                built.calls.spawn(lookout::refusal(findings.clone(), Arc::clone(&pipeline.topic)));
                let (topic, stop, drain) = (Arc::clone(&pipeline.topic), stop.clone(), config.run.drain);
                running.spawn(async move { (topic, built.run(source, stop, drain).await) });
            }
            Err(stop) => {
                exit = stopped(&pipeline.topic, &stop, exit);
            }
        }
    }
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((_, Ok(()))) => {}
            Ok((topic, Err(stop))) => {
                exit = stopped(&topic, &stop, exit);
            }
            Err(error) => {
                tracing::error!("a pipeline ended by itself: {error}; its open work is settled by the next start");
                exit = Exit::Bug;
            }
        }
    }
    if !loader.idle(ROLLED_BACK_WITHIN).await {
        tracing::warn!("some loads could not be rolled back; they end by their time-out");
    }
    exit
}

/// Runs one pipeline over a source that `start` makes, in place of a consumer thread of its own. The rest is as in
/// [`run_all`].
///
/// # Errors
/// Why the pipeline has stopped.
pub async fn run_one(
    config: &Config,
    pipeline: &config::Pipeline,
    loader: &Loader,
    start: impl FnOnce(SourceSpec) -> Result<Source, SourceError>,
    stop: watch::Receiver<bool>,
) -> Result<(), Stop> {
    let decisions = |settings| -> Box<dyn Decide> { Box::new(Protocol::new(settings)) };
    let (built, source) = build(pipeline, config, loader, budget_kib(config), decisions, start)?;
    built.run(source, stop, config.run.drain).await
}

/// Permits (KiB) of the memory budget.
fn budget_kib(config: &Config) -> u32 {
    u32::try_from(config.batch.memory / 1024).unwrap_or(u32::MAX).max(1)
}

/// Says why a pipeline has stopped. The first that stops gives the process its exit code.
fn stopped(topic: &str, stop: &Stop, exit: Exit) -> Exit {
    tracing::error!(%topic, code = %stop.code, "stopped: {}", stop.what);
    if exit == Exit::Drained { exit_of(stop.code) } else { exit }
}

/// Which stops a supervisor may answer with a new start.
fn exit_of(code: StopCode) -> Exit {
    match code {
        StopCode::Kafka | StopCode::DrainUnfinished => Exit::GaveUp,
        StopCode::Invariant => Exit::Bug,
        StopCode::BadRecord
        | StopCode::TooManyRejects
        | StopCode::LoadRefused
        | StopCode::NoPosition
        | StopCode::PositionsLost
        | StopCode::PositionOutOfLog
        | StopCode::TopicChanged
        | StopCode::ClusterChanged
        | StopCode::PositionUnreadable
        | StopCode::MappingChanged
        | StopCode::LogRewritten
        | StopCode::OutcomeUnknown
        | StopCode::NotCommittable
        | StopCode::PositionRefused
        | StopCode::DeadLetters
        | StopCode::TopicMissing
        | StopCode::Denied
        | StopCode::Fenced
        | StopCode::Preflight => Exit::NeedsPerson,
    }
}

fn build(
    pipeline: &config::Pipeline,
    config: &Config,
    loader: &Loader,
    budget_kib: u32,
    decisions: Decisions,
    start: impl FnOnce(SourceSpec) -> Result<Source, SourceError>,
) -> Result<(Pipeline, Source), Stop> {
    let stop = |code, what: String| Stop { code, what };
    let tables: Vec<_> = pipeline.routes.iter().map(|route| route.table.clone()).collect();
    let decoder = Decoder::new(&pipeline.routes, loader.framing())
        .map_err(|error| stop(StopCode::LoadRefused, error.to_string()))?;
    let dead_letters = DeadLetters::open(&pipeline.rejects, &client_config(&config.kafka))
        .map_err(|error| stop(StopCode::DeadLetters, error))?;
    let at_least_once: Vec<_> =
        pipeline.routes.iter().filter(|route| route.delivery == Delivery::AtLeastOnce).collect();
    // A load in one phase is one body, which a StarRocks backend holds in memory.
    let bytes_max = if at_least_once.is_empty() { u64::MAX } else { BODY_LIMIT };
    let bytes = config.batch.bytes.min(bytes_max);
    let limits = Limits { rows: config.batch.rows, bytes, age: config.batch.age };
    let (topic, group) = (Arc::clone(&pipeline.topic), Arc::clone(&pipeline.group));
    let mut spec = SourceSpec::new(config.kafka.clone(), topic, group, budget_kib);
    spec.chunk_records_max = spec.chunk_records_max.min(usize::try_from(limits.rows).unwrap_or(usize::MAX));
    for route in &at_least_once {
        tracing::info!(
            topic = %pipeline.topic, table = %route.table,
            "delivery is at-least-once: records that are interrupted between load and stored position are loaded twice"
        );
    }
    let source = start(spec).map_err(|error| stop(StopCode::Kafka, error.to_string()))?;
    let settings = Settings {
        pipeline: pipeline_tag(pipeline),
        topic: pipeline.topic.to_string(),
        tables: tables.clone(),
        at_least_once: at_least_once.iter().map(|route| Tag::of_table(&route.table)).collect(),
        mapping: mapping_tag(pipeline),
        start: match &pipeline.start {
            Start::Committed => StartWish::Committed,
            Start::Earliest => StartWish::Earliest,
            Start::Latest => StartWish::Latest,
            Start::Timestamp(ms) => StartWish::Timestamp(*ms),
            Start::Offsets(_) => StartWish::Offsets,
        },
    };
    let rejects_allowed = match pipeline.rejects {
        RejectPolicy::Skip { most, of } => Some(Allowance::new(most, of)),
        RejectPolicy::Stop | RejectPolicy::DeadLetterTopic(_) | RejectPolicy::DeadLetterFile(_) => None,
    };
    let built = Pipeline {
        topic: Arc::clone(&pipeline.topic),
        policy: pipeline.rejects.clone(),
        limits,
        decode_tasks_max: 2 * decode_threads(config),
        start: pipeline.start.clone(),
        protocol: decisions(settings),
        source: source.control.clone(),
        decoder: Arc::new(decoder),
        columns: pipeline.routes.iter().map(|route| route.columns.iter().map(|c| c.name.clone()).collect()).collect(),
        load_headers: pipeline.routes.iter().map(|route| route.load_headers.clone()).collect(),
        deliveries: pipeline.routes.iter().map(|route| route.delivery).collect(),
        loader: loader.clone(),
        origins: evidence::origins(pipeline, config),
        dead_letters: dead_letters.map(Arc::new),
        fence: 0,
        delayed: None,
        progress: Progress::default(),
        filling: None,
        sealed: BTreeMap::new(),
        decoding: VecDeque::new(),
        waiting: None,
        held: None,
        calls: JoinSet::new(),
        rollbacks: JoinSet::new(),
        releasing: None,
        rejects_allowed,
        identity: Identity::default(),
        tenure: Tenure::default(),
        reporter: Reporter::new(Arc::clone(&pipeline.topic)),
        end: None,
        tables,
    };
    Ok((built, source))
}

fn decode_threads(config: &Config) -> usize {
    match config.run.decode_threads {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        threads => threads,
    }
}
