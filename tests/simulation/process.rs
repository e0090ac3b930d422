//! A place at which one process after the other runs the production pipeline, until it is told to drain.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loadlock::commit::{Stop, StopCode};
use loadlock::config::{
    Batch, Column, ColumnKind, ColumnSource, Config, Encoding, Engine, Kafka, Pipeline, RejectPolicy, Route, Run,
    Secret, Start, ValueForm,
};
use loadlock::load::Loader;
use loadlock::pipeline::run_one;
use loadlock::random::Random;
use tokio::sync::Semaphore;

use crate::climate::{LENIENT, Policy};
use crate::rng::Rng;
use crate::source;
use crate::wire::{FRONTEND, network};
use crate::world::{GROUP, Life, Sim, TOPIC, World};

/// A process waits so long for its roll-backs.
const IDLE_WITHIN: Duration = Duration::from_secs(5);

/// Lives one life after the other, until one has drained at the end.
pub(crate) async fn dwell(sim: Sim, place: usize, mut rng: Rng) {
    loop {
        let Some((life, config, budget)) = begin(&sim, place, rng.next()) else { return };
        let main = tokio::spawn(run(Arc::clone(&sim), Arc::clone(&life), config, budget));
        life.add(main.abort_handle());
        let ended = main.await;
        life.kill();
        sim.note(&format!("{place}: ended: {ended:?}"));
        match ended {
            Ok(Ok(())) => sim.count("processes drained"),
            Ok(Err(stop)) => stopped(&mut sim.lock(), stop),
            Err(error) if error.is_cancelled() => sim.count("processes killed"),
            Err(error) => sim.lock().judge.broken("panic", error.to_string()),
        }
        let pause = sim.with(&mut rng).millis(5000);
        tokio::time::sleep(pause).await;
    }
}

fn begin(sim: &Sim, place: usize, seed: u64) -> Option<(Arc<Life>, Config, Arc<Semaphore>)> {
    let mut world = sim.lock();
    if world.closing || world.is_over() {
        return None;
    }
    let life = Life::new(place, seed);
    let config = config(&world);
    let permits = usize::try_from(world.climate.memory_kib).unwrap_or(1);
    let budget = Arc::new(Semaphore::new(permits));
    world.budgets.push((Arc::clone(&budget), permits));
    if let Some(home) = world.lives.get_mut(place) {
        *home = Some(Arc::clone(&life));
    }
    Some((life, config, budget))
}

async fn run(sim: Sim, life: Arc<Life>, config: Config, budget: Arc<Semaphore>) -> Result<(), Stop> {
    let other = |what: String| Stop { code: StopCode::Invariant, what };
    let loader = Loader::over(&config.engine, network(&sim, &life), random(&life)).map_err(|e| other(e.to_string()))?;
    let Some(pipeline) = config.pipelines.first() else { return Err(other("no pipeline".to_owned())) };
    let start = |spec| Ok(source::start(&sim, &life, spec, budget));
    let ended = run_one(&config, pipeline, &loader, start, life.stop.subscribe()).await;
    if !loader.idle(IDLE_WITHIN).await {
        sim.count("roll-backs were left behind");
    }
    ended
}

/// Random bits that a seed repeats.
fn random(life: &Life) -> Random {
    let rng = Mutex::new(life.dice());
    Random::given(move |bytes| {
        let mut rng = rng.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(rng.next().to_be_bytes().get(..piece.len()).unwrap_or_default());
        }
    })
}

/// Was there a reason?
fn stopped(world: &mut World, stop: Stop) {
    world.tally.count(stop.code.name());
    let allowed = match stop.code {
        // The operator lets such records pass from now on.
        StopCode::BadRecord => {
            world.policy = LENIENT;
            world.climate.policy == Policy::Stop
        }
        StopCode::TooManyRejects => {
            world.policy = LENIENT;
            matches!(world.climate.policy, Policy::Skip { .. })
        }
        StopCode::LoadRefused => world.refused_a_load,
        StopCode::NotCommittable => world.engine.was_uncommittable,
        StopCode::OutcomeUnknown => {
            let allowed = world.engine.has_forgotten();
            world.stuck = Some(stop.clone());
            allowed
        }
        StopCode::PositionRefused | StopCode::DrainUnfinished => true,
        StopCode::NoPosition
        | StopCode::PositionOutOfLog
        | StopCode::TopicChanged
        | StopCode::PositionsLost
        | StopCode::ClusterChanged
        | StopCode::Preflight
        | StopCode::PositionUnreadable
        | StopCode::MappingChanged
        | StopCode::LogRewritten
        | StopCode::Invariant
        | StopCode::Kafka
        | StopCode::DeadLetters
        | StopCode::TopicMissing
        | StopCode::Denied
        | StopCode::Fenced => false,
    };
    if !allowed {
        world.judge.broken("stop", format!("stopped without reason: {}: {}", stop.code, stop.what));
        world.stuck = Some(stop);
    }
}

fn config(world: &World) -> Config {
    let climate = &world.climate;
    let column = |name: &str, from| Column { name: name.into(), from, default: None, kind: ColumnKind::AsIs };
    let routes = world.topic.tables().zip([None, Some("h")]).map(|(table, header)| {
        let mut columns = vec![
            column("p", ColumnSource::Partition),
            column("o", ColumnSource::Offset),
            column("v", ColumnSource::Path("$.v".into())),
        ];
        columns.extend(header.map(|header| column("h", ColumnSource::Header(header.into()))));
        Route {
            table: table.clone(),
            value: ValueForm { encoding: Encoding::Raw, decrypt: None, ..ValueForm::default() },
            columns,
            filter: None,
            rows: None,
            load_headers: BTreeMap::new(),
            delivery: loadlock::domain::Delivery::ExactlyOnce,
            digest: "0123456789abcdef".into(),
        }
    });
    let partitions = world.topic.partitions();
    let start = match climate.start {
        Some(start) => Start::Offsets(partitions.into_iter().map(|partition| (partition, start)).collect()),
        None => Start::Earliest,
    };
    let rejects = match world.policy {
        Policy::Stop => RejectPolicy::Stop,
        Policy::Skip { most, of } => RejectPolicy::Skip { most, of },
        Policy::File => RejectPolicy::DeadLetterFile(world.letters.clone()),
    };
    let frontends = ["1", "2"].map(|number| http::Uri::try_from(format!("http://{FRONTEND}{number}:8030")));
    Config {
        kafka: Kafka { brokers: String::new(), properties: BTreeMap::new() },
        engine: Engine {
            kind: climate.engine,
            frontends: frontends.into_iter().filter_map(Result::ok).collect(),
            backends: Vec::new(),
            rewrite: BTreeMap::new(),
            allow_plain_redirect: false,
            ca_file: None,
            user: "loader".into(),
            password: Secret::new(Vec::new()),
            timeouts: climate.timeouts,
        },
        batch: Batch {
            rows: climate.batch_rows,
            bytes: 1 << 20,
            age: climate.batch_age,
            memory: climate.memory_kib * 1024,
        },
        run: Run { drain: climate.drain, decode_threads: 2 },
        pipelines: vec![Pipeline {
            topic: TOPIC.into(),
            group: GROUP.into(),
            start,
            rejects,
            routes: routes.collect(),
        }],
    }
}
