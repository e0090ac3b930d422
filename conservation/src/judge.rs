//! The judge: holds the tables against the topic, and believes nobody else.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Failure;
use crate::admin::Admin;
use crate::engine::{DATABASE, TABLES};
use crate::topic::{Place, Truth};

/// Rows that are asked for at once.
const PAGE: i64 = 100_000;

/// Findings that are shown one by one.
const SHOWN: usize = 5;

/// What the judge has found, all tables together.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// Rows in the tables.
    pub(crate) rows: u64,
    /// Committed records without a row.
    pub(crate) missing: u64,
    /// Rows beyond the first of a committed record.
    pub(crate) doubled: u64,
    /// Rows of aborted records.
    pub(crate) aborted: u64,
    /// Rows of no record at all, or with another record's value.
    pub(crate) strange: u64,
    /// The first findings.
    pub(crate) shown: Vec<String>,
}

impl Verdict {
    /// True if every committed record is there once, and nothing else.
    pub(crate) fn is_clean(&self) -> bool {
        !self.is_damaged() && self.rows > 0
    }

    /// True if something is missing or too much.
    pub(crate) fn is_damaged(&self) -> bool {
        self.missing + self.doubled + self.aborted + self.strange > 0
    }

    fn show(&mut self, what: impl FnOnce() -> String) {
        if self.shown.len() < SHOWN {
            self.shown.push(what());
        }
    }
}

/// A row as it stands in a table.
#[derive(Clone, Copy, Debug)]
struct Row {
    place: Place,
    id: Option<u64>,
}

/// Reads every table and counts.
pub(crate) fn judge(admin: &Admin, truth: &Truth, topic: &str, partitions: i32) -> Result<Verdict, Failure> {
    let mut verdict = Verdict::default();
    for table in TABLES {
        let mut rows = Vec::new();
        for partition in 0..partitions {
            let last = truth.committed.range((partition, 0)..(partition + 1, 0)).next_back().map_or(0, |(at, _)| at.1);
            let mut from = 0;
            while from <= last {
                rows.extend(page(admin, table, topic, partition, from)?);
                from += PAGE;
            }
        }
        count(table, truth, &rows, &mut verdict);
        // Rows of other partitions, other topics, or behind the end.
        let all = admin.sql(&format!("SELECT count(*) FROM {DATABASE}.{table}"))?;
        let all: u64 = all.first().and_then(|row| row.first()?.as_ref()?.parse().ok()).unwrap_or(0);
        let elsewhere = all.saturating_sub(rows.len() as u64);
        if elsewhere > 0 {
            verdict.strange += elsewhere;
            verdict.rows += elsewhere;
            verdict.show(|| format!("{table}: {elsewhere} rows of places that do not exist"));
        }
    }
    Ok(verdict)
}

fn page(admin: &Admin, table: &str, topic: &str, partition: i32, from: i64) -> Result<Vec<Row>, Failure> {
    let until = from + PAGE;
    let sql = format!(
        "SELECT kafka_offset, id FROM {DATABASE}.{table} WHERE kafka_topic = '{topic}' AND kafka_partition = \
         '{partition}' AND kafka_offset >= '{from}' AND kafka_offset < '{until}'"
    );
    let number = |row: &[Option<String>], column: usize| row.get(column).cloned().flatten();
    let read = |row: Vec<Option<String>>| {
        let offset = number(&row, 0).and_then(|text| text.parse().ok()).ok_or("a row without its offset")?;
        Ok(Row { place: (partition, offset), id: number(&row, 1).and_then(|text| text.parse().ok()) })
    };
    admin.sql(&sql)?.into_iter().map(read).collect()
}

fn count(table: &str, truth: &Truth, rows: &[Row], verdict: &mut Verdict) {
    let mut found: BTreeMap<Place, u64> = BTreeMap::new();
    for row in rows {
        verdict.rows += 1;
        let place = row.place;
        let seen = found.entry(place).or_default();
        *seen += 1;
        match truth.committed.get(&place) {
            Some(id) if row.id != Some(*id) => {
                verdict.strange += 1;
                verdict.show(|| format!("{table}: {place:?} has id {:?} instead of {id}", row.id));
            }
            Some(_) if *seen > 1 => {
                verdict.doubled += 1;
                verdict.show(|| format!("{table}: {place:?} is there {seen} times"));
            }
            Some(_) => {}
            None if truth.aborted.contains(&place) => {
                verdict.aborted += 1;
                verdict.show(|| format!("{table}: {place:?} was aborted"));
            }
            None => {
                verdict.strange += 1;
                verdict.show(|| format!("{table}: {place:?} was never written"));
            }
        }
    }
    for place in truth.committed.keys().filter(|place| !found.contains_key(place)) {
        verdict.missing += 1;
        verdict.show(|| format!("{table}: {place:?} is missing"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(rows: &[(i64, u64)]) -> (u64, u64, u64, u64) {
        let truth = Truth {
            committed: [(0, 10), (1, 11), (4, 14)].map(|(at, id)| ((0, at), id)).into(),
            aborted: [(0, 2), (0, 3)].into(),
        };
        let rows: Vec<Row> = rows.iter().map(|(at, id)| Row { place: (0, *at), id: Some(*id) }).collect();
        let mut verdict = Verdict::default();
        count("t", &truth, &rows, &mut verdict);
        assert_eq!(verdict.rows, rows.len() as u64);
        assert_eq!(verdict.is_clean(), verdict.shown.is_empty() && !rows.is_empty());
        (verdict.missing, verdict.doubled, verdict.aborted, verdict.strange)
    }

    #[test]
    fn each_record_once_is_clean() {
        assert_eq!(counted(&[(0, 10), (1, 11), (4, 14)]), (0, 0, 0, 0));
    }

    #[test]
    fn every_kind_of_damage_is_seen() {
        assert_eq!(counted(&[]), (3, 0, 0, 0), "nothing loaded");
        assert_eq!(counted(&[(0, 10), (4, 14)]), (1, 0, 0, 0), "one missing");
        assert_eq!(counted(&[(0, 10), (1, 11), (4, 14), (1, 11), (1, 11)]), (0, 2, 0, 0), "one three times");
        assert_eq!(counted(&[(0, 10), (1, 11), (4, 14), (2, 12)]), (0, 0, 1, 0), "an aborted one");
        assert_eq!(counted(&[(0, 10), (1, 99), (4, 14)]), (0, 0, 0, 1), "another one's value");
        assert_eq!(counted(&[(0, 10), (1, 11), (4, 14), (7, 17)]), (0, 0, 0, 1), "never written");
    }
}
