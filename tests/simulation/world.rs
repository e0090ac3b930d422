//! What all processes share: the log, the group, the engine, and the judge who sees everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loadlock::commit::metadata::Metadata;
use loadlock::commit::{Stop, Tag, label};
use loadlock::domain::{Label, Nonce, Offset, Partition, RecordAnswer};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::broker::{Broker, MemberId, Request};
use crate::climate::{Climate, Policy};
use crate::engine::{Engine, Named};
use crate::judge::Judge;
use crate::log::Topic;
use crate::mutant::Mutant;
use crate::rng::{Rng, mix};
use crate::tally::Tally;

pub(crate) const TOPIC: &str = "world";
pub(crate) const GROUP: &str = "worlds";

/// Most lines of a trace that are kept.
const LINES: usize = 4000;

pub(crate) type Sim = Arc<Shared>;

pub(crate) struct Shared {
    world: Mutex<World>,
    /// Something has changed that somebody may wait for.
    pub(crate) stir: Notify,
    born: Instant,
}

pub(crate) struct World {
    pub(crate) climate: Climate,
    /// The dice of whoever holds the world.
    pub(crate) rng: Rng,
    pub(crate) topic: Topic,
    pub(crate) broker: Broker,
    pub(crate) engine: Engine,
    pub(crate) judge: Judge,
    pub(crate) tally: Tally,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) healed: bool,
    /// Everything has arrived: every process is to drain.
    pub(crate) closing: bool,
    /// What the operator has set now.
    pub(crate) policy: Policy,
    /// A load was refused for good.
    pub(crate) refused_a_load: bool,
    /// A stop that only a person can end.
    pub(crate) stuck: Option<Stop>,
    /// The process that lives in each place.
    pub(crate) lives: Vec<Option<Arc<Life>>>,
    /// Memory budgets of all processes that ever lived, with their size.
    pub(crate) budgets: Vec<(Arc<Semaphore>, usize)>,
    pub(crate) heard_of: BTreeMap<MemberId, Instant>,
    pub(crate) letters: PathBuf,
    /// Loads that some position's intent has named.
    intents: BTreeMap<Label, Nonce>,
    /// Frontends that can't be reached until then.
    pub(crate) away_until: Option<Instant>,
    trace: VecDeque<String>,
}

/// The world in somebody's hands.
pub(crate) struct Held<'a> {
    world: MutexGuard<'a, World>,
    rng: &'a mut Rng,
}

impl Deref for Held<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        std::mem::swap(&mut self.world.rng, self.rng);
    }
}

impl Shared {
    pub(crate) fn new(seed: u64, mutant: Option<Mutant>, letters: PathBuf) -> Sim {
        let mut rng = Rng::new(seed);
        let mut climate = Climate::new(&mut rng);
        if mutant.is_some() {
            climate = climate.harsh();
        }
        let topic = Topic::new(&climate);
        let world = World {
            broker: Broker::new(&topic.partitions(), climate.eager),
            engine: Engine::new(mutant),
            judge: Judge::default(),
            tally: Tally::default(),
            healed: false,
            closing: false,
            policy: climate.policy,
            refused_a_load: false,
            stuck: None,
            lives: (0..climate.processes).map(|_| None).collect(),
            budgets: Vec::new(),
            heard_of: BTreeMap::new(),
            intents: BTreeMap::new(),
            away_until: None,
            trace: VecDeque::new(),
            climate,
            rng,
            topic,
            mutant,
            letters,
        };
        Arc::new(Self { world: Mutex::new(world), stir: Notify::new(), born: Instant::now() })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stir(&self) {
        self.stir.notify_waiters();
    }

    pub(crate) fn count(&self, what: &'static str) {
        self.lock().tally.count(what);
    }

    /// Takes down what happens, for the seed that fails.
    pub(crate) fn note(&self, what: &str) {
        let line = format!("{:>9} ms  {what}", self.born.elapsed().as_millis());
        let mut world = self.lock();
        if world.trace.len() == LINES {
            world.trace.pop_front();
        }
        world.trace.push_back(line);
    }

    /// The world, with the dice of whoever looks at it. Each has dice of its own, so that what happens does not hang on
    /// the order in which the real machine serves two of them in the same instant of the simulated time.
    pub(crate) fn with<'a>(&'a self, rng: &'a mut Rng) -> Held<'a> {
        let mut world = self.lock();
        std::mem::swap(&mut world.rng, rng);
        Held { world, rng }
    }

    /// Time that a message takes.
    pub(crate) async fn latency(&self, rng: &mut Rng) {
        let ms = match rng.below(20) {
            0 => rng.below(400),
            _ => rng.below(12),
        };
        tokio::time::sleep(Duration::from_millis(u64::try_from(ms).unwrap_or(0))).await;
    }

    pub(crate) fn trace(&self) -> VecDeque<String> {
        std::mem::take(&mut self.lock().trace)
    }
}

impl World {
    pub(crate) fn pipeline() -> Tag {
        Tag::of(&format!("{GROUP}\0{TOPIC}"))
    }

    /// A message goes wrong.
    pub(crate) fn astray(&mut self) -> bool {
        !self.healed && self.rng.permille(self.climate.astray)
    }

    /// True if the process dies at this moment.
    pub(crate) fn strikes(&mut self) -> bool {
        !self.healed && self.rng.permille(self.climate.deadly)
    }

    /// So many milliseconds, up to a bound.
    pub(crate) fn millis(&mut self, bound: usize) -> Duration {
        Duration::from_millis(u64::try_from(self.rng.below(bound)).unwrap_or(0))
    }

    /// How late a task of a busy process gets its turn.
    pub(crate) fn lateness(&mut self) -> Duration {
        if !self.astray() {
            return Duration::ZERO;
        }
        self.tally.count("an OffsetCommit is asked for late");
        self.millis(9_000)
    }

    /// Nothing that follows matters: rows are doubled or lost, or a person is needed.
    pub(crate) fn is_over(&self) -> bool {
        self.stuck.is_some() || self.judge.saw_damage()
    }

    /// A broker takes a request, or only some of its partitions.
    pub(crate) fn store(&mut self, request: &Request, only: Option<&BTreeSet<Partition>>) -> RecordAnswer {
        let (answer, changes) = self.broker.commit(request, only);
        for change in &changes {
            self.judge.stored(change, &self.topic, &self.engine, Self::pipeline());
            let before = change.before.as_ref().map_or(change.after.offset, |before| before.offset);
            self.passed_a_reject(change.partition, before..change.after.offset);
            let metadata = Metadata::parse(&change.after.metadata).ok();
            if let Some(intent) = metadata.and_then(|metadata| metadata.intent) {
                for table in self.topic.tables() {
                    self.intents.insert(label(Self::pipeline(), intent.nonce, table), intent.nonce);
                }
            }
        }
        answer
    }

    /// With the policy `stop` no position passes a record that can't become a row.
    fn passed_a_reject(&mut self, partition: Partition, mut offsets: std::ops::Range<Offset>) {
        let passed = offsets.find(|offset| !self.topic.rejects_of((partition, *offset)).is_empty());
        if let Some(offset) = passed.filter(|_| self.policy == Policy::Stop) {
            self.judge.broken("EO-2", format!("the position of {partition} passed {offset}, which was to stop it"));
        }
    }

    /// A commit has made rows visible: was there an intent?
    pub(crate) fn judge_commit(&mut self, named: &Named) {
        let Some((label, partitions)) = self.engine.partitions(named) else { return };
        match self.intents.get(&label) {
            Some(nonce) => self.judge.committing(*nonce, partitions.iter()),
            None => self.judge.broken("EO-3", format!("{label} is committed, and no position ever carried its intent")),
        }
    }
}

/// One process, from its start to its end.
pub(crate) struct Life {
    pub(crate) place: usize,
    dead: AtomicBool,
    frozen: watch::Sender<bool>,
    pub(crate) stop: watch::Sender<bool>,
    tasks: Mutex<Vec<AbortHandle>>,
    seed: u64,
    dice: AtomicU64,
    asked: Mutex<BTreeMap<u64, u64>>,
}

impl Life {
    pub(crate) fn new(place: usize, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            place,
            seed,
            dice: AtomicU64::new(0),
            asked: Mutex::default(),
            dead: AtomicBool::new(false),
            frozen: watch::Sender::new(false),
            stop: watch::Sender::new(false),
            tasks: Mutex::default(),
        })
    }

    /// Dice for a request, each time it is made.
    pub(crate) fn dice_for(&self, request: impl Hash) -> Rng {
        let mut hasher = DefaultHasher::new();
        request.hash(&mut hasher);
        let name = hasher.finish();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let times = asked.entry(name).or_default();
        *times += 1;
        Rng::new(self.seed ^ mix(name) ^ *times)
    }

    /// Dice for the next of this process's tasks.
    pub(crate) fn dice(&self) -> Rng {
        Rng::new(self.seed ^ mix(self.dice.fetch_add(1, Ordering::Relaxed)))
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Kills the process: its tasks end wherever they are, and what they had under way may still arrive.
    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
        self.freeze(false);
    }

    /// A task that ends with the process.
    pub(crate) fn add(&self, task: AbortHandle) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    pub(crate) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    pub(crate) fn is_frozen(&self) -> bool {
        *self.frozen.borrow()
    }

    /// Nothing goes in or out of a process that is held.
    pub(crate) async fn thawed(&self) {
        let mut frozen = self.frozen.subscribe();
        // The sender is ours.
        let _never_gone = frozen.wait_for(|frozen| !*frozen).await.is_ok();
    }
}
