//! The writer of one SQLite file: carries out commands in their order, many to one SQLite transaction.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use rusqlite::{Connection, params, params_from_iter};

use super::definitions::change_by_sql;
use super::publish::publish;
use super::sql_text as sql;
use super::{Command, Done, StoreError};
use crate::cells::numeric_order;
use crate::options::Op;
use crate::rows::RowChunk;
use crate::sql::register_functions;
use crate::table::Table;
use crate::transactions::{Coordinator, Counts, State, Transaction};
use crate::update::Update;

/// Commands that share one SQLite commit.
const COMMANDS_PER_COMMIT: usize = 256;

pub(super) struct Writer {
    connection: Connection,
    /// Transactions with staged rows.
    stages: HashSet<i64>,
    /// How transactions change their tables, if not by replacing rows.
    updates: HashMap<i64, Update>,
    /// Transactions whose rows could not be staged.
    broken: HashMap<i64, StoreError>,
    is_open: bool,
    /// Who waits for the next commit.
    waiting: Vec<Done>,
}

/// Makes a connection know the order of numeric columns.
pub(super) fn register_collation(connection: &Connection) -> Result<(), StoreError> {
    Ok(connection.create_collation(sql::NUMERIC_COLLATION, numeric_order)?)
}

impl Writer {
    pub(super) fn open(
        path: &Path,
        database: &str,
        tables: &[Arc<Table>],
    ) -> Result<(Self, Vec<Transaction>, i64), StoreError> {
        let connection = Connection::open(path)?;
        register_collation(&connection)?;
        register_functions(&connection)?;
        // NORMAL under WAL: a killed process loses nothing that was answered.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(sql::CREATE_TRANSACTIONS)?;
        for table in tables {
            check_columns(&connection, table)?;
            connection.execute_batch(&sql::create_table(table))?;
        }
        let transactions = read_transactions(&connection, database)?;
        let updates = read_updates(&connection)?;
        let mut writer = Self {
            connection,
            stages: HashSet::new(),
            updates,
            broken: HashMap::new(),
            is_open: false,
            waiting: Vec::new(),
        };
        writer.drop_orphans(&transactions)?;
        let last_id = writer.forgotten_id()?;
        Ok((writer, transactions, last_id))
    }

    /// Staged rows outlive a restart only if their transaction was prepared.
    fn drop_orphans(&mut self, transactions: &[Transaction]) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
        let names = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        drop(statement);
        for id in names.iter().filter_map(|n| n.strip_prefix(sql::STAGE_PREFIX)?.parse::<i64>().ok()) {
            let keeps = transactions.iter().any(|t| t.id == id && !t.state.is_finished());
            if keeps {
                self.stages.insert(id);
            } else {
                self.connection.execute_batch(&sql::drop_stage(id))?;
            }
        }
        Ok(())
    }

    /// The highest id that the file has forgotten.
    fn forgotten_id(&self) -> Result<i64, StoreError> {
        let sql = "SELECT ifnull(max(id), 0) FROM _sandbox_last_id";
        Ok(self.connection.query_row(sql, [], |row| row.get(0))?)
    }

    pub(super) fn run(&mut self, inbox: &mpsc::Receiver<Command>) {
        while let Ok(first) = inbox.recv() {
            self.carry_out(first);
            for command in inbox.try_iter().take(COMMANDS_PER_COMMIT) {
                self.carry_out(command);
            }
            // Rows alone can wait: they count only with the step that prepares them.
            if !self.waiting.is_empty() {
                self.commit();
            }
        }
        self.commit();
    }

    fn commit(&mut self) {
        let mut result = Ok(());
        if self.is_open {
            result = self.connection.execute_batch("COMMIT").map_err(StoreError::from);
            self.is_open = false;
        }
        for done in self.waiting.drain(..) {
            let _ = done.send(result.clone());
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Rows { id, table, chunk, _place } => {
                if let Err(error) = self.atomically(|w| w.stage(id, &table, &chunk)) {
                    self.broken.entry(id).or_insert(error);
                }
            }
            Command::Journal { transaction, done } => {
                let result = self.atomically(|w| w.journal(&transaction));
                self.answer(result, done);
            }
            Command::Publish { transaction, table, done } => {
                let result = self.atomically(|w| w.publish(&transaction, &table));
                self.answer(result, done);
            }
            Command::Drop { id } => self.or_log(|w| w.drop_stage(id)),
            Command::Forget { ids } => self.or_log(|w| w.forget(&ids)),
            Command::Barrier { done } => self.waiting.push(done),
            Command::Change { change, count, done } => {
                let result = self.atomically(|w| change_by_sql(&w.connection, &change));
                let result = result.map(|rows| count.store(rows, Ordering::Relaxed));
                self.answer(result, done);
            }
        }
    }

    fn answer(&mut self, result: Result<(), StoreError>, done: Done) {
        match result {
            Ok(()) => self.waiting.push(done),
            Err(error) => {
                tracing::error!(%error, "a transaction's step could not be written");
                let _ = done.send(Err(error));
            }
        }
    }

    fn or_log(&mut self, step: impl FnOnce(&mut Self) -> Result<(), StoreError>) {
        if let Err(error) = self.atomically(step) {
            tracing::error!(%error, "left-over rows or labels could not be removed");
        }
    }

    /// All of a step or nothing of it, inside the SQLite transaction that many steps share.
    fn atomically<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if !self.is_open {
            self.connection.execute_batch("BEGIN")?;
            self.is_open = true;
        }
        self.connection.execute_batch("SAVEPOINT step")?;
        let result = step(self);
        if result.is_err() {
            self.connection.execute_batch("ROLLBACK TO step")?;
        }
        self.connection.execute_batch("RELEASE step")?;
        result
    }

    /// Some partial updates may bring no new key; the engine finds out when it writes the rows.
    fn check_held(&self, table: &Table, chunk: &RowChunk) -> Result<(), StoreError> {
        let Some(reason) = chunk.update().and_then(|update| update.needs_held.as_deref()) else { return Ok(()) };
        let mut find = self.connection.prepare_cached(&sql::find_row(table))?;
        chunk.for_each(|op, row| {
            let key = table.keys.iter().map(|k| row[*k]);
            if op == Op::Upsert && !find.exists(params_from_iter(key))? {
                return Err(StoreError(reason.to_owned()));
            }
            Ok(())
        })
    }

    fn stage(&mut self, id: i64, table: &Table, chunk: &RowChunk) -> Result<(), StoreError> {
        self.check_held(table, chunk)?;
        if !self.stages.contains(&id) {
            self.connection.execute_batch(&sql::create_stage(id, table))?;
            if let Some(update) = chunk.update() {
                self.connection.execute(sql::WRITE_UPDATE, params![id, serde_json::to_string(update)?])?;
                self.updates.insert(id, update.clone());
            }
            self.stages.insert(id);
        }
        let mut insert = self.connection.prepare_cached(&sql::insert_staged(id, table))?;
        chunk.for_each(|op, row| {
            insert.raw_bind_parameter(1, i64::from(op == Op::Delete))?;
            for (position, cell) in row.iter().enumerate() {
                insert.raw_bind_parameter(position + 2, cell)?;
            }
            insert.raw_execute().map(drop)
        })?;
        Ok(())
    }

    fn journal(&mut self, transaction: &Transaction) -> Result<(), StoreError> {
        if transaction.state == State::Aborted {
            self.drop_stage(transaction.id)?;
        } else if let Some(error) = self.broken.get(&transaction.id) {
            return Err(error.clone());
        }
        self.write(transaction)
    }

    fn publish(&mut self, transaction: &Transaction, table: &Table) -> Result<(), StoreError> {
        let id = transaction.id;
        if self.stages.contains(&id) {
            let replaces = Update::default();
            publish(&self.connection, id, table, self.updates.get(&id).unwrap_or(&replaces))?;
            self.drop_stage(id)?;
        }
        self.write(transaction)
    }

    fn write(&self, t: &Transaction) -> Result<(), StoreError> {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let c = t.counts;
        self.connection.prepare_cached(sql::WRITE_TRANSACTION)?.execute(params![
            t.id,
            t.label,
            t.table,
            t.state.name(),
            t.reason,
            t.begun_ms,
            t.changed_ms,
            t.deadline_ms,
            count(c.total),
            count(c.loaded),
            count(c.filtered),
            count(c.bytes),
        ])?;
        Ok(())
    }

    fn drop_stage(&mut self, id: i64) -> Result<(), StoreError> {
        self.broken.remove(&id);
        self.updates.remove(&id);
        if self.stages.remove(&id) {
            self.connection.flush_prepared_statement_cache();
            self.connection.execute_batch(&sql::drop_stage(id))?;
        }
        Ok(())
    }

    /// Ids are never used again, so the highest one stays known.
    fn forget(&self, ids: &[i64]) -> Result<(), StoreError> {
        let mut delete = self.connection.prepare_cached("DELETE FROM _sandbox_transactions WHERE id = ?1")?;
        for id in ids {
            delete.execute([id])?;
        }
        if let Some(highest) = ids.iter().max() {
            self.connection.execute("DELETE FROM _sandbox_last_id WHERE id < ?1", [highest])?;
            self.connection.execute(
                "INSERT INTO _sandbox_last_id SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM _sandbox_last_id)",
                [highest],
            )?;
        }
        Ok(())
    }
}

fn read_updates(connection: &Connection) -> Result<HashMap<i64, Update>, StoreError> {
    let mut statement = connection.prepare(sql::READ_UPDATES)?;
    let mut rows = statement.query([])?;
    let mut updates = HashMap::new();
    while let Some(row) = rows.next()? {
        let how: String = row.get(1)?;
        updates.insert(row.get(0)?, serde_json::from_str(&how)?);
    }
    Ok(updates)
}

fn check_columns(connection: &Connection, table: &Table) -> Result<(), StoreError> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let held = statement.query_map([&table.name], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let declared: Vec<&String> = table.columns.iter().map(|c| &c.name).collect();
    if held.is_empty() || held.iter().eq(declared.iter().copied()) {
        return Ok(());
    }
    Err(StoreError(format!(
        "table {} holds the columns {held:?} but is declared with {declared:?}; use another directory or the old ddl",
        table.full_name()
    )))
}

fn read_transactions(connection: &Connection, database: &str) -> Result<Vec<Transaction>, StoreError> {
    let mut statement = connection.prepare(sql::READ_TRANSACTIONS)?;
    let mut rows = statement.query([])?;
    let mut transactions = Vec::new();
    while let Some(row) = rows.next()? {
        let count = |column| row.get::<_, i64>(column).map(|n| u64::try_from(n).unwrap_or(0));
        let state: String = row.get(3)?;
        let state = State::parse(&state).ok_or_else(|| StoreError(format!("unknown transaction state {state}")))?;
        transactions.push(Transaction {
            id: row.get(0)?,
            database: database.to_owned(),
            label: row.get(1)?,
            table: row.get(2)?,
            coordinator: Coordinator::Backend(0),
            state,
            reason: row.get(4)?,
            begun_ms: row.get(5)?,
            changed_ms: row.get(6)?,
            deadline_ms: row.get(7)?,
            counts: Counts {
                total: count(8)?,
                loaded: count(9)?,
                filtered: count(10)?,
                unselected: 0,
                bytes: count(11)?,
            },
        });
    }
    Ok(transactions)
}
