//! Loadlock moves records from Kafka into StarRocks or Apache Doris, exactly once.
//!
//! ```text
//!            source            decode             batch             load              commit
//!   Kafka ──► records ───────► rows ────────────► sealed batch ───► prepared ───────► visible, position advanced
//!                               │ rejects
//!                               └────────► dead letters
//! ```
//!
//! The flow is wired in [`pipeline`], the decisions are made in [`commit`]; every other module is a noun that one of
//! them uses. Modules stand here in the order of the flow.

pub use loadlock_commit::domain;
pub mod random;
pub mod record;

pub mod source;

pub mod decode;

pub mod batch;

pub mod load;

pub use loadlock_commit as commit;

pub mod dead_letter;
pub mod offsets;
pub mod pipeline;
pub mod preflight;

pub mod cli;
pub mod config;
pub mod telemetry;
