//! When a batch is sealed. Pure: time is an argument.

use std::fmt;
use std::time::{Duration, Instant};

use crate::commit::metadata;

/// Bytes of rejects that a batch keeps for its dead letters.
pub const REJECT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Bounds of one batch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows.
    pub rows: u64,
    /// Encoded bytes.
    pub bytes: u64,
    /// Age since its first record.
    pub age: Duration,
}

/// Why a batch was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealReason {
    /// Enough rows.
    Rows,
    /// Enough bytes.
    Bytes,
    /// Old enough.
    Age,
    /// Enough rejects to be written as dead letters.
    Rejects,
    /// One more partition would pass the room for intents.
    IntentFull,
    /// The process ends, or a record stops the route.
    Drain,
    /// The range of a settlement is complete.
    Reload,
}

impl fmt::Display for SealReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rows => "rows",
            Self::Bytes => "bytes",
            Self::Age => "age",
            Self::Rejects => "rejects",
            Self::IntentFull => "intent full",
            Self::Drain => "drain",
            Self::Reload => "reload",
        })
    }
}

/// What a batch holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Rows of all tables.
    pub rows: u64,
    /// Encoded bytes of all tables.
    pub bytes: u64,
    /// Records read.
    pub records: u64,
    /// Records that became no row of a table that wanted one.
    pub rejects: u64,
    /// Records that a route's condition left out, of all routes.
    pub filtered: u64,
    /// Bytes of those rejects, kept for dead letters.
    pub reject_bytes: u64,
    /// When its first record came.
    pub since: Option<Instant>,
}

impl Tally {
    /// Has the batch to be sealed before these are added?
    pub fn is_too_full_for(&self, limits: &Limits, rows: u64, bytes: u64) -> Option<SealReason> {
        if self.rows == 0 {
            None
        } else if self.rows.saturating_add(rows) > limits.rows {
            Some(SealReason::Rows)
        } else if self.bytes.saturating_add(bytes) > limits.bytes {
            Some(SealReason::Bytes)
        } else {
            None
        }
    }

    /// Has the batch to be sealed now?
    pub fn is_full(&self, limits: &Limits, now: Instant) -> Option<SealReason> {
        if self.rows >= limits.rows {
            Some(SealReason::Rows)
        } else if self.bytes >= limits.bytes {
            Some(SealReason::Bytes)
        } else if self.reject_bytes >= REJECT_BYTES_MAX {
            Some(SealReason::Rejects)
        } else if self.since.is_some_and(|since| now.saturating_duration_since(since) >= limits.age) {
            Some(SealReason::Age)
        } else {
            None
        }
    }

    /// When age alone will seal it.
    pub fn due(&self, limits: &Limits) -> Option<Instant> {
        self.since.map(|since| since + limits.age)
    }
}

/// What stands beside an intent, in characters: version, origin, topic id, cluster, plan, trail.
pub const BESIDE_INTENT: usize = 256;

/// Partitions that one batch over so many tables can move: their intents are stored in one OffsetCommit.
pub fn partitions_max(tables: usize) -> usize {
    metadata::METADATA_MAX_TOTAL / (metadata::intent_room(tables) + BESIDE_INTENT)
}

/// Tables that the routes of one topic can feed: an intent names all of them.
pub fn tables_max() -> usize {
    (1..)
        .take_while(|tables| metadata::intent_room(*tables) + BESIDE_INTENT <= metadata::METADATA_MAX)
        .last()
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { rows: 100, bytes: 1_000, age: Duration::from_secs(5) };

    #[test]
    fn seals_at_each_bound_and_not_before() {
        let start = Instant::now();
        let tally = |rows, bytes| Tally { rows, bytes, since: Some(start), ..Tally::default() };
        let cases = [
            (tally(99, 999), 0, None),
            (tally(100, 10), 0, Some(SealReason::Rows)),
            (tally(10, 1_000), 0, Some(SealReason::Bytes)),
            (tally(1, 1), 4_999, None),
            (tally(1, 1), 5_000, Some(SealReason::Age)),
            (Tally { reject_bytes: REJECT_BYTES_MAX, ..tally(1, 1) }, 0, Some(SealReason::Rejects)),
            (Tally::default(), 10_000, None),
        ];
        for (tally, ms, expected) in cases {
            assert_eq!(tally.is_full(&LIMITS, start + Duration::from_millis(ms)), expected, "{tally:?} at {ms} ms");
        }
    }

    #[test]
    fn a_full_batch_is_sealed_before_it_overflows_but_never_empty() {
        let tally = Tally { rows: 60, bytes: 600, ..Tally::default() };
        assert_eq!(tally.is_too_full_for(&LIMITS, 40, 400), None);
        assert_eq!(tally.is_too_full_for(&LIMITS, 41, 1), Some(SealReason::Rows));
        assert_eq!(tally.is_too_full_for(&LIMITS, 1, 401), Some(SealReason::Bytes));
        assert_eq!(Tally::default().is_too_full_for(&LIMITS, 1_000, 10_000), None);
    }

    #[test]
    fn intents_fit_in_their_bounds() {
        assert!(tables_max() >= 64, "{}", tables_max());
        assert!(partitions_max(1) >= 1_000, "{}", partitions_max(1));
        assert!(partitions_max(tables_max()) >= 100);
    }
}
