//! What StarRocks' nodes hold in memory only, and lose when they restart.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use crate::loader::Loader;
use crate::nodes::Backend;
use crate::options::LoadOptions;
use crate::table::Table;
use crate::transactions::{Coordinator, Transaction};

/// Labels whose backend a frontend remembers (`transaction_stream_load_coordinator_cache_capacity`).
const NODES_MAX: usize = 4096;

/// A backend's context of a transaction in PREPARE, and a frontend's memory of which backend has it.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// By backend and label.
    contexts: Mutex<HashMap<(usize, String), Arc<Context>>>,
    /// The backends of labels, the label that was remembered last at the end.
    nodes: Mutex<VecDeque<(String, usize)>>,
    /// Ids of transactions that were prepared before the frontend restarted.
    older_than_frontend: Mutex<HashSet<i64>>,
}

/// What a backend holds of a label from begin to prepare.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) transaction: Transaction,
    pub(crate) table: Arc<Table>,
    /// Header `idle_transaction_timeout`, ms.
    pub(crate) idle_ms: Option<i64>,
    last_active_ms: Mutex<i64>,
    /// Held by the load or prepare that is under way; others are told TXN_IN_PROCESSING.
    pub(crate) work: AsyncMutex<Work>,
}

/// The loads of a label so far.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// The headers of the first load; all others must be like them.
    pub(crate) first: Option<LoadOptions>,
    pub(crate) loader: Option<Loader>,
    /// JSON bytes announced by `Content-Length` over all loads.
    pub(crate) json_bytes: u64,
    /// A load ended in its middle; nothing but a rollback helps.
    pub(crate) is_broken: bool,
}

impl Context {
    pub(crate) fn new(transaction: Transaction, table: Arc<Table>, idle_ms: Option<i64>) -> Self {
        let last_active_ms = Mutex::new(transaction.begun_ms);
        Self { transaction, table, idle_ms, last_active_ms, work: AsyncMutex::default() }
    }

    pub(crate) fn touch(&self, now_ms: i64) {
        *lock(&self.last_active_ms) = now_ms;
    }

    pub(crate) fn is_expired(&self, now_ms: i64) -> bool {
        now_ms >= self.transaction.deadline_ms
    }

    fn is_idle(&self, now_ms: i64) -> bool {
        self.idle_ms.is_some_and(|idle| now_ms - *lock(&self.last_active_ms) >= idle)
    }
}

impl Memory {
    pub(crate) fn context(&self, backend: Backend, label: &str) -> Option<Arc<Context>> {
        lock(&self.contexts).get(&(backend.index, label.to_owned())).cloned()
    }

    pub(crate) fn add(&self, backend: Backend, context: Context) {
        lock(&self.contexts).insert((backend.index, context.transaction.label.clone()), Arc::new(context));
    }

    /// Removes the context of one transaction; a successor under the same label stays.
    pub(crate) fn remove(&self, transaction: &Transaction) {
        let Coordinator::Backend(index) = transaction.coordinator else { return };
        let key = (index, transaction.label.clone());
        let mut contexts = lock(&self.contexts);
        if contexts.get(&key).is_some_and(|c| c.transaction.id == transaction.id) {
            contexts.remove(&key);
        }
    }

    /// Drops contexts whose time is up and returns their transactions with the reason to abort them.
    pub(crate) fn drop_expired(&self, now_ms: i64) -> Vec<(i64, String)> {
        let mut dropped = Vec::new();
        lock(&self.contexts).retain(|_, context| {
            // A context whose lock is held is at work, not idle.
            let is_idle = context.is_idle(now_ms) && context.work.try_lock().is_ok();
            let is_over = context.is_expired(now_ms) || is_idle;
            if is_over {
                let lived = if is_idle { context.idle_ms.unwrap_or(0) } else { now_ms - context.transaction.begun_ms };
                let reason = format!("transaction is aborted by timeout {} seconds.", lived / 1000);
                dropped.push((context.transaction.id, reason));
            }
            !is_over
        });
        dropped
    }

    /// A backend's process ends: its contexts are gone.
    pub(crate) fn forget_contexts(&self, backend: usize) {
        lock(&self.contexts).retain(|(index, _), _| *index != backend);
    }

    pub(crate) fn remember_node(&self, label: &str, backend: Backend) {
        let mut nodes = lock(&self.nodes);
        nodes.retain(|(known, _)| known != label);
        if nodes.len() == NODES_MAX {
            nodes.pop_front();
        }
        nodes.push_back((label.to_owned(), backend.index));
    }

    /// The backend of a label.
    pub(crate) fn node(&self, label: &str) -> Option<usize> {
        lock(&self.nodes).iter().rev().find(|(known, _)| known == label).map(|(_, index)| *index)
    }

    /// What a frontend's restart does to its memory; `prepared` are the transactions that it finds in its journal.
    pub(crate) fn restart_frontend(&self, prepared: impl IntoIterator<Item = i64>) {
        lock(&self.nodes).clear();
        lock(&self.older_than_frontend).extend(prepared);
    }

    /// True if a transaction was prepared before the frontend restarted.
    pub(crate) fn is_older_than_frontend(&self, id: i64) -> bool {
        lock(&self.older_than_frontend).contains(&id)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
