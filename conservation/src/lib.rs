//! What the runner of a conservation run and its members agree on.
//!
//! ```text
//!   producer ──► Kafka ──► members (killed, stopped, drained) ──► engine (loses answers, restarts)
//!                  │                                                 │
//!                  └───────── what was committed ──► judge ◄── what is in the tables
//! ```
//!
//! The runner (`loadlock-conservation`) starts everything as processes of its own and strikes from outside. A member
//! (`loadlock-member`) is the loader with one addition: at a named point it kills or stops itself, in the very thread
//! that passes it. The judge believes nobody: it reads the topic, reads the tables, and counts.

pub mod points;
pub mod strike;
