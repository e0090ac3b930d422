//! An embedded stand-in for a StarRocks or Apache Doris cluster.
//!
//! ```text
//!  client ──HTTP──> frontend ──307──> backend ──> loader ──> store (SQLite) <── sql
//!                       \                /  rows while the body arrives
//!                        `── cluster ───'   ledger of transactions
//! ```
//!
//! Frontend and backend listen on ports of their own and speak the engine's HTTP interface: redirects, labels,
//! transaction states, texts. Rows are checked against typed tables and kept in SQLite, where they can be queried. What
//! it imitates, and what it doesn't, is in `docs/sandbox.md`; a header that would change a load and isn't imitated is
//! refused.
//!
//! It shares no code with the loader: a misreading on one side shows on the other.

mod admin;
mod aggregate;
mod auth;
mod cells;
mod clock;
mod cluster;
mod csv;
mod ddl;
mod delivery;
mod doris;
mod dry_run;
mod expression;
mod faults;
mod http;
mod json_path;
mod json_rows;
mod kafka;
mod like;
mod loader;
mod mysql;
mod nodes;
mod options;
mod partition;
mod plan;
mod profile;
mod pump;
mod rows;
mod settings;
mod sql;
mod starrocks;
mod store;
mod table;
mod topology;
mod transactions;
mod update;

pub use admin::TransactionView;
pub use ddl::DdlError;
pub use dry_run::{DryOutcome, DryRow, DryRun};
pub use faults::{Call, Calls, Fault, FaultCount, FaultKind, Node, When};
pub use kafka::{Kafka, Topic};
pub use profile::{Difference, Profile, Version, VersionError};
pub use settings::Settings;
pub use store::{QueryResult, StoreError};
pub use table::EngineKind;
pub use topology::{Builder, NodeError, NodeView, Port, Sandbox, StartError};
