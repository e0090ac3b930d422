//! What this process owns, and whether it may commit: the only guard there is. A broker checks member and generation,
//! never ownership (`docs/exactly-once.md`, rule 2).

use std::collections::BTreeMap;

use crate::domain::Partition;

/// Who we are in the group, as librdkafka knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Member id; empty when the group has expelled us.
    pub member: String,
    /// Generation, or epoch of the newer protocol; below 1 without a membership.
    pub generation: i32,
}

/// Number of an assignment; rises with each, also from one membership to the next. Each owned partition has the number
/// of the assignment that brought it, so a partition that left and came back has another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenure(u64);

/// Partitions of one commit with the tenures under which it was sent.
pub type Tenures = BTreeMap<Partition, Tenure>;

/// The membership as the callbacks have told it.
#[derive(Debug, Default)]
pub struct Membership {
    owned: BTreeMap<Partition, Tenure>,
    tenures: u64,
    /// `None` before the first assignment: a consumer that never joined commits with generation -1, and an empty group
    /// takes that.
    identity: Option<Identity>,
    gone: Option<String>,
}

impl Membership {
    /// The group gave us these. Returns what we owned under another member id, which is lost.
    pub fn assigned(&mut self, partitions: &[Partition], now: Option<Identity>) -> Vec<Partition> {
        let same = match (&self.identity, &now) {
            (Some(before), Some(now)) => before.member == now.member,
            (None, _) | (_, None) => false,
        };
        let lost = if same { Vec::new() } else { self.take_all() };
        self.gone = None;
        self.identity = now;
        self.tenures += 1;
        for partition in partitions {
            self.owned.insert(*partition, self.tenure());
        }
        lost
    }

    /// Number of the last assignment.
    pub fn tenure(&self) -> Tenure {
        Tenure(self.tenures)
    }

    /// A new membership that goes on counting.
    pub fn renewed(&self) -> Self {
        Self { tenures: self.tenures, ..Self::default() }
    }

    /// These are no longer ours.
    pub fn released(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.owned.remove(partition);
        }
    }

    /// Nothing is ours any more; returns what was.
    pub fn take_all(&mut self) -> Vec<Partition> {
        std::mem::take(&mut self.owned).into_keys().collect()
    }

    /// Nothing may be committed until the next assignment.
    pub fn mark_gone(&mut self, why: String) {
        self.gone.get_or_insert(why);
    }

    /// True if `partition` is ours.
    pub fn owns(&self, partition: Partition) -> bool {
        self.owned.contains_key(&partition)
    }

    /// The tenures of `partitions`; `None` if one of them is not ours.
    pub fn tenures(&self, partitions: impl Iterator<Item = Partition>) -> Option<Tenures> {
        partitions.map(|partition| self.owned.get(&partition).map(|tenure| (partition, *tenure))).collect()
    }

    /// Those that have been ours without interruption since `tenures` was taken.
    pub fn still(&self, tenures: &Tenures) -> Vec<Partition> {
        let unbroken = |(partition, tenure): (&Partition, &Tenure)| {
            (self.owned.get(partition) == Some(tenure)).then_some(*partition)
        };
        tenures.iter().filter_map(unbroken).collect()
    }

    /// Asks whether the membership holds: `now` is read from the client, `lost` is its `assignment_lost`. The
    /// generation may rise without a callback; it never falls, and the member id never changes.
    ///
    /// # Errors
    /// Why the membership is gone.
    pub fn check(&mut self, now: Option<Identity>, lost: bool) -> Result<i32, String> {
        if let Some(why) = &self.gone {
            return Err(why.clone());
        }
        if lost {
            return Err("the assignment is lost (session timed out or the group expelled this member)".to_owned());
        }
        let Some(known) = &mut self.identity else {
            return Err("nothing has been assigned yet".to_owned());
        };
        let Some(now) = now else {
            return Err("the client has no membership".to_owned());
        };
        if now.member != known.member {
            return Err(format!("the member id changed from `{}` to `{}`", known.member, now.member));
        }
        if now.generation < known.generation.max(1) {
            return Err(format!("the generation fell from {} to {}", known.generation, now.generation));
        }
        known.generation = now.generation;
        Ok(now.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(member: &str, generation: i32) -> Option<Identity> {
        Some(Identity { member: member.to_owned(), generation })
    }

    fn assigned(partitions: &[Partition]) -> Membership {
        let mut membership = Membership::default();
        assert!(membership.assigned(partitions, identity("a", 1)).is_empty());
        membership
    }

    #[test]
    fn nothing_is_committed_before_the_first_assignment() {
        let mut membership = Membership::default();
        assert!(membership.check(identity("", -1), false).is_err());
        assert!(membership.check(identity("a", 1), false).is_err());
    }

    #[test]
    fn the_generation_may_rise_but_never_fall() {
        let mut membership = assigned(&[0]);
        assert_eq!(membership.check(identity("a", 1), false), Ok(1));
        assert_eq!(membership.check(identity("a", 4), false), Ok(4));
        assert!(membership.check(identity("a", 3), false).is_err());
        assert!(membership.check(identity("a", -1), false).is_err());
    }

    #[test]
    fn another_member_id_a_lost_assignment_or_a_refusal_end_it() {
        let mut membership = assigned(&[0]);
        assert!(membership.check(identity("b", 2), false).is_err());
        assert!(membership.check(identity("", 1), false).is_err());
        assert!(membership.check(identity("a", 1), true).is_err());
        assert!(membership.check(None, false).is_err());
        membership.mark_gone("expelled".into());
        membership.mark_gone("later".into());
        assert_eq!(membership.check(identity("a", 1), false), Err("expelled".into()));
        membership.assigned(&[0], identity("c", 9));
        assert_eq!(membership.check(identity("c", 9), false), Ok(9));
    }

    #[test]
    fn a_partition_that_left_and_came_back_has_another_tenure() {
        let mut membership = assigned(&[0, 1]);
        let tenures = membership.tenures([0, 1].into_iter()).expect("both owned");
        membership.released(&[0]);
        assert_eq!(membership.still(&tenures), [1]);
        membership.assigned(&[0], identity("a", 2));
        assert_eq!(membership.still(&tenures), [1]);
        assert!(membership.owns(0));
    }

    #[test]
    fn a_commit_with_a_foreign_partition_is_none_at_all() {
        let membership = assigned(&[0, 1]);
        assert!(membership.tenures([0, 2].into_iter()).is_none());
    }

    #[test]
    fn what_was_owned_under_another_id_is_lost() {
        let mut membership = assigned(&[0, 1]);
        assert_eq!(membership.assigned(&[2], identity("b", 5)), [0, 1]);
        assert!(membership.owns(2) && !membership.owns(0));
    }
}
