//! How long to wait before the next try: pure, so that the caller brings the randomness.
//!
//! `backon` draws its jitter itself, hence it can't serve a simulation; the arithmetic is small enough to stand here.

use std::time::Duration;

use super::Class;

/// An engine that says UNKNOWN is asked again so often before it is believed: after a fail-over the new leader may
/// not have caught up.
pub const UNKNOWN_MEANS_IT: u32 = 3;

/// Waiting times of one class of failure.
struct Plan {
    first: Duration,
    most: Duration,
}

/// Engine away: quick at first, for a fail-over takes seconds.
const AWAY: Plan = Plan { first: Duration::from_millis(200), most: Duration::from_secs(15) };
/// Engine overloaded: compaction and running transactions take tens of seconds to go down.
const BUSY: Plan = Plan { first: Duration::from_secs(5), most: Duration::from_secs(120) };
/// Nobody knows: give the state time to settle.
const UNCLEAR: Plan = Plan { first: Duration::from_millis(500), most: Duration::from_secs(30) };

/// Time to wait after the `attempt`-th failure (from 1), or `None` if another try is of no use.
///
/// The time doubles with each attempt up to a cap; `jitter` (0 to 1, clamped) picks a place in its upper half, so that
/// many processes do not come back at once.
pub fn delay(class: Class, attempt: u32, jitter: f64) -> Option<Duration> {
    let plan = match class {
        Class::Away => AWAY,
        Class::Busy => BUSY,
        Class::Unclear | Class::NotCommittable => UNCLEAR,
        Class::Refused => return None,
    };
    let factor = 2_u32.saturating_pow(attempt.saturating_sub(1));
    let full = plan.first.saturating_mul(factor).min(plan.most);
    let jitter = if jitter.is_nan() { 1.0 } else { jitter.clamp(0.0, 1.0) };
    Some(full.mul_f64(0.5 + jitter / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let waits: Vec<_> = (1..=9).filter_map(|n| delay(Class::Away, n, 1.0)).map(|d| d.as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
        assert_eq!(delay(Class::Busy, u32::MAX, 1.0), Some(BUSY.most));
        assert_eq!(delay(Class::Away, 0, 1.0), Some(AWAY.first));
    }

    #[test]
    fn jitter_picks_a_place_in_the_upper_half() {
        assert_eq!(delay(Class::Busy, 1, 0.0), Some(Duration::from_millis(2500)));
        assert_eq!(delay(Class::Busy, 1, 0.5), Some(Duration::from_millis(3750)));
        assert_eq!(delay(Class::Busy, 1, -7.0), delay(Class::Busy, 1, 0.0));
        assert_eq!(delay(Class::Busy, 1, f64::NAN), delay(Class::Busy, 1, 1.0));
    }

    #[test]
    fn what_was_refused_is_not_tried_again() {
        assert_eq!(delay(Class::Refused, 1, 0.5), None);
    }
}
