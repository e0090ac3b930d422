//! What may go wrong, and how often.

/// A fault that a world's budget allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A process dies; another takes its place. What it had on its way may still arrive.
    Crash,
    /// The broker takes a living member for dead; no callback tells it (a paused process, a second static id).
    Expel,
    /// The group moves a partition from one member to another.
    Move,
    /// A rebalance that changes nothing: the generation rises without a callback.
    Rise,
    /// A revocation goes on although the pipeline has not let go.
    Deadline,
    /// An OffsetCommit takes its time: it arrives with the stamp that it was sent with.
    SlowCommit,
    /// The connection breaks: a second copy is sent, the first one arrives whenever it likes.
    Resend,
    /// Some partitions of an OffsetCommit are stored, others not.
    Half,
    /// An OffsetCommit is not answered clearly; it is stored or not.
    Unclear,
    /// A passing rebalance takes longer than anybody waits.
    Impatient,
    /// A load can't be prepared: refused, the answer lost, a frontend restarted.
    PrepareFails,
    /// A request to the engine is lost; to the caller it looks answered.
    EngineLost,
    /// A request to the engine arrives later; to the caller it looks answered.
    EngineLate,
    /// The engine says UNKNOWN although it knows: its new leader has not caught up.
    Lapse,
    /// A prepared load has waited too long.
    TimeOut,
    /// A finished load is forgotten.
    Forget,
    /// A prepared load can't be committed, now and ever.
    Stuck,
    /// A process is asked to finish and starts anew.
    Drain,
    /// A process dies, and the next one has another mapping.
    Remap,
    /// The topic is deleted and created again; its positions go with it.
    Recreate,
    /// The log is truncated and written again.
    Rewrite,
}

impl Fault {
    pub(crate) const ALL: [Self; 21] = [
        Self::Crash,
        Self::Expel,
        Self::Move,
        Self::Rise,
        Self::Deadline,
        Self::SlowCommit,
        Self::Resend,
        Self::Half,
        Self::Unclear,
        Self::Impatient,
        Self::PrepareFails,
        Self::EngineLost,
        Self::EngineLate,
        Self::Lapse,
        Self::TimeOut,
        Self::Forget,
        Self::Stuck,
        Self::Drain,
        Self::Remap,
        Self::Recreate,
        Self::Rewrite,
    ];
}

/// How often each fault may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget([u8; Fault::ALL.len()]);

impl Budget {
    pub(crate) fn set(&mut self, fault: Fault, times: u8) {
        if let Some(left) = self.0.get_mut(fault as usize) {
            *left = times;
        }
    }

    pub(crate) fn left(&self, fault: Fault) -> u8 {
        self.0.get(fault as usize).copied().unwrap_or(0)
    }

    pub(crate) fn allows(&self, fault: Fault) -> bool {
        self.left(fault) > 0
    }

    pub(crate) fn spend(&mut self, fault: Fault) {
        self.set(fault, self.left(fault).saturating_sub(1));
    }
}
