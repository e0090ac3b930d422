//! What the pipeline hears of its membership.

use tokio::sync::oneshot;

use super::{SourceError, Tenure};
use crate::domain::Partition;

/// Something that happened to the source. Events and the answers to commands leave the thread in the order in which
/// things happened.
#[derive(Debug)]
pub enum SourceEvent {
    /// These partitions are owned from now on, in addition to those already owned, and paused: read and settle their
    /// positions, then [`fill`](super::Control::fill) or [`join`](super::Control::join). Can be empty: a rebalance that
    /// brought nothing new.
    Assigned {
        /// The new ones.
        partitions: Vec<Partition>,
        /// Number of this assignment: a decision that was made after hearing of it says so to
        /// [`record`](super::Control::record).
        tenure: Tenure,
    },
    /// These partitions are leaving; no more of their records come. Until `release` is sent or dropped, or the
    /// [`release_deadline`](super::SourceSpec::release_deadline) has passed, positions can still be recorded for them.
    Revoking {
        /// The leaving ones.
        partitions: Vec<Partition>,
        /// Lets them go.
        release: oneshot::Sender<()>,
    },
    /// The membership ended without asking: nothing can be recorded for these partitions any more.
    Lost {
        /// Everything that was owned.
        partitions: Vec<Partition>,
        /// How it was noticed.
        why: String,
    },
    /// No broker can be reached. Said once, until [`SourceEvent::Back`].
    Away {
        /// librdkafka's words.
        why: String,
    },
    /// A broker can be reached again.
    Back,
    /// A person must decide.
    Failed(SourceError),
}
