//! What must never happen, by name: one predicate each, used by the protocol in production (a violation stops the
//! route), by its tests and by whoever models it.
//!
//! - EO-1 no (topic, partition, offset) is visible twice in a table, except where the route itself fans out
//! - EO-2 every offset below the stored position is visible, rejected and recorded, filtered and counted, or a gap
//! - EO-3 a load is committed only if its intent is in the group
//! - EO-4 a label is prepared at most once
//! - EO-5 within one assignment a position never moves back
//! - EO-6 consecutive batches of a partition touch: next start = previous end
//! - EO-7 after a revocation is acknowledged no offset of that partition is committed by the loser
//! - EO-8 a stored nonce is replaced only after the engine's final word on every table that it does not list as done or
//!   aborted
//!
//! EO-1 and EO-2 speak of the world, not of one process: the conservation tests judge them from the table. The others
//! can be seen from inside: each is an [`Invariant`], checked where it could be broken, and [`counts`] tells how often it
//! held in this process.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::{Offset, Range, TxnState};

/// An invariant that a process can check by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// A load is committed only if its intent is in the group.
    IntentFirst,
    /// A label is prepared at most once.
    LabelOnce,
    /// Within one assignment a position never moves back.
    NeverBack,
    /// Consecutive batches of a partition touch.
    BatchesTouch,
    /// Nothing is stored for a partition that was given up.
    OwnedOnly,
    /// A stored nonce is replaced only after the engine's final word.
    FinalWordFirst,
}

impl Invariant {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 6] = [
        Self::IntentFirst,
        Self::LabelOnce,
        Self::NeverBack,
        Self::BatchesTouch,
        Self::OwnedOnly,
        Self::FinalWordFirst,
    ];

    /// The name that documents and counters use.
    pub fn name(self) -> &'static str {
        match self {
            Self::IntentFirst => "EO-3",
            Self::LabelOnce => "EO-4",
            Self::NeverBack => "EO-5",
            Self::BatchesTouch => "EO-6",
            Self::OwnedOnly => "EO-7",
            Self::FinalWordFirst => "EO-8",
        }
    }

    /// Counts one check of it; gives back what was found.
    pub fn holds(self, found: bool) -> bool {
        let counter = &COUNTERS[self as usize];
        counter.checked.fetch_add(1, Ordering::Relaxed);
        if !found {
            counter.violated.fetch_add(1, Ordering::Relaxed);
        }
        found
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often an invariant was looked at in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Which one.
    pub invariant: Invariant,
    /// Checks.
    pub checked: u64,
    /// Checks that found it broken; each has stopped its pipeline.
    pub violated: u64,
}

/// The counts of all pipelines of this process, in the order of [`Invariant::ALL`].
pub fn counts() -> [Count; Invariant::ALL.len()] {
    Invariant::ALL.map(|invariant| {
        let counter = &COUNTERS[invariant as usize];
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Count { invariant, checked: read(&counter.checked), violated: read(&counter.violated) }
    })
}

/// Not part of the protocol's state: what was checked decides nothing.
static COUNTERS: [Counter; Invariant::ALL.len()] = [const { Counter::zero() }; Invariant::ALL.len()];

struct Counter {
    checked: AtomicU64,
    violated: AtomicU64,
}

impl Counter {
    const fn zero() -> Self {
        Self { checked: AtomicU64::new(0), violated: AtomicU64::new(0) }
    }
}

/// EO-5: storing `next` over `stored` does not move back.
pub fn never_back(stored: Offset, next: Offset) -> bool {
    next >= stored
}

/// EO-6: a batch of this range follows on a batch that ended at `previous_end`.
pub fn touches(previous_end: Offset, range: Range) -> bool {
    range.start == previous_end && range.end >= range.start
}

/// A final word of the engine: nothing that happens later can change it (rule 7).
pub fn is_final(state: &TxnState) -> bool {
    match state {
        TxnState::Committed | TxnState::Visible | TxnState::Aborted { .. } => true,
        TxnState::Unknown | TxnState::Loading | TxnState::Prepared => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_counted_under_its_name() {
        let names: Vec<_> = Invariant::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["EO-3", "EO-4", "EO-5", "EO-6", "EO-7", "EO-8"]);
        let count = |wanted| counts().into_iter().find(|count| count.invariant == wanted).expect("all are there");
        for invariant in Invariant::ALL {
            let before = count(invariant);
            assert!(invariant.holds(true) && !invariant.holds(false));
            let after = count(invariant);
            // Tests beside this one count, too.
            assert!(after.checked >= before.checked + 2 && after.violated > before.violated, "{invariant}");
        }
    }

    #[test]
    fn predicates_hold_at_their_edges() {
        assert!(never_back(5, 5) && never_back(5, 6) && !never_back(5, 4));
        assert!(touches(5, Range { start: 5, end: 5 }) && touches(5, Range { start: 5, end: 9 }));
        assert!(!touches(5, Range { start: 6, end: 9 }) && !touches(5, Range { start: 4, end: 9 }));
        assert!(!is_final(&TxnState::Prepared) && !is_final(&TxnState::Unknown));
        assert!(is_final(&TxnState::Committed) && is_final(&TxnState::Aborted { reason: None }));
    }
}
