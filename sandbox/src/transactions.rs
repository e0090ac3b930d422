//! The life of load transactions: a pure table of states, told the time by its caller.
//!
//! ```text
//! (none) -begin-> PREPARE -prepare-> PREPARED -commit-> COMMITTED -publish-> VISIBLE
//!                    \                   /
//!                     `----- abort -----'--> ABORTED
//! ```

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::clock::millis;

/// State of a transaction, in StarRocks' words (Doris says PRECOMMITTED for [`State::Prepared`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Begun; rows may arrive.
    Prepare,
    /// Rows are durable and invisible.
    Prepared,
    /// To be made visible, come what may.
    Committed,
    /// Rows can be read.
    Visible,
    /// Rows are gone.
    Aborted,
}

impl State {
    /// StarRocks' name.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prepare => "PREPARE",
            Self::Prepared => "PREPARED",
            Self::Committed => "COMMITTED",
            Self::Visible => "VISIBLE",
            Self::Aborted => "ABORTED",
        }
    }

    /// Reads a name that [`State::name`] wrote.
    #[must_use]
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Prepare, Self::Prepared, Self::Committed, Self::Visible, Self::Aborted]
            .into_iter()
            .find(|state| state.name() == name)
    }

    /// True for VISIBLE and ABORTED.
    #[must_use]
    pub(crate) fn is_finished(self) -> bool {
        match self {
            Self::Visible | Self::Aborted => true,
            Self::Prepare | Self::Prepared | Self::Committed => false,
        }
    }
}

/// Rows of a load, counted as the engines report them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Rows in the bodies.
    pub(crate) total: u64,
    /// Rows taken.
    pub(crate) loaded: u64,
    /// Rows refused for their quality.
    pub(crate) filtered: u64,
    /// Rows that header `where` passed over; not kept over restarts.
    pub(crate) unselected: u64,
    /// Bytes of the bodies.
    pub(crate) bytes: u64,
}

/// The node that looks after a transaction until it is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coordinator {
    /// A frontend: an INSERT.
    Frontend,
    /// The backend of this number.
    Backend(usize),
}

/// A load transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    /// Ascending over all databases.
    pub(crate) id: i64,
    /// Database.
    pub(crate) database: String,
    /// Table.
    pub(crate) table: String,
    /// Label, unique among the database's remembered transactions that aren't aborted.
    pub(crate) label: String,
    /// Who looks after it; not kept over restarts.
    pub(crate) coordinator: Coordinator,
    /// State.
    pub(crate) state: State,
    /// Why it was aborted; empty otherwise.
    pub(crate) reason: String,
    /// When it began, ms since the epoch.
    pub(crate) begun_ms: i64,
    /// When it came to its state, ms since the epoch.
    pub(crate) changed_ms: i64,
    /// When it is aborted if nothing happens, ms since the epoch; only PREPARE and PREPARED expire.
    pub(crate) deadline_ms: i64,
    /// Rows, known from PREPARED on.
    pub(crate) counts: Counts,
}

/// Why a transaction can't begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BeginRefused {
    /// The label belongs to a transaction that isn't aborted.
    LabelUsed {
        /// That transaction.
        id: i64,
        /// Its state.
        state: State,
    },
    /// The database holds too many unfinished transactions.
    TooMany {
        /// How many it holds.
        running: usize,
        /// How many it may hold.
        limit: usize,
    },
    /// No frontend leads; what a backend says of that.
    NoLeader(String),
}

/// Why a transaction can't take a step: the state it is in, or that nobody remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StepRefused {
    /// No such transaction.
    Unknown,
    /// It is in a state that forbids the step.
    In(Box<Transaction>),
}

/// What is needed to begin.
#[derive(Clone, Debug)]
pub(crate) struct Begin<'a> {
    /// Database.
    pub(crate) database: &'a str,
    /// Table.
    pub(crate) table: &'a str,
    /// Label.
    pub(crate) label: &'a str,
    /// Who looks after it.
    pub(crate) coordinator: Coordinator,
    /// Life in PREPARE.
    pub(crate) timeout: Duration,
}

/// All transactions that the cluster remembers.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    transactions: BTreeMap<i64, Transaction>,
    /// (database, label) → ids, ascending.
    labels: HashMap<(String, String), Vec<i64>>,
    /// How many transactions of a database aren't finished.
    running: HashMap<String, usize>,
    last_id: i64,
}

impl Ledger {
    /// A ledger that remembers `transactions`; ids go on above `last_id`.
    #[must_use]
    pub(crate) fn recover(transactions: Vec<Transaction>, last_id: i64) -> Self {
        let mut ledger = Self { last_id, ..Self::default() };
        for transaction in transactions {
            ledger.insert(transaction);
        }
        ledger
    }

    fn insert(&mut self, transaction: Transaction) {
        self.last_id = self.last_id.max(transaction.id);
        let ids = self.labels.entry((transaction.database.clone(), transaction.label.clone())).or_default();
        ids.push(transaction.id);
        ids.sort_unstable();
        if !transaction.state.is_finished() {
            *self.running.entry(transaction.database.clone()).or_default() += 1;
        }
        self.transactions.insert(transaction.id, transaction);
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// When the label is in use or the database is full.
    pub(crate) fn begin(&mut self, now_ms: i64, begin: &Begin<'_>, limit: usize) -> Result<Transaction, BeginRefused> {
        if let Some(found) = self.newest(begin.database, begin.label)
            && found.state != State::Aborted
        {
            return Err(BeginRefused::LabelUsed { id: found.id, state: found.state });
        }
        let running = self.running.get(begin.database).copied().unwrap_or(0);
        if running >= limit {
            return Err(BeginRefused::TooMany { running, limit });
        }
        let transaction = Transaction {
            id: self.last_id + 1,
            database: begin.database.to_owned(),
            table: begin.table.to_owned(),
            label: begin.label.to_owned(),
            coordinator: begin.coordinator,
            state: State::Prepare,
            reason: String::new(),
            begun_ms: now_ms,
            changed_ms: now_ms,
            deadline_ms: now_ms.saturating_add(millis(begin.timeout)),
            counts: Counts::default(),
        };
        self.insert(transaction.clone());
        Ok(transaction)
    }

    /// PREPARE → PREPARED, which then lives for `timeout`.
    ///
    /// # Errors
    /// In any other state.
    pub(crate) fn prepare(
        &mut self,
        now_ms: i64,
        id: i64,
        counts: Counts,
        timeout: Duration,
    ) -> Result<Transaction, StepRefused> {
        self.step(now_ms, id, &[State::Prepare], |t| {
            t.state = State::Prepared;
            t.counts = counts;
            t.deadline_ms = now_ms.saturating_add(millis(timeout));
        })
    }

    /// PREPARED → COMMITTED.
    ///
    /// # Errors
    /// In any other state.
    pub(crate) fn commit(&mut self, now_ms: i64, id: i64) -> Result<Transaction, StepRefused> {
        self.step(now_ms, id, &[State::Prepared], |t| t.state = State::Committed)
    }

    /// COMMITTED → VISIBLE.
    ///
    /// # Errors
    /// In any other state.
    pub(crate) fn publish(&mut self, now_ms: i64, id: i64) -> Result<Transaction, StepRefused> {
        self.step(now_ms, id, &[State::Committed], |t| t.state = State::Visible)
    }

    /// PREPARE or PREPARED → ABORTED.
    ///
    /// # Errors
    /// In any other state.
    pub(crate) fn abort(&mut self, now_ms: i64, id: i64, reason: &str) -> Result<Transaction, StepRefused> {
        self.step(now_ms, id, &[State::Prepare, State::Prepared], |t| {
            t.state = State::Aborted;
            reason.clone_into(&mut t.reason);
        })
    }

    fn step(
        &mut self,
        now_ms: i64,
        id: i64,
        from: &[State],
        change: impl FnOnce(&mut Transaction),
    ) -> Result<Transaction, StepRefused> {
        let transaction = self.transactions.get_mut(&id).ok_or(StepRefused::Unknown)?;
        if !from.contains(&transaction.state) {
            return Err(StepRefused::In(Box::new(transaction.clone())));
        }
        change(transaction);
        transaction.changed_ms = now_ms;
        let transaction = transaction.clone();
        if transaction.state.is_finished() {
            self.ended(&transaction.database);
        }
        Ok(transaction)
    }

    /// The transaction of an id.
    #[must_use]
    pub(crate) fn get(&self, id: i64) -> Option<&Transaction> {
        self.transactions.get(&id)
    }

    /// The transaction that speaks for a label: the one with the highest id.
    #[must_use]
    pub(crate) fn newest(&self, database: &str, label: &str) -> Option<&Transaction> {
        self.by_label(database, label).next()
    }

    /// All transactions of a label, newest first.
    pub(crate) fn by_label(&self, database: &str, label: &str) -> impl Iterator<Item = &Transaction> {
        let ids = self.labels.get(&(database.to_owned(), label.to_owned()));
        ids.into_iter().flatten().rev().filter_map(|id| self.transactions.get(id))
    }

    /// All transactions, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Transaction> {
        self.transactions.values()
    }

    /// One transaction less that isn't finished.
    fn ended(&mut self, database: &str) {
        if let Some(running) = self.running.get_mut(database) {
            *running = running.saturating_sub(1);
        }
    }

    /// Transactions whose time is up.
    #[must_use]
    pub(crate) fn expired(&self, now_ms: i64) -> Vec<i64> {
        let mortal = |t: &&Transaction| matches!(t.state, State::Prepare | State::Prepared);
        self.all().filter(mortal).filter(|t| t.deadline_ms <= now_ms).map(|t| t.id).collect()
    }

    /// Transactions in PREPARE that a backend looks after and that began before a moment.
    #[must_use]
    pub(crate) fn unprepared_of(&self, backend: usize, before_ms: i64) -> Vec<i64> {
        let is_its = |t: &&Transaction| t.state == State::Prepare && t.coordinator == Coordinator::Backend(backend);
        self.all().filter(is_its).filter(|t| t.begun_ms < before_ms).map(|t| t.id).collect()
    }

    /// Forgets finished transactions that are older than `keep` or, per database, beyond the `max` that finished last.
    pub(crate) fn forget_finished(&mut self, now_ms: i64, keep: Duration, max: usize) -> Vec<Transaction> {
        let oldest_ms = now_ms.saturating_sub(millis(keep));
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let mut forgotten = Vec::new();
        let mut finished: Vec<&Transaction> = self.all().filter(|t| t.state.is_finished()).collect();
        finished.sort_by_key(|t| std::cmp::Reverse((t.changed_ms, t.id)));
        for transaction in finished {
            let count = seen.entry(&transaction.database).or_default();
            *count += 1;
            if *count > max || transaction.changed_ms < oldest_ms {
                forgotten.push(transaction.id);
            }
        }
        self.remove(&forgotten)
    }

    /// Forgets the finished transactions for which `which` holds.
    pub(crate) fn forget_where(&mut self, which: impl Fn(&Transaction) -> bool) -> Vec<Transaction> {
        let ids: Vec<i64> = self.all().filter(|t| t.state.is_finished() && which(t)).map(|t| t.id).collect();
        self.remove(&ids)
    }

    /// Forgets every transaction in PREPARE, as a frontend does when it restarts (they aren't journaled).
    pub(crate) fn forget_unprepared(&mut self) -> Vec<Transaction> {
        let lost: Vec<i64> = self.all().filter(|t| t.state == State::Prepare).map(|t| t.id).collect();
        self.remove(&lost)
    }

    /// Forgets all transactions of a database.
    pub(crate) fn forget_database(&mut self, database: &str) {
        let ids: Vec<i64> = self.all().filter(|t| t.database == database).map(|t| t.id).collect();
        self.remove(&ids);
    }

    fn remove(&mut self, ids: &[i64]) -> Vec<Transaction> {
        let removed: Vec<Transaction> = ids.iter().filter_map(|id| self.transactions.remove(id)).collect();
        for transaction in &removed {
            if !transaction.state.is_finished() {
                self.ended(&transaction.database);
            }
            let key = (transaction.database.clone(), transaction.label.clone());
            if let Some(ids) = self.labels.get_mut(&key) {
                ids.retain(|id| *id != transaction.id);
                if ids.is_empty() {
                    self.labels.remove(&key);
                }
            }
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(600);

    fn begin(ledger: &mut Ledger, now_ms: i64, label: &str) -> Result<i64, BeginRefused> {
        let begin = Begin { database: "d", table: "t", label, coordinator: Coordinator::Backend(0), timeout: LIFE };
        ledger.begin(now_ms, &begin, 4).map(|t| t.id)
    }

    /// A transaction brought to `state` by its own steps.
    fn at(ledger: &mut Ledger, label: &str, state: State) -> i64 {
        let id = begin(ledger, 0, label).unwrap();
        if state == State::Aborted {
            ledger.abort(0, id, "why").unwrap();
            return id;
        }
        let reaches = |s: State| state as u8 >= s as u8;
        if reaches(State::Prepared) {
            ledger.prepare(0, id, Counts::default(), LIFE).unwrap();
        }
        if reaches(State::Committed) {
            ledger.commit(0, id).unwrap();
        }
        if reaches(State::Visible) {
            ledger.publish(0, id).unwrap();
        }
        id
    }

    #[test]
    fn each_step_is_taken_from_its_states_only() {
        use State::{Aborted, Committed, Prepare, Prepared, Visible};
        // from, then the state after prepare, commit, publish, abort; None = refused.
        let cases = [
            (Prepare, [Some(Prepared), None, None, Some(Aborted)]),
            (Prepared, [None, Some(Committed), None, Some(Aborted)]),
            (Committed, [None, None, Some(Visible), None]),
            (Visible, [None, None, None, None]),
            (Aborted, [None, None, None, None]),
        ];
        for (from, wanted) in cases {
            for (step, want) in wanted.into_iter().enumerate() {
                let mut ledger = Ledger::default();
                let id = at(&mut ledger, "l", from);
                let got = match step {
                    0 => ledger.prepare(1, id, Counts::default(), LIFE),
                    1 => ledger.commit(1, id),
                    2 => ledger.publish(1, id),
                    _ => ledger.abort(1, id, "r"),
                };
                assert_eq!(got.ok().map(|t| t.state), want, "{from:?}, step {step}");
                assert_eq!(ledger.get(id).unwrap().state, want.unwrap_or(from), "{from:?}, step {step}");
            }
        }
    }

    #[test]
    fn a_label_is_free_again_only_after_an_abort() {
        for state in [State::Prepare, State::Prepared, State::Committed, State::Visible] {
            let mut ledger = Ledger::default();
            let id = at(&mut ledger, "l", state);
            assert_eq!(begin(&mut ledger, 1, "l"), Err(BeginRefused::LabelUsed { id, state }));
        }
        let mut ledger = Ledger::default();
        let first = at(&mut ledger, "l", State::Aborted);
        let second = begin(&mut ledger, 1, "l").unwrap();
        assert!(second > first);
        assert_eq!(ledger.newest("d", "l").unwrap().id, second);
        assert!(ledger.newest("other", "l").is_none());
    }

    #[test]
    fn unfinished_transactions_fill_a_database() {
        let mut ledger = Ledger::default();
        at(&mut ledger, "a", State::Prepare);
        at(&mut ledger, "b", State::Prepared);
        at(&mut ledger, "c", State::Visible);
        at(&mut ledger, "e", State::Committed);
        at(&mut ledger, "f", State::Prepare);
        assert_eq!(begin(&mut ledger, 1, "g"), Err(BeginRefused::TooMany { running: 4, limit: 4 }));
    }

    #[test]
    fn only_unfinished_transactions_expire() {
        let mut ledger = Ledger::default();
        let a = at(&mut ledger, "a", State::Prepare);
        let b = at(&mut ledger, "b", State::Prepared);
        at(&mut ledger, "c", State::Committed);
        at(&mut ledger, "e", State::Visible);
        assert_eq!(ledger.expired(599_999), Vec::<i64>::new());
        assert_eq!(ledger.expired(600_000), vec![a, b]);
    }

    #[test]
    fn finished_transactions_are_forgotten_by_count_and_by_age() {
        let mut ledger = Ledger::default();
        let ids: Vec<i64> = (0..4).map(|n| at(&mut ledger, &n.to_string(), State::Visible)).collect();
        let open = at(&mut ledger, "open", State::Prepared);
        let by_count: Vec<i64> = ledger.forget_finished(0, LIFE, 3).iter().map(|t| t.id).collect();
        assert_eq!(by_count, vec![ids[0]]);
        assert!(ledger.newest("d", "0").is_none());
        assert_eq!(ledger.forget_finished(600_001, LIFE, 3).len(), 3);
        assert_eq!(ledger.all().map(|t| t.id).collect::<Vec<_>>(), vec![open]);
        assert!(begin(&mut ledger, 1, "0").is_ok(), "a forgotten label can be used again");
    }

    #[test]
    fn a_restart_forgets_what_was_not_prepared() {
        let mut ledger = Ledger::default();
        let lost = at(&mut ledger, "a", State::Prepare);
        let kept = at(&mut ledger, "b", State::Prepared);
        assert_eq!(ledger.forget_unprepared().iter().map(|t| t.id).collect::<Vec<_>>(), vec![lost]);
        assert!(ledger.get(kept).is_some());
        assert!(begin(&mut ledger, 1, "c").unwrap() > kept, "ids are not used twice");
    }
}
