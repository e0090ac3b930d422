//! What the versions of Doris do differently.

use super::range::{Difference, Range, differences, rest_of_line, since};
use super::{Profile, Version};
use crate::table::EngineKind;

/// The version that a sandbox has unless told otherwise.
pub(super) const DEFAULT: Version = Version::new(3, 0, 8);

/// The newest known release of each line (release notes).
pub(super) const NEWEST: &[Version] =
    &[Version::new(2, 0, 15), Version::new(2, 1, 11), Version::new(3, 0, 8), Version::new(3, 1, 4)];

differences! {
    Doris;

    /// The second phase takes a label in place of a transaction id.
    commits_by_label: [since(2, 1, 0)], "BE `stream_load_2pc.cpp`, PR #24613";

    /// Transactions in PREPARE are aborted (`coordinate BE restart`) when the heartbeat of their backend comes from
    /// another process than before.
    aborts_after_backend_restart: [rest_of_line(2, 1, 4), since(3, 0, 0)], "FE `HeartbeatMgr`, PR #35342";
}
