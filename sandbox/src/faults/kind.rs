//! What can go wrong.

use serde::{Deserialize, Serialize};

use super::{Call, Node};

/// When an event happens at the call that it is tied to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Before the call has any effect.
    #[default]
    Before,
    /// When the first bytes of a load's body have arrived.
    InBody,
    /// When the call has had its effect, before its answer.
    After,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// The connection is closed; nothing was done.
    DropBefore,
    /// Everything is done, then the connection is closed without the answer.
    DropAfter,
    /// The connection is closed in the middle of a load's body.
    DropInBody {
        /// Body bytes that are read first.
        after_bytes: u64,
    },
    /// The connection is reset (RST); nothing was done.
    ResetBefore,
    /// Everything is done, then the connection is reset without the answer.
    ResetAfter,
    /// The connection is reset in the middle of a load's body.
    ResetInBody {
        /// Body bytes that are read first.
        after_bytes: u64,
    },

    /// Everything happens this much later.
    Delay {
        /// Milliseconds.
        millis: u64,
    },
    /// A load's body is read slowly.
    SlowBody {
        /// Bytes per second.
        bytes_per_second: u64,
    },
    /// A load's body is not read any further for a while.
    StallBody {
        /// Body bytes that are read first.
        after_bytes: u64,
        /// Milliseconds that the backend reads nothing.
        #[serde(default = "a_minute")]
        millis: u64,
    },
    /// The answer's body comes slowly.
    SlowAnswer {
        /// Bytes per second.
        bytes_per_second: u64,
    },
    /// The answer's headers come, its body doesn't, until the client gives up or the time is over.
    SilentAnswer {
        /// Milliseconds after which the connection is closed.
        #[serde(default = "a_minute")]
        millis: u64,
    },
    /// The answer ends in its middle, and the connection with it.
    CutAnswer {
        /// Bytes of the answer's body that come; without it half of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_bytes: Option<u64>,
    },
    /// The answer's `Content-Length` is wrong: too small, and the answer is cut there in good order; too large, and the
    /// connection ends before it is reached.
    WrongLength {
        /// What is added to the true length.
        by: i64,
    },
    /// Keys that no version of the engine has are added to the answer's JSON.
    UnknownKeys,
    /// The keys of the answer's JSON come in another order.
    ShuffleKeys,
    /// A stack trace is appended to the message of an answer of failure, as some builds of Doris do.
    StackTrace,

    /// An answer with this HTTP status and no JSON; nothing was done.
    Status {
        /// HTTP status, 400 to 599.
        code: u16,
    },
    /// The engine's answer of failure when the headers have arrived; nothing was done and the body isn't read.
    RefuseAtHeader {
        /// `Status` of the answer; without it the engine's usual one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<String>,
        /// `Message` of the answer.
        message: String,
    },
    /// The engine's answer of failure in the middle of a load's body; the transaction is aborted.
    RefuseInBody {
        /// Body bytes that are read first.
        after_bytes: u64,
        /// `Message` of the answer.
        message: String,
    },
    /// StarRocks' TXN_IN_PROCESSING; nothing was done.
    InProcessing,
    /// The engine has no memory left; a transaction in PREPARE is aborted.
    MemoryLimit,
    /// The tablets have too many versions; a transaction in PREPARE is aborted.
    TooManyVersions,
    /// The database has too many running transactions; nothing was done.
    RunningTxnLimit,

    /// A redirect to another place, one that nobody listens at unless given otherwise. Hits the node that redirects,
    /// or the frontend that would answer by itself.
    RedirectTo {
        /// `host:port` in the answer's `Location`.
        #[serde(default = "nobody")]
        authority: String,
    },
    /// A redirect to where the request was sent.
    RedirectLoop,

    /// A committed transaction becomes visible this much later.
    PublishLate {
        /// Milliseconds.
        millis: u64,
    },
    /// As `publish_late`; and who waits for the rows to be visible is told at once that it takes too long.
    PublishTimeout {
        /// Milliseconds.
        #[serde(default = "a_second")]
        millis: u64,
    },
    /// A prepared transaction can't be committed; it stays prepared.
    NotCommittable {
        /// The engine's text; without it one of those that stay for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// An abort is answered as if it had been done, and isn't: the transaction stays as it is. At a load that fails
    /// this is a lost roll-back, at a roll-back the answer of Doris with storage and computing apart.
    AbortLost,
    /// What was prepared is rolled back by its backend, behind an answer of an unclear outcome.
    PrepareUndone {
        /// Milliseconds between the answer and the roll-back; with 0 the roll-back comes first.
        #[serde(default)]
        millis: u64,
    },

    /// Labels of finished transactions are forgotten.
    ForgetLabels {
        /// Which ones; `*` stands for any characters, `?` for one.
        #[serde(default = "all")]
        labels: String,
        /// When, at a call.
        #[serde(default)]
        when: When,
    },
    /// A node loses what it holds in memory, so quickly that nobody misses it.
    Restart {
        /// Which kind of node.
        role: Node,
        /// Which of several, from 0.
        #[serde(default)]
        index: usize,
        /// When, at a call.
        #[serde(default)]
        when: When,
    },
    /// A node's process ends: its connections break, its ports refuse others.
    Kill {
        /// Which kind of node.
        role: Node,
        /// Which of several, from 0.
        #[serde(default)]
        index: usize,
        /// When, at a call.
        #[serde(default)]
        when: When,
    },
    /// A node that was killed is started again.
    Revive {
        /// Which kind of node.
        role: Node,
        /// Which of several, from 0.
        #[serde(default)]
        index: usize,
        /// When, at a call.
        #[serde(default)]
        when: When,
    },
    /// Another frontend becomes the leader.
    Lead {
        /// Which one, from 0.
        index: usize,
        /// When, at a call.
        #[serde(default)]
        when: When,
    },
    /// The clock jumps forward; what has expired then is aborted, what is past its retention forgotten.
    AdvanceClock {
        /// By how much.
        seconds: u64,
        /// When, at a call.
        #[serde(default)]
        when: When,
    },
}

fn a_second() -> u64 {
    1_000
}

fn a_minute() -> u64 {
    60_000
}

/// Port 1 (tcpmux) is reserved, and nobody has it.
fn nobody() -> String {
    "127.0.0.1:1".to_owned()
}

fn all() -> String {
    "*".to_owned()
}

impl FaultKind {
    /// When an event happens at a call; `None` for what goes wrong with the call itself.
    #[must_use]
    pub fn when(&self) -> Option<When> {
        if let Self::ForgetLabels { when, .. }
        | Self::Restart { when, .. }
        | Self::Kill { when, .. }
        | Self::Revive { when, .. }
        | Self::Lead { when, .. }
        | Self::AdvanceClock { when, .. } = self
        {
            Some(*when)
        } else {
            None
        }
    }

    /// True for what happens to the cluster, not to a call: it can strike at a time, too.
    #[must_use]
    pub fn is_event(&self) -> bool {
        self.when().is_some()
    }

    /// True for redirects to a wrong place.
    pub(super) fn redirects(&self) -> bool {
        matches!(self, Self::RedirectTo { .. } | Self::RedirectLoop)
    }

    /// True for what happens while a load's body is read.
    fn is_in_body(&self) -> bool {
        matches!(
            self,
            Self::DropInBody { .. }
                | Self::ResetInBody { .. }
                | Self::RefuseInBody { .. }
                | Self::SlowBody { .. }
                | Self::StallBody { .. }
        ) || self.when() == Some(When::InBody)
    }

    /// The calls at which it can have an effect; empty for all.
    pub(super) fn calls(&self) -> &'static [Call] {
        use Call::{Begin, Cancel, Commit, Load, Prepare, Rollback};
        if self.is_in_body() {
            &[Load]
        } else if matches!(self, Self::InProcessing) {
            &[Load, Prepare, Commit, Rollback]
        } else if matches!(self, Self::PublishLate { .. } | Self::PublishTimeout { .. } | Self::NotCommittable { .. }) {
            &[Load, Commit]
        } else if matches!(self, Self::AbortLost) {
            &[Load, Prepare, Commit, Rollback, Cancel]
        } else if matches!(self, Self::PrepareUndone { .. }) {
            &[Load, Prepare, Commit]
        } else if matches!(self, Self::MemoryLimit | Self::TooManyVersions) {
            &[Begin, Load, Prepare]
        } else if matches!(self, Self::RunningTxnLimit) {
            &[Begin, Load]
        } else {
            &[]
        }
    }
}
