//! Names of the points that a pipeline passes, for the log target [`STEPS`](crate::telemetry::STEPS).

use crate::commit::metadata::Metadata;
use crate::commit::{Effect, Event};
use crate::domain::TxnState;

/// An event has arrived and is about to be decided on.
pub(super) fn of_event(event: &Event) -> &'static str {
    match event {
        Event::Assigned(_) => "event.assigned",
        Event::Revoking(_) => "event.revoking",
        Event::Lost(_) => "event.lost",
        Event::Positions { .. } => "event.positions",
        Event::Resolved { .. } => "event.resolved",
        Event::Recorded { read, .. } => {
            let mut stored = read.values().flatten();
            if read.is_empty() {
                "event.recorded-nothing"
            } else if stored.any(|stored| has_intent(&stored.metadata)) {
                "event.recorded-intent"
            } else {
                "event.recorded-positions"
            }
        }
        Event::Sealed { .. } => "event.sealed",
        Event::Empty { .. } => "event.empty",
        Event::Prepared { .. } => "event.prepared",
        Event::LoadFailed { .. } => "event.load-failed",
        Event::CommitAnswered { .. } => "event.commit-answered",
        Event::AbortAnswered { .. } => "event.abort-answered",
        Event::State { state, .. } => match state {
            TxnState::Committed | TxnState::Visible => "event.state-visible",
            TxnState::Aborted { .. } => "event.state-aborted",
            TxnState::Loading | TxnState::Prepared => "event.state-open",
            TxnState::Unknown => "event.state-unknown",
        },
        Event::Evidence { .. } => "event.evidence",
        Event::Labels { .. } => "event.labels",
        Event::Drain(_) => "event.drain",
        Event::Halt(_) => "event.halt",
    }
}

/// An effect is about to be carried out.
pub(super) fn of_effect(effect: &Effect) -> &'static str {
    match effect {
        Effect::ReadPositions { .. } => "effect.read-positions",
        Effect::Resolve { .. } => "effect.resolve",
        Effect::Record { positions, .. } => {
            if positions.iter().any(|position| has_intent(&position.metadata)) {
                "effect.record-intent"
            } else {
                "effect.record-positions"
            }
        }
        Effect::Fill(fill) if fill.reload.is_some() => "effect.reload",
        Effect::Fill(_) => "effect.fill",
        Effect::NextFill { .. } => "effect.next-fill",
        Effect::Join { .. } => "effect.join",
        Effect::Hold => "effect.hold",
        Effect::Seal { .. } => "effect.seal",
        Effect::Prepare { .. } => "effect.prepare",
        Effect::Abandon { .. } => "effect.abandon",
        Effect::Commit { .. } => "effect.commit",
        Effect::Abort { .. } => "effect.abort",
        Effect::Ask { .. } => "effect.ask",
        Effect::LookForEvidence { .. } => "effect.look-for-evidence",
        Effect::LookForLabels { .. } => "effect.look-for-labels",
        Effect::Release(_) => "effect.release",
        Effect::Rejoin => "effect.rejoin",
        Effect::Report(_) => "effect.report",
        Effect::Drained => "effect.drained",
        Effect::Stop(_) => "effect.stop",
    }
}

fn has_intent(metadata: &str) -> bool {
    Metadata::parse(metadata).is_ok_and(|metadata| metadata.intent.is_some())
}
