//! Which partitions are being read, and from which offset on. What librdkafka delivers beside that is dropped: it is
//! left over from before a seek, and will be read again where it belongs.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::domain::{Offset, Partition};

/// What is done with a partition's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not read.
    Held,
    /// To be positioned at this offset as soon as the client takes it; asked for at this time.
    Seeking(Offset, Instant),
    /// Read; this is the next offset.
    Flowing(Offset),
}

/// The state of every partition.
#[derive(Debug, Default)]
pub struct Flow {
    // Indexed by partition number: looked at for every record.
    states: Vec<State>,
}

impl Flow {
    /// Positions `partition`.
    pub fn seek(&mut self, partition: Partition, offset: Offset, now: Instant) {
        self.set(partition, State::Seeking(offset, now));
    }

    /// The client has been positioned.
    pub fn flows(&mut self, partition: Partition, offset: Offset) {
        self.set(partition, State::Flowing(offset));
    }

    /// Reads no more of `partition`.
    pub fn hold(&mut self, partition: Partition) {
        self.set(partition, State::Held);
    }

    /// Reads nothing any more.
    pub fn hold_all(&mut self) {
        self.states.clear();
    }

    /// Partitions that wait to be positioned, with the offset and the time since when.
    pub fn seeking(&self) -> BTreeMap<Partition, (Offset, Instant)> {
        let seeking = |(partition, state)| match state {
            State::Seeking(offset, since) => Some((partition, (offset, since))),
            State::Held | State::Flowing(_) => None,
        };
        self.numbered().filter_map(seeking).collect()
    }

    /// Partitions that are read, with their next offset.
    pub fn flowing(&self) -> BTreeMap<Partition, Offset> {
        let flowing = |(partition, state)| match state {
            State::Flowing(next) => Some((partition, next)),
            State::Held | State::Seeking(..) => None,
        };
        self.numbered().filter_map(flowing).collect()
    }

    /// True if the record is the next of its partition; gaps are normal, going back is not.
    pub fn accepts(&mut self, partition: Partition, offset: Offset) -> bool {
        match self.state_mut(partition) {
            Some(State::Flowing(next)) if offset >= *next => {
                *next = offset + 1;
                true
            }
            Some(State::Flowing(_) | State::Held | State::Seeking(..)) | None => false,
        }
    }

    /// The client has read up to `position` without delivering more; true if that is news.
    pub fn reached(&mut self, partition: Partition, position: Offset) -> bool {
        match self.state_mut(partition) {
            Some(State::Flowing(next)) if position > *next => {
                *next = position;
                true
            }
            Some(State::Flowing(_) | State::Held | State::Seeking(..)) | None => false,
        }
    }

    fn numbered(&self) -> impl Iterator<Item = (Partition, State)> + '_ {
        self.states.iter().enumerate().filter_map(|(index, state)| Some((Partition::try_from(index).ok()?, *state)))
    }

    fn state_mut(&mut self, partition: Partition) -> Option<&mut State> {
        self.states.get_mut(usize::try_from(partition).ok()?)
    }

    fn set(&mut self, partition: Partition, state: State) {
        let Ok(index) = usize::try_from(partition) else { return };
        if index >= self.states.len() {
            self.states.resize(index + 1, State::Held);
        }
        if let Some(slot) = self.states.get_mut(index) {
            *slot = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_flow_from_the_start_on_with_gaps_but_never_twice() {
        let mut flow = Flow::default();
        flow.flows(2, 10);
        assert!(!flow.accepts(2, 9));
        assert!(flow.accepts(2, 10));
        assert!(!flow.accepts(2, 10));
        assert!(flow.accepts(2, 14));
        assert_eq!(flow.flowing(), BTreeMap::from([(2, 15)]));
    }

    #[test]
    fn nothing_flows_while_held_or_seeking() {
        let mut flow = Flow::default();
        assert!(!flow.accepts(0, 0));
        flow.seek(1, 5, Instant::now());
        assert!(!flow.accepts(1, 5));
        assert!(!flow.reached(1, 6));
        assert_eq!(flow.seeking().keys().copied().collect::<Vec<_>>(), [1]);
        flow.flows(1, 5);
        assert!(flow.accepts(1, 5));
        flow.hold(1);
        assert!(!flow.accepts(1, 6));
        assert!(!flow.accepts(-1, 0));
    }

    #[test]
    fn a_position_reached_counts_once_and_forward_only() {
        let mut flow = Flow::default();
        flow.flows(0, 5);
        assert!(!flow.reached(0, 5));
        assert!(flow.reached(0, 8));
        assert!(!flow.reached(0, 8));
        assert!(!flow.accepts(0, 7));
        assert!(flow.accepts(0, 8));
    }
}
