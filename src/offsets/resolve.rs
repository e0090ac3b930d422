//! An intent is decided by hand: joined, read, asked, stored, read back, left (`docs/exactly-once.md`, rule 15).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Names;
use super::decide::{Decided, Objection, Selection, decide, nothing_against};
use super::engine::{self, LoadKey, States};
use super::member::{self, Sole};
use crate::commit::metadata::METADATA_MAX_TOTAL;
use crate::commit::metadata::noted_cluster;
use crate::commit::resolve::{OpenIntent, Said, open_intents};
use crate::config;
use crate::domain::{Partition, PositionToStore, TxnState};
use crate::load::{Failure, Loader};
use crate::source::{GroupMember, Outside, PositionsRead, SourceError, SourceSpec, session_timeout};

/// Session of a member with the newer protocol, as brokers have it by default.
const BROKER_SESSION: Duration = Duration::from_secs(45);

/// Added to the session of a member that was killed: an empty group waits for others to join, too.
const BEYOND_SESSION: Duration = Duration::from_secs(15);

/// Time for joining, beyond the wait for others to leave.
const JOIN: Duration = Duration::from_secs(10);

/// Budget of a source that reads nothing.
const BUDGET_KIB: u32 = 1024;

/// Why nothing was resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Kafka does not answer, or says no.
    #[error(transparent)]
    Kafka(#[from] SourceError),
    /// No broker could be reached.
    #[error("no Kafka broker can be reached: {0}; nothing was stored")]
    Away(String),
    /// The engine does not answer, so that nothing can be decided.
    #[error("{0}; nothing was stored")]
    Engine(Failure),
    /// There is no such intent.
    #[error("{0}; nothing was stored")]
    NoSuchIntent(String),
    /// What the person says is not so.
    #[error("{0}; nothing was stored")]
    Contradicted(String),
    /// A word is missing.
    #[error("{0}; nothing was stored")]
    Unsaid(String),
    /// The intent can't be resolved with this configuration, or not at all.
    #[error("{0}; nothing was stored")]
    Impossible(String),
    /// Members are running, or their sessions have not ended.
    #[error("the group still has members: {members}; nothing was stored")]
    Members {
        /// Who they are.
        members: String,
    },
    /// Somebody else has partitions of the topic.
    #[error(
        "the group gave this command only the partitions {owned}, and not {missing}: somebody else is a member, so nothing \
         can be decided; nothing was stored"
    )]
    NotAlone {
        /// What it was given.
        owned: String,
        /// What others have.
        missing: String,
    },
    /// The membership failed.
    #[error("the membership ended: {0}; nothing was stored")]
    Membership(String),
    /// The OffsetCommit was not stored.
    #[error("Kafka did not store the positions: {0}; they are unchanged")]
    NotStored(String),
    /// Nobody can say whether the OffsetCommit was stored.
    #[error("it is not known whether all positions were stored: {0}")]
    NotKnown(String),
}

impl From<Objection> for ResolveError {
    fn from(objection: Objection) -> Self {
        match objection {
            Objection::Contradicted(what) => Self::Contradicted(what),
            Objection::Unsaid(what) => Self::Unsaid(what),
            Objection::Impossible(what) => Self::Impossible(what),
        }
    }
}

/// What was found, and what was or would be done.
#[derive(Debug)]
pub struct Resolved {
    /// The intents that are meant; empty if none is open.
    pub decided: Vec<Decided>,
    /// Other intents that stay open.
    pub others: usize,
    /// Members that a look from outside found; empty after a resolution.
    pub members: Vec<GroupMember>,
}

/// Resolves the open intents of one pipeline.
pub struct Resolver {
    names: Names,
    spec: SourceSpec,
    outside: Arc<Outside>,
    loader: Loader,
    selection: Selection,
    said: Said,
}

impl Resolver {
    /// Makes the clients; asks nothing yet.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn new(
        kafka: &config::Kafka,
        pipeline: &config::Pipeline,
        loader: Loader,
        selection: Selection,
        said: Said,
    ) -> Result<Self, ResolveError> {
        let (topic, group) = (Arc::clone(&pipeline.topic), Arc::clone(&pipeline.group));
        let outside = Arc::new(Outside::new(kafka, Arc::clone(&topic), Arc::clone(&group))?);
        let spec = SourceSpec::new(kafka.clone(), topic, group, BUDGET_KIB);
        Ok(Self { names: Names::of(pipeline), spec, outside, loader, selection, said })
    }

    /// Time in which a member that was killed is gone.
    pub fn usual_wait(&self) -> Duration {
        session_timeout(&self.spec.kafka).unwrap_or(BROKER_SESSION) + BEYOND_SESSION
    }

    /// What would be done, as it looks from outside: nothing is joined, aborted or stored.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn look(&self) -> Result<Resolved, ResolveError> {
        let read = self.look_outside(Outside::positions).await?;
        let members = self.look_outside(Outside::members).await.unwrap_or_default();
        let (intents, others) = self.select(&read)?;
        let states = self.ask(&intents).await?;
        let decided = decide(&self.names, intents, &states, &self.said);
        nothing_against(&decided)?;
        Ok(Resolved { decided, others, members })
    }

    /// Resolves, as the only member of the group. Members that are there may take `wait` to leave; `say` hears of it.
    ///
    /// # Errors
    /// What stands in the way; then nothing was stored, but for [`ResolveError::NotKnown`].
    pub async fn act(&self, wait: Duration, mut say: impl FnMut(&str)) -> Result<Resolved, ResolveError> {
        let wanted: BTreeSet<Partition> = self.look_outside(Outside::positions).await?.stored.into_keys().collect();
        let deadline = Instant::now() + wait;
        member::wait_until_empty(&self.outside, deadline, &mut say).await?;
        say("joining the group");
        let sole = Sole::join(self.spec.clone(), &wanted, deadline.max(Instant::now() + JOIN)).await?;
        let done = self.act_as(&sole, say).await;
        sole.leave().await;
        done
    }

    async fn act_as(&self, sole: &Sole, mut say: impl FnMut(&str)) -> Result<Resolved, ResolveError> {
        let read = sole.read().await?;
        let (intents, others) = self.select(&read)?;
        let mut states = self.ask(&intents).await?;
        let mut decided = decide(&self.names, intents.clone(), &states, &self.said);
        nothing_against(&decided)?;
        let unfinished: Vec<LoadKey> = decided
            .iter()
            .flat_map(|decided| decided.unfinished().map(move |tag| (decided.intent.nonce, tag)))
            .collect();
        if !unfinished.is_empty() {
            say("aborting what is still prepared");
            for key in unfinished {
                states.insert(key, self.end(&intents, key).await?);
            }
            decided = decide(&self.names, intents, &states, &self.said);
            nothing_against(&decided)?;
        }
        let positions: Vec<PositionToStore> = decided.iter().flat_map(Decided::positions).collect();
        fits(&positions)?;
        if !positions.is_empty() {
            sole.store(&positions).await?;
        }
        Ok(Resolved { decided, others, members: Vec::new() })
    }

    /// The intents that are meant, and how many others are open.
    fn select(&self, read: &PositionsRead) -> Result<(Vec<OpenIntent>, usize), ResolveError> {
        let open = open_intents(&read.stored);
        let all = open.len();
        let selected = self.selection.of(open);
        let missing = match self.selection {
            Selection::All => None,
            Selection::Nonce(nonce) => {
                Some(format!("no position of topic {} carries the intent {nonce}", self.spec.topic))
            }
            Selection::Partition(partition) => {
                Some(format!("the position of topic {} partition {partition} carries no intent", self.spec.topic))
            }
        };
        if let (true, Some(missing)) = (selected.is_empty(), missing) {
            return Err(ResolveError::NoSuchIntent(missing));
        }
        let cluster = read.cluster_id.as_deref().map(noted_cluster);
        for (partition, holder) in selected.iter().flat_map(|intent| &intent.holders) {
            if let (Some(then), Some(now)) = (&holder.metadata.cluster, &cluster)
                && then != now
            {
                return Err(ResolveError::Impossible(format!(
                    "the position of topic {} partition {partition} was stored in Kafka cluster {then}, the brokers belong \
                     to cluster {now}: its offsets mean other records here",
                    self.spec.topic
                )));
            }
            if let (Some(then), Some(now)) = (&holder.metadata.topic_id, &read.topic_id)
                && then != now
            {
                return Err(ResolveError::Impossible(format!(
                    "topic {} was deleted and created again: the position of partition {partition} belongs to topic id \
                     {then}, the topic's id is {now}",
                    self.spec.topic
                )));
            }
        }
        let others = all - selected.len();
        Ok((selected, others))
    }

    async fn ask(&self, intents: &[OpenIntent]) -> Result<BTreeMap<LoadKey, TxnState>, ResolveError> {
        let states: States = engine::ask(&self.loader, &self.names, intents).await;
        states.into_iter().map(|(key, state)| Ok((key, state.map_err(ResolveError::Engine)?))).collect()
    }

    async fn end(&self, intents: &[OpenIntent], (nonce, tag): LoadKey) -> Result<TxnState, ResolveError> {
        let intent = intents.iter().find(|intent| intent.nonce == nonce);
        let txn = intent.and_then(|intent| self.names.load(nonce, tag, intent.tables.get(&tag)?.txn));
        let unnamed = || ResolveError::Impossible(format!("the load {nonce} of table {tag} can't be named"));
        engine::end(&self.loader, &txn.ok_or_else(unnamed)?).await.map_err(ResolveError::Engine)
    }

    async fn look_outside<T: Send + 'static>(
        &self,
        ask: fn(&Outside) -> Result<T, SourceError>,
    ) -> Result<T, ResolveError> {
        let outside = Arc::clone(&self.outside);
        let asked = tokio::task::spawn_blocking(move || ask(&outside)).await;
        asked.map_err(|error| ResolveError::Membership(error.to_string()))?.map_err(ResolveError::Kafka)
    }
}

/// A broker takes so much in one OffsetCommit.
fn fits(positions: &[PositionToStore]) -> Result<(), ResolveError> {
    let total: usize = positions.iter().map(|position| position.metadata.len()).sum();
    if total <= METADATA_MAX_TOTAL {
        return Ok(());
    }
    Err(ResolveError::Impossible(format!(
        "{total} bytes are too many for one OffsetCommit; resolve one intent at a time"
    )))
}
