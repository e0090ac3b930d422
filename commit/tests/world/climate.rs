//! What a seed's world is like: its size and which faults come how often.

use loadlock_commit::StartWish;
use loadlock_commit::domain::{Offset, Partition};

use crate::rng::Rng;

pub(crate) struct Climate {
    pub(crate) partitions: Partition,
    pub(crate) processes: usize,
    pub(crate) eager: bool,
    pub(crate) start: StartWish,
    pub(crate) log_start: Offset,
    pub(crate) log_first: Offset,
    pub(crate) log_last: Offset,
    /// The engine tells transaction ids, and they are what commits.
    pub(crate) ids: bool,
    /// Faults in a thousand steps.
    pub(crate) faults: usize,
    /// Answers and requests that go astray, in a thousand.
    pub(crate) astray: usize,
    /// The engine forgets what is finished.
    pub(crate) forgets: bool,
    /// How long positions wait for their turn to be stored, in a thousand.
    pub(crate) slow_records: usize,
    /// Steps under faults before everything heals.
    pub(crate) steps: usize,
}

impl Climate {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let log_start = if rng.half() { 0 } else { 3 };
        Self {
            partitions: if rng.half() { 2 } else { 3 },
            processes: 2 + rng.below(2),
            eager: rng.permille(300),
            start: if rng.permille(200) { StartWish::Latest } else { StartWish::Earliest },
            log_start,
            log_first: log_start + 2,
            log_last: log_start + 18,
            ids: rng.half(),
            faults: [20, 60, 120].get(rng.below(3)).copied().unwrap_or(60),
            astray: [20, 100, 250].get(rng.below(3)).copied().unwrap_or(100),
            forgets: rng.permille(250),
            slow_records: if rng.permille(200) { 970 } else { 0 },
            steps: 200 + rng.below(800),
        }
    }
}
