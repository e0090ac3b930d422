//! What takes time and what goes wrong: requests that are lost, late, doubled or half stored, processes that die.

use std::collections::{BTreeMap, BTreeSet};

use loadlock_commit::domain::{Label, Nonce, Partition, PositionToStore, RecordAnswer, TxnId};
use loadlock_commit::metadata::OriginStart;
use loadlock_commit::{Event, Stop, StopCode, Tag, Ticket, Txn, label};

use crate::broker::Request;
use crate::log::Place;
use crate::process::{Process, Task, as_if_stored};
use crate::world::{Late, OnItsWay, World};

/// Fate of a request to the engine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrives,
    /// It arrives, and the answer does not.
    AnswerLost,
    Lost,
    Later,
}

impl World {
    fn astray(&mut self) -> bool {
        !self.healed && self.rng.permille(self.climate.astray)
    }

    fn fate(&mut self) -> Fate {
        if !self.astray() {
            return Fate::Arrives;
        }
        match self.rng.below(3) {
            0 => Fate::AnswerLost,
            1 => Fate::Lost,
            _ => Fate::Later,
        }
    }

    // ---- tasks -------------------------------------------------------------------------------------------------------

    /// A task of a process goes one step on. What can't go on yet stays.
    pub(crate) fn task(&mut self, index: usize, number: usize) {
        let Some(process) = self.processes.get_mut(index) else { return };
        let busy = process.source.recording.is_some();
        let waits = matches!(process.tasks.get(number), Some(Task::Record { .. } | Task::Rejoin)) && busy;
        let slow = matches!(process.tasks.get(number), Some(Task::Record { .. }))
            && !self.healed
            && self.rng.permille(self.climate.slow_records);
        if waits || slow || number >= process.tasks.len() {
            return;
        }
        let task = process.tasks.swap_remove(number);
        self.note(|| format!("  {task:?}"));
        match task {
            Task::Tell(event) => self.with(index, |process, hands| process.step(event, hands)),
            Task::Record { ticket, positions, seen } => self.record(index, ticket, positions, seen),
            Task::Read { ticket, partitions } => self.read_positions(index, ticket, &partitions),
            Task::Resolve { ticket, start, fresh, partitions } => {
                self.resolve(index, ticket, start, fresh, &partitions);
            }
            Task::Rejoin => {
                self.tally.count("joined again as a new member");
                self.with(index, |process, hands| process.source.rejoin(hands.broker));
            }
            Task::Prepare { ticket } => self.prepare(index, ticket),
            Task::Commit { ticket, table, txn } => self.commit(index, ticket, table, &txn),
            Task::Abort { ticket, table, txn } => {
                self.abort(&txn);
                self.tell(index, Event::AbortAnswered { ticket, table });
            }
            Task::AbortQuietly(txn) => self.abort(&txn),
            Task::Ask { ticket, table, txn } => {
                let state = self.engine.state(&txn);
                self.tell(index, Event::State { ticket, table, state });
            }
            Task::LookForEvidence { ticket, table, txn } => {
                // Found sometimes, where it is; never where it is not.
                let committed = self.rng.half() && self.engine.was_committed(&txn.label);
                self.tally.count(if committed {
                    "evidence of a forgotten load"
                } else {
                    "no evidence of a forgotten load"
                });
                self.tell(index, Event::Evidence { ticket, table, committed, looked: String::new() });
            }
            Task::LookForLabels { ticket } => {
                let remembered = self.engine.any_label();
                self.tell(index, Event::Labels { ticket, remembered });
            }
        }
    }

    /// An answer is on its way; what it says may be old when it comes.
    fn tell(&mut self, index: usize, event: Event) {
        if let Some(process) = self.processes.get_mut(index) {
            process.tasks.push(Task::Tell(event));
        }
    }

    fn record(&mut self, index: usize, ticket: Ticket, positions: Vec<PositionToStore>, seen: u64) {
        let Some(process) = self.processes.get_mut(index) else { return };
        let mutant = process.mutant();
        match process.source.record(ticket, positions, seen, mutant, &mut self.tally) {
            Ok(request) => self.on_the_way.push(OnItsWay { request, process: index }),
            Err(event) => process.tasks.push(Task::Tell(event)),
        }
    }

    fn read_positions(&mut self, index: usize, ticket: Ticket, partitions: &BTreeSet<Partition>) {
        let stored = self.broker.stored.clone();
        let log = self.topic.ranges(partitions);
        let (topic_id, cluster_id) = (Some("T".to_owned()), Some("C".to_owned()));
        self.tell(index, Event::Positions { ticket, stored, log, topic_id, cluster_id, now_ms: 0 });
    }

    fn resolve(
        &mut self,
        index: usize,
        ticket: Ticket,
        start: OriginStart,
        fresh: bool,
        partitions: &BTreeSet<Partition>,
    ) {
        let latest = match start {
            OriginStart::Latest(_) => true,
            OriginStart::Earliest | OriginStart::Timestamp(_) | OriginStart::Offsets => false,
        };
        self.tally.count(if fresh { "starts of our own" } else { "starts by the origin of others" });
        let starts = partitions.iter().map(|partition| {
            let log = self.topic.range(*partition);
            (*partition, if latest && fresh { log.end } else { log.start })
        });
        let starts = starts.collect();
        self.tell(index, Event::Resolved { ticket, starts });
    }

    /// All tables, one after the other; some may be prepared although the batch fails.
    fn prepare(&mut self, index: usize, ticket: Ticket) {
        let batch = self.processes.get(index).and_then(|process| process.sealed.get(&ticket)).cloned();
        let Some(batch) = batch else { return };
        let mut ids = BTreeMap::new();
        let mut failed = false;
        for (table, rows) in &batch.rows {
            let Some(label) = self.label(batch.nonce, *table) else { continue };
            let id: Option<TxnId> = match self.fate() {
                Fate::Arrives => self.load(&label, *table, rows),
                Fate::AnswerLost => {
                    self.load(&label, *table, rows);
                    self.tally.count("prepared, answer lost");
                    None
                }
                Fate::Lost => None,
                Fate::Later => {
                    self.late.push(Late::Prepare(label, *table, rows.clone()));
                    None
                }
            };
            match id {
                Some(id) => {
                    ids.insert(*table, id);
                }
                None => failed = true,
            }
        }
        if !self.climate.ids {
            ids.clear();
        }
        let event = if failed {
            let stop = Stop { code: StopCode::LoadRefused, what: "no such column".to_owned() };
            Event::LoadFailed { ticket, stop: (!self.healed && self.rng.permille(30)).then_some(stop) }
        } else {
            Event::Prepared { ticket, ids, now_ms: 0 }
        };
        self.tell(index, event);
    }

    /// Begin, load and prepare in one; or begin, load and commit, where two phases are refused.
    fn load(&mut self, label: &Label, table: Tag, rows: &BTreeSet<Place>) -> Option<TxnId> {
        let id = self.engine.prepare(label, table, rows, &mut self.judge)?;
        if let Some(name) = self.topic.table(table).filter(|_| self.topic.at_least_once().contains(&table)) {
            let txn = Txn { table: name.clone(), label: label.clone(), id: Some(id) };
            self.tally.count("loaded in one phase");
            self.engine.commit(&txn, &mut self.judge);
        }
        Some(id)
    }

    fn label(&self, nonce: Nonce, table: Tag) -> Option<Label> {
        let table = self.topic.table(table)?;
        Some(label(Tag::of("world"), nonce, table))
    }

    fn commit(&mut self, index: usize, ticket: Ticket, table: Tag, txn: &Txn) {
        let not_committable = !self.healed && self.uncommittable;
        match self.fate() {
            Fate::Arrives | Fate::AnswerLost if not_committable => self.tally.count("commits refused for good"),
            Fate::Arrives | Fate::AnswerLost => {
                self.engine.commit(txn, &mut self.judge);
            }
            Fate::Lost => self.tally.count("commits lost"),
            Fate::Later => self.late.push(Late::Commit(txn.clone())),
        }
        self.tell(index, Event::CommitAnswered { ticket, table, not_committable });
    }

    /// Answered with success, whatever became of it.
    fn abort(&mut self, txn: &Txn) {
        let ended = match self.fate() {
            Fate::Arrives | Fate::AnswerLost => self.engine.abort(txn),
            Fate::Lost => false,
            Fate::Later => {
                self.late.push(Late::Abort(txn.clone()));
                false
            }
        };
        self.tally.count(if ended { "aborts" } else { "aborts that did nothing and were answered with success" });
    }

    // ---- OffsetCommits -----------------------------------------------------------------------------------------------

    /// An OffsetCommit reaches the broker, or its connection breaks.
    pub(crate) fn arrive(&mut self, number: usize) {
        if number >= self.on_the_way.len() {
            return;
        }
        let OnItsWay { request, process } = self.on_the_way.swap_remove(number);
        if self.astray() && self.rng.half() {
            self.breaks(request, process);
            return;
        }
        let half = !self.healed && request.positions.len() > 1 && self.rng.permille(self.climate.astray / 2);
        let answer = if half {
            let stored = self.rng.below(request.positions.len());
            let only = request.positions.iter().enumerate().filter(|(place, _)| *place == stored);
            let only = only.map(|(_, position)| position.partition).collect();
            let answer = self.store(&request, Some(&only));
            let refused = matches!(answer, RecordAnswer::Refused(_));
            if refused && self.rng.half() { RecordAnswer::Unclear("half of it".to_owned()) } else { answer }
        } else {
            self.store(&request, None)
        };
        self.answered(process, &request, answer);
    }

    fn answered(&mut self, index: usize, request: &Request, answer: RecordAnswer) {
        self.tally.count(match &answer {
            RecordAnswer::Stored => "stored",
            RecordAnswer::Passing(_) => "refused by a passing rebalance",
            RecordAnswer::Gone(_) => "refused, membership gone",
            RecordAnswer::Refused(_) => "half stored, refused",
            RecordAnswer::Unclear(_) => "half stored, answer unclear",
            RecordAnswer::NotOwned => "not sent",
        });
        let Some(process) = self.processes.get_mut(index) else { return };
        if process.believes_the_answer() {
            return believe(process, request, answer);
        }
        process.source.answered(answer);
    }

    /// The answer never comes; the client sends a second copy, and the first may be applied at any time.
    fn breaks(&mut self, request: Request, index: usize) {
        self.tally.count("connections broken while a commit was out");
        if self.rng.half() {
            self.store(&request, None);
        } else {
            self.late.push(Late::Store(request));
        }
        let again = self.processes.get_mut(index).and_then(|process| process.source.send_again());
        self.on_the_way.extend(again.map(|request| OnItsWay { request, process: index }));
    }

    fn store(&mut self, request: &Request, only: Option<&BTreeSet<Partition>>) -> RecordAnswer {
        let (answer, changes) = self.broker.commit(request, only);
        self.note(|| format!("  broker: {answer:?} to {request:?} only {only:?}"));
        for change in &changes {
            self.judge.stored(change, &self.topic, &self.engine, Tag::of("world"));
        }
        answer
    }

    // ---- faults ------------------------------------------------------------------------------------------------------

    /// Something arrives that nobody waits for any more.
    pub(crate) fn late_one(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let late = self.late.swap_remove(self.rng.below(self.late.len()));
        match late {
            Late::Store(request) => {
                let answer = self.store(&request, None);
                self.tally.count(match answer {
                    RecordAnswer::Stored => "a late copy was stored",
                    RecordAnswer::Passing(_)
                    | RecordAnswer::Unclear(_)
                    | RecordAnswer::Gone(_)
                    | RecordAnswer::Refused(_)
                    | RecordAnswer::NotOwned => "a late copy was refused",
                });
            }
            Late::Prepare(label, table, rows) => {
                self.tally.count("prepared late");
                self.load(&label, table, &rows);
            }
            Late::Commit(txn) => {
                let made = self.engine.commit(&txn, &mut self.judge);
                self.tally.count(if made { "a late commit made rows visible" } else { "a late commit came too late" });
            }
            Late::Abort(txn) => {
                self.engine.abort(&txn);
            }
        }
    }

    pub(crate) fn fault(&mut self) {
        let index = self.rng.below(self.processes.len());
        let choice = self.rng.below(16);
        self.note(|| format!("fault {choice} at {index}"));
        match choice {
            0 => {
                self.tally.count("crashes");
                self.replace(index, true);
            }
            1 => self.expel(index),
            2 | 3 => self.broker.rebalance(),
            4 => {
                let choice = self.rng.below(8);
                if self.engine.time_out(choice) {
                    self.tally.count("prepared loads timed out");
                }
            }
            5 | 6 if self.climate.forgets => {
                let choice = self.rng.below(8);
                if self.engine.forget(choice) {
                    self.tally.count("finished loads forgotten");
                }
            }
            7 => self.drain(index),
            8 => {
                if let Some(process) = self.processes.get_mut(index) {
                    process.frozen = !process.frozen;
                    self.tally.count("frozen or thawed");
                }
            }
            9 => self.expel_one_dead(),
            // For a while prepared loads can't be committed (rule 9).
            10 => self.uncommittable = !self.uncommittable && self.rng.permille(300),
            _ => self.late_one(),
        }
    }

    /// The broker takes a living member for dead.
    fn expel(&mut self, index: usize) {
        let member = self.processes.get(index).and_then(|process| process.source.member);
        if let Some(member) = member {
            self.tally.count("living members expelled");
            self.broker.remove(member);
        }
    }

    fn drain(&mut self, index: usize) {
        let bad = self.rng.half();
        let stop = Stop { code: StopCode::BadRecord, what: "a bad record".to_owned() };
        let running = self.processes.get(index).is_some_and(|process| !process.draining && !process.frozen);
        if running {
            self.tally.count(if bad { "bad records" } else { "drains" });
            self.with(index, |process, hands| process.step(Event::Drain(bad.then_some(stop)), hands));
        }
    }

    /// What a process had on its way when it ended may still arrive.
    pub(crate) fn leave_behind(&mut self, old: Process) {
        for task in old.tasks {
            if self.rng.half() {
                continue;
            }
            match task {
                Task::Prepare { ticket } => {
                    for (table, rows) in old.sealed.get(&ticket).map(|batch| batch.rows.clone()).unwrap_or_default() {
                        let label = old.sealed.get(&ticket).and_then(|batch| self.label(batch.nonce, table));
                        self.late.extend(label.map(|label| Late::Prepare(label, table, rows)));
                    }
                }
                Task::Commit { txn, .. } => self.late.push(Late::Commit(txn)),
                Task::Abort { txn, .. } | Task::AbortQuietly(txn) => self.late.push(Late::Abort(txn)),
                Task::Record { .. }
                | Task::Read { .. }
                | Task::Resolve { .. }
                | Task::Rejoin
                | Task::Ask { .. }
                | Task::LookForEvidence { .. }
                | Task::LookForLabels { .. }
                | Task::Tell(_) => {}
            }
        }
    }
}

/// A mistake: the answer alone decides.
fn believe(process: &mut Process, request: &Request, answer: RecordAnswer) {
    let Some(recording) = process.source.recording.take() else { return };
    let event = match answer {
        RecordAnswer::Stored => as_if_stored(recording.ticket, &request.positions),
        RecordAnswer::Passing(_)
        | RecordAnswer::Unclear(_)
        | RecordAnswer::Refused(_)
        | RecordAnswer::Gone(_)
        | RecordAnswer::NotOwned => {
            let read = request.positions.iter().map(|position| (position.partition, None)).collect();
            let answer = RecordAnswer::Passing("refused".to_owned());
            Event::Recorded { ticket: recording.ticket, answer, read, doubtful: false }
        }
    };
    process.tasks.push(Task::Tell(event));
}
