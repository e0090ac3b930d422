//! The way to the engine: connections in memory, on which requests and answers are lost, late, or answered with nonsense,
//! and at whose every moment a process may die.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use loadlock::load::engine::Step;
use loadlock::load::{Network, Stream};
use tokio::time::Instant;

use crate::dialect::{Asked, asked, lie, opens, perform, refuse, rows, torn};
use crate::http::{Connection, Head};
use crate::log::Place;
use crate::rng::Rng;
use crate::world::{Life, Sim, World};

/// Bytes that a connection holds in each direction.
const BUFFER: usize = 4096;

/// Time for a connection to open.
const OPENS_WITHIN: Duration = Duration::from_millis(1);

/// Host of the frontends; every other host is a backend.
pub(crate) const FRONTEND: &str = "fe";
pub(crate) const BACKEND: &str = "be:8040";

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Slow(Duration),
    /// It has no effect; the connection breaks, or nothing is ever heard.
    Lost,
    /// It has its effect, and the answer is lost in the same ways.
    AnswerLost,
    /// It has its effect when nobody waits for it any more.
    Late(Duration),
    /// An internal error, with or without the effect.
    Error(bool),
    /// Something in between is overloaded: no effect.
    Unavailable,
    /// Answered with success, without the effect.
    Lie,
    /// The engine is overloaded.
    Busy,
    /// The load is refused for good.
    Refused,
}

/// A name for each step of a load with what happened to it.
macro_rules! at_step {
    ($step:expr, $what:literal) => {
        match $step {
            Step::Begin => concat!("engine, begin: ", $what),
            Step::Load | Step::LoadAtOnce => concat!("engine, load: ", $what),
            Step::Prepare => concat!("engine, prepare: ", $what),
            Step::Commit => concat!("engine, commit: ", $what),
            Step::Abort => concat!("engine, abort: ", $what),
            Step::Cancel => concat!("engine, cancel: ", $what),
            Step::State => concat!("engine, state: ", $what),
        }
    };
}

impl World {
    fn fate(&mut self, step: Step) -> Fate {
        if !self.astray() {
            return Fate::Arrives;
        }
        match self.rng.below(12) {
            0 | 1 => Fate::Lost,
            2 | 3 => Fate::AnswerLost,
            4 | 5 => Fate::Late(self.millis(20_000)),
            6 => Fate::Error(true),
            7 => Fate::Error(false),
            8 => Fate::Unavailable,
            9 if step == Step::Commit => Fate::Lie,
            9..=11 if step == Step::Abort => Fate::Lie,
            9 | 10 if step == Step::Load && self.rng.permille(300) => Fate::Busy,
            10 if step == Step::Load && self.rng.permille(150) => Fate::Refused,
            _ => Fate::Slow(self.millis(20_000)),
        }
    }

    fn is_away(&self) -> bool {
        !self.healed && self.away_until.is_some_and(|until| Instant::now() < until)
    }
}

/// The network as a process sees it.
pub(crate) fn network(sim: &Sim, life: &Arc<Life>) -> Network {
    let (sim, life) = (Arc::clone(sim), Arc::clone(life));
    Network::Given(Arc::new(move |host, _port| {
        let frontend = host.starts_with(FRONTEND);
        Box::pin(open(Arc::clone(&sim), Arc::clone(&life), frontend))
    }))
}

async fn open(sim: Sim, life: Arc<Life>, frontend: bool) -> io::Result<Box<dyn Stream>> {
    life.thawed().await;
    tokio::time::sleep(OPENS_WITHIN).await;
    {
        let mut world = sim.lock();
        if life.is_dead() || world.is_away() {
            world.tally.count("engine: connections refused");
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
    }
    let (near, far) = tokio::io::duplex(BUFFER);
    tokio::spawn(async move {
        if let Some((head, connection)) = Connection::accept(far).await {
            Served { sim, life, frontend, connection, rng: Rng::new(0) }.serve(&head).await;
        }
    });
    Ok(Box::new(near))
}

/// A request being served.
struct Served {
    sim: Sim,
    life: Arc<Life>,
    frontend: bool,
    connection: Connection,
    /// From what is asked: which of two connections comes first does not matter.
    rng: Rng,
}

impl Served {
    async fn serve(mut self, head: &Head) {
        let kind = self.sim.lock().climate.engine;
        let Some(asked) = asked(kind, head) else {
            return self.connection.answer("404 Not Found", "", "{}").await;
        };
        self.sim.note(&format!("{}: {:?} {:?}", self.life.place, asked.step, asked.named));
        self.rng = self.life.dice_for((&asked.named, asked.step, self.frontend));
        let rows = match asked.step {
            Step::Load if self.frontend => {
                let location = format!("location: http://{BACKEND}{}\r\n", head.path);
                return self.connection.answer("307 Temporary Redirect", &location, "").await;
            }
            Step::Load => match self.body(&asked).await {
                Some(body) => rows(kind, &body),
                None => return,
            },
            Step::Begin
            | Step::LoadAtOnce
            | Step::Prepare
            | Step::Commit
            | Step::Abort
            | Step::Cancel
            | Step::State => Vec::new(),
        };
        if self.dies(&asked, &rows) {
            return;
        }
        let fate = self.sim.with(&mut self.rng).fate(asked.step);
        self.meet(fate, &asked, &rows).await;
    }

    /// The body of a load; `None` if it was refused or torn.
    async fn body(&mut self, asked: &Asked) -> Option<Vec<u8>> {
        let refusal = opens(&mut self.sim.lock(), asked);
        if let Some(refusal) = refusal {
            self.connection.answer("200 OK", "", &refusal).await;
            return None;
        }
        self.connection.say_continue().await;
        let body = self.connection.body().await;
        if body.is_none() {
            self.sim.count("engine: bodies torn off");
            torn(&mut self.sim.lock(), asked);
        }
        body
    }

    /// The process may die just before its request arrives, or just after.
    fn dies(&mut self, asked: &Asked, rows: &[Place]) -> bool {
        let mut world = self.sim.with(&mut self.rng);
        if world.strikes() {
            let arrives = world.rng.half();
            let what = if arrives {
                perform(&mut world, asked, rows);
                at_step!(asked.step, "arrives, and its process dies")
            } else {
                at_step!(asked.step, "dies with its process")
            };
            world.tally.count(what);
            drop(world);
            self.sim.note(&format!("{}: {what}", self.life.place));
            self.life.kill();
            return true;
        }
        // What a dead process has sent may still arrive.
        self.life.is_dead() && world.rng.half()
    }

    async fn meet(mut self, fate: Fate, asked: &Asked, rows: &[Place]) {
        let Self { sim, rng, life, .. } = &mut self;
        let kind = sim.lock().climate.engine;
        if !matches!(fate, Fate::Arrives) {
            sim.note(&format!("{}: {:?} meets {fate:?}", life.place, asked.step));
        }
        match fate {
            Fate::Arrives => {
                sim.latency(rng).await;
                sim.count(at_step!(asked.step, "arrives"));
            }
            Fate::Slow(delay) => {
                sim.count(at_step!(asked.step, "slow"));
                tokio::time::sleep(delay).await;
            }
            Fate::Lost => {
                sim.count(at_step!(asked.step, "lost"));
                return self.silence().await;
            }
            Fate::AnswerLost => {
                sim.count(at_step!(asked.step, "answer lost"));
                perform(&mut sim.lock(), asked, rows);
                return self.silence().await;
            }
            Fate::Late(delay) => {
                sim.count(at_step!(asked.step, "arrives late"));
                let (sim, asked, rows) = (Arc::clone(sim), asked.clone(), rows.to_vec());
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    perform(&mut sim.lock(), &asked, &rows);
                });
                return self.silence().await;
            }
            Fate::Error(with_effect) => {
                sim.count(at_step!(asked.step, "internal error"));
                if with_effect {
                    perform(&mut sim.lock(), asked, rows);
                }
                return self.answer("500 Internal Server Error", "{}").await;
            }
            Fate::Unavailable => {
                sim.count(at_step!(asked.step, "unavailable"));
                return self.answer("503 Service Unavailable", "{}").await;
            }
            Fate::Lie => {
                sim.count(at_step!(asked.step, "done, it says, and is not"));
                let said = lie(&mut sim.lock(), asked);
                return self.answer("200 OK", &said).await;
            }
            Fate::Busy => {
                sim.count("engine, load: busy");
                return self.answer("200 OK", &refuse(kind, "current running txns on db 1 is 1000")).await;
            }
            Fate::Refused => {
                sim.count("engine, load: refused for good");
                sim.lock().refused_a_load = true;
                return self.answer("200 OK", &refuse(kind, "too many filtered rows")).await;
            }
        }
        let said = perform(&mut self.sim.lock(), asked, rows);
        self.answer("200 OK", &said).await;
    }

    async fn answer(mut self, status: &str, body: &str) {
        self.life.thawed().await;
        self.connection.answer(status, "", body).await;
    }

    /// The connection breaks, or stays open without a word.
    async fn silence(mut self) {
        let breaks = self.rng.half();
        if !breaks {
            self.connection.hold().await;
        }
    }
}
