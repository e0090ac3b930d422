//! The engine behind the HTTP nodes: who may log in, which tables there are, and the steps of a transaction.
//!
//! A step is decided in the [`Ledger`] and told to the store under one lock, so the store follows in the same order.
//! A step is answered when the store has it on disk.

mod databases;
mod faulty;
mod members;
mod retention;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use hyper::HeaderMap;
use tokio::sync::{Notify, watch};

use self::faulty::{publish_delay, waits_in_vain};
use crate::auth::{Account, Login};
use crate::clock::Clock;
use crate::ddl::Schema;
use crate::faults::Faults;
use crate::nodes::{Addresses, Nodes};
use crate::profile::Profile;
use crate::rows::RowChunk;
use crate::settings::Settings;
use crate::starrocks::Memory;
use crate::store::{Change, DATABASES_MAX, Pending, Store, StoreError};
use crate::table::Table;
use crate::transactions::{Begin, BeginRefused, Counts, Ledger, State, StepRefused, Transaction};

/// Ids that a restart leaves unused, so that none of a forgotten transaction comes back.
const ID_GAP: i64 = 1000;
/// Error logs that a backend keeps, and their bytes; the oldest go first.
const ERROR_LOGS_MAX: usize = 1000;
const ERROR_LOGS_BYTES_MAX: usize = 64 << 20;

/// Why a step of a transaction fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// The transaction's state forbids it.
    #[error("the transaction's state forbids it")]
    Refused(StepRefused),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No frontend leads; what a backend says of that.
    #[error("{0}")]
    NoLeader(String),
    /// A fault of the plan has it fail, with this text.
    #[error("{0}")]
    Forced(String),
}

/// Why a database or a table can't be made, changed or dropped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DefineError {
    /// A transaction of the table isn't finished.
    #[error("table {0} has unfinished transactions")]
    Busy(String),
    /// No further database fits.
    #[error("more than {0} databases")]
    TooMany(usize),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The databases and their tables.
#[derive(Debug, Default)]
struct Catalog {
    tables: BTreeMap<(String, String), Arc<Table>>,
    stores: BTreeMap<String, Arc<Store>>,
}

/// All that the nodes of a sandbox share.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Which version it stands in for.
    pub(crate) profile: Profile,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    /// Where the nodes are and which of them run.
    pub(crate) nodes: Nodes,
    pub(crate) faults: Faults,
    pub(crate) error_logs: ErrorLogs,
    /// What StarRocks' nodes hold in memory only.
    pub(crate) memory: Memory,
    account: Account,
    catalog: RwLock<Catalog>,
    dir: PathBuf,
    ledger: Mutex<Ledger>,
    /// Rung whenever a transaction becomes visible.
    published: Notify,
    /// Rung when a backend restarts; its loads under way break.
    backend_starts: watch::Sender<()>,
    /// Finished transactions whose labels are forgotten, oldest first; a load history still has them.
    forgotten: Mutex<VecDeque<Transaction>>,
    /// Labels made for loads that came without one.
    labels_made: AtomicU64,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Opens the stores under `dir` and brings what was committed there to its end.
    pub(crate) fn open(
        profile: Profile,
        settings: Settings,
        account: Account,
        schema: Schema,
        addresses: Addresses,
        dir: &Path,
    ) -> Result<Arc<Self>, StoreError> {
        if schema.databases.len() > DATABASES_MAX {
            return Err(StoreError(format!("{} databases; at most {DATABASES_MAX} fit", schema.databases.len())));
        }
        let tables: BTreeMap<_, _> =
            schema.tables.into_iter().map(|t| ((t.database.clone(), t.name.clone()), Arc::new(t))).collect();
        let mut stores = BTreeMap::new();
        let (mut remembered, mut last_id) = (Vec::new(), 0);
        for database in schema.databases {
            let own: Vec<_> = tables.values().filter(|t| t.database == database).cloned().collect();
            let opened = Store::open(dir, &database, &own)?;
            last_id = last_id.max(opened.last_id);
            remembered.extend(opened.transactions);
            stores.insert(database, Arc::new(opened.store));
        }
        let last_id = remembered.iter().map(|t| t.id).fold(last_id, i64::max);
        let committed: Vec<i64> = remembered.iter().filter(|t| t.state == State::Committed).map(|t| t.id).collect();
        let clock = Clock::default();
        let nodes = Nodes::new(addresses, &settings, clock.now_ms());
        let cluster = Arc::new(Self {
            profile,
            settings,
            clock,
            nodes,
            faults: Faults::new(profile.kind()),
            error_logs: ErrorLogs::default(),
            memory: Memory::default(),
            account,
            catalog: RwLock::new(Catalog { tables, stores }),
            dir: dir.to_owned(),
            ledger: Mutex::new(Ledger::recover(remembered, if last_id == 0 { 0 } else { last_id + ID_GAP })),
            published: Notify::new(),
            backend_starts: watch::Sender::new(()),
            forgotten: Mutex::default(),
            labels_made: AtomicU64::new(0),
        });
        for id in committed {
            cluster.publish_later(id);
        }
        Ok(cluster)
    }

    pub(crate) fn login(&self, headers: &HeaderMap) -> Login {
        self.account.check(headers)
    }

    /// The one user.
    pub(crate) fn user(&self) -> &str {
        &self.account.user
    }

    /// The one account.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    pub(crate) fn has_database(&self, name: &str) -> bool {
        self.catalog().stores.contains_key(name)
    }

    pub(crate) fn table(&self, database: &str, name: &str) -> Option<Arc<Table>> {
        self.catalog().tables.get(&(database.to_owned(), name.to_owned())).cloned()
    }

    pub(crate) fn tables(&self) -> Vec<Arc<Table>> {
        self.catalog().tables.values().cloned().collect()
    }

    pub(crate) fn stores(&self) -> Vec<(String, Arc<Store>)> {
        self.catalog().stores.iter().map(|(name, store)| (name.clone(), Arc::clone(store))).collect()
    }

    fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, database: &str) -> Option<Arc<Store>> {
        self.catalog().stores.get(database).map(Arc::clone)
    }

    /// Makes an empty database.
    pub(crate) fn create_database(&self, name: &str) -> Result<(), DefineError> {
        let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        if catalog.stores.len() >= DATABASES_MAX {
            return Err(DefineError::TooMany(DATABASES_MAX));
        }
        if !catalog.stores.contains_key(name) {
            let opened = Store::open(&self.dir, name, &[])?;
            catalog.stores.insert(name.to_owned(), Arc::new(opened.store));
        }
        Ok(())
    }

    /// Makes a table; its DDL is kept with the rows, so that a restart finds both.
    pub(crate) async fn create_table(&self, table: Table, ddl: &str) -> Result<(), DefineError> {
        self.change(&table.database, Change::Create { table: Box::new(table.clone()), ddl: ddl.to_owned() }).await?;
        let key = (table.database.clone(), table.name.clone());
        self.catalog.write().unwrap_or_else(PoisonError::into_inner).tables.insert(key, Arc::new(table));
        Ok(())
    }

    /// Drops a table with its rows.
    pub(crate) async fn drop_table(&self, table: &Table) -> Result<(), DefineError> {
        self.refuse_if_busy(table)?;
        let key = (table.database.clone(), table.name.clone());
        self.catalog.write().unwrap_or_else(PoisonError::into_inner).tables.remove(&key);
        self.change(&table.database, Change::Drop { table: table.name.clone() }).await?;
        Ok(())
    }

    /// Deletes the rows of a table for which a condition of SQLite's holds, which calls it `alias`; returns how many.
    pub(crate) async fn delete_rows(&self, table: &Table, alias: &str, condition: &str) -> Result<u64, DefineError> {
        self.refuse_if_busy(table)?;
        let change =
            Change::Delete { table: table.name.clone(), alias: alias.to_owned(), condition: condition.to_owned() };
        Ok(self.change(&table.database, change).await?)
    }

    async fn change(&self, database: &str, change: Change) -> Result<u64, StoreError> {
        match self.store(database) {
            Some(store) => store.change(change).await,
            None => Err(StoreError("the database is gone".to_owned())),
        }
    }

    fn refuse_if_busy(&self, table: &Table) -> Result<(), DefineError> {
        let is_busy = |t: &Transaction| t.database == table.database && t.table == table.name && !t.state.is_finished();
        if self.ledger().all().any(is_busy) { Err(DefineError::Busy(table.full_name())) } else { Ok(()) }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, begin: &Begin<'_>) -> Result<Transaction, BeginRefused> {
        self.leader_answers().map_err(BeginRefused::NoLeader)?;
        self.ledger().begin(self.clock.now_ms(), begin, self.settings.max_running)
    }

    /// A label for a load that came without one.
    pub(crate) fn fresh_label(&self) -> String {
        let number = self.labels_made.fetch_add(1, Ordering::Relaxed);
        format!("sandbox-{:x}-{number}", self.clock.now_ms())
    }

    /// Stages rows; they are lost unless the transaction is prepared.
    pub(crate) async fn append(&self, transaction: &Transaction, table: &Arc<Table>, chunk: RowChunk) {
        if let Some(store) = self.store(&transaction.database) {
            store.append(transaction.id, Arc::clone(table), chunk).await;
        }
    }

    /// PREPARE → PREPARED, durable. If it can't be written the transaction is aborted.
    pub(crate) async fn prepare(&self, id: i64, counts: Counts, life: Duration) -> Result<Transaction, StepError> {
        let now = self.clock.now_ms();
        let mut result = self.journaled(|ledger| ledger.prepare(now, id, counts, life)).await;
        if result.is_ok()
            && let Some(message) = self.undoes_prepare()
        {
            result = Err(StepError::Forced(message));
        }
        if let Err(StepError::Store(error)) = &result {
            // Nothing more can be done about a second failure than to report the first.
            let _ = self.abort(id, &error.to_string()).await;
        }
        result
    }

    /// Drops the rows of a load whose transaction came to its end while they arrived.
    pub(crate) fn drop_rows_if_over(&self, transaction: &Transaction) {
        let is_over = self.transaction(transaction.id).is_none_or(|t| t.state == State::Aborted);
        if is_over && let Some(store) = self.store(&transaction.database) {
            store.drop_rows(transaction.id);
        }
    }

    /// PREPARED → COMMITTED, durable; it becomes visible by itself, also when the one who asked for it dies meanwhile.
    pub(crate) async fn commit(self: &Arc<Self>, id: i64) -> Result<Transaction, StepError> {
        if let Some(message) = self.refuses_commit(id) {
            return Err(StepError::Forced(message));
        }
        let now = self.clock.now_ms();
        let step = self.journaled(|ledger| {
            let committed = ledger.commit(now, id);
            if committed.is_ok() {
                self.publish_later(id);
            }
            committed
        });
        step.await
    }

    /// PREPARE or PREPARED → ABORTED, durable.
    pub(crate) async fn abort(&self, id: i64, reason: &str) -> Result<Transaction, StepError> {
        if let Some(as_it_is) = self.ignores_abort(id) {
            return Ok(as_it_is);
        }
        let now = self.clock.now_ms();
        self.journaled(|ledger| ledger.abort(now, id, reason)).await
    }

    async fn journaled(
        &self,
        step: impl FnOnce(&mut Ledger) -> Result<Transaction, StepRefused>,
    ) -> Result<Transaction, StepError> {
        self.leader_answers().map_err(StepError::NoLeader)?;
        let (transaction, pending) = {
            let mut ledger = self.ledger();
            let transaction = step(&mut ledger).map_err(StepError::Refused)?;
            let pending = self.store(&transaction.database).map(|s| s.journal(transaction.clone()));
            (transaction, pending)
        };
        wait(pending).await?;
        Ok(transaction)
    }

    fn publish_later(self: &Arc<Self>, id: i64) {
        let cluster = Arc::clone(self);
        let delay = self.settings.publish_delay + publish_delay();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if let Err(error) = cluster.publish(id).await {
                tracing::error!(id, %error, "a committed transaction could not be made visible");
            }
        });
    }

    /// COMMITTED → VISIBLE. The store moves the rows first: who reads VISIBLE finds them.
    async fn publish(&self, id: i64) -> Result<(), StoreError> {
        let Some(mut transaction) = self.transaction(id) else { return Ok(()) };
        transaction.state = State::Visible;
        transaction.changed_ms = self.clock.now_ms();
        let Some(table) = self.table(&transaction.database, &transaction.table) else {
            return Err(StoreError(format!("table {}.{} is gone", transaction.database, transaction.table)));
        };
        let pending = self.store(&transaction.database).map(|s| s.publish(transaction.clone(), table));
        wait(pending).await?;
        // Only this task takes the step, so it can't be refused.
        let _ = self.ledger().publish(transaction.changed_ms, id);
        self.published.notify_waiters();
        Ok(())
    }

    /// Waits until a transaction is visible; false if that takes too long.
    pub(crate) async fn wait_visible(&self, id: i64, at_most: Duration) -> bool {
        if waits_in_vain() {
            return false;
        }
        let visible = async {
            loop {
                let rung = self.published.notified();
                tokio::pin!(rung);
                rung.as_mut().enable();
                if self.transaction(id).is_none_or(|t| t.state == State::Visible) {
                    return;
                }
                rung.await;
            }
        };
        tokio::time::timeout(at_most, visible).await.is_ok()
    }

    pub(crate) fn transaction(&self, id: i64) -> Option<Transaction> {
        self.ledger().get(id).cloned()
    }

    /// The newest transaction of a label, as far as the disk knows it.
    pub(crate) async fn newest(&self, database: &str, label: &str) -> Option<Transaction> {
        let (found, pending) = {
            let ledger = self.ledger();
            (ledger.newest(database, label).cloned(), self.store(database).map(|s| s.barrier()))
        };
        // A failed barrier means a failed store, which every step reports.
        let _ = wait(pending).await;
        found
    }

    pub(crate) fn by_label(&self, database: &str, label: &str) -> Vec<Transaction> {
        self.ledger().by_label(database, label).cloned().collect()
    }

    pub(crate) fn transactions(&self) -> Vec<Transaction> {
        self.ledger().all().cloned().collect()
    }

    /// Aborts what has expired.
    pub(crate) async fn sweep(&self) {
        let now = self.clock.now_ms();
        // It is the leader who looks.
        let expired = if self.leader_answers().is_ok() { self.ledger().expired(now) } else { Vec::new() };
        for id in expired {
            if let Err(StepError::Store(error)) = self.abort(id, "timeout by txn manager").await {
                tracing::error!(id, %error, "an expired transaction could not be aborted");
            }
        }
        for (id, reason) in self.memory.drop_expired(now) {
            if let Err(StepError::Store(error)) = self.abort(id, &reason).await {
                tracing::error!(id, %error, "an expired transaction could not be aborted");
            }
        }
    }

    /// Carries out what was told and closes the files. Blocks.
    pub(crate) fn close(&self) {
        for (_, store) in self.stores() {
            store.close();
        }
    }
}

async fn wait(pending: Option<Pending>) -> Result<(), StoreError> {
    match pending {
        Some(pending) => pending.wait().await,
        None => Err(StoreError("the database is gone".to_owned())),
    }
}

/// The rejected rows of past loads, by file name.
#[derive(Debug, Default)]
pub(crate) struct ErrorLogs(Mutex<Logs>);

#[derive(Debug, Default)]
struct Logs {
    /// File names and texts.
    files: VecDeque<(String, String)>,
    bytes: usize,
}

impl ErrorLogs {
    /// Keeps a log and returns its file name.
    pub(crate) fn keep(&self, id: i64, lines: &[String]) -> String {
        let file = format!("error_log_{id:x}_{:x}", lines.len());
        let text = lines.join("\n") + "\n";
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logs.bytes += text.len();
        logs.files.push_back((file.clone(), text));
        while logs.files.len() > ERROR_LOGS_MAX || (logs.bytes > ERROR_LOGS_BYTES_MAX && logs.files.len() > 1) {
            let Some((_, gone)) = logs.files.pop_front() else { break };
            logs.bytes -= gone.len();
        }
        file
    }

    pub(crate) fn get(&self, file: &str) -> Option<String> {
        let logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logs.files.iter().rev().find(|(name, _)| name == file).map(|(_, text)| text.clone())
    }
}
