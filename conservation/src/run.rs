//! A run from its topic to its report: strikes, recoveries, the rest, the judge.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use loadlock_conservation::points::{BETWEEN_COMMIT_AND_ADVANCE, POINTS, SHORT};
use tempfile::TempDir;

use crate::arguments::Arguments;
use crate::broker::Broker;
use crate::chaos::Chaos;
use crate::engine::{Engine, TABLES};
use crate::fleet::{Fleet, Place};
use crate::group::Group;
use crate::judge::judge;
use crate::producer::Producer;
use crate::report::{Log, Report};
use crate::{Failure, recovery, topic};

/// Pause between two looks at everything.
pub(crate) const TICK: Duration = Duration::from_millis(30);

/// Partitions of the topic.
const PARTITIONS: i32 = 6;

/// Longest wait for the members to reach the end when all strikes are over, or to drain.
const END: Duration = Duration::from_secs(300);

/// Seconds that a strike takes about, for the pace of the producer.
const STRIKE_SECONDS: u64 = 5;

/// Runs everything.
pub(crate) fn run(arguments: &Arguments, seed: u64, interrupted: Arc<AtomicBool>) -> Result<Report, Failure> {
    let temporary = TempDir::new().map_err(|error| error.to_string())?;
    let dir = arguments.keep.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut run = Run::start(arguments, seed, dir, interrupted)?;
    run.strike()?;
    let recoveries = run.recover()?;
    run.finish()?;
    let report = run.report(dir, &recoveries)?;
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(report)
}

struct Run<'a> {
    arguments: &'a Arguments,
    seed: u64,
    began: Instant,
    topic: String,
    rng: Rng,
    // Members are killed before what they talk to.
    fleet: Fleet,
    engine: Engine,
    broker: Option<Broker>,
    group: Group,
    producer: Option<Producer>,
    acknowledged: u64,
}

impl<'a> Run<'a> {
    fn start(arguments: &'a Arguments, seed: u64, dir: &Path, interrupted: Arc<AtomicBool>) -> Result<Self, Failure> {
        let mut rng = Rng::with_seed(seed);
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let bin = program.parent().ok_or("the runner has no directory")?.to_owned();
        let topic = format!("conservation-{}-{seed:x}-{}", arguments.engine.name(), std::process::id());
        let brokers = &arguments.brokers;
        topic::create(brokers, &topic, PARTITIONS)?;
        let engine = Engine::start(arguments.engine, bin.join("loadlock-sandbox"), dir)?;
        let group = Group::watch(brokers, &topic, &topic, PARTITIONS)?;
        let place = Place {
            bin,
            dir: dir.to_owned(),
            brokers: brokers.clone(),
            topic: topic.clone(),
            group: topic.clone(),
            engine: arguments.engine.name(),
            frontend: engine.frontend(),
            weakened: arguments.weakened.clone(),
            interrupted,
        };
        let wanted = match (&arguments.weakened, arguments.short) {
            (Some(_), _) => BETWEEN_COMMIT_AND_ADVANCE,
            (None, true) => SHORT,
            (None, false) => POINTS,
        };
        let fleet =
            Fleet::new(place, arguments.members, wanted.to_vec(), (arguments.kills, arguments.stops), rng.fork());
        let blows = u64::from(arguments.kills + arguments.stops + arguments.recoveries).max(1);
        let per_second = (arguments.records / (blows * STRIKE_SECONDS)).max(500);
        let producer = Producer::start(brokers, &topic, PARTITIONS, arguments.records, per_second);
        let broker = arguments.kafka.clone().map(|name| Broker::new(arguments.root.join("scripts/kafka"), name));
        let (producer, began) = (Some(producer), Instant::now());
        Ok(Self { arguments, seed, began, topic, rng, fleet, engine, broker, group, producer, acknowledged: 0 })
    }

    /// Until members have been killed and stopped often enough, and everywhere.
    fn strike(&mut self) -> Result<(), Failure> {
        let deadline = self.began + Duration::from_secs(60 * self.arguments.minutes);
        let mut chaos = Chaos::new(self.rng.fork(), self.arguments.engine, self.began);
        // A weakened protocol would be stopped by its own checks; the kills alone show what it is worth.
        let aimed_only = self.arguments.weakened.is_some();
        let kills = u64::from(self.arguments.kills.saturating_sub(self.arguments.recoveries));
        let mut said = Instant::now();
        loop {
            let now = Instant::now();
            self.fleet.turn(now)?;
            if !aimed_only {
                chaos.turn(now, &mut self.fleet, &mut self.engine, self.broker.as_mut(), &self.group)?;
            }
            let tally = &self.fleet.tally;
            let enough = tally.killed() >= kills && tally.stopped() >= u64::from(self.arguments.stops);
            if (enough && self.fleet.wanted.is_empty()) || now > deadline {
                break;
            }
            if said.elapsed() > Duration::from_secs(20) {
                said = now;
                self.say();
            }
            thread::sleep(TICK);
        }
        chaos.heal(&mut self.fleet, &mut self.engine)?;
        while self.broker.as_mut().map_or(Ok(false), Broker::is_away)? {
            self.fleet.turn(Instant::now())?;
            thread::sleep(TICK);
        }
        self.fleet.calm_down();
        self.say();
        Ok(())
    }

    fn say(&self) {
        let tally = &self.fleet.tally;
        println!(
            "{:>4} s  {} records, {} kills, {} stops, {} points to go {}",
            self.began.elapsed().as_secs(),
            self.producer.as_ref().map_or(0, Producer::committed),
            tally.killed(),
            tally.stopped(),
            self.fleet.wanted.len(),
            if self.fleet.wanted.len() < 8 { self.fleet.wanted.join(" ") } else { String::new() }
        );
    }

    fn recover(&mut self) -> Result<Vec<Duration>, Failure> {
        if self.arguments.weakened.is_some() {
            return Ok(Vec::new());
        }
        recovery::measure(self.arguments.recoveries, &mut self.fleet, &self.group, PARTITIONS, &mut self.rng)
    }

    /// The rest of the records, all of them loaded; then everybody drains.
    fn finish(&mut self) -> Result<(), Failure> {
        if let Some(producer) = self.producer.take() {
            self.acknowledged = producer.finish();
        }
        self.wait("the members reach the end of the topic", |run| run.group.is_at_the_end())?;
        self.fleet.rest();
        self.wait("the members drain", |run| run.fleet.is_at_rest())
    }

    fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        let began = Instant::now();
        while !done(self) {
            if began.elapsed() > END {
                return Err(format!("waited {END:?} in vain: {what}"));
            }
            self.fleet.turn(Instant::now())?;
            thread::sleep(TICK);
        }
        Ok(())
    }

    fn report(&mut self, dir: &Path, recoveries: &[Duration]) -> Result<Report, Failure> {
        self.engine.collect();
        let truth = topic::read(&self.arguments.brokers, &self.topic, PARTITIONS)?;
        let verdict = judge(&self.engine.admin, &truth, &self.topic, PARTITIONS)?;
        let mut recoveries: Vec<f64> = recoveries.iter().map(Duration::as_secs_f64).collect();
        recoveries.sort_by(f64::total_cmp);
        let weakened = self.arguments.weakened.clone();
        let never_hit = if weakened.is_some() { Vec::new() } else { self.fleet.wanted.clone() };
        Ok(Report {
            seed: self.seed,
            engine: self.arguments.engine.name(),
            partitions: PARTITIONS,
            tables: TABLES.len(),
            acknowledged: self.acknowledged,
            records: truth.committed.len() as u64,
            aborted_records: truth.aborted.len() as u64,
            verdict,
            members: std::mem::take(&mut self.fleet.tally),
            engine_happened: std::mem::take(&mut self.engine.happened),
            broker_restarts: self.broker.as_ref().map_or(0, |broker| broker.restarts),
            broker_freezes: self.broker.as_ref().map_or(0, |broker| broker.freezes),
            log: read_logs(dir),
            recoveries,
            never_hit,
            seconds: self.began.elapsed().as_secs(),
            weakened,
        })
    }
}

fn read_logs(dir: &Path) -> Log {
    let mut log = Log::default();
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for file in files.filter(|path| path.extension().is_some_and(|found| found == "log")) {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let count = |what: &str| text.matches(what).count() as u64;
        log.assignments += count("\"message\":\"assigned\"");
        log.settled_visible += count("settled an interrupted load: visible");
        log.settled_aborted += count("settled an interrupted load: aborted");
        log.rejoined += count("joining as a new member");
    }
    log
}
