//! Durable rows and transactions: one SQLite file per database, one writer thread per file.
//!
//! Commands are carried out in the order in which they were given, so whoever decides under a lock and gives the
//! command under the same lock has the store follow the decisions. Everything that must be durable is answered after
//! SQLite's commit; rows of an open transaction ride along with the next such commit.

mod definitions;
mod publish;
mod query;
mod sql_text;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::rows::RowChunk;
use crate::table::Table;
use crate::transactions::Transaction;

pub(crate) use definitions::definitions;
pub use query::QueryResult;
pub(crate) use query::{View, query};
pub(crate) use sql_text::{NUMERIC_COLLATION, quote};

/// KiB of rows that may wait for a writer. A larger chunk, which is a single row, waits until it is alone.
const WAITING_KIB: u32 = 32 << 10;
/// SQLite attaches at most this many files to one connection unless it was compiled otherwise.
pub(crate) const DATABASES_MAX: usize = 10;

/// Something that the store could not do, or may not.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub(crate) String);

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self(format!("the sandbox's storage failed: {error}"))
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("the sandbox's storage failed: {error}"))
    }
}

type Done = oneshot::Sender<Result<(), StoreError>>;

/// What a writer can be told.
enum Command {
    /// Stage rows of an unfinished transaction.
    Rows { id: i64, table: Arc<Table>, chunk: RowChunk, _place: OwnedSemaphorePermit },
    /// Note a transaction's state; drops the staged rows of an aborted one.
    Journal { transaction: Transaction, done: Done },
    /// Note that a transaction is VISIBLE and move its rows into the table.
    Publish { transaction: Transaction, table: Arc<Table>, done: Done },
    /// Drop the staged rows of a transaction that nobody remembers.
    Drop { id: i64 },
    /// Forget finished transactions.
    Forget { ids: Vec<i64> },
    /// Answer when everything before it is durable.
    Barrier { done: Done },
    /// Change tables or rows outside of transactions; the number of rows goes to `count`.
    Change { change: Change, count: Arc<AtomicU64>, done: Done },
}

/// A change by SQL.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Make a table and keep its DDL.
    Create {
        /// The table.
        table: Box<Table>,
        /// How it was declared.
        ddl: String,
    },
    /// Drop a table.
    Drop {
        /// Its name.
        table: String,
    },
    /// Delete rows.
    Delete {
        /// The table's name.
        table: String,
        /// What the condition calls it.
        alias: String,
        /// Which ones, in SQLite's words.
        condition: String,
    },
}

/// The store of one database.
#[derive(Debug)]
pub(crate) struct Store {
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    places: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
    path: PathBuf,
}

/// A store and what its file remembers.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The store.
    pub(crate) store: Store,
    /// Transactions that survive a restart, oldest first.
    pub(crate) transactions: Vec<Transaction>,
    /// The highest id of those that were forgotten; 0 without any.
    pub(crate) last_id: i64,
}

/// A durable step that is under way.
pub(crate) struct Pending(oneshot::Receiver<Result<(), StoreError>>);

impl Pending {
    /// Waits until the step is durable.
    ///
    /// # Errors
    /// When SQLite fails, or the store was closed.
    pub(crate) async fn wait(self) -> Result<(), StoreError> {
        self.0.await.unwrap_or_else(|_| Err(closed()))
    }
}

fn closed() -> StoreError {
    StoreError("the sandbox's storage was closed".to_owned())
}

impl Store {
    /// Opens or makes the file of a database.
    ///
    /// # Errors
    /// When SQLite fails, or a table in the file differs from its declaration.
    pub(crate) fn open(dir: &Path, database: &str, tables: &[Arc<Table>]) -> Result<Opened, StoreError> {
        let path = dir.join(format!("{database}.sqlite"));
        let (mut writer, transactions, last_id) = writer::Writer::open(&path, database, tables)?;
        let (commands, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(format!("store-{database}"))
            .spawn(move || writer.run(&inbox))
            .map_err(|e| StoreError(format!("no thread for its writer: {e}")))?;
        let store = Self {
            commands: Mutex::new(Some(commands)),
            places: Arc::new(Semaphore::new(WAITING_KIB as usize)),
            writer: Mutex::new(Some(thread)),
            path,
        };
        Ok(Opened { store, transactions, last_id })
    }

    /// The SQLite file.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn send(&self, command: Command) {
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        // A closed store drops the command, and with it the sender that its caller waits for.
        if let Some(commands) = commands.as_ref() {
            let _ = commands.send(command);
        }
    }

    fn send_with(&self, command: impl FnOnce(Done) -> Command) -> Pending {
        let (done, answer) = oneshot::channel();
        self.send(command(done));
        Pending(answer)
    }

    /// Stages rows; waits while too many are waiting.
    pub(crate) async fn append(&self, id: i64, table: Arc<Table>, chunk: RowChunk) {
        let kib = u32::try_from(chunk.bytes() >> 10).unwrap_or(WAITING_KIB).clamp(1, WAITING_KIB);
        if let Ok(place) = Arc::clone(&self.places).acquire_many_owned(kib).await {
            self.send(Command::Rows { id, table, chunk, _place: place });
        }
    }

    /// Notes a transaction's state.
    pub(crate) fn journal(&self, transaction: Transaction) -> Pending {
        self.send_with(|done| Command::Journal { transaction, done })
    }

    /// Makes a transaction's rows visible and notes it.
    pub(crate) fn publish(&self, transaction: Transaction, table: Arc<Table>) -> Pending {
        self.send_with(|done| Command::Publish { transaction, table, done })
    }

    /// Drops staged rows.
    pub(crate) fn drop_rows(&self, id: i64) {
        self.send(Command::Drop { id });
    }

    /// Forgets finished transactions.
    pub(crate) fn forget(&self, ids: Vec<i64>) {
        self.send(Command::Forget { ids });
    }

    /// Everything told before it is durable when it ends.
    pub(crate) fn barrier(&self) -> Pending {
        self.send_with(|done| Command::Barrier { done })
    }

    /// Changes tables or rows; returns the number of rows that were deleted.
    pub(crate) async fn change(&self, change: Change) -> Result<u64, StoreError> {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        self.send_with(|done| Command::Change { change, count: counted, done }).wait().await?;
        Ok(count.load(Ordering::Relaxed))
    }

    /// Closes the file and removes it. Blocks.
    ///
    /// # Errors
    /// When the file stays.
    pub(crate) fn remove(&self) -> Result<(), StoreError> {
        self.close();
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError(format!("{} can't be removed: {error}", path.display())));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Carries out what was told and closes the file. Blocks.
    pub(crate) fn close(&self) {
        drop(self.commands.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the writer of a database died");
        }
    }
}
