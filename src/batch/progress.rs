//! How far a batch has read: one range per partition, from where the batch before ended.

use std::collections::BTreeMap;

use crate::commit::SealedRange;
use crate::domain::{Offset, Partition, Range};

/// Where reading stands, and what the batch being filled has moved. Ranges touch: a batch starts where the one before
/// it ended, so gaps of the log belong to the batch that passed them (EO-6).
#[derive(Clone, Debug, Default)]
pub struct Progress {
    frontier: BTreeMap<Partition, Offset>,
    ranges: BTreeMap<Partition, SealedRange>,
}

impl Progress {
    /// Reading begins at these positions.
    pub fn from_starts(starts: BTreeMap<Partition, Offset>) -> Self {
        Self { frontier: starts, ranges: BTreeMap::new() }
    }

    /// These partitions are read too.
    pub fn join(&mut self, starts: BTreeMap<Partition, Offset>) {
        self.frontier.extend(starts);
    }

    /// Everything below `end` was read. Unknown partitions and positions behind the frontier change nothing.
    pub fn advance(&mut self, partition: Partition, end: Offset, leader_epoch: Option<i32>) {
        let Some(frontier) = self.frontier.get_mut(&partition) else { return };
        if end <= *frontier {
            return;
        }
        let start = *frontier;
        *frontier = end;
        let sealed =
            self.ranges.entry(partition).or_insert(SealedRange { range: Range { start, end }, leader_epoch: -1 });
        sealed.range.end = end;
        if let Some(epoch) = leader_epoch {
            sealed.leader_epoch = epoch;
        }
    }

    /// Where a partition will be read next.
    pub fn frontier(&self, partition: Partition) -> Option<Offset> {
        self.frontier.get(&partition).copied()
    }

    /// Partitions that the batch has moved.
    pub fn moved(&self) -> usize {
        self.ranges.len()
    }

    /// True if the batch has moved this partition.
    pub fn has_moved(&self, partition: Partition) -> bool {
        self.ranges.contains_key(&partition)
    }

    /// Ends the batch: its ranges. The next one begins at the frontier.
    pub fn seal(&mut self) -> BTreeMap<Partition, SealedRange> {
        std::mem::take(&mut self.ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: Offset, end: Offset, leader_epoch: i32) -> SealedRange {
        SealedRange { range: Range { start, end }, leader_epoch }
    }

    #[test]
    fn ranges_touch_across_gaps_and_batches() {
        let mut progress = Progress::from_starts(BTreeMap::from([(0, 10), (1, 5)]));
        progress.advance(0, 15, Some(3));
        progress.advance(0, 22, Some(4));
        assert_eq!(progress.seal(), BTreeMap::from([(0, range(10, 22, 4))]));
        progress.advance(0, 23, None);
        progress.advance(1, 9, Some(1));
        assert_eq!(progress.seal(), BTreeMap::from([(0, range(22, 23, -1)), (1, range(5, 9, 1))]));
    }

    #[test]
    fn nothing_moves_back_and_strangers_are_ignored() {
        let mut progress = Progress::from_starts(BTreeMap::from([(0, 10)]));
        progress.advance(0, 10, Some(1));
        progress.advance(0, 7, Some(1));
        progress.advance(9, 100, Some(1));
        assert_eq!(progress.moved(), 0);
        assert!(progress.seal().is_empty());
        assert_eq!(progress.frontier(0), Some(10));
    }
}
