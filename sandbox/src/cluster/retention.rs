//! How long finished transactions are remembered.

use std::sync::PoisonError;

use super::Cluster;
use crate::faults::matches;
use crate::settings::Settings;
use crate::transactions::{Ledger, Transaction};

/// Forgotten transactions that the load history has.
const HISTORY_MAX: usize = 10_000;

impl Cluster {
    /// All finished transactions, also those whose labels are forgotten.
    pub(crate) fn history(&self) -> Vec<Transaction> {
        let forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        let finished = self.transactions().into_iter().filter(|t| t.state.is_finished());
        forgotten.iter().cloned().chain(finished).collect()
    }

    /// Forgets finished transactions beyond the retention.
    pub(crate) fn clean_labels(&self) {
        let Settings { label_keep, label_keep_max, .. } = self.settings;
        let now = self.clock.now_ms();
        self.forget(|ledger| ledger.forget_finished(now, label_keep, label_keep_max));
    }

    /// Forgets the finished transactions whose labels are as a pattern says; returns how many.
    pub(crate) fn forget_labels(&self, pattern: &str) -> usize {
        self.forget(|ledger| ledger.forget_where(|transaction| matches(pattern, &transaction.label)))
    }

    fn forget(&self, which: impl FnOnce(&mut Ledger) -> Vec<Transaction>) -> usize {
        let mut ledger = self.ledger();
        let forgotten = which(&mut ledger);
        for (database, store) in self.stores() {
            let ids: Vec<i64> = forgotten.iter().filter(|t| t.database == database).map(|t| t.id).collect();
            if !ids.is_empty() {
                store.forget(ids);
            }
        }
        let count = forgotten.len();
        let mut history = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        history.extend(forgotten);
        let surplus = history.len().saturating_sub(HISTORY_MAX);
        history.drain(..surplus);
        count
    }
}
