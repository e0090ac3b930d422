//! Rows become a batch: when it is sealed, and what it has moved so far.

pub mod policy;
mod progress;

pub use policy::{Limits, SealReason, Tally};
pub use progress::Progress;
