//! What a person reads: one line per committed batch, one line when something is wrong, one when it is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Pipeline;
use crate::commit::invariants::{self, Count};
use crate::commit::{Event, Notice, Stop, StopCode, Ticket, ranges_text};
use crate::decode::Reject;
use crate::domain::{Partition, Table};
use crate::load::{Class, Failure};

/// A trouble that lasts is said again so often.
const SAY_AGAIN: Duration = Duration::from_secs(300);

/// Another reason for a trouble that lasts is said after so long.
const SAY_ANOTHER: Duration = Duration::from_secs(30);

/// Rejects that are named one by one in the log, in a row; behind them only the count is said, with each batch.
const REJECTS_NAMED: u64 = 10;

/// Something that is wrong now and may pass: said once, not in every loop.
#[derive(Clone)]
pub(super) struct Trouble {
    topic: Arc<str>,
    what: &'static str,
    since: Arc<Mutex<Option<Said>>>,
}

struct Said {
    first: Instant,
    last: Instant,
    why: String,
}

impl Said {
    /// Another reason is news; the same one is said again rarely.
    fn pause(&self, why: &str) -> Duration {
        if self.why == why { SAY_AGAIN } else { SAY_ANOTHER }
    }
}

impl Trouble {
    fn new(topic: Arc<str>, what: &'static str) -> Self {
        Self { topic, what, since: Arc::default() }
    }

    /// It is so. A warning at first and then rarely.
    pub(super) fn say(&self, why: &str) {
        let now = Instant::now();
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let loud = match &mut *since {
            Some(said) if now.duration_since(said.last) < said.pause(why) => false,
            Some(said) => {
                said.last = now;
                why.clone_into(&mut said.why);
                true
            }
            None => {
                *since = Some(Said { first: now, last: now, why: why.to_owned() });
                true
            }
        };
        if loud {
            tracing::warn!(topic = %self.topic, "{}, trying again until it works: {why}", self.what);
        } else {
            tracing::debug!(topic = %self.topic, "{}: {why}", self.what);
        }
    }

    /// It works again.
    pub(super) fn over(&self) {
        let said = self.since.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(said) = said {
            tracing::info!(topic = %self.topic, after_s = said.first.elapsed().as_secs(), "works again: {}", self.what);
        }
    }
}

/// Failed loads: what they mean for the protocol, and for the wait before the next try.
#[derive(Clone)]
pub(super) struct LoadFailures {
    trouble: Trouble,
    last: Arc<Mutex<Class>>,
}

impl LoadFailures {
    pub(super) fn load_failed(&self, ticket: Ticket, failure: &Failure) -> Event {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = failure.class;
        if failure.class == Class::Refused {
            let reasons = failure.error_reasons();
            let log = if reasons.is_empty() { String::new() } else { format!("; the engine's error log: {reasons}") };
            let what = format!("{}{log}. The position stands before this batch", failure.what);
            return Event::LoadFailed { ticket, stop: Some(Stop { code: StopCode::LoadRefused, what }) };
        }
        self.trouble.say(&failure.what);
        Event::LoadFailed { ticket, stop: None }
    }
}

/// Log lines and running totals of one pipeline.
pub(super) struct Reporter {
    topic: Arc<str>,
    troubles: BTreeMap<&'static str, Trouble>,
    failures: LoadFailures,
    kafka: Trouble,
    rejects_in_a_row: u64,
    rows: u64,
    records: u64,
    filtered: u64,
    rejected: u64,
    batches: u64,
}

impl Reporter {
    pub(super) fn new(topic: Arc<str>) -> Self {
        let trouble = Trouble::new(Arc::clone(&topic), "a load failed, its records are read again");
        let kafka = Trouble::new(Arc::clone(&topic), "kafka can't be reached");
        Self {
            failures: LoadFailures { trouble, last: Arc::new(Mutex::new(Class::Away)) },
            kafka,
            topic,
            troubles: BTreeMap::new(),
            rejects_in_a_row: 0,
            rows: 0,
            records: 0,
            filtered: 0,
            rejected: 0,
            batches: 0,
        }
    }

    /// The trouble of that name; the same one each time.
    pub(super) fn trouble(&mut self, what: &'static str) -> Trouble {
        let topic = &self.topic;
        self.troubles.entry(what).or_insert_with(|| Trouble::new(Arc::clone(topic), what)).clone()
    }

    pub(super) fn failures(&self) -> LoadFailures {
        self.failures.clone()
    }

    /// Class of the last failed load.
    pub(super) fn last_class(&self) -> Class {
        *self.failures.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lost(&self, partitions: &[Partition], why: &str) {
        tracing::warn!(topic = %self.topic, ?partitions, "lost: {why}; what was open will be settled by whoever owns them next");
    }

    pub(super) fn kafka_away(&self, why: &str) {
        self.kafka.say(why);
    }

    pub(super) fn kafka_back(&self) {
        self.kafka.over();
    }

    pub(super) fn rejected(&mut self, rejects: &[Reject], tables: &[Table]) {
        for reject in rejects {
            self.rejects_in_a_row += 1;
            if self.rejects_in_a_row > REJECTS_NAMED {
                continue;
            }
            let table = tables.get(reject.route).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(
                topic = %self.topic,
                partition = reject.partition,
                offset = reject.offset,
                stage = %reject.stage,
                table,
                "rejected: {}",
                reject.reason
            );
        }
    }

    pub(super) fn ended(&self) {
        tracing::info!(
            topic = %self.topic,
            batches = self.batches,
            records = self.records,
            rows = self.rows,
            filtered = self.filtered,
            rejected = self.rejected,
            invariants = %checked(&invariants::counts()),
            "left the group"
        );
    }
}

/// How often each invariant was looked at in this process: `EO-3 12, EO-4 12, …`, with those that were broken.
fn checked(counts: &[Count]) -> String {
    let shown = counts.iter().map(|Count { invariant, checked, violated }| match violated {
        0 => format!("{invariant} {checked}"),
        _ => format!("{invariant} {checked} (VIOLATED {violated})"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

impl Pipeline {
    pub(super) fn report(&mut self, notice: &Notice) {
        let topic = &self.topic;
        match notice {
            Notice::Advanced { ticket } => self.report_advanced(*ticket),
            Notice::Dropped { ticket, why } => tracing::debug!(%topic, ticket, "batch dropped: {why}"),
            Notice::Settled { nonce, reloads, ranges } => {
                let ranges = ranges_text(ranges);
                let how =
                    if *reloads { "aborted: its records are loaded again" } else { "visible: the positions move" };
                tracing::info!(%topic, %nonce, %ranges, "settled an interrupted load: {how}");
            }
            Notice::Started { starts } => {
                tracing::info!(%topic, ?starts, "first positions stored");
            }
            Notice::ForeignPosition { partition, offset } => {
                tracing::warn!(%topic, partition, offset, "the position was stored by another tool; going on from its offset");
            }
            Notice::DoubtfulCommit => {
                tracing::warn!(
                    %topic,
                    code = "doubtful-commit",
                    "the connection to the coordinator was lost while positions were being stored; joining as a new member"
                );
            }
        }
    }

    fn report_advanced(&mut self, ticket: Ticket) {
        let Some(batch) = self.sealed.remove(&ticket) else { return };
        self.reporter.failures.trouble.over();
        let now = Instant::now();
        let ms = |from: Option<Instant>, to: Instant| from.map_or(0, |from| to.duration_since(from).as_millis());
        let tally = &batch.tally;
        self.reporter.rows += tally.rows;
        self.reporter.records += tally.records;
        self.reporter.filtered += tally.filtered;
        self.reporter.rejected += tally.rejects;
        self.reporter.batches += 1;
        if tally.rejects == 0 {
            self.reporter.rejects_in_a_row = 0;
        }
        tracing::info!(
            topic = %self.topic,
            ranges = %ranges_text(&batch.ranges),
            records = tally.records,
            rows = tally.rows,
            filtered = tally.filtered,
            rejected = tally.rejects,
            bytes = tally.bytes,
            labels = %batch.labels.join(" "),
            sealed_by = %batch.reason,
            fill_ms = ms(tally.since.map(Instant::from_std), batch.sealed_at),
            prepare_ms = ms(Some(batch.sealed_at), batch.prepared_at.unwrap_or(now)),
            commit_ms = ms(batch.prepared_at, now),
            "committed"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::invariants::Invariant;

    #[test]
    fn the_last_line_tells_what_was_checked() {
        let counts = [
            Count { invariant: Invariant::IntentFirst, checked: 12, violated: 0 },
            Count { invariant: Invariant::NeverBack, checked: 3, violated: 1 },
        ];
        assert_eq!(checked(&counts), "EO-3 12, EO-5 3 (VIOLATED 1)");
    }
}
