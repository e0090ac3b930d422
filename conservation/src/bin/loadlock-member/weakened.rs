//! Protocols that leave something out, so that it is known that the judge sees it.

use std::collections::{BTreeMap, VecDeque};

use loadlock::commit::metadata::Metadata;
use loadlock::commit::{Decide, Effect, Event, Protocol, Settings, Stop, Tag, Ticket, Txn};
use loadlock::domain::{Nonce, Offset, Partition, PositionToStore, RecordAnswer, Stored};
use loadlock::pipeline::Decisions;

/// What is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Weakness {
    /// Prepared loads are committed without an intent: two-phase commit by hope
    NoIntent,
    /// No intent; labels are made from the offsets where a batch begins, in the hope that the engine refuses a second one
    LabelFromOffsets,
    /// The load is committed first, the intent is written afterwards
    CommitBeforeIntent,
    /// Intents are written, and those found on assignment are dropped without asking the engine
    DropWithoutSettling,
}

impl Weakness {
    pub(crate) fn decisions(self) -> Decisions {
        match self {
            Self::NoIntent => |settings| Weakened::boxed(Self::NoIntent, settings),
            Self::LabelFromOffsets => |settings| Weakened::boxed(Self::LabelFromOffsets, settings),
            Self::CommitBeforeIntent => |settings| Weakened::boxed(Self::CommitBeforeIntent, settings),
            Self::DropWithoutSettling => |settings| Weakened::boxed(Self::DropWithoutSettling, settings),
        }
    }
}

/// The protocol behind somebody who tampers with what it hears and asks.
struct Weakened {
    how: Weakness,
    protocol: Protocol,
    /// Where the next batch of each partition begins.
    begins: BTreeMap<Partition, Offset>,
    /// Failed loads: a label that was refused gets a suffix, as such designs have it.
    failures: u64,
    /// Intents that wait until the load is committed.
    withheld: Vec<Effect>,
}

impl Weakened {
    fn boxed(how: Weakness, settings: Settings) -> Box<dyn Decide> {
        let protocol = Protocol::new(settings);
        Box::new(Self { how, protocol, begins: BTreeMap::new(), failures: 0, withheld: Vec::new() })
    }

    fn hears(&mut self, event: &mut Event) {
        if let Event::Sealed { ranges, .. } = event {
            self.begins.extend(ranges.iter().map(|(partition, sealed)| (*partition, sealed.range.end)));
        } else if let Event::LoadFailed { .. } = event {
            self.failures += 1;
        } else if let Event::Positions { stored, .. } = event
            && self.how == Weakness::DropWithoutSettling
        {
            stored.values_mut().flatten().for_each(forget_intent);
        }
    }

    /// Passes an effect on, or answers it in the shell's place.
    fn asks(&mut self, effect: Effect, passed: &mut Vec<Effect>) -> Option<Event> {
        if let Effect::Fill(fill) = &effect {
            self.begins.clone_from(&fill.starts);
        } else if let Effect::Join { starts } = &effect {
            self.begins.extend(starts);
        }
        let answer = match (&effect, self.how) {
            (
                Effect::Record { ticket, positions, .. },
                Weakness::NoIntent | Weakness::LabelFromOffsets | Weakness::CommitBeforeIntent,
            ) if positions.iter().any(|position| has_intent(&position.metadata)) => as_if_stored(*ticket, positions),
            _ => {
                passed.push(effect);
                return None;
            }
        };
        if self.how == Weakness::CommitBeforeIntent {
            self.withheld.push(effect);
        }
        Some(answer)
    }
}

impl Decide for Weakened {
    fn step(&mut self, mut event: Event) -> Vec<Effect> {
        self.hears(&mut event);
        let committed = matches!(event, Event::CommitAnswered { .. });
        let mut events = VecDeque::from([event]);
        let mut effects = Vec::new();
        while let Some(event) = events.pop_front() {
            for effect in self.protocol.step(event) {
                events.extend(self.asks(effect, &mut effects));
            }
        }
        if committed {
            effects.append(&mut self.withheld);
        }
        effects
    }

    fn pipeline(&self) -> Tag {
        self.protocol.pipeline()
    }

    fn pending_stop(&self) -> Option<&Stop> {
        self.protocol.pending_stop()
    }

    fn without_intent(&self) -> Vec<(Ticket, Vec<Txn>)> {
        self.protocol.without_intent()
    }

    fn nonce(&mut self, drawn: Nonce) -> Nonce {
        if self.how != Weakness::LabelFromOffsets {
            return drawn;
        }
        let places: Vec<String> = self.begins.iter().map(|(partition, begin)| format!("{partition}:{begin}")).collect();
        Nonce(u128::from(Tag::of(&places.join(" ")).0) | u128::from(self.failures) << 64)
    }
}

fn has_intent(metadata: &str) -> bool {
    Metadata::parse(metadata).is_ok_and(|metadata| metadata.intent.is_some())
}

fn forget_intent(stored: &mut Stored) {
    if let Ok(metadata) = Metadata::parse(&stored.metadata) {
        stored.metadata = Metadata { intent: None, ..metadata }.to_string();
    }
}

fn as_if_stored(ticket: Ticket, positions: &[PositionToStore]) -> Event {
    let stored = |position: &PositionToStore| Stored { offset: position.offset, metadata: position.metadata.clone() };
    let read = positions.iter().map(|position| (position.partition, Some(stored(position)))).collect();
    Event::Recorded { ticket, answer: RecordAnswer::Stored, read, doubtful: false }
}
