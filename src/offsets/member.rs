//! The only member: joins the group as any member does, and has every partition of the topic or gives up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::ResolveError;
use crate::domain::{Partition, PositionToStore, RecordAnswer};
use crate::source::{Closed, Outside, PositionsRead, Recorded, Source, SourceEvent, SourceSpec, Tenure};

/// Time for leaving the group.
const LEAVE: Duration = Duration::from_secs(10);

/// Pause between two looks at the members.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Share of a budget that is never used: nothing is read.
const BUDGET_KIB: u32 = 1024;

/// Pause before an OffsetCommit is sent again, and how often it is sent.
const SEND_AGAIN: Duration = Duration::from_millis(500);
const SENDS: usize = 5;

/// A membership that has every partition.
pub(super) struct Sole {
    source: Source,
    owned: BTreeSet<Partition>,
    tenure: Tenure,
    /// Why no broker could be reached, while it is so.
    away: Option<String>,
}

/// Waits until the group lists no member, so that a running one is not disturbed by our joining. A member that was
/// killed is listed until its session ends. What can't be listed is left to the join itself, which alone proves it.
pub(super) async fn wait_until_empty(
    outside: &Arc<Outside>,
    deadline: Instant,
    mut say: impl FnMut(&str),
) -> Result<(), ResolveError> {
    let mut said = false;
    loop {
        let look = Arc::clone(outside);
        let members = tokio::task::spawn_blocking(move || look.members()).await;
        let members = members.ok().and_then(Result::ok).unwrap_or_default();
        if members.is_empty() {
            return Ok(());
        }
        let list: Vec<_> = members.iter().map(|member| format!("{} at {}", member.id, member.host)).collect();
        if Instant::now() >= deadline {
            return Err(ResolveError::Members { members: list.join(", ") });
        }
        if !said {
            let seconds = deadline.saturating_duration_since(Instant::now()).as_secs();
            say(&format!("waiting up to {seconds} s for the group's members to leave: {}", list.join(", ")));
            said = true;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

impl Sole {
    /// Joins, and waits until every one of `wanted` is assigned.
    pub(super) async fn join(
        mut spec: SourceSpec,
        wanted: &BTreeSet<Partition>,
        deadline: Instant,
    ) -> Result<Self, ResolveError> {
        // A static member of that name may be running: joining under its name would throw it out.
        spec.kafka.properties.remove("group.instance.id");
        let source = Source::start(spec, Arc::new(Semaphore::new(BUDGET_KIB as usize)))?;
        let mut sole = Self { source, owned: BTreeSet::new(), tenure: Tenure::default(), away: None };
        match sole.until_assigned(wanted, deadline).await {
            Ok(()) => Ok(sole),
            Err(error) => {
                sole.leave().await;
                Err(error)
            }
        }
    }

    async fn until_assigned(&mut self, wanted: &BTreeSet<Partition>, deadline: Instant) -> Result<(), ResolveError> {
        while !wanted.is_subset(&self.owned) {
            match tokio::time::timeout_at(deadline.into(), self.source.events.recv()).await {
                Ok(Some(event)) => self.hear(event)?,
                Ok(None) => return Err(ResolveError::Membership("the consumer thread ended".to_owned())),
                Err(_) => return Err(self.not_all(wanted)),
            }
        }
        Ok(())
    }

    fn hear(&mut self, event: SourceEvent) -> Result<(), ResolveError> {
        match event {
            SourceEvent::Assigned { partitions, tenure } => {
                self.owned.extend(partitions);
                self.tenure = tenure;
            }
            // Dropping the release lets them go.
            SourceEvent::Revoking { partitions, .. } | SourceEvent::Lost { partitions, .. } => {
                self.owned.retain(|partition| !partitions.contains(partition));
            }
            SourceEvent::Away { why } => self.away = Some(why),
            SourceEvent::Back => self.away = None,
            SourceEvent::Failed(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn not_all(&self, wanted: &BTreeSet<Partition>) -> ResolveError {
        if let Some(why) = &self.away {
            return ResolveError::Away(why.clone());
        }
        let text =
            |partitions: Vec<String>| if partitions.is_empty() { "none".to_owned() } else { partitions.join(" ") };
        ResolveError::NotAlone {
            missing: text(wanted.difference(&self.owned).map(ToString::to_string).collect()),
            owned: text(self.owned.iter().map(ToString::to_string).collect()),
        }
    }

    /// Positions and logs, read after the assignment.
    pub(super) async fn read(&self) -> Result<PositionsRead, ResolveError> {
        let read = self.source.control.read_positions(self.owned.iter().copied().collect()).await?;
        let all: BTreeSet<_> = read.stored.keys().copied().collect();
        if all.is_subset(&self.owned) { Ok(read) } else { Err(self.not_all(&all)) }
    }

    /// Stores these positions in one OffsetCommit under our own generation. The read-back decides.
    pub(super) async fn store(&self, positions: &[PositionToStore]) -> Result<(), ResolveError> {
        let mut sends = 1;
        loop {
            let recorded = self.source.control.record(positions.to_vec(), self.tenure).await;
            match judge(positions, &recorded) {
                // A copy that arrives later says the same, and is refused once we have left.
                Judgement::Stored => return Ok(()),
                Judgement::NotStored(_) if sends < SENDS => sends += 1,
                Judgement::NotStored(why) | Judgement::Refused(why) => return Err(ResolveError::NotStored(why)),
                Judgement::NotKnown(why) => return Err(ResolveError::NotKnown(why)),
            }
            tokio::time::sleep(SEND_AGAIN).await;
        }
    }

    pub(super) async fn leave(self) -> Closed {
        self.source.control.close(LEAVE).await
    }
}

/// What the read-back says of an OffsetCommit.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Stored,
    /// Nothing is stored; it can be sent again.
    NotStored(String),
    /// Nothing is stored, and it will not be.
    Refused(String),
    /// Half of it is stored, or a copy may still arrive.
    NotKnown(String),
}

fn judge(positions: &[PositionToStore], recorded: &Recorded) -> Judgement {
    let carries = |sent: &&PositionToStore| {
        let found = recorded.read.get(&sent.partition).and_then(Option::as_ref);
        found.is_some_and(|found| found.offset == sent.offset && found.metadata == sent.metadata)
    };
    let carrying = positions.iter().filter(carries).count();
    let all_read = positions.iter().all(|sent| recorded.read.contains_key(&sent.partition));
    if carrying == positions.len() {
        return Judgement::Stored;
    }
    let nothing = carrying == 0 && all_read && !recorded.doubtful;
    match &recorded.answer {
        RecordAnswer::NotOwned => Judgement::Refused("a partition has left this command meanwhile".to_owned()),
        RecordAnswer::Refused(why) if nothing => Judgement::Refused(why.clone()),
        RecordAnswer::Stored if nothing => Judgement::NotStored("another text is read back than was stored".to_owned()),
        RecordAnswer::Passing(why) | RecordAnswer::Unclear(why) if nothing => Judgement::NotStored(why.clone()),
        RecordAnswer::Stored => Judgement::NotKnown("only a part of it is read back".to_owned()),
        RecordAnswer::Passing(why)
        | RecordAnswer::Unclear(why)
        | RecordAnswer::Gone(why)
        | RecordAnswer::Refused(why) => Judgement::NotKnown(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::Stored;

    fn position(partition: Partition) -> PositionToStore {
        PositionToStore { partition, offset: 5, metadata: "m".to_owned() }
    }

    fn recorded(answer: RecordAnswer, read: &[(Partition, i64)], doubtful: bool) -> Recorded {
        let stored = |offset| Some(Stored { offset, metadata: "m".to_owned() });
        let read: BTreeMap<_, _> = read.iter().map(|(partition, offset)| (*partition, stored(*offset))).collect();
        Recorded { answer, read, doubtful }
    }

    #[test]
    fn only_the_read_back_says_that_it_is_stored() {
        let sent = [position(0), position(1)];
        let why = || "w".to_owned();
        let not_known = |judgement| matches!(judgement, Judgement::NotKnown(_));
        for answer in [RecordAnswer::Stored, RecordAnswer::Unclear(why()), RecordAnswer::Gone(why())] {
            for doubtful in [false, true] {
                let all = recorded(answer.clone(), &[(0, 5), (1, 5)], doubtful);
                assert_eq!(judge(&sent, &all), Judgement::Stored, "whatever was answered");
                assert!(not_known(judge(&sent, &recorded(answer.clone(), &[(0, 5), (1, 4)], doubtful))), "half");
                assert!(not_known(judge(&sent, &recorded(answer.clone(), &[(0, 5)], doubtful))), "half, and gone");
                let none = judge(&sent, &recorded(answer.clone(), &[(0, 4), (1, 4)], doubtful));
                let certain = !doubtful && !matches!(answer, RecordAnswer::Gone(_));
                assert_eq!(matches!(none, Judgement::NotStored(_)), certain, "{answer:?} {doubtful}");
            }
        }
        let refused = recorded(RecordAnswer::Refused(why()), &[(0, 4), (1, 4)], false);
        assert_eq!(judge(&sent, &refused), Judgement::Refused(why()));
        assert!(not_known(judge(&sent, &recorded(RecordAnswer::Refused(why()), &[(0, 4)], false))));
        let not_owned = recorded(RecordAnswer::NotOwned, &[], false);
        assert!(matches!(judge(&sent, &not_owned), Judgement::Refused(_)), "nothing was sent");
    }
}
