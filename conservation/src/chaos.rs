//! What happens to members, engine and broker from outside: one trouble after the other, drawn from the seed.

use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::Failure;
use crate::arguments;
use crate::broker::Broker;
use crate::engine::Engine;
use crate::fleet::Fleet;
use crate::group::Group;

/// Pause between two troubles, in milliseconds.
const PAUSE: std::ops::Range<u64> = 700..2_500;

/// Pauses between the rarer ones: clock, broker restart, broker frozen, labels forgotten.
const CLOCK_EVERY: Duration = Duration::from_secs(60);
const RESTART_EVERY: Duration = Duration::from_secs(30);
const FREEZE_EVERY: Duration = Duration::from_secs(120);
const FORGET_EVERY: Duration = Duration::from_secs(150);

/// Pause after an intent was in the way.
const FORGET_AGAIN: Duration = Duration::from_secs(30);

/// Longer than the session of the group's members.
const FROZEN_FOR: Duration = Duration::from_secs(7);

/// Longer than both engines remember finished labels.
const FORGOTTEN_AFTER: u64 = 4 * 86_400;

/// The source of all troubles.
pub(crate) struct Chaos {
    rng: Rng,
    kind: arguments::Engine,
    next: Instant,
    clock: Instant,
    restart: Instant,
    freeze: Instant,
    forget: Instant,
    engine_back: Option<Instant>,
    /// Everybody drains, so that labels can be forgotten while no intent is open.
    resting: bool,
}

impl Chaos {
    pub(crate) fn new(rng: Rng, kind: arguments::Engine, now: Instant) -> Self {
        Self {
            rng,
            kind,
            next: now + Duration::from_secs(5),
            clock: now + CLOCK_EVERY,
            restart: now + RESTART_EVERY,
            freeze: now + FREEZE_EVERY,
            forget: now + FORGET_EVERY,
            engine_back: None,
            resting: false,
        }
    }

    /// Does what is due.
    pub(crate) fn turn(
        &mut self,
        now: Instant,
        fleet: &mut Fleet,
        engine: &mut Engine,
        broker: Option<&mut Broker>,
        group: &Group,
    ) -> Result<(), Failure> {
        if self.engine_back.is_some_and(|back| now >= back) {
            self.engine_back = None;
            engine.up()?;
        }
        if self.resting {
            self.forget_when_at_rest(fleet, engine, group);
            return Ok(());
        }
        if now < self.next || self.engine_back.is_some() {
            return Ok(());
        }
        let mut broker = broker;
        if let Some(broker) = broker.as_deref_mut()
            && broker.is_away()?
        {
            // Counted from the time when it is back, however slow its start is.
            self.restart = now + RESTART_EVERY;
            return Ok(());
        }
        self.next = now + Duration::from_millis(self.rng.u64(PAUSE));
        match self.rng.u32(0..100) {
            0..30 => engine.inject(&self.fault()),
            30..42 => fleet.kill_any(),
            42..52 => fleet.stop_any(now),
            52..62 => fleet.drain_any(),
            62..69 => engine.restart("frontend"),
            69..76 => engine.restart("backend"),
            76..82 => {
                engine.kill();
                self.engine_back = Some(now + Duration::from_millis(self.rng.u64(100..2_000)));
            }
            82..86 if now >= self.clock => {
                self.clock = now + CLOCK_EVERY;
                engine.advance(self.past_prepared(), "prepared loads timed out");
            }
            86..94 if now >= self.restart => {
                if let Some(broker) = broker {
                    broker.restart();
                }
            }
            94..97 if now >= self.freeze => {
                self.freeze = now + FREEZE_EVERY;
                if let Some(broker) = broker {
                    broker.freeze(FROZEN_FOR);
                }
            }
            97.. if now >= self.forget => {
                self.forget = now + FORGET_AGAIN;
                self.resting = true;
                fleet.rest();
            }
            _ => {}
        }
        Ok(())
    }

    /// With every member gone and no intent open the rules allow to go on. (Who drains leaves the intents of others
    /// unsettled, and so does who is killed while it drains.)
    fn forget_when_at_rest(&mut self, fleet: &mut Fleet, engine: &mut Engine, group: &Group) {
        if fleet.is_at_rest() {
            if group.has_no_intent() {
                engine.advance(FORGOTTEN_AFTER, "labels forgotten");
                self.forget = Instant::now() + FORGET_EVERY;
            }
            self.resting = false;
            fleet.wake();
        }
    }

    /// Ends every trouble that still lasts.
    pub(crate) fn heal(&mut self, fleet: &mut Fleet, engine: &mut Engine) -> Result<(), Failure> {
        if self.engine_back.take().is_some() {
            engine.up()?;
        }
        if std::mem::take(&mut self.resting) {
            fleet.wake();
        }
        engine.collect();
        Ok(())
    }

    /// Seconds after which a prepared load has timed out, and no finished one is forgotten.
    fn past_prepared(&self) -> u64 {
        match self.kind {
            arguments::Engine::Starrocks => 90_000,
            arguments::Engine::Doris => 3_700,
        }
    }

    /// One call that goes wrong, in a way that says nothing final.
    fn fault(&mut self) -> Value {
        let calls = ["begin", "load", "prepare", "commit", "commit", "commit", "rollback", "state", "state"];
        let call = calls[self.rng.usize(0..calls.len())];
        let (skip, times) = (self.rng.u32(0..3), self.rng.u32(1..4));
        let mut fault = match self.rng.u32(0..if call == "load" { 6 } else { 5 }) {
            0 | 1 => json!({"kind": "drop_before"}),
            2 => json!({"kind": "drop_after"}),
            3 => json!({"kind": "status", "code": if self.rng.bool() { 500 } else { 503 }}),
            4 => json!({"kind": "delay", "millis": self.rng.u64(100..3_000)}),
            _ => json!({"kind": "drop_in_body", "after_bytes": self.rng.u64(0..50_000)}),
        };
        fault["call"] = json!(call);
        fault["skip"] = json!(skip);
        fault["times"] = json!(times);
        fault
    }
}
