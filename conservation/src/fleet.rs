//! The members and their supervisor: who runs, who is struck where, who is started again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use loadlock_conservation::points::POINTS;
use loadlock_conservation::strike::{Action, Strike};
use serde::Serialize;

use crate::Failure;
use crate::engine::{DATABASE, TABLES};
use crate::member::{Ended, Member, Orders};

/// Longer than the session of the group's members.
const STOPPED_FOR: Duration = Duration::from_secs(8);

/// Time that a supervisor takes to start a member again.
const START_AGAIN: Duration = Duration::from_millis(200);

/// The plain loader joins later: first positions are stored once, and those who can be struck there come first.
const PLAIN_JOINS_AFTER: Duration = Duration::from_secs(15);

/// A strike that is not aimed at a point still wanted falls at the latest at this passing of its point.
const PASSINGS_MAX: u32 = 30;

/// Points behind which something is under way, so that a strike a moment later falls into it.
const UNDER_WAY: &[&str] = &["source.commit", "effect.commit", "effect.abort", "effect.prepare", "load.rows"];

/// Longest delay of such a strike.
const UNDER_WAY_MICROS: u64 = 3_000;

/// What is the same for every member.
pub(crate) struct Place {
    pub(crate) bin: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) brokers: String,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) engine: &'static str,
    pub(crate) frontend: String,
    pub(crate) weakened: Option<String>,
    pub(crate) interrupted: Arc<AtomicBool>,
}

/// What has been done to members, and how they ended.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// Kills by point; `outside` at a random moment.
    pub(crate) kills: BTreeMap<String, u64>,
    /// Stops for longer than the session, by point.
    pub(crate) stops: BTreeMap<String, u64>,
    /// Members started.
    pub(crate) started: u64,
    /// Members that drained and ended.
    pub(crate) drained: u64,
    /// Members that asked to be started again.
    pub(crate) gave_up: u64,
}

impl Tally {
    pub(crate) fn killed(&self) -> u64 {
        self.kills.values().sum()
    }

    pub(crate) fn stopped(&self) -> u64 {
        self.stops.values().sum()
    }
}

/// A seat of the fleet, with or without a member.
struct Slot {
    plain: bool,
    member: Option<Member>,
    start_at: Instant,
}

/// All members.
pub(crate) struct Fleet {
    place: Place,
    slots: Vec<Slot>,
    rng: Rng,
    pub(crate) tally: Tally,
    /// Points at which a member has still to be killed.
    pub(crate) wanted: Vec<&'static str>,
    /// Points that strikes are aimed at when nothing is wanted any more.
    aims: Vec<&'static str>,
    /// Members strike themselves.
    pub(crate) striking: bool,
    /// Kills that are asked for in all.
    kills_wanted: u64,
    /// Stops that members still have to do to themselves.
    stops_wanted: u64,
    /// Members that end are started again.
    supervised: bool,
}

impl Fleet {
    /// `blows`: kills and stops that are asked for.
    pub(crate) fn new(place: Place, members: u32, wanted: Vec<&'static str>, blows: (u32, u32), rng: Rng) -> Self {
        let now = Instant::now();
        let weakened = place.weakened.is_some();
        let slot = |index| {
            // A weakened fleet has no healthy member.
            let plain = index + 1 == members && !weakened;
            Slot { plain, member: None, start_at: if plain { now + PLAIN_JOINS_AFTER } else { now } }
        };
        let aims = if weakened { wanted.clone() } else { POINTS.to_vec() };
        Self {
            place,
            slots: (0..members).map(slot).collect(),
            rng,
            tally: Tally::default(),
            wanted,
            aims,
            striking: true,
            kills_wanted: blows.0.into(),
            stops_wanted: blows.1.into(),
            supervised: true,
        }
    }

    /// Looks at every member; starts, continues, counts.
    pub(crate) fn turn(&mut self, now: Instant) -> Result<(), Failure> {
        if self.place.interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".to_owned());
        }
        for index in 0..self.slots.len() {
            self.watch(index, now)?;
            let slot = &self.slots[index];
            if slot.member.is_none() && self.supervised && now >= slot.start_at {
                self.start(index)?;
            }
        }
        Ok(())
    }

    fn watch(&mut self, index: usize, now: Instant) -> Result<(), Failure> {
        let Some(member) = self.slots[index].member.as_mut() else { return Ok(()) };
        for point in member.new_stops() {
            *self.tally.stops.entry(point).or_default() += 1;
            member.stopped_until = Some(now + STOPPED_FOR);
        }
        member.continue_if_due(now);
        let Some(ended) = member.ended()? else { return Ok(()) };
        match ended {
            Ended::Killed(point) => {
                self.wanted.retain(|wanted| Some(*wanted) != point.as_deref());
                *self.tally.kills.entry(point.unwrap_or_else(|| "outside".to_owned())).or_default() += 1;
            }
            Ended::Drained => self.tally.drained += 1,
            Ended::GaveUp => self.tally.gave_up += 1,
        }
        let slot = &mut self.slots[index];
        slot.member = None;
        slot.start_at = now + START_AGAIN;
        Ok(())
    }

    fn start(&mut self, index: usize) -> Result<(), Failure> {
        self.tally.started += 1;
        let client = format!("member-{index}-{}", self.tally.started);
        let plain = self.slots[index].plain;
        let strikes = if plain { Vec::new() } else { self.strikes() };
        let orders = Orders { plain, strikes, weakened: self.place.weakened.clone() };
        let config = self.config(&client);
        let member = Member::start(&self.place.bin, &self.place.dir, client, &config, &orders)?;
        self.slots[index].member = Some(member);
        Ok(())
    }

    /// Every point that is still wanted, whichever comes first; one at random; perhaps a stop on the way.
    fn strikes(&mut self) -> Vec<Strike> {
        if !self.striking {
            return Vec::new();
        }
        let wanted = self.wanted.clone();
        let mut strikes: Vec<Strike> = wanted.into_iter().map(|point| self.strike(point, 1, Action::Kill)).collect();
        // Who lives longer comes to the rarer points.
        if self.wanted.is_empty() || self.tally.killed() < self.kills_wanted || self.rng.bool() {
            let nth = self.rng.u32(2..PASSINGS_MAX);
            if let Some(point) = self.rng.choice(self.aims.clone()) {
                strikes.push(self.strike(point, nth, Action::Kill));
            }
        }
        if self.tally.stopped() < self.stops_wanted && self.rng.bool() {
            let nth = self.rng.u32(1..=PASSINGS_MAX / 4);
            // Stopped before a commit until its session is over, a member finds nothing to read back.
            let stale = self.wanted.contains(&"event.recorded-nothing").then_some("source.commit");
            if let Some(point) = stale.or_else(|| self.rng.choice(self.aims.clone())) {
                strikes.push(self.strike(point, nth, Action::Stop));
            }
        }
        strikes
    }

    fn strike(&mut self, point: &str, nth: u32, action: Action) -> Strike {
        let late = UNDER_WAY.contains(&point) && self.rng.bool();
        let micros = if late { self.rng.u64(1..UNDER_WAY_MICROS) } else { 0 };
        Strike { point: point.to_owned(), nth, action, after: Duration::from_micros(micros) }
    }

    fn config(&self, client: &str) -> String {
        let Place { brokers, topic, group, engine, frontend, .. } = &self.place;
        let route = |table: &str| {
            format!(
                "[[topic2table]]\ntopic = \"{topic}\"\ntable = \"{table}\"\ngroup = \"{group}\"\ncolumns = [\n  \
                 {{ name = \"id\", path = \"$.id\" }},\n  {{ name = \"note\", path = \"$.note\" }},\n  \
                 {{ name = \"kafka_topic\", from = \"topic\" }},\n  {{ name = \"kafka_partition\", from = \"partition\" \
                 }},\n  {{ name = \"kafka_offset\", from = \"offset\" }},\n]\n"
            )
        };
        format!(
            "[kafka]\nbrokers = \"{brokers}\"\nstart = \"earliest\"\n[kafka.properties]\n\"client.id\" = \"{client}\"\n\
             [engine]\nkind = \"{engine}\"\nfrontends = [\"{frontend}\"]\ndatabase = \"{DATABASE}\"\nuser = \"root\"\n\
             password = \"\"\n[batch]\nrows = 4000\nage = \"300ms\"\n{}",
            TABLES.map(route).join("\n")
        )
    }

    // ---- from outside ------------------------------------------------------------------------------------------------

    fn running(&self) -> Vec<usize> {
        let runs = |slot: &Slot| slot.member.as_ref().is_some_and(|member| member.stopped_until.is_none());
        (0..self.slots.len()).filter(|index| runs(&self.slots[*index])).collect()
    }

    fn any(&mut self) -> Option<&mut Member> {
        let running = self.running();
        let index = self.rng.choice(running)?;
        self.slots[index].member.as_mut()
    }

    /// Kills one.
    pub(crate) fn kill_any(&mut self) {
        if let Some(member) = self.any() {
            member.kill();
        }
    }

    /// Stops one for longer than its session.
    pub(crate) fn stop_any(&mut self, now: Instant) {
        if let Some(member) = self.any() {
            member.stop(now, STOPPED_FOR);
            *self.tally.stops.entry("outside".to_owned()).or_default() += 1;
        }
    }

    /// Asks one to drain.
    pub(crate) fn drain_any(&mut self) {
        if let Some(member) = self.any() {
            member.drain();
        }
    }

    /// Client ids of all members, if every seat has one that runs.
    pub(crate) fn clients(&self) -> Option<Vec<String>> {
        let client = |slot: &Slot| {
            let member = slot.member.as_ref().filter(|member| member.stopped_until.is_none())?;
            Some(member.client.clone())
        };
        self.slots.iter().map(client).collect()
    }

    /// Kills the member of that client id.
    pub(crate) fn kill(&mut self, client: &str) {
        let members = self.slots.iter().filter_map(|slot| slot.member.as_ref());
        for member in members.filter(|member| member.client == client) {
            member.kill();
        }
    }

    /// Asks all to drain, and starts none.
    pub(crate) fn rest(&mut self) {
        self.supervised = false;
        for member in self.slots.iter_mut().filter_map(|slot| slot.member.as_mut()) {
            member.go_on();
            member.drain();
        }
    }

    /// True if nobody runs.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.slots.iter().all(|slot| slot.member.is_none())
    }

    /// Starts all again.
    pub(crate) fn wake(&mut self) {
        self.supervised = true;
    }

    /// From now on members are started without strikes; those who have some are asked to drain.
    pub(crate) fn calm_down(&mut self) {
        self.striking = false;
        for slot in &mut self.slots {
            if let Some(member) = slot.member.as_mut().filter(|_| !slot.plain) {
                member.go_on();
                member.drain();
            }
        }
    }
}
