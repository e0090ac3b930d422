//! Chunks are decoded on all cores and put together in the order in which they were read: rows go into the open
//! loads, rejects where the policy says, and the batch is sealed when it is full.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use super::Pipeline;
use crate::batch::{SealReason, policy};
use crate::commit::{Event, Stop, StopCode};
use crate::config::RejectPolicy;
use crate::dead_letter::DeadLetter;
use crate::decode::{Decoded, Reject, Scope};
use crate::domain::{Offset, Partition};
use crate::load::Rows;
use crate::record::Chunk;

/// A chunk with what became of it.
pub(super) struct DecodedChunk {
    chunk: Chunk,
    decoded: Decoded,
    /// Ends of a reload that this chunk has passed.
    passed: BTreeMap<Partition, Offset>,
}

/// `skip N in M`: how many of the last records may be rejects.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    most: u64,
    of: u64,
    seen: u64,
    rejected: VecDeque<u64>,
}

impl Allowance {
    pub(super) fn new(most: u64, of: u64) -> Self {
        Self { most, of, seen: 0, rejected: VecDeque::new() }
    }

    /// Counts records and the rejects among them; false when there are too many.
    fn takes(&mut self, records: u64, rejects: u64) -> bool {
        self.seen += records;
        self.rejected.extend(std::iter::repeat_n(self.seen, usize::try_from(rejects).unwrap_or(usize::MAX)));
        while self.rejected.front().is_some_and(|at| at + self.of <= self.seen) {
            self.rejected.pop_front();
        }
        self.rejected.len() as u64 <= self.most
    }
}

/// The next chunk in reading order. Cancel-safe: a chunk leaves the queue only when it is done.
pub(super) async fn next_decoded(decoding: &mut VecDeque<JoinHandle<DecodedChunk>>) -> Result<DecodedChunk, JoinError> {
    let Some(first) = decoding.front_mut() else { return std::future::pending().await };
    let done = first.await;
    decoding.pop_front();
    done
}

impl Pipeline {
    /// Chunks that were read before the last positioning are dropped, with their share of the memory budget.
    pub(super) fn take(&mut self, chunk: Chunk) {
        if chunk.fence != self.fence {
            return;
        }
        if self.filling.is_some() {
            self.decode(chunk);
        } else {
            self.held = Some(chunk);
        }
    }

    pub(super) fn decode(&mut self, chunk: Chunk) {
        let reload = self.filling.as_ref().and_then(|filling| filling.reload.as_ref());
        let scope = Scope {
            until: reload.map(|reload| reload.ends.clone()).unwrap_or_default(),
            routes: self.filling.as_ref().and_then(|filling| filling.routes.clone()),
            stop_at_reject: self.policy == RejectPolicy::Stop,
            load_time_ms: jiff::Timestamp::now().as_millisecond(),
        };
        let decoder = Arc::clone(&self.decoder);
        self.decoding.push_back(tokio::task::spawn_blocking(move || {
            let decoded = decoder.decode(&chunk, &scope);
            let passed = passed_ends(&chunk, &scope.until);
            DecodedChunk { chunk, decoded, passed }
        }));
    }

    /// Takes what is decoded into the batch, and seals it when it is full.
    pub(super) fn assemble(&mut self) {
        if self.filling.is_none() || self.end.is_some() {
            return;
        }
        if let Some(chunk) = self.waiting.take() {
            let (rows, bytes) = size(&chunk.decoded);
            let too_full = self.filling.as_ref().and_then(|filling| self.too_full_for(filling, &chunk, rows, bytes));
            if let Some(reason) = too_full {
                self.waiting = Some(chunk);
                return self.seal_now(reason);
            }
            self.absorb(chunk);
        }
        let Some(filling) = &self.filling else { return };
        let full = filling.tally.is_full(&self.limits, Instant::now().into_std());
        if filling.reload.is_some() {
            // A settlement loads exactly its ranges, however long that takes.
            if self.reload_is_complete() {
                self.seal_now(SealReason::Reload);
            }
        } else if let Some(reason) = full {
            self.seal_now(reason);
        }
    }

    fn too_full_for(
        &self,
        filling: &super::fill::Filling,
        chunk: &DecodedChunk,
        rows: u64,
        bytes: u64,
    ) -> Option<SealReason> {
        if filling.reload.is_some() {
            return None;
        }
        let new = chunk.decoded.read.keys().filter(|partition| !self.progress.has_moved(**partition)).count();
        let moved = self.progress.moved();
        if moved > 0 && moved + new > policy::partitions_max(self.tables.len()) {
            return Some(SealReason::IntentFull);
        }
        filling.tally.is_too_full_for(&self.limits, rows, bytes)
    }

    fn seal_now(&mut self, reason: SealReason) {
        if let Some(event) = self.seal(reason) {
            self.step(event);
        }
    }

    fn absorb(&mut self, done: DecodedChunk) {
        let DecodedChunk { mut chunk, decoded, passed } = done;
        let (rows, bytes) = size(&decoded);
        let filtered: u64 = decoded.rows.iter().map(|rows| rows.filtered).sum();
        let records: u64 = decoded.read.values().map(|read| read.records).sum();
        for (partition, read) in &decoded.read {
            let epoch = (read.records > 0).then_some(read.leader_epoch);
            self.progress.advance(*partition, read.end, epoch);
        }
        for (partition, end) in passed {
            self.progress.advance(partition, end, None);
        }
        let permit = chunk.permit.take().map(Arc::new);
        for (route, out) in decoded.rows.into_iter().enumerate() {
            if out.rows == 0 {
                continue;
            }
            let rows = Rows { bytes: Bytes::from(out.body), rows: out.rows, permit: permit.clone() };
            if let Some(load) = self.load_of(route) {
                // A load that has failed wakes the loop, which asks it why.
                let _ = load.push(rows);
            }
        }
        if let Some(filling) = &mut self.filling {
            let tally = &mut filling.tally;
            tally.rows += rows;
            tally.bytes += bytes;
            tally.records += records;
            tally.filtered += filtered;
            tally.since = tally.since.or_else(|| (!decoded.read.is_empty()).then(|| Instant::now().into_std()));
        }
        self.rejects(&chunk, records, &decoded.rejects);
    }

    fn rejects(&mut self, chunk: &Chunk, records: u64, rejects: &[Reject]) {
        let count = rejects.len() as u64;
        if let Some(filling) = &mut self.filling {
            filling.tally.rejects += count;
        }
        self.reporter.rejected(rejects, &self.tables);
        match &self.policy {
            RejectPolicy::Stop => {
                if let Some(first) = rejects.first() {
                    let stop = self.bad_record(first);
                    self.step(Event::Drain(Some(stop)));
                }
            }
            RejectPolicy::Skip { most, of } => {
                let reloads = self.filling.as_ref().is_some_and(|filling| filling.reload.is_some());
                let within =
                    reloads || self.rejects_allowed.as_mut().is_none_or(|allowed| allowed.takes(records, count));
                if !within {
                    let what = format!(
                        "topic {}: more than {most} of the last {of} records can't become rows; the open batch was \
                         not loaded, positions stand before it{}",
                        self.topic,
                        rejects
                            .last()
                            .map(|last| format!(". The last one: {}", self.describe(last)))
                            .unwrap_or_default()
                    );
                    let Some(filling) = self.filling.take() else { return };
                    let stop = Some(Stop { code: StopCode::TooManyRejects, what });
                    self.step(Event::LoadFailed { ticket: filling.ticket, stop });
                }
            }
            RejectPolicy::DeadLetterTopic(_) | RejectPolicy::DeadLetterFile(_) => {
                for reject in rejects {
                    let Some(record) = chunk.iter().nth(reject.index) else { continue };
                    let Some(table) = self.tables.get(reject.route) else { continue };
                    let letter = DeadLetter::new(Arc::clone(&chunk.topic), &record, table, reject);
                    if let Some(filling) = &mut self.filling {
                        filling.tally.reject_bytes += letter.bytes();
                        filling.dead.push(letter);
                    }
                }
            }
        }
    }

    fn bad_record(&self, reject: &Reject) -> Stop {
        let what = format!(
            "{}. Everything before it in this partition is loaded; the position stands at this record. Correct the route \
             and start again, or set on_reject",
            self.describe(reject)
        );
        Stop { code: StopCode::BadRecord, what }
    }

    fn describe(&self, reject: &Reject) -> String {
        let table = self.tables.get(reject.route).map(ToString::to_string).unwrap_or_default();
        format!(
            "topic {} partition {} offset {} can't become a row of {table}: {}: {}",
            self.topic, reject.partition, reject.offset, reject.stage, reject.reason
        )
    }
}

fn size(decoded: &Decoded) -> (u64, u64) {
    let add = |(rows, bytes), out: &crate::decode::RouteRows| (rows + out.rows, bytes + out.body.len() as u64);
    decoded.rows.iter().fold((0, 0), add)
}

/// Which ends of a reload were reached: a record at or behind the end was delivered, or the partition was read past it.
fn passed_ends(chunk: &Chunk, ends: &BTreeMap<Partition, Offset>) -> BTreeMap<Partition, Offset> {
    let mut passed = BTreeMap::new();
    if ends.is_empty() {
        return passed;
    }
    let reached = chunk.reached.iter().map(|(partition, offset)| (*partition, *offset));
    for (partition, offset) in chunk.iter().map(|record| (record.partition, record.offset + 1)).chain(reached) {
        if let Some(end) = ends.get(&partition).filter(|end| offset >= **end) {
            passed.insert(partition, *end);
        }
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordHead;

    #[test]
    fn rejects_are_allowed_among_the_last_records_only() {
        let mut allowance = Allowance::new(2, 100);
        assert!(allowance.takes(50, 2));
        assert!(allowance.takes(49, 0));
        assert!(!allowance.takes(0, 1), "3 of the last 99");
        let mut allowance = Allowance::new(2, 100);
        assert!(allowance.takes(50, 2));
        assert!(allowance.takes(100, 0));
        assert!(allowance.takes(10, 2), "the first two are out of the window");
        assert!(!allowance.takes(10, 1));
    }

    #[test]
    fn an_allowance_of_none_takes_none() {
        let mut allowance = Allowance::new(0, 10);
        assert!(allowance.takes(5, 0));
        assert!(!allowance.takes(1, 1));
    }

    #[test]
    fn ends_are_passed_by_records_and_by_gaps() {
        let mut chunk = Chunk::new(Arc::from("t"), 1);
        for offset in [3, 9] {
            let head = RecordHead { partition: 0, offset, leader_epoch: 0, timestamp_ms: None };
            chunk.push(head, None, None, std::iter::empty());
        }
        chunk.reached.insert(1, 20);
        let ends = BTreeMap::from([(0, 10), (1, 20), (2, 5)]);
        assert_eq!(passed_ends(&chunk, &ends), BTreeMap::from([(0, 10), (1, 20)]));
        assert_eq!(passed_ends(&chunk, &BTreeMap::from([(0, 11)])), BTreeMap::new());
    }
}
