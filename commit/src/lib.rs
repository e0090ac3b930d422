//! The decisions: which position is stored when, and which load becomes visible.
//!
//! Two stores must agree without a common transaction: the group's position in Kafka and a load transaction in the
//! engine. The position's metadata is the coordinator's log. Before a prepared load is committed, an *intent* naming it
//! is written beside the position it will replace, under the group's generation; from then on anybody who owns the
//! partition can finish the job, and nobody who has lost it can start it.
//!
//! | step | what | effect |
//! |---|---|---|
//! | 1 | read position and metadata of every assigned partition | [`Effect::ReadPositions`] |
//! | 2 | settle each intent found there | [`Effect::Ask`], [`Effect::Abort`], [`Fill::reload`] |
//! | 3 | read, decode, seal | [`Effect::Fill`], [`Effect::NextFill`] |
//! | 4, 5 | prepare every table, write dead letters | [`Effect::Prepare`] |
//! | 6 | record the intent at the unchanged offsets, read back | [`Effect::Record`] |
//! | 7 | commit every table, read the state afterwards | [`Effect::Commit`], [`Effect::Ask`] |
//! | 8 | advance: store the end offsets with the trail, read back | [`Effect::Record`] |
//!
//! [`Protocol::step`] is a pure function of its state and one event: no clock, no randomness, no I/O.
//! `docs/exactly-once.md` has the rules with their reasons.

pub mod decide;
pub mod domain;
pub mod event;
pub mod invariants;
pub mod label;
pub mod metadata;
pub mod resolve;

mod batch;
mod checks;
mod course;
mod positions;
mod protocol;
mod reading;
mod record;
mod settle;
#[cfg(test)]
mod tests;

pub use decide::Decide;
pub use event::{Effect, Event, Fill, Notice, Reload, SealedRange, Stop, StopCode, Ticket, Txn};
pub use label::{Tag, label, labels_of};
pub use protocol::{Protocol, Settings, StartWish};
pub use settle::ranges_text;
