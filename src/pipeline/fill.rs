//! The batch that is being filled: its open loads, its progress, its rejects; and sealed ones until they are done.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::time::Instant;

use super::Pipeline;
use super::assemble::Allowance;
use crate::batch::{Progress, SealReason, Tally};
use crate::commit::{Event, Fill, Reload, Tag, Ticket, Txn, label};
use crate::dead_letter::DeadLetter;
use crate::domain::{Nonce, Offset, Partition, Ranges};
use crate::load::{Load, Target, retry};

/// A batch between its first record and its seal.
pub(super) struct Filling {
    pub(super) ticket: Ticket,
    pub(super) nonce: Nonce,
    pub(super) tally: Tally,
    /// Open loads by route.
    pub(super) loads: BTreeMap<usize, Load>,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) reload: Option<Reload>,
    /// Routes that get rows; all if not set.
    pub(super) routes: Option<Vec<usize>>,
    /// What was allowed before this batch: records that are read again are not counted twice.
    pub(super) allowed_before: Option<Allowance>,
}

/// A batch from its seal to its stored position.
pub(super) struct SealedBatch {
    pub(super) tally: Tally,
    pub(super) reason: SealReason,
    pub(super) ranges: Ranges,
    /// Taken by the task that prepares them.
    pub(super) loads: BTreeMap<usize, Load>,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) labels: Vec<String>,
    pub(super) sealed_at: Instant,
    pub(super) prepared_at: Option<Instant>,
    /// See [`Filling::allowed_before`].
    pub(super) allowed_before: Option<Allowance>,
    /// The task that prepares it.
    pub(super) preparing: Option<tokio::task::AbortHandle>,
}

/// Resolves when one of the open loads has failed by itself.
pub(super) async fn any_failed(filling: Option<&mut Filling>) {
    let Some(filling) = filling else { return std::future::pending().await };
    poll_fn(|context| {
        for load in filling.loads.values_mut() {
            if pin!(load.failed()).poll(context).is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    })
    .await;
}

impl Pipeline {
    pub(super) fn begin_fill(&mut self, fill: Fill) {
        self.forget_read_ahead();
        let Fill { ticket, starts, reload, failures } = fill;
        self.progress = Progress::from_starts(starts.clone());
        self.open_fill(ticket, reload);
        if failures == 0 {
            self.source.fill(self.fence, starts);
        } else {
            let wait =
                retry::delay(self.reporter.last_class(), failures, self.loader.random().jitter()).unwrap_or_default();
            self.delayed = Some((Instant::now() + wait, starts));
        }
    }

    pub(super) fn position_now(&mut self) {
        if let Some((_, starts)) = self.delayed.take() {
            self.source.fill(self.fence, starts);
        }
    }

    /// Reads these partitions too: now, or with the positioning that is still waiting for its back-off.
    pub(super) fn join(&mut self, starts: BTreeMap<Partition, Offset>) {
        self.progress.join(starts.clone());
        match &mut self.delayed {
            Some((_, waiting)) => waiting.extend(starts),
            None => self.source.join(self.fence, starts),
        }
    }

    pub(super) fn next_fill(&mut self, ticket: Ticket) {
        self.open_fill(ticket, None);
    }

    fn open_fill(&mut self, ticket: Ticket, reload: Option<Reload>) {
        let routes = reload.as_ref().map(|reload| {
            let wanted = |(_, table): &(usize, &crate::domain::Table)| reload.tables.contains(&Tag::of_table(table));
            self.tables.iter().enumerate().filter(wanted).map(|(route, _)| route).collect()
        });
        match self.loader.random().nonce() {
            Ok(drawn) => {
                let nonce = self.protocol.nonce(drawn);
                self.filling = Some(Filling {
                    ticket,
                    nonce,
                    tally: Tally::default(),
                    loads: BTreeMap::new(),
                    dead: Vec::new(),
                    reload,
                    routes,
                    allowed_before: self.rejects_allowed.clone(),
                });
                if let Some(chunk) = self.held.take() {
                    self.decode(chunk);
                }
            }
            Err(error) => self.end = Some(Err(super::calls::no_randomness(&error))),
        }
    }

    pub(super) fn hold(&mut self) {
        self.forget_read_ahead();
        self.filling = None;
        self.source.hold();
    }

    /// Whatever was read but not sealed is read again later: chunks on their way are told by their fence.
    fn forget_read_ahead(&mut self) {
        self.fence += 1;
        self.delayed = None;
        self.waiting = None;
        self.held = None;
        for task in self.decoding.drain(..) {
            task.abort();
        }
    }

    /// The open load of a route; opened with its first row.
    pub(super) fn load_of(&mut self, route: usize) -> Option<&mut Load> {
        let filling = self.filling.as_mut()?;
        let table = self.tables.get(route)?;
        let target = || Target {
            table: table.clone(),
            label: label(self.protocol.pipeline(), filling.nonce, table),
            columns: self.columns.get(route).cloned().unwrap_or_default(),
            delivery: self.deliveries.get(route).copied().unwrap_or_default(),
            headers: self.load_headers.get(route).cloned().unwrap_or_default(),
        };
        Some(filling.loads.entry(route).or_insert_with(|| self.loader.open(target())))
    }

    /// Closes the batch that is being filled and says what it holds.
    pub(super) fn seal(&mut self, reason: SealReason) -> Option<Event> {
        let filling = self.filling.take()?;
        let ticket = filling.ticket;
        let ranges = self.progress.seal();
        if ranges.is_empty() {
            return Some(Event::Empty { ticket });
        }
        let tables: BTreeSet<Tag> =
            filling.loads.keys().filter_map(|route| self.tables.get(*route)).map(Tag::of_table).collect();
        let labels = filling
            .loads
            .keys()
            .filter_map(|route| self.tables.get(*route))
            .map(|table| label(self.protocol.pipeline(), filling.nonce, table).to_string())
            .collect();
        let sealed = SealedBatch {
            tally: filling.tally,
            reason,
            ranges: ranges.iter().map(|(partition, sealed)| (*partition, sealed.range)).collect(),
            loads: filling.loads,
            dead: filling.dead,
            labels,
            sealed_at: Instant::now(),
            prepared_at: None,
            allowed_before: filling.allowed_before,
            preparing: None,
        };
        self.sealed.insert(ticket, sealed);
        Some(Event::Sealed { ticket, nonce: filling.nonce, ranges, tables })
    }

    pub(super) fn seal_for_drain(&mut self, ticket: Ticket) -> Option<Event> {
        if self.filling.as_ref().is_none_or(|filling| filling.ticket != ticket) {
            return None;
        }
        let event = self.seal(SealReason::Drain);
        self.forget_read_ahead();
        self.source.hold();
        event
    }

    /// Drops a batch: its open loads are closed, its prepared ones aborted in the background.
    pub(super) fn abandon(&mut self, ticket: Ticket, loads: Vec<Txn>) {
        if let Some(filling) = self.filling.take_if(|filling| filling.ticket == ticket) {
            self.rejects_allowed = filling.allowed_before;
            self.progress.seal();
        }
        let Some(batch) = self.sealed.remove(&ticket) else { return };
        self.rejects_allowed = batch.allowed_before;
        if let Some(task) = batch.preparing {
            // The loads that the task still holds are rolled back when it drops them.
            task.abort();
        }
        for txn in loads {
            self.abort_in_background(txn);
        }
    }

    /// Frontier of a reload: is everything of its ranges read?
    pub(super) fn reload_is_complete(&self) -> bool {
        let Some(reload) = self.filling.as_ref().and_then(|filling| filling.reload.as_ref()) else { return false };
        let reached = |(partition, end): (&Partition, &Offset)| {
            self.progress.frontier(*partition).is_some_and(|frontier| frontier >= *end)
        };
        reload.ends.iter().all(reached)
    }
}
