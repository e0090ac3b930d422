//! Every point that a pipeline passes, by the names of the log target `loadlock::step`.

/// Points at which a long run has to kill a member, or it has not shown what it is for.
pub const POINTS: &[&str] = &[
    "effect.abandon",
    "effect.abort",
    "effect.ask",
    "effect.commit",
    "effect.drained",
    "effect.fill",
    "effect.hold",
    "effect.join",
    "effect.next-fill",
    "effect.prepare",
    "effect.read-positions",
    "effect.record-intent",
    "effect.record-positions",
    "effect.rejoin",
    "effect.release",
    "effect.reload",
    "effect.report",
    "effect.resolve",
    "effect.seal",
    "event.abort-answered",
    "event.assigned",
    "event.commit-answered",
    "event.drain",
    "event.load-failed",
    "event.lost",
    "event.positions",
    "event.prepared",
    "event.recorded-intent",
    "event.recorded-nothing",
    "event.recorded-positions",
    "event.resolved",
    "event.revoking",
    "event.sealed",
    "event.state-aborted",
    "event.state-open",
    "event.state-visible",
    "load.begun",
    "load.prepared",
    "load.roll-back",
    "load.rows",
    "load.sent",
    "source.commit",
    "source.committed",
    "source.give-back",
    "source.read-back",
    "source.read-positions",
    "source.revoking",
];

/// Points that only a run passes in which something needs a person, or that come too seldom to wait for.
pub const NOT_AIMED_AT: &[&str] = &[
    "effect.look-for-evidence",
    "effect.look-for-labels",
    "effect.stop",
    "event.empty",
    "event.evidence",
    "event.halt",
    "event.labels",
    "event.state-unknown",
    "source.commit-while-leaving",
];

/// What a short run has to hit: the steps around the intent, the commit and the advance.
pub const SHORT: &[&str] = &[
    "effect.commit",
    "effect.record-intent",
    "event.commit-answered",
    "event.prepared",
    "event.recorded-intent",
    "event.state-visible",
    "source.commit",
    "source.committed",
];

/// Where a weaker protocol does damage: the load is or becomes visible, and the position has not moved.
pub const BETWEEN_COMMIT_AND_ADVANCE: &[&str] =
    &["event.commit-answered", "effect.ask", "event.state-visible", "source.read-back"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PASSED_IN: &[&str] = &[
        include_str!("../../src/pipeline/points.rs"),
        include_str!("../../src/source/worker/mod.rs"),
        include_str!("../../src/source/worker/record.rs"),
        include_str!("../../src/source/worker/rebalance.rs"),
        include_str!("../../src/load/task.rs"),
    ];

    fn is_point(text: &str) -> bool {
        let stages = ["event.", "effect.", "source.", "load."];
        let name = |c: char| c.is_ascii_lowercase() || c == '.' || c == '-';
        stages.iter().any(|stage| text.starts_with(stage)) && text.chars().all(name)
    }

    #[test]
    fn every_point_of_the_loader_is_known_here() {
        let passed: BTreeSet<&str> =
            PASSED_IN.iter().flat_map(|text| text.split('"')).filter(|text| is_point(text)).collect();
        let known: BTreeSet<&str> = POINTS.iter().chain(NOT_AIMED_AT).copied().collect();
        assert_eq!(passed, known);
        for point in SHORT.iter().chain(BETWEEN_COMMIT_AND_ADVANCE) {
            assert!(POINTS.contains(point), "{point}");
        }
    }
}
