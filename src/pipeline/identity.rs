//! Which topic we read: a broker takes old offsets for a topic that was deleted and created again under the same name,
//! so its id is looked at again before positions are stored (rule 12).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::commit::{Stop, StopCode};
use crate::source::Control;

/// A look at the topic's id counts so long.
const LOOK_COUNTS_FOR: Duration = Duration::from_secs(30);

/// The topic's id as last seen, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity(Arc<Mutex<Option<Seen>>>);

#[derive(Debug)]
struct Seen {
    topic_id: Option<String>,
    at: Instant,
}

impl Identity {
    /// The positions were read and compared with this id.
    pub(super) fn seen(&self, topic_id: Option<&str>) {
        let seen = Seen { topic_id: topic_id.map(str::to_owned), at: Instant::now() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    /// True if the last look is too long ago to store positions on.
    pub(super) fn is_old(&self) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().is_some_and(|seen| seen.topic_id.is_some() && seen.at.elapsed() > LOOK_COUNTS_FOR)
    }

    /// Looks again; a stop if the topic is another one now. Without an answer nothing is known: the OffsetCommit that
    /// follows will wait for the brokers itself.
    pub(super) async fn changed(&self, source: &Control, topic: &str) -> Option<Stop> {
        let now = source.topic_id().await.ok().flatten()?;
        let then = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.topic_id.clone()?;
        if then == now {
            self.seen(Some(&now));
            return None;
        }
        let what = format!(
            "topic {topic} was deleted and created again while it was being read (its id was {then}, it is {now}); what \
             was read of the old one and is not visible yet was dropped, and no position of the new one was stored"
        );
        Some(Stop { code: StopCode::TopicChanged, what })
    }
}
