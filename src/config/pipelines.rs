//! Routes with the same topic and group become one pipeline; what can't differ inside one is checked here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reader::Item;
use super::route::Entry;
use super::{Pipeline, RejectPolicy, Start};
use crate::batch::policy;

/// Groups the routes, in file order. Problems are noted.
pub(super) fn build(entries: Vec<Entry<'_>>, prefix: &str, start: &Start) -> Vec<Pipeline> {
    warn_of_shared_groups(&entries, prefix);
    warn_of_shared_tables(&entries, prefix);
    let mut order: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    let mut pipelines: BTreeMap<(Arc<str>, Arc<str>), Vec<Entry<'_>>> = BTreeMap::new();
    for entry in entries {
        let name = (entry.topic.clone(), group(&entry, prefix));
        let routes = pipelines.entry(name.clone()).or_default();
        if routes.is_empty() {
            order.push(name);
        }
        routes.push(entry);
    }
    let build = |name| pipelines.remove(&name).map(|routes| pipeline(name, routes, start));
    order.into_iter().filter_map(build).collect()
}

fn group(entry: &Entry<'_>, prefix: &str) -> Arc<str> {
    entry.group.clone().unwrap_or_else(|| Arc::from(format!("{prefix}.{}", entry.topic)))
}

fn pipeline((topic, group): (Arc<str>, Arc<str>), entries: Vec<Entry<'_>>, start: &Start) -> Pipeline {
    let own_start = agreed("start", entries.iter().map(|entry| entry.start.as_ref()));
    let rejects = agreed("on_reject", entries.iter().map(|entry| entry.rejects.as_ref()));
    for (index, entry) in entries.iter().enumerate() {
        let earlier = entries.iter().take(index).find(|earlier| earlier.route.table == entry.route.table);
        if let Some(earlier) = earlier {
            entry.table.problem(
                format!(
                    "{} is already loaded from this topic and group, by the route in line {}",
                    entry.route.table,
                    earlier.table.line()
                ),
                "every record goes through every route, so each would be in the table twice; remove one of the two",
            );
        }
    }
    if let Some(beyond) = entries.get(policy::tables_max()) {
        beyond.table.problem(
            format!("{} routes of one topic and group; an intent has room for {}", entries.len(), policy::tables_max()),
            "give some of them another `group`: it reads the topic a second time",
        );
    }
    Pipeline {
        topic,
        group,
        start: own_start.unwrap_or_else(|| start.clone()),
        rejects: rejects.unwrap_or(RejectPolicy::Stop),
        routes: entries.into_iter().map(|entry| entry.route).collect(),
    }
}

/// The one value that the routes of a pipeline state; a route that says nothing follows the others.
fn agreed<'e, 't: 'e, T>(key: &str, said: impl Iterator<Item = Option<&'e (T, Item<'t>)>>) -> Option<T>
where
    T: Clone + PartialEq + 'e,
{
    let mut said = said.flatten();
    let (stated, place) = said.next()?;
    for (_, item) in said.filter(|(value, _)| value != stated) {
        item.problem(
            format!("differs from line {} for the same topic and group", place.line()),
            format!("routes of one topic and group are one pipeline: say `{key}` once, or give one of them a `group`"),
        );
    }
    Some(stated.clone())
}

/// One consumer group may read several topics, but then each member that comes or goes interrupts all of them.
fn warn_of_shared_groups(entries: &[Entry<'_>], prefix: &str) {
    let mut topics: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
    for entry in entries {
        let group = group(entry, prefix);
        let topic = topics.entry(group.clone()).or_insert_with(|| entry.topic.clone());
        if *topic != entry.topic {
            entry.table.warn(
                format!("the group {group} also reads {topic}: a restart for one topic interrupts the other"),
                "give each topic a group of its own; without `group` that is so",
            );
        }
    }
}

/// The same topic in two groups into one table: every record arrives twice.
fn warn_of_shared_tables(entries: &[Entry<'_>], prefix: &str) {
    for (index, entry) in entries.iter().enumerate() {
        let twice = entries.iter().take(index).find(|earlier| {
            earlier.topic == entry.topic
                && earlier.route.table == entry.route.table
                && group(earlier, prefix) != group(entry, prefix)
        });
        if let Some(earlier) = twice {
            entry.table.warn(
                format!(
                    "every record of {} reaches {} twice: line {} loads it in another group",
                    entry.topic,
                    entry.route.table,
                    earlier.table.line()
                ),
                "harmless only where the table keeps one row per key",
            );
        }
    }
}
