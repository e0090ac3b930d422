//! What the versions of StarRocks do differently.

use super::range::{Difference, Range, differences, patches, rest_of_line, since};
use super::{Profile, Version};
use crate::table::EngineKind;

/// The version that a sandbox has unless told otherwise.
pub(super) const DEFAULT: Version = Version::new(4, 0, 7);

/// The newest known release of each line (release notes).
pub(super) const NEWEST: &[Version] = &[
    Version::new(3, 1, 17),
    Version::new(3, 2, 16),
    Version::new(3, 3, 22),
    Version::new(3, 4, 10),
    Version::new(3, 5, 20),
    Version::new(4, 0, 17),
];

differences! {
    StarRocks;

    /// `begin` with a used label is answered `ANALYSIS_ERROR`, with the text alone.
    duplicate_label_is_analysis_error: [patches(3, 3, 6, 13), patches(3, 4, 0, 3)],
        "FE `FrontendServiceImpl.loadTxnBegin`, mended by PR #57979";

    /// A transaction that was prepared before the frontend restarted can still be committed.
    commits_after_failover: [
        rest_of_line(3, 1, 0), rest_of_line(3, 2, 0), patches(3, 3, 0, 7), rest_of_line(3, 3, 16), patches(3, 4, 0, 0),
        rest_of_line(3, 4, 6), since(3, 5, 2),
    ], "FE `DatabaseTransactionMgr`, issue #60244, PR #60243";

    /// `get_load_state` tells why a transaction was aborted (`reason`).
    tells_abort_reason: [since(3, 5, 0)], "FE `GetStreamLoadState`";
}
