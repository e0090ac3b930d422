//! `[batch]` and `[run]`: when a batch is sealed, and limits of the process.

use std::time::Duration;

use super::reader::Section;
use super::{Batch, Run, units};

/// Defaults of `[batch]`.
pub(super) const DEFAULT_BATCH: Batch =
    Batch { rows: 500_000, bytes: 90 << 20, age: Duration::from_secs(5), memory: 64 << 20 };

/// Defaults of `[run]`.
pub(super) const DEFAULT_RUN: Run = Run { drain: Duration::from_secs(30), decode_threads: 0 };

/// Smallest memory budget with which every pipeline makes progress.
const MEMORY_MIN: u64 = 1 << 20;
/// A batch that is younger than this costs more transactions than an engine likes.
const AGE_MIN: Duration = Duration::from_millis(10);
const DAY: Duration = Duration::from_secs(86_400);
/// More decode threads than any machine of today has cores.
const THREADS_MAX: u64 = 1024;

/// Reads `[batch]`. `transaction` is the life of an unprepared transaction.
pub(super) fn read_batch(mut section: Section<'_>, transaction: Duration) -> Option<Batch> {
    let rows = section.take("rows").map_or(Some(DEFAULT_BATCH.rows), |item| item.integer(1..=u64::MAX));
    let bytes = section.take("bytes").map_or(Some(DEFAULT_BATCH.bytes), |item| item.size(1));
    let age_item = section.take("age");
    let age = age_item.as_ref().map_or(Some(DEFAULT_BATCH.age), |item| item.duration(AGE_MIN..=DAY));
    let memory = section.take("memory").map_or(Some(DEFAULT_BATCH.memory), |item| item.size(MEMORY_MIN));
    if let (Some(item), Some(age)) = (&age_item, age)
        && age >= transaction
    {
        item.problem(
            format!(
                "the engine ends a transaction after {} (engine.timeouts.transaction), before the batch is {} old",
                units::show_duration(transaction),
                units::show_duration(age)
            ),
            "make `age` shorter, or engine.timeouts.transaction longer",
        );
    }
    section.finish();
    Some(Batch { rows: rows?, bytes: bytes?, age: age?, memory: memory? })
}

/// Reads `[run]`.
pub(super) fn read_run(mut section: Section<'_>) -> Option<Run> {
    let drain = section.take("drain").map_or(Some(DEFAULT_RUN.drain), |item| item.duration(Duration::ZERO..=DAY));
    let threads = section.take("decode_threads").map_or(Some(0), |item| item.integer(0..=THREADS_MAX));
    section.finish();
    Some(Run { drain: drain?, decode_threads: usize::try_from(threads?).ok()? })
}
