//! Deliberate mistakes, one rule taken out each: some world has to see each of them.

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// A membership that is lost without a callback is not told.
    SilentLoss,
}
