//! What the protocol is told and what it asks for. Plain data: the shell performs effects and reports events; a model
//! and a simulation interpret the same values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::label::Tag;
use super::metadata::OriginStart;
use crate::domain::{
    Label, Nonce, Offset, Partition, PositionToStore, Range, Ranges, RecordAnswer, Stored, Table, TxnId, TxnState,
};

/// Number that ties an answer to what asked for it; never used twice in one process.
pub type Ticket = u64;

/// Name of one table's load in one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Txn {
    /// Table that is loaded.
    pub table: Table,
    /// Label of the load.
    pub label: Label,
    /// Transaction id, where the engine has told one.
    pub id: Option<TxnId>,
}

/// Range of one partition in a sealed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SealedRange {
    /// Records of the batch, gaps included.
    pub range: Range,
    /// Leader epoch of the last record; -1 if unknown.
    pub leader_epoch: i32,
}

/// What the shell reports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The group has given these partitions to us.
    Assigned(BTreeSet<Partition>),
    /// The group takes these partitions; the callback waits for [`Effect::Release`].
    Revoking(BTreeSet<Partition>),
    /// These partitions are gone already; nothing may be stored for them.
    Lost(BTreeSet<Partition>),
    /// Answer to [`Effect::ReadPositions`].
    Positions {
        /// Ticket of the effect.
        ticket: Ticket,
        /// Stored positions of all partitions of the topic.
        stored: BTreeMap<Partition, Option<Stored>>,
        /// Log of the partitions asked for: first offset, end of what a reader of committed records sees.
        log: Ranges,
        /// Id of the topic now.
        topic_id: Option<String>,
        /// Id of the cluster, if the brokers tell one.
        cluster_id: Option<String>,
        /// Wall clock, milliseconds since the Unix epoch.
        now_ms: i64,
    },
    /// Answer to [`Effect::Resolve`].
    Resolved {
        /// Ticket of the effect.
        ticket: Ticket,
        /// Start of each partition asked for.
        starts: BTreeMap<Partition, Offset>,
    },
    /// Answer to [`Effect::Record`].
    Recorded {
        /// Ticket of the effect.
        ticket: Ticket,
        /// What the broker answered.
        answer: RecordAnswer,
        /// Read afterwards: partitions of the call that were owned without interruption since it began.
        read: BTreeMap<Partition, Option<Stored>>,
        /// A copy of the request may still arrive.
        doubtful: bool,
    },
    /// The batch is complete.
    Sealed {
        /// Ticket of the fill.
        ticket: Ticket,
        /// Nonce of the attempt, drawn when the fill began.
        nonce: Nonce,
        /// Partitions that the batch moves.
        ranges: BTreeMap<Partition, SealedRange>,
        /// Tables with at least one row.
        tables: BTreeSet<Tag>,
    },
    /// The fill ended (drain, end of range) without having moved any partition.
    Empty {
        /// Ticket of the fill.
        ticket: Ticket,
    },
    /// All tables of the batch are prepared, and its dead letters are acknowledged.
    Prepared {
        /// Ticket of the batch.
        ticket: Ticket,
        /// Transaction ids where the engine has told them.
        ids: BTreeMap<Tag, TxnId>,
        /// Wall clock, milliseconds since the Unix epoch.
        now_ms: i64,
    },
    /// The batch came to nothing before all its tables were prepared.
    LoadFailed {
        /// Ticket of the batch.
        ticket: Ticket,
        /// Set when trying again is pointless: what is before the batch is finished, then the pipeline stops for it.
        stop: Option<Stop>,
    },
    /// A commit was answered; the state read afterwards decides.
    CommitAnswered {
        /// Ticket of the batch.
        ticket: Ticket,
        /// Table of the load.
        table: Tag,
        /// The engine said that this load can never be committed (rule 9).
        not_committable: bool,
    },
    /// An abort was answered, whatever the answer was.
    AbortAnswered {
        /// Ticket of the settlement.
        ticket: Ticket,
        /// Table of the load.
        table: Tag,
    },
    /// Answer to [`Effect::Ask`].
    State {
        /// Ticket of the batch or settlement.
        ticket: Ticket,
        /// Table of the load.
        table: Tag,
        /// What the engine says now.
        state: TxnState,
    },
    /// Answer to [`Effect::LookForEvidence`]. A shell that knows no place to look says that it found nothing.
    Evidence {
        /// Ticket of the settlement.
        ticket: Ticket,
        /// Table of the load.
        table: Tag,
        /// Something is there that is there only if the load became visible.
        committed: bool,
        /// Where it looked and what it saw, for people.
        looked: String,
    },
    /// Answer to [`Effect::LookForLabels`]. A shell that knows no place to look has found none.
    Labels {
        /// Ticket of the effect.
        ticket: Ticket,
        /// A label of this pipeline that the engine remembers.
        remembered: Option<String>,
    },
    /// Read no more, finish what is open. With a reason: then stop for it.
    Drain(Option<Stop>),
    /// Stop at once: nothing that is open can be finished.
    Halt(Stop),
}

/// How partitions are to be read from now on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fill {
    /// Ticket of the batch that is filled.
    pub ticket: Ticket,
    /// Where each partition starts; every other partition rests.
    pub starts: BTreeMap<Partition, Offset>,
    /// Set when exactly these rows are loaded again for a settlement.
    pub reload: Option<Reload>,
    /// Fills in a row that came to nothing; the shell waits longer with each.
    pub failures: u32,
}

/// What is loaded again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reload {
    /// End of each partition.
    pub ends: BTreeMap<Partition, Offset>,
    /// The tables whose first load was aborted; no other gets rows.
    pub tables: BTreeSet<Tag>,
}

/// What the protocol asks of the shell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Read the stored positions of the whole topic, and the logs of these partitions.
    ReadPositions {
        /// Comes back in the answer.
        ticket: Ticket,
        /// Partitions whose logs are looked at.
        partitions: BTreeSet<Partition>,
    },
    /// Find out where these partitions start.
    Resolve {
        /// Comes back in the answer.
        ticket: Ticket,
        /// The start in its durable form.
        start: OriginStart,
        /// The origin was made just now by this member: the end of the log is the end of the log now.
        fresh: bool,
        /// Partitions to resolve.
        partitions: BTreeSet<Partition>,
    },
    /// Store positions: one synchronous OffsetCommit, then read back.
    Record {
        /// Comes back in the answer.
        ticket: Ticket,
        /// How often the same was sent before; the shell waits longer with each.
        tries: u32,
        /// What to store.
        positions: Vec<PositionToStore>,
    },
    /// Forget what is being filled and read anew.
    Fill(Fill),
    /// Begin the next batch where the last one was sealed.
    NextFill {
        /// Ticket of the batch.
        ticket: Ticket,
    },
    /// Read these partitions too, from there.
    Join {
        /// Where each partition starts.
        starts: BTreeMap<Partition, Offset>,
    },
    /// Stop reading.
    Hold,
    /// Seal what is being filled, with whatever it holds.
    Seal {
        /// Ticket of the batch.
        ticket: Ticket,
    },
    /// End the bodies of a sealed batch, prepare its tables, write its dead letters.
    Prepare {
        /// Ticket of the batch.
        ticket: Ticket,
    },
    /// Drop the loads of a batch; whether an abort comes in time is the engine's to say.
    Abandon {
        /// Ticket of the batch.
        ticket: Ticket,
        /// Prepared loads of the batch.
        loads: Vec<Txn>,
    },
    /// Make a load visible.
    Commit {
        /// Ticket of the batch.
        ticket: Ticket,
        /// Tag of the load's table.
        table: Tag,
        /// The load.
        txn: Txn,
        /// Commits of this load before; the shell waits longer with each.
        tries: u32,
    },
    /// Abort a load and say when the engine has answered.
    Abort {
        /// Ticket of the settlement.
        ticket: Ticket,
        /// Tag of the load's table.
        table: Tag,
        /// The load.
        txn: Txn,
    },
    /// Ask the engine for the state of a load, until it answers.
    Ask {
        /// Ticket of the batch or settlement.
        ticket: Ticket,
        /// Tag of the load's table.
        table: Tag,
        /// The load.
        txn: Txn,
        /// Questions about this load before; the shell waits longer with each.
        tries: u32,
    },
    /// The engine has forgotten how a load ended: look for what only a visible load leaves behind (rule 10).
    LookForEvidence {
        /// Ticket of the settlement.
        ticket: Ticket,
        /// Tag of the load's table.
        table: Tag,
        /// The load.
        txn: Txn,
        /// Records whose rows it held.
        ranges: Ranges,
    },
    /// The group has no position: does the engine remember loads of this pipeline (rule 11)?
    LookForLabels {
        /// Comes back in the answer.
        ticket: Ticket,
    },
    /// Let the revocation go on.
    Release(BTreeSet<Partition>),
    /// Close this membership and join as a new member (rule 4).
    Rejoin,
    /// Something that people and counters should know.
    Report(Notice),
    /// Everything is finished that was open.
    Drained,
    /// Leave the group and exit: needs a person, or a new start.
    Stop(Stop),
}

/// What happened, for logs and counters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// A batch is visible and its positions are stored.
    Advanced {
        /// Ticket of the batch.
        ticket: Ticket,
    },
    /// A batch was dropped and will be read again.
    Dropped {
        /// Ticket of the batch.
        ticket: Ticket,
        /// Why.
        why: &'static str,
    },
    /// An intent found on assignment was brought to its end.
    Settled {
        /// Nonce of the intent.
        nonce: Nonce,
        /// True if rows have to be loaded again, false if everything was visible.
        reloads: bool,
        /// The partitions.
        ranges: Ranges,
    },
    /// First positions of a pipeline or of new partitions are stored.
    Started {
        /// Where each partition starts.
        starts: BTreeMap<Partition, Offset>,
    },
    /// A stored position was written by another tool.
    ForeignPosition {
        /// Partition.
        partition: Partition,
        /// Offset that counts from now on.
        offset: Offset,
    },
    /// A copy of an OffsetCommit may still be under way; the membership is given up.
    DoubtfulCommit,
}

/// Why a pipeline stops.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stop {
    /// Its code.
    pub code: StopCode,
    /// What happened, where, and what it means for the data.
    pub what: String,
}

/// Codes of stops, each with an entry in `docs/operating.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopCode {
    /// A record can't become a row, and the policy is `stop`.
    BadRecord,
    /// More records were rejected than the policy allows.
    TooManyRejects,
    /// The engine refused a load for good.
    LoadRefused,
    /// The group has no position, and `start` is `committed`.
    NoPosition,
    /// The group has no position, but the engine remembers loads of this pipeline.
    PositionsLost,
    /// A position lies outside the log.
    PositionOutOfLog,
    /// The positions belong to another topic of the same name.
    TopicChanged,
    /// The positions were stored in another cluster.
    ClusterChanged,
    /// A position's metadata was written by a later version, or is damaged.
    PositionUnreadable,
    /// An open intent was made by another mapping.
    MappingChanged,
    /// The log was truncated and rewritten below an open intent.
    LogRewritten,
    /// The engine has forgotten whether a load was committed.
    OutcomeUnknown,
    /// A prepared load can't be committed, twice in a row.
    NotCommittable,
    /// Kafka refuses to store positions.
    PositionRefused,
    /// A rule of the protocol was about to be broken: a bug.
    Invariant,
    /// Kafka's client gave up for good.
    Kafka,
    /// The place for dead letters can't be used.
    DeadLetters,
    /// The topic is not there.
    TopicMissing,
    /// Kafka refuses the rights that are needed.
    Denied,
    /// Another process has the same `group.instance.id`.
    Fenced,
    /// Preflight found a setting of Kafka or the engine under which the pipeline can't work.
    Preflight,
    /// The drain deadline has passed with work still open.
    DrainUnfinished,
}

impl StopCode {
    /// Stable name of the code, for logs and supervisors.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRecord => "bad-record",
            Self::TooManyRejects => "too-many-rejects",
            Self::LoadRefused => "load-refused",
            Self::NoPosition => "no-position",
            Self::PositionsLost => "positions-lost",
            Self::PositionOutOfLog => "position-out-of-log",
            Self::TopicChanged => "topic-changed",
            Self::ClusterChanged => "cluster-changed",
            Self::PositionUnreadable => "position-unreadable",
            Self::MappingChanged => "mapping-changed",
            Self::LogRewritten => "log-rewritten",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::NotCommittable => "not-committable",
            Self::PositionRefused => "position-refused",
            Self::Invariant => "invariant",
            Self::Kafka => "kafka",
            Self::DeadLetters => "dead-letters",
            Self::TopicMissing => "topic-missing",
            Self::Denied => "denied",
            Self::Fenced => "fenced",
            Self::Preflight => "preflight",
            Self::DrainUnfinished => "drain-unfinished",
        }
    }
}

impl fmt::Display for StopCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
