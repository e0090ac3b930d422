//! What a seed's world is like: its size, its engine, and which faults come how often.

use std::time::Duration;

use loadlock::config::{EngineKind, Timeouts};
use loadlock::domain::{Offset, Partition};

use crate::rng::Rng;

/// What happens to records that can't become rows, at first. A stop makes the operator choose another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Stop,
    Skip { most: u64, of: u64 },
    File,
}

/// Lets everything pass.
pub(crate) const LENIENT: Policy = Policy::Skip { most: 1000, of: 1000 };

#[derive(Clone, Debug)]
pub(crate) struct Climate {
    pub(crate) engine: EngineKind,
    pub(crate) partitions: Partition,
    pub(crate) processes: usize,
    pub(crate) eager: bool,
    /// Offsets are given to start at; else at the first record.
    pub(crate) start: Option<Offset>,
    pub(crate) log_start: Offset,
    pub(crate) log_first: Offset,
    pub(crate) log_last: Offset,
    /// Decides what each offset holds.
    pub(crate) salt: u64,
    /// Records that can't become rows, in a thousand.
    pub(crate) bad: u64,
    pub(crate) policy: Policy,
    pub(crate) batch_rows: u64,
    pub(crate) batch_age: Duration,
    /// Memory budget, KiB; each chunk takes one at least.
    pub(crate) memory_kib: u64,
    pub(crate) drain: Duration,
    pub(crate) timeouts: Timeouts,
    /// Requests and answers that go astray, in a thousand.
    pub(crate) astray: usize,
    /// Moments of a request at which its process dies, in a thousand.
    pub(crate) deadly: usize,
    /// Mean time between two faults.
    pub(crate) calm: Duration,
    /// The engine forgets what is finished.
    pub(crate) forgets: bool,
    /// Faults end after so long.
    pub(crate) heals_after: Duration,
}

impl Climate {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let log_start = if rng.half() { 0 } else { 3 };
        let seconds = |seconds: usize| Duration::from_secs(u64::try_from(seconds).unwrap_or(1));
        let engine = if rng.half() { EngineKind::StarRocks } else { EngineKind::Doris };
        // Short enough to be met, or so long that a process held for minutes notices nothing.
        let patient = rng.half();
        let (short, long) = (seconds(3 + rng.below(20)), seconds(900));
        let call = if patient { long } else { short };
        Self {
            engine,
            partitions: if rng.half() { 2 } else { 3 },
            processes: 2 + rng.below(2),
            eager: rng.permille(300),
            start: rng.permille(200).then_some(log_start + 2),
            log_start,
            log_first: log_start + 4,
            log_last: log_start + 14 + i64::try_from(rng.below(16)).unwrap_or(0),
            salt: rng.next(),
            bad: if rng.permille(400) { 0 } else { 80 },
            policy: match rng.below(6) {
                0 => Policy::Stop,
                1 => Policy::Skip { most: 2, of: 10 },
                2 => Policy::File,
                _ => LENIENT,
            },
            batch_rows: 3 + u64::try_from(rng.below(8)).unwrap_or(0),
            batch_age: Duration::from_millis(200 + 100 * u64::try_from(rng.below(30)).unwrap_or(0)),
            memory_kib: 1 + u64::try_from(rng.below(4)).unwrap_or(0),
            drain: seconds(2 + rng.below(30)),
            timeouts: Timeouts {
                connect: call,
                call,
                continue_: call,
                stall: if patient { long } else { seconds(20) },
                prepare: if patient { long } else { seconds(30) },
                transaction: seconds(600),
                prepared: seconds(3600),
            },
            astray: [20, 100, 250].get(rng.below(3)).copied().unwrap_or(100),
            deadly: [0, 5, 20].get(rng.below(3)).copied().unwrap_or(5),
            calm: Duration::from_millis([800, 2000, 5000].get(rng.below(3)).copied().unwrap_or(2000)),
            forgets: rng.permille(150),
            heals_after: seconds(15 + rng.below(45)),
        }
    }

    /// The same world with many faults and no stop: a mistake shows itself sooner.
    pub(crate) fn harsh(self) -> Self {
        Self {
            policy: LENIENT,
            astray: 250,
            calm: Duration::from_secs(1),
            forgets: false,
            heals_after: Duration::from_secs(60),
            ..self
        }
    }
}
