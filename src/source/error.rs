//! What stops a source, in words for the person who has to act.

use std::sync::Arc;

use crate::domain::{Offset, Partition, Range};

/// A condition that the source can't settle itself. Nothing has been loaded or advanced because of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// librdkafka refuses its settings.
    #[error("the Kafka client refuses its settings: {reason}; correct [kafka] in the configuration")]
    Settings {
        /// librdkafka's words, without values.
        reason: String,
    },
    /// The consumer thread can't be started.
    #[error("the consumer thread can't be started: {reason}; the machine is out of threads or memory")]
    Thread {
        /// The system's words.
        reason: String,
    },
    /// The topic does not exist (any more).
    #[error(
        "topic `{topic}` is not there: {reason}; if it was deleted, its positions are gone with it, and a new topic of \
         the same name is another one"
    )]
    TopicMissing {
        /// Topic.
        topic: Arc<str>,
        /// The broker's words.
        reason: String,
    },
    /// The next offset to read is not in the log.
    #[error(
        "topic `{topic}` partition {partition}: position {position} is outside the log {log}; records between them were \
         removed before they were loaded (retention), or the log was truncated"
    )]
    OutOfRange {
        /// Topic.
        topic: Arc<str>,
        /// Partition.
        partition: Partition,
        /// Next offset to read.
        position: Offset,
        /// What the broker has.
        log: Range,
    },
    /// A partition ended in librdkafka's `auto.offset.reset`, and no partition could be found outside its log.
    #[error(
        "topic `{topic}`: a partition can't be read at its position ({reason}); compare the group's positions with the \
         log, nothing more is read of that partition"
    )]
    PositionRefused {
        /// Topic.
        topic: Arc<str>,
        /// librdkafka's words.
        reason: String,
    },
    /// The cluster does not let us.
    #[error("Kafka denies access: {reason}; grant READ on topic `{topic}` and on group `{group}`")]
    Denied {
        /// Topic.
        topic: Arc<str>,
        /// Group.
        group: Arc<str>,
        /// The broker's words.
        reason: String,
    },
    /// Another process uses our `group.instance.id`.
    #[error(
        "another process has joined group `{group}` under our `group.instance.id` ({reason}); give each process its own, \
         nothing is committed here any more"
    )]
    Fenced {
        /// Group.
        group: Arc<str>,
        /// librdkafka's words.
        reason: String,
    },
    /// librdkafka gave up.
    #[error("the Kafka client has failed for good: {reason}; the membership is lost, a restart makes a new one")]
    Fatal {
        /// librdkafka's words.
        reason: String,
    },
    /// A question was not answered in time; it can be asked again.
    #[error("{what} of topic `{topic}` can't be read from Kafka now: {reason}")]
    Unanswered {
        /// What was asked for.
        what: &'static str,
        /// Topic.
        topic: Arc<str>,
        /// librdkafka's words.
        reason: String,
    },
    /// A partition can't be positioned.
    #[error("topic `{topic}` partition {partition} can't be positioned at {offset}: {reason}")]
    Seek {
        /// Topic.
        topic: Arc<str>,
        /// Partition.
        partition: Partition,
        /// Where to.
        offset: Offset,
        /// librdkafka's words.
        reason: String,
    },
    /// `start = "committed"`, and nothing is committed.
    #[error(
        "topic `{topic}` partition {partition} has no position in group `{group}`, and `start = \"committed\"` makes \
         none; choose a start (earliest, latest, a time, offsets) or the group that has the positions"
    )]
    NoPosition {
        /// Topic.
        topic: Arc<str>,
        /// Group.
        group: Arc<str>,
        /// Partition.
        partition: Partition,
    },
    /// `start` gives offsets, but not for this partition.
    #[error("`start` names no offset for partition {partition} of topic `{topic}`; name every partition")]
    StartIncomplete {
        /// Topic.
        topic: Arc<str>,
        /// Partition.
        partition: Partition,
    },
    /// The source has been closed.
    #[error("the source of topic `{topic}` has been closed")]
    Closed {
        /// Topic.
        topic: Arc<str>,
    },
}

impl SourceError {
    /// A short, stable name for logs, metrics and the runbook.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Settings { .. } => "kafka-settings",
            Self::Thread { .. } => "source-thread",
            Self::TopicMissing { .. } => "topic-missing",
            Self::OutOfRange { .. } => "position-out-of-range",
            Self::PositionRefused { .. } => "position-refused",
            Self::Denied { .. } => "kafka-denied",
            Self::Fenced { .. } => "member-fenced",
            Self::Fatal { .. } => "kafka-fatal",
            Self::Unanswered { .. } => "kafka-unanswered",
            Self::Seek { .. } => "seek-refused",
            Self::NoPosition { .. } => "no-position",
            Self::StartIncomplete { .. } => "start-incomplete",
            Self::Closed { .. } => "source-closed",
        }
    }

    /// True if asking again later can help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unanswered { .. })
    }
}
