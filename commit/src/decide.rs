//! The door between shell and decisions, so that a test can put something weaker behind it and see that it shows.

use super::{Effect, Event, Protocol, Stop, Tag, Ticket, Txn};
use crate::domain::Nonce;

/// What the shell asks of the decisions. [`Protocol`] is the one that is meant; anything else stands behind it only to
/// be caught.
pub trait Decide: Send {
    /// See [`Protocol::step`].
    fn step(&mut self, event: Event) -> Vec<Effect>;

    /// See [`Protocol::pipeline`].
    fn pipeline(&self) -> Tag;

    /// See [`Protocol::pending_stop`].
    fn pending_stop(&self) -> Option<&Stop>;

    /// See [`Protocol::without_intent`].
    fn without_intent(&self) -> Vec<(Ticket, Vec<Txn>)>;

    /// The nonce of the batch that is about to be filled; `drawn` are 128 fresh random bits (rule 5).
    fn nonce(&mut self, drawn: Nonce) -> Nonce;
}

impl Decide for Protocol {
    fn step(&mut self, event: Event) -> Vec<Effect> {
        Self::step(self, event)
    }

    fn pipeline(&self) -> Tag {
        Self::pipeline(self)
    }

    fn pending_stop(&self) -> Option<&Stop> {
        Self::pending_stop(self)
    }

    fn without_intent(&self) -> Vec<(Ticket, Vec<Txn>)> {
        Self::without_intent(self)
    }

    fn nonce(&mut self, drawn: Nonce) -> Nonce {
        drawn
    }
}
