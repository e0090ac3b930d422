//! Rules 10 and 11: what is looked for in the engine when its memory of labels, or the group's positions, are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;

use super::Pipeline;
use super::calls::{name, pause};
use super::report::Trouble;
use crate::commit::{Event, Tag, Ticket, Txn, labels_of};
use crate::config::{self, ColumnSource, Config};
use crate::domain::{Ranges, Table};
use crate::load::question::named;
use crate::load::{Class, Loader, Unanswered};
use crate::random::Random;

/// Ranges that are looked for in a table at once: rows of one of them are as good as rows of all.
const RANGES_MAX: usize = 200;

/// How often evidence is asked for that nobody tells, before a person is asked: minutes.
const EVIDENCE_TRIES_MAX: u32 = 60;

/// Remembered labels are asked for until somebody answers: without the engine nothing could be loaded anyway, and the
/// first position that is stored ends the question for good.
const LABELS_TRIES_MAX: u32 = u32::MAX;

/// Columns of a table that tell where a row came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    topic: String,
    partition: String,
    offset: String,
}

/// Tables of the pipeline whose rows tell where they came from, and which no other pipeline of the configuration fills
/// from the same topic: a row of a range is there only if this pipeline has loaded it.
pub(super) fn origins(pipeline: &config::Pipeline, config: &Config) -> BTreeMap<Tag, Origin> {
    let elsewhere = |table: &Table| {
        let others =
            config.pipelines.iter().filter(|other| other.topic == pipeline.topic && other.group != pipeline.group);
        others.flat_map(|other| &other.routes).any(|route| route.table == *table)
    };
    let one = |route: &config::Route| {
        let column = |wanted: fn(&ColumnSource) -> bool| {
            route.columns.iter().find(|column| wanted(&column.from)).map(|column| column.name.clone())
        };
        let origin = Origin {
            topic: column(|from| matches!(from, ColumnSource::Topic))?,
            partition: column(|from| matches!(from, ColumnSource::Partition))?,
            offset: column(|from| matches!(from, ColumnSource::Offset))?,
        };
        (!elsewhere(&route.table)).then(|| (Tag::of_table(&route.table), origin))
    };
    pipeline.routes.iter().filter_map(one).collect()
}

/// How many rows of these ranges the table has. A topic's name needs no quoting: letters, digits, `.`, `_`, `-`.
fn count_rows(table: &Table, origin: &Origin, topic: &str, ranges: &Ranges) -> String {
    let [in_topic, partition, offset] = [&origin.topic, &origin.partition, &origin.offset].map(|column| named(column));
    let mut places = String::new();
    for (number, range) in ranges.iter().take(RANGES_MAX) {
        let or = if places.is_empty() { "" } else { " OR " };
        // Writing to a string can't fail.
        let _ =
            write!(places, "{or}({partition} = {number} AND {offset} >= {} AND {offset} < {})", range.start, range.end);
    }
    let (database, name) = (named(&table.database), named(&table.name));
    format!("SELECT count(*) FROM {database}.{name} WHERE {in_topic} = '{topic}' AND ({places})")
}

impl Pipeline {
    /// A finished entry in the load history, or rows of the range in the table.
    pub(super) fn look_for_evidence(&mut self, ticket: Ticket, table: Tag, txn: Txn, ranges: &Ranges) {
        let loader = self.loader.clone();
        let trouble = self.reporter.trouble("traces of a forgotten load can't be looked for");
        let sql = self.origins.get(&table).map(|origin| count_rows(&txn.table, origin, &self.topic, ranges));
        let label = txn.label.clone();
        let topic = Arc::clone(&self.topic);
        self.call(async move {
            let txn = name(txn);
            let (in_history, history) = match asked(loader.random(), &trouble, EVIDENCE_TRIES_MAX, || loader.history_has(&txn)).await {
                Ok(true) => (true, "the load history says that it is finished".to_owned()),
                Ok(false) => (false, "no load history has it".to_owned()),
                Err(why) => (false, format!("the load history could not be asked ({why})")),
            };
            let (in_table, rows) = match sql {
                _ if in_history => (false, String::new()),
                None => (false, "; topic, partition and offset are not all columns of the table".to_owned()),
                Some(sql) => rows_found(&loader, &trouble, &sql).await,
            };
            let (committed, looked) = (in_history || in_table, format!("{history}{rows}"));
            if committed {
                tracing::warn!(%topic, %label, "the engine has forgotten an interrupted load, which was committed: {looked}");
            }
            Some(Event::Evidence { ticket, table, committed, looked })
        });
    }

    pub(super) fn look_for_labels(&mut self, ticket: Ticket) {
        let (loader, pattern) = (self.loader.clone(), labels_of(self.protocol.pipeline()));
        let trouble = self.reporter.trouble("remembered loads can't be looked for");
        let databases: BTreeSet<_> = self.tables.iter().map(|table| table.database.clone()).collect();
        let topic = Arc::clone(&self.topic);
        self.call(async move {
            for database in databases {
                match asked(loader.random(), &trouble, LABELS_TRIES_MAX, || loader.label_like(&database, &pattern)).await {
                    Ok(None) => {}
                    remembered @ Ok(Some(_)) => {
                        return Some(Event::Labels { ticket, remembered: remembered.ok().flatten() });
                    }
                    Err(why) => tracing::warn!(
                        %topic,
                        %database,
                        "the group has no position, and the engine could not be asked whether it remembers loads of this \
                         pipeline ({why}); taken for a new pipeline"
                    ),
                }
            }
            Some(Event::Labels { ticket, remembered: None })
        });
    }
}

async fn rows_found(loader: &Loader, trouble: &Trouble, sql: &str) -> (bool, String) {
    match asked(loader.random(), trouble, EVIDENCE_TRIES_MAX, || loader.query(sql)).await {
        Ok(listed) => match listed.first() {
            Some("0") => (false, "; the table has no row of the range".to_owned()),
            Some(count) if count.parse::<u64>().is_ok() => (true, format!("; the table has {count} rows of the range")),
            Some(_) | None => (false, "; the table's rows could not be counted (the answer has no number)".to_owned()),
        },
        Err(why) => (false, format!("; the table's rows could not be counted ({why})")),
    }
}

/// Asks until somebody answers, at most so often; a refusal is an answer.
async fn asked<T, F>(random: &Random, trouble: &Trouble, tries_max: u32, question: impl Fn() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, Unanswered>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        match question().await {
            Ok(answer) => {
                trouble.over();
                return Ok(answer);
            }
            Err(unanswered) if !unanswered.passing || tries >= tries_max => return Err(unanswered.what),
            Err(unanswered) => trouble.say(&unanswered.what),
        }
        pause(random, Class::Away, tries).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Range;

    /// Tables of the first pipeline that tell where rows came from.
    fn tables(routes: &str) -> Vec<String> {
        let text = format!(
            "[kafka]\nbrokers = \"b:1\"\nstart = \"earliest\"\n[engine]\nkind = \"starrocks\"\nfrontends = [\"http://fe:1\"]\n\
             database = \"d\"\nuser = \"root\"\npassword = \"\"\n{routes}"
        );
        let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let (config, _) = Config::load(file.path()).expect("a configuration");
        let pipeline = config.pipelines.first().expect("a pipeline");
        let known = origins(pipeline, &config);
        let tables = pipeline.routes.iter().map(|route| &route.table);
        tables.filter(|table| known.contains_key(&Tag::of_table(table))).map(ToString::to_string).collect()
    }

    fn route(topic: &str, group: &str, table: &str, from: &[&str]) -> String {
        let columns: Vec<_> = from.iter().map(|from| format!("{{ name = \"k_{from}\", from = \"{from}\" }}")).collect();
        format!(
            "[[topic2table]]\ntopic = \"{topic}\"\ngroup = \"{group}\"\ntable = \"{table}\"\ncolumns = [{{ name = \"id\", \
             path = \"$.id\" }}, {}]\n",
            columns.join(", ")
        )
    }

    #[test]
    fn rows_tell_where_they_came_from_only_with_all_three_columns_and_one_source() {
        const ALL: &[&str] = &["topic", "partition", "offset"];
        assert_eq!(tables(&route("t", "g", "a", ALL)), ["d.a"]);
        assert_eq!(tables(&route("t", "g", "a", &["partition", "offset"])), [""; 0]);
        let (own, other) = (route("t", "g", "a", ALL) + &route("t", "g", "b", ALL), route("t", "h", "a", &["offset"]));
        assert_eq!(tables(&(own + &other)), ["d.b"], "another group loads the topic into a");
        assert_eq!(tables(&(route("t", "g", "a", ALL) + &route("u", "g2", "a", ALL))), ["d.a"], "another topic does");
    }

    #[test]
    fn rows_are_counted_in_the_ranges_of_the_topic() {
        let origin = Origin { topic: "tp".into(), partition: "p".into(), offset: "o`".into() };
        let table = Table { database: "d".into(), name: "t".into() };
        let ranges = Ranges::from([(0, Range { start: 5, end: 9 }), (3, Range { start: 0, end: 2 })]);
        assert_eq!(
            count_rows(&table, &origin, "a.b", &ranges),
            "SELECT count(*) FROM `d`.`t` WHERE `tp` = 'a.b' AND ((`p` = 0 AND `o``` >= 5 AND `o``` < 9) OR (`p` = 3 AND \
             `o``` >= 0 AND `o``` < 2))"
        );
    }
}
