//! Which rule each mutant breaks, and the world that shows it.

use crate::mutant::Mutant;

/// Where a mutant is shown.
pub(crate) enum Shown {
    /// It breaks something in this world.
    In(&'static str),
    /// It breaks nothing, not even in this world, and why.
    NotNeeded(&'static str, &'static str),
}

/// One rule of `docs/exactly-once.md` and the mutant that breaks it.
pub(crate) struct Rule {
    pub(crate) rule: &'static str,
    pub(crate) mutant: Mutant,
    pub(crate) shown: Shown,
}

const fn broken(rule: &'static str, mutant: Mutant, world: &'static str) -> Rule {
    Rule { rule, mutant, shown: Shown::In(world) }
}

pub(crate) const ALL: &[Rule] = &[
    broken("1", Mutant::CommitsBeforeReadBack, "generations rise"),
    broken("1", Mutant::IntentBeforePrepare, "generations rise"),
    broken("read-back", Mutant::BelievesTheBroker, "split, unclear"),
    broken("read-back", Mutant::TakesHalfForAll, "half an intent, and moved"),
    Rule {
        rule: "read-back",
        mutant: Mutant::TrustsReturned,
        shown: Shown::NotNeeded("there and back", "the guard of rule 2 refuses what was decided before it left"),
    },
    broken("2", Mutant::ServesOldDecisions, "there and back"),
    broken("2", Mutant::StoresUnowned, "abort after commit"),
    broken("3", Mutant::HidesRevocation, "there and back"),
    broken("3", Mutant::StoresReleased, "abort after commit"),
    broken("3", Mutant::SilentLoss, "expelled"),
    broken("4", Mutant::IgnoresDoubt, "a bad broker"),
    broken("4", Mutant::CarriesPositionsOver, "there and back"),
    broken("5", Mutant::NonceFromOffsets, "crashes"),
    broken("7", Mutant::BelievesTheAbort, "abort after commit"),
    broken("7", Mutant::BelievesTheCommit, "a bad engine"),
    broken("8", Mutant::SkipsSettling, "crashes"),
    broken("8", Mutant::PreparedIsAborted, "abort after commit"),
    broken("8", Mutant::MergesIntents, "half an intent, and moved"),
    broken("8", Mutant::ReloadsAllTables, "half of a rewritten intent"),
    Rule {
        rule: "8",
        mutant: Mutant::ForgetsDone,
        shown: Shown::NotNeeded(
            "half of a rewritten intent",
            "a table that an intent does not name is loaded again by nobody; the names of done tables are for people",
        ),
    },
    broken("9", Mutant::WaitsForTheStuck, "never committable"),
    broken("10", Mutant::UnknownIsAborted, "forgotten"),
    broken("10", Mutant::UnknownIsCommitted, "forgotten"),
    broken("10", Mutant::AdvanceIsProof, "forgotten"),
    broken("11", Mutant::TakesMissingForNew, "start at the end"),
    broken("12", Mutant::HidesTopicId, "the topic again"),
    broken("12", Mutant::HidesEpochs, "the log rewritten"),
    broken("13", Mutant::HidesMapping, "another mapping"),
    broken("14", Mutant::RewindsToTheStored, "two batches, one dropped"),
    broken("14", Mutant::KeepsTheSecond, "two batches, one dropped"),
    broken("14", Mutant::SkipsTheAdvance, "crashes"),
    broken("15", Mutant::WritesAsStranger, "crashes"),
];
