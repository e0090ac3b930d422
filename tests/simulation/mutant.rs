//! Deliberate mistakes in what surrounds the pipeline: the simulation has to see each of them.

/// One broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Chunks that were read before a positioning are delivered as if they had been read after it.
    OldChunksAreFresh,
    /// The consumer thread sends an OffsetCommit for whatever it is asked to, owned or not, decided when or not.
    NothingIsGuarded,
    /// Instead of reading back, the consumer thread says that what it has sent is stored.
    NothingIsReadBack,
    /// A second copy of an OffsetCommit is not noticed (rule 4).
    CopiesAreUnnoticed,
    /// Positions are told as they were before the assignment.
    PositionsAreOld,
    /// The engine says what it was told to do, not what became of it: a commit.
    CommitIsBelieved,
    /// The same of an abort.
    AbortIsBelieved,
}
