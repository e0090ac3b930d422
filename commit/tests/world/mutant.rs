//! Deliberate mistakes: the world has to see each of them.

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Commits in the engine as soon as the intent is sent (rule 1).
    CommitsBeforeReadBack,
    /// Takes the broker's answer for the truth.
    BelievesTheAnswer,
    /// Takes "unknown" for "aborted" (rules 7, 10).
    UnknownIsAborted,
    /// Drops an intent found on assignment and reads on from the position (step 2).
    SkipsSettling,
    /// Reads again from the stored position while the batch before is visible and not advanced.
    RewindsToTheStored,
    /// Derives nonces from offsets (rule 5).
    NonceFromOffsets,
    /// Goes on under a membership whose commit may still have a copy under way (rule 4).
    IgnoresDoubt,
    /// Takes the answer to an abort for the final word (rule 7).
    BelievesTheAbort,
    /// Takes the answer to a commit for the final word (rule 7).
    BelievesTheCommit,
    /// Stores what was decided before a partition left and came back.
    ServesOldDecisions,
}
