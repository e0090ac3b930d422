//! Situations of the protocol, event by event.
