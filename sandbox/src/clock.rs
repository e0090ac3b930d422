//! The sandbox's clock: the system's time plus what a test has added to it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far the clock can be moved: a thousand years, behind which dates would have five digits one day.
const ADDED_MAX_MS: i64 = 1000 * 365 * 86_400_000;

/// A clock that only moves forward: by itself, and by [`Clock::advance`].
#[derive(Debug, Default)]
pub(crate) struct Clock {
    added_ms: AtomicI64,
}

impl Clock {
    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub(crate) fn now_ms(&self) -> i64 {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        millis(system).saturating_add(self.added_ms.load(Ordering::Relaxed))
    }

    /// Moves the clock forward, by no more than a thousand years in all.
    pub(crate) fn advance(&self, by: Duration) {
        let later = |added: i64| Some(added.saturating_add(millis(by)).min(ADDED_MAX_MS));
        // The closure always gives a value.
        let _ = self.added_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }
}

/// A duration in whole milliseconds.
#[must_use]
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
