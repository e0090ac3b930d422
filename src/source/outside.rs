//! A look from outside: positions, logs and members, read by somebody who does not join the group.
//!
//! What it reads is a snapshot: a member's commit can be stored the moment after. Nothing is decided on it.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::SourceError;
use super::client::consumer_config;
use super::context::Context;
use super::lookup::{Lookup, PositionsRead};
use super::worker::settings;
use crate::config::Kafka;

/// Longest wait for the list of members.
const ANSWER: Duration = Duration::from_secs(5);

/// A member as the broker lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub id: String,
    /// `client.id` of its client.
    pub client: String,
    /// Where it was connected from.
    pub host: String,
}

/// Reads one topic's positions in one group, and never joins it.
pub struct Outside {
    pub(super) lookup: Lookup,
    pub(super) consumer: BaseConsumer<Context>,
}

impl Outside {
    /// Makes the client; asks nothing yet.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn new(kafka: &Kafka, topic: Arc<str>, group: Arc<str>) -> Result<Self, SourceError> {
        let made = consumer_config(kafka, &group).create_with_context(Context::default());
        let consumer = made.map_err(|error| settings(&error))?;
        Ok(Self { lookup: Lookup { topic, group }, consumer })
    }

    /// Position and log of every partition of the topic.
    ///
    /// # Errors
    /// When a broker does not answer, or says no.
    pub fn positions(&self) -> Result<PositionsRead, SourceError> {
        let read = self.lookup.positions(&self.consumer, &[])?;
        let all: Vec<_> = read.stored.keys().copied().collect();
        Ok(PositionsRead { log: self.lookup.log(&self.consumer, &all)?, ..read })
    }

    /// Members of the group, those of its other topics and those that were killed a moment ago included. A group of the
    /// newer protocol (`group.protocol=consumer`) is listed as empty.
    ///
    /// # Errors
    /// As [`Outside::positions`].
    pub fn members(&self) -> Result<Vec<GroupMember>, SourceError> {
        let listed = self.consumer.fetch_group_list(Some(&self.lookup.group), ANSWER);
        let listed = listed.map_err(|error| self.lookup.failed("the list of members", &error))?;
        let member = |member: &rdkafka::groups::GroupMemberInfo| GroupMember {
            id: member.id().to_owned(),
            client: member.client_id().to_owned(),
            host: member.client_host().trim_start_matches('/').to_owned(),
        };
        Ok(listed.groups().iter().flat_map(|group| group.members()).map(member).collect())
    }
}
