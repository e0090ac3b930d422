//! Effects that take time: each runs in a task of its own, repeats what may be repeated, and ends with one event.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use super::Pipeline;
use crate::commit::metadata::OriginStart;
use crate::commit::{Event, Stop, StopCode, Tag, Ticket, Txn};
use crate::config::Start;
use crate::dead_letter::{DeadLetter, DeadLetters};
use crate::domain::{Partition, PositionToStore, TxnState};
use crate::load::{Answer, Class, Load, Loader, TxnName, retry};
use crate::random::Random;
use crate::source::{PositionsRead, Recorded, SourceError};

/// Pause before an OffsetCommit is sent again, and between reads that fail.
const KAFKA_PAUSE: Duration = Duration::from_millis(500);

impl Pipeline {
    pub(super) fn call(&mut self, task: impl Future<Output = Option<Event>> + Send + 'static) {
        self.calls.spawn(task);
    }

    pub(super) fn read_positions(&mut self, ticket: Ticket, partitions: BTreeSet<Partition>) {
        let source = self.source.clone();
        let trouble = self.reporter.trouble("positions can't be read");
        let identity = self.identity.clone();
        self.call(async move {
            loop {
                match source.read_positions(partitions.iter().copied().collect()).await {
                    Ok(PositionsRead { stored, log, topic_id, cluster_id }) => {
                        trouble.over();
                        identity.seen(topic_id.as_deref());
                        return Some(Event::Positions { ticket, stored, log, topic_id, cluster_id, now_ms: now_ms() });
                    }
                    Err(error) if error.is_passing() => trouble.say(&error.to_string()),
                    Err(error) => return Some(Event::Halt(stop_for(&error))),
                }
                tokio::time::sleep(KAFKA_PAUSE).await;
            }
        });
    }

    pub(super) fn resolve(&mut self, ticket: Ticket, start: OriginStart, fresh: bool, partitions: BTreeSet<Partition>) {
        let source = self.source.clone();
        let trouble = self.reporter.trouble("the start can't be resolved");
        let start = match (start, &self.start) {
            (OriginStart::Earliest, _) => Start::Earliest,
            (OriginStart::Timestamp(ms), _) => Start::Timestamp(ms),
            // Whoever resolves it first takes the end of the log itself, a later member what had come by that time.
            (OriginStart::Latest(_), _) if fresh => Start::Latest,
            (OriginStart::Latest(ms), _) => Start::Timestamp(ms),
            (OriginStart::Offsets, configured) => configured.clone(),
        };
        self.call(async move {
            loop {
                match source.resolve(start.clone(), partitions.iter().copied().collect()).await {
                    Ok(starts) => {
                        trouble.over();
                        return Some(Event::Resolved { ticket, starts });
                    }
                    Err(error) if error.is_passing() => trouble.say(&error.to_string()),
                    Err(error) => return Some(Event::Halt(stop_for(&error))),
                }
                tokio::time::sleep(KAFKA_PAUSE).await;
            }
        });
    }

    pub(super) fn record(&mut self, ticket: Ticket, tries: u32, positions: Vec<PositionToStore>) {
        let (source, seen) = (self.source.clone(), self.tenure);
        let identity = self.identity.is_old().then(|| (self.identity.clone(), Arc::clone(&self.topic)));
        self.call(async move {
            if let Some((identity, topic)) = identity
                && let Some(stop) = identity.changed(&source, &topic).await
            {
                return Some(Event::Halt(stop));
            }
            if tries > 0 {
                tokio::time::sleep(KAFKA_PAUSE * tries.min(10)).await;
            }
            let Recorded { answer, read, doubtful } = source.record(positions, seen).await;
            Some(Event::Recorded { ticket, answer, read, doubtful })
        });
    }

    pub(super) fn rejoin(&mut self) {
        let source = self.source.clone();
        self.call(async move { source.rejoin().await.err().map(|error| Event::Halt(stop_for(&error))) });
    }

    /// Steps 4 and 5: all tables prepared, all dead letters acknowledged.
    pub(super) fn prepare(&mut self, ticket: Ticket) {
        let Some(batch) = self.sealed.get_mut(&ticket) else { return };
        let loads = std::mem::take(&mut batch.loads);
        let dead = std::mem::take(&mut batch.dead);
        let tags: Vec<Tag> = loads.keys().filter_map(|route| self.tables.get(*route)).map(Tag::of_table).collect();
        let letters = self.dead_letters.clone();
        let loader = self.loader.clone();
        let trouble = self.reporter.trouble("dead letters can't be written");
        let report = self.reporter.failures();
        let task = self.calls.spawn(async move {
            let outcomes = join_all(loads.into_values().map(Load::prepare)).await;
            let mut ids = BTreeMap::new();
            for (tag, outcome) in tags.into_iter().zip(outcomes) {
                match outcome {
                    Ok(prepared) => {
                        if let Some(id) = prepared.id {
                            ids.insert(tag, id);
                        }
                    }
                    Err(failure) => return Some(report.load_failed(ticket, &failure)),
                }
            }
            if let Some(letters) = letters {
                write_dead_letters(&letters, &dead, &trouble, loader.random()).await;
            }
            Some(Event::Prepared { ticket, ids, now_ms: now_ms() })
        });
        batch.preparing = Some(task);
    }

    /// A load of the batch that is being filled has failed by itself: its own words say why.
    pub(super) fn filling_failed(&mut self) {
        let Some(filling) = &mut self.filling else { return };
        let ticket = filling.ticket;
        let loads = std::mem::take(&mut filling.loads);
        let report = self.reporter.failures();
        self.rejects_allowed.clone_from(&filling.allowed_before);
        self.filling = None;
        self.call(async move {
            for load in loads.into_values() {
                if load.has_failed()
                    && let Err(failure) = load.prepare().await
                {
                    return Some(report.load_failed(ticket, &failure));
                }
            }
            Some(Event::LoadFailed { ticket, stop: None })
        });
    }

    pub(super) fn commit(&mut self, ticket: Ticket, table: Tag, txn: Txn, tries: u32) {
        let loader = self.loader.clone();
        let trouble = self.reporter.trouble("a load can't be committed");
        self.call(async move {
            pause(loader.random(), Class::Unclear, tries).await;
            let not_committable = match loader.commit(&name(txn)).await {
                Answer::Done => {
                    trouble.over();
                    false
                }
                Answer::Refused(failure) | Answer::Unclear(failure) => {
                    trouble.say(&failure.what);
                    failure.class == Class::NotCommittable
                }
            };
            Some(Event::CommitAnswered { ticket, table, not_committable })
        });
    }

    pub(super) fn abort(&mut self, ticket: Ticket, table: Tag, txn: Txn) {
        let loader = self.loader.clone();
        self.call(async move {
            // Whatever is answered, the state read afterwards counts.
            let _ = loader.abort(&name(txn)).await;
            Some(Event::AbortAnswered { ticket, table })
        });
    }

    pub(super) fn abort_in_background(&mut self, txn: Txn) {
        let loader = self.loader.clone();
        self.rollbacks.spawn(async move {
            // Best effort: what is left holds a slot until it times out.
            let _ = loader.abort(&name(txn)).await;
        });
    }

    /// Asks until the engine answers.
    pub(super) fn ask(&mut self, ticket: Ticket, table: Tag, txn: Txn, tries: u32) {
        let loader = self.loader.clone();
        let trouble = self.reporter.trouble("the state of a load can't be read");
        self.call(async move {
            pause(loader.random(), Class::Unclear, tries).await;
            let state = state_for_sure(&loader, &name(txn), &trouble).await;
            Some(Event::State { ticket, table, state })
        });
    }
}

async fn state_for_sure(loader: &Loader, txn: &TxnName, trouble: &super::report::Trouble) -> TxnState {
    let mut unknown = 0;
    let mut failures = 0;
    loop {
        match loader.state(txn).await {
            Ok(TxnState::Unknown) if unknown + 1 < retry::UNKNOWN_MEANS_IT => {
                unknown += 1;
                pause(loader.random(), Class::Unclear, unknown).await;
            }
            Ok(state) => {
                trouble.over();
                return state;
            }
            Err(failure) => {
                trouble.say(&failure.what);
                failures += 1;
                pause(loader.random(), Class::Away, failures).await;
            }
        }
    }
}

/// Repeats until every letter is acknowledged: copies carry the same topic, partition and offset.
async fn write_dead_letters(
    letters: &DeadLetters,
    dead: &[DeadLetter],
    trouble: &super::report::Trouble,
    random: &Random,
) {
    let mut failures = 0;
    while !dead.is_empty() {
        match letters.write(dead).await {
            Ok(()) => return trouble.over(),
            Err(why) => trouble.say(&why),
        }
        failures += 1;
        pause(random, Class::Away, failures).await;
    }
}

pub(super) async fn pause(random: &Random, class: Class, tries: u32) {
    if tries > 0
        && let Some(wait) = retry::delay(class, tries, random.jitter())
    {
        tokio::time::sleep(wait).await;
    }
}

pub(super) fn name(txn: Txn) -> TxnName {
    TxnName { table: txn.table, label: txn.label, id: txn.id }
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What an error of the source that waiting does not cure means for the pipeline.
pub(super) fn stop_for(error: &SourceError) -> Stop {
    let code = match error {
        SourceError::TopicMissing { .. } => StopCode::TopicMissing,
        SourceError::OutOfRange { .. } => StopCode::PositionOutOfLog,
        SourceError::PositionRefused { .. } => StopCode::PositionRefused,
        SourceError::Denied { .. } => StopCode::Denied,
        SourceError::Fenced { .. } => StopCode::Fenced,
        SourceError::NoPosition { .. } | SourceError::StartIncomplete { .. } => StopCode::NoPosition,
        SourceError::Settings { .. }
        | SourceError::Thread { .. }
        | SourceError::Fatal { .. }
        | SourceError::Unanswered { .. }
        | SourceError::Seek { .. }
        | SourceError::Closed { .. } => StopCode::Kafka,
    };
    Stop { code, what: error.to_string() }
}

pub(super) fn no_randomness(error: &getrandom::Error) -> Stop {
    let what = format!("the operating system gives no random numbers, and a label must never be used twice: {error}");
    Stop { code: StopCode::Invariant, what }
}
