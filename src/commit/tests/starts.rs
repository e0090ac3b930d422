//! First positions, and positions that can't be gone on from.

use super::*;
use crate::commit::metadata::{Origin, OriginStart};

/// Metadata of a pipeline that began at the first record of so many partitions.
pub(super) fn origin(partitions: u32) -> Metadata {
    Metadata { origin: Some(Origin { start: OriginStart::Earliest, partitions }), ..plain() }
}
