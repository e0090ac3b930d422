//! Step 2: an intent found on owned partitions is brought to its end, one nonce after the other.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Effect, Notice, SealedRange, Stop, StopCode, Ticket, Txn};
use super::label::Tag;
use super::metadata::{Fate, Intent, Metadata};
use super::protocol::{Protocol, Standing};
use crate::domain::{Nonce, Partition, Range, Ranges, Stored, TxnState};

/// An intent that is being settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Settlement {
    pub(super) ticket: Ticket,
    nonce: Nonce,
    /// Partitions owned now whose position carries the nonce, with the range that the intent covers.
    holders: BTreeMap<Partition, SealedRange>,
    /// Tables that the intent does not list as done.
    tables: BTreeMap<Tag, Finding>,
    done: BTreeSet<Tag>,
    mapping: Tag,
    written_ms: i64,
    /// Some partition of the topic has the nonce as its trail: it was committed in all its tables.
    trail_seen: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Finding {
    txn: Txn,
    asks: u32,
    outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Visible,
    Aborted,
}

impl Settlement {
    /// Everything that this intent names is visible.
    pub(super) fn is_visible(&self, nonce: Nonce) -> bool {
        self.nonce == nonce && self.tables.values().all(|finding| finding.outcome == Some(Outcome::Visible))
    }

    pub(super) fn holds_any(&self, partitions: &BTreeSet<Partition>) -> bool {
        self.holders.keys().any(|partition| partitions.contains(partition))
    }
}

impl Protocol {
    /// Begins a settlement when nothing else is under way, with positions read anew.
    pub(super) fn settle(&mut self) {
        let idle = self.batches.is_empty()
            && self.call.is_none()
            && self.settlement.is_none()
            && self.reading.is_none()
            && !self.is_draining();
        let unsettled = self.with_standing(Standing::Unsettled);
        if idle && !unsettled.is_empty() {
            self.read_positions(unsettled, true);
        }
    }

    /// Takes the first nonce among the intents just read.
    pub(super) fn begin_settlement(&mut self, stored: &BTreeMap<Partition, Option<Stored>>) {
        let unsettled = self.with_standing(Standing::Unsettled);
        let Some(intent) = unsettled.iter().find_map(|partition| self.intent_of(*partition)).cloned() else { return };
        let mut holders = BTreeMap::new();
        for partition in unsettled {
            let Some(found) = self.intent_of(partition).filter(|found| found.nonce == intent.nonce) else { continue };
            let Some(start) = self.owned.get(&partition).and_then(|owned| owned.stored) else { continue };
            let range = Range { start, end: found.end };
            holders.insert(partition, SealedRange { range, leader_epoch: found.leader_epoch });
        }
        let trail_seen = stored
            .values()
            .flatten()
            .filter_map(|position| Metadata::parse(&position.metadata).ok())
            .any(|metadata| metadata.trail == Some(intent.nonce));
        let mut tables = BTreeMap::new();
        let mut done = BTreeSet::new();
        for (tag, table) in &intent.tables {
            let outcome = match table.fate {
                Fate::Done => {
                    done.insert(*tag);
                    continue;
                }
                Fate::Aborted => Some(Outcome::Aborted),
                Fate::Open => None,
            };
            let Some(txn) = self.txn(intent.nonce, *tag, table.txn) else {
                return self.stop_now(self.mapping_changed(*tag, &intent, &holders));
            };
            tables.insert(*tag, Finding { txn, asks: 0, outcome });
        }
        let ticket = self.ticket();
        let open = tables.iter().filter(|(_, finding)| finding.outcome.is_none());
        let questions: Vec<_> = open.map(|(tag, finding)| (*tag, finding.txn.clone())).collect();
        self.settlement = Some(Settlement {
            ticket,
            nonce: intent.nonce,
            holders,
            tables,
            done,
            mapping: intent.mapping,
            written_ms: intent.written_ms,
            trail_seen,
        });
        for (table, txn) in questions {
            self.emit(Effect::Ask { ticket, table, txn, tries: 0 });
        }
        self.finish_settlement();
    }

    fn intent_of(&self, partition: Partition) -> Option<&Intent> {
        self.owned.get(&partition)?.metadata.intent.as_ref()
    }

    pub(super) fn settlement_state(&mut self, table: Tag, state: TxnState) {
        let Some(settlement) = &mut self.settlement else { return };
        let (ticket, trail_seen) = (settlement.ticket, settlement.trail_seen);
        let Some(finding) = settlement.tables.get_mut(&table).filter(|finding| finding.outcome.is_none()) else {
            return;
        };
        match state {
            TxnState::Committed | TxnState::Visible => finding.outcome = Some(Outcome::Visible),
            TxnState::Aborted { .. } => finding.outcome = Some(Outcome::Aborted),
            // Only what the engine says after the abort counts: another member, or our own earlier self, may have
            // committed in between.
            TxnState::Prepared | TxnState::Loading => {
                let txn = finding.txn.clone();
                return self.emit(Effect::Abort { ticket, table, txn });
            }
            TxnState::Unknown if trail_seen => finding.outcome = Some(Outcome::Visible),
            TxnState::Unknown => {
                let (txn, ranges) = (finding.txn.clone(), Self::plain_ranges(&settlement.holders));
                return self.emit(Effect::LookForEvidence { ticket, table, txn, ranges });
            }
        }
        self.finish_settlement();
    }

    /// Rule 10: evidence counts only for "committed". That nothing was found proves nothing: rows can have been deleted,
    /// replaced or moved, and histories end.
    pub(super) fn evidence_found(&mut self, ticket: Ticket, table: Tag, committed: bool, looked: &str) {
        let Some(settlement) = self.settlement.as_mut().filter(|settlement| settlement.ticket == ticket) else {
            return;
        };
        let finding = settlement.tables.get_mut(&table).filter(|finding| finding.outcome.is_none());
        let Some(finding) = finding else { return };
        if !committed {
            let stop = self.outcome_unknown(table, looked);
            return self.stop_now(stop);
        }
        finding.outcome = Some(Outcome::Visible);
        self.finish_settlement();
    }

    pub(super) fn abort_answered(&mut self, ticket: Ticket, table: Tag) {
        let Some(settlement) = self.settlement.as_mut().filter(|settlement| settlement.ticket == ticket) else {
            return;
        };
        let Some(finding) = settlement.tables.get_mut(&table) else { return };
        finding.asks += 1;
        let (txn, tries) = (finding.txn.clone(), finding.asks);
        self.emit(Effect::Ask { ticket, table, txn, tries });
    }

    /// With a final word on every table: advance, or load the aborted tables again (rule 8).
    fn finish_settlement(&mut self) {
        let Some(settlement) = &self.settlement else { return };
        if settlement.tables.values().any(|finding| finding.outcome.is_none()) {
            return;
        }
        let settlement = settlement.clone();
        let with = |outcome| {
            let found = settlement.tables.iter().filter(move |(_, finding)| finding.outcome == Some(outcome));
            found.map(|(tag, _)| *tag)
        };
        let aborted: BTreeSet<Tag> = with(Outcome::Aborted).collect();
        let ranges = Self::plain_ranges(&settlement.holders);
        let settled = Notice::Settled { nonce: settlement.nonce, reloads: !aborted.is_empty(), ranges };
        let Some(first) = aborted.first() else {
            self.emit(Effect::Report(settled));
            let ends = settlement.holders.iter().map(|(partition, held)| (*partition, held.range.end)).collect();
            return self.record_settled(&ends, settlement.nonce);
        };
        if settlement.mapping != self.settings.mapping {
            let intent = settlement.holders.keys().next().and_then(|partition| self.intent_of(*partition)).cloned();
            if let Some(intent) = intent {
                let stop = self.mapping_changed(*first, &intent, &settlement.holders);
                self.stop_now(stop);
            }
            return;
        }
        let done = settlement.done.iter().copied().chain(with(Outcome::Visible)).collect();
        self.emit(Effect::Report(settled));
        for partition in settlement.holders.keys() {
            if let Some(owned) = self.owned.get_mut(partition) {
                owned.next = owned.stored.unwrap_or(owned.next);
            }
        }
        self.settlement = None;
        self.fill_again(settlement.nonce, settlement.holders, done, aborted);
    }

    /// Rule 13: a changed mapping never loads the rest of an old batch.
    fn mapping_changed(&self, table: Tag, intent: &Intent, holders: &BTreeMap<Partition, SealedRange>) -> Stop {
        let what = format!(
            "topic {}: the batch {} was being loaded into {} by another mapping (digest {}, at {} ms since 1970) when it \
             was interrupted, and its rows have to be loaded again; the mapping now has digest {}. Finish with the \
             mapping of that time, then change it; or, if it is visible in no table, give it up to the new mapping: `{} \
             --aborted`",
            self.settings.topic,
            ranges_text(&Self::plain_ranges(holders)),
            self.table_name(table),
            intent.mapping,
            intent.written_ms,
            self.settings.mapping,
            self.resolve_command(intent.nonce),
        );
        Stop { code: StopCode::MappingChanged, what }
    }

    /// The command that decides an intent by hand, without its last word.
    fn resolve_command(&self, nonce: Nonce) -> String {
        format!("loadlock offsets resolve -c FILE --topic {} --nonce {nonce}", self.settings.topic)
    }

    /// Rule 10: committed or aborted, and nobody remembers which.
    fn outcome_unknown(&self, table: Tag, looked: &str) -> Stop {
        let (label, ranges, written, command) = self.settlement.as_ref().map_or_else(Default::default, |settlement| {
            let label = settlement.tables.get(&table).map(|finding| finding.txn.label.to_string());
            let ranges = Self::plain_ranges(&settlement.holders);
            (label.unwrap_or_default(), ranges, settlement.written_ms, self.resolve_command(settlement.nonce))
        });
        let topic = &self.settings.topic;
        let what = format!(
            "topic {topic}: the records {} were prepared for {} under label {label} (at {written} ms since 1970), and the \
             engine does not remember whether that load was committed or aborted{}{looked}. Stop all members and look into \
             the table for rows of that range: if they are there, `{command} --committed` moves the positions behind them; \
             if not, `{command} --aborted` has them loaded again",
            ranges_text(&ranges),
            self.table_name(table),
            if looked.is_empty() { "" } else { "; " },
        );
        Stop { code: StopCode::OutcomeUnknown, what }
    }
}

/// `0:100..200 1:50..60`, for people.
pub fn ranges_text(ranges: &Ranges) -> String {
    let mut text = String::new();
    for (partition, range) in ranges {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&format!("{partition}:{range}"));
    }
    text
}
