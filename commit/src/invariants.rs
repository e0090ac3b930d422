//! What must never happen, by name: one predicate each, used by the protocol in production (a violation stops the
//! route), by its tests and by whoever models it.
//!
//! - EO-1 no (topic, partition, offset) is visible twice in a table, except where the route itself fans out
//! - EO-2 every offset below the stored position is visible, rejected and recorded, filtered and counted, or a gap
//! - EO-3 a load is committed only if its intent is in the group
//! - EO-4 a label is prepared at most once
//! - EO-5 within one assignment a position never moves back
//! - EO-6 consecutive batches of a partition touch: next start = previous end
//! - EO-7 after a revocation is acknowledged no offset of that partition is committed by the loser
//! - EO-8 a stored nonce is replaced only after the engine's final word on every table that it does not list as done or
//!   aborted
//!
//! EO-1 and EO-2 speak of the world, not of one process: the conservation tests judge them from the table. The others
//! can be seen from inside.

use crate::domain::{Offset, Range, TxnState};

/// EO-5: storing `next` over `stored` does not move back.
pub fn never_back(stored: Offset, next: Offset) -> bool {
    next >= stored
}

/// EO-6: a batch of this range follows on a batch that ended at `previous_end`.
pub fn touches(previous_end: Offset, range: Range) -> bool {
    range.start == previous_end && range.end >= range.start
}

/// A final word of the engine: nothing that happens later can change it (rule 7).
pub fn is_final(state: &TxnState) -> bool {
    match state {
        TxnState::Committed | TxnState::Visible | TxnState::Aborted { .. } => true,
        TxnState::Unknown | TxnState::Loading | TxnState::Prepared => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicates_hold_at_their_edges() {
        assert!(never_back(5, 5) && never_back(5, 6) && !never_back(5, 4));
        assert!(touches(5, Range { start: 5, end: 5 }) && touches(5, Range { start: 5, end: 9 }));
        assert!(!touches(5, Range { start: 6, end: 9 }) && !touches(5, Range { start: 4, end: 9 }));
        assert!(!is_final(&TxnState::Prepared) && !is_final(&TxnState::Unknown));
        assert!(is_final(&TxnState::Committed) && is_final(&TxnState::Aborted { reason: None }));
    }
}
