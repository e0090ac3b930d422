//! A record becomes rows, one for each route, or rejects.
//!
//! ```text
//!   value ──► unwrap ──► decrypt ──► decode ──► parse ──► map ──► row
//!             base64     AES         charset,   validated  copied from
//!             JSON str.              delimited  one pass   the text
//! ```
//!
//! Pure code. What the engines are handed stands in the record character for character: numbers keep their digits,
//! strings their escapes. A document is validated to its end before anything of it becomes a row.

mod charset;
mod decrypt;
mod delimited;
mod document;
mod elements;
mod explain;
mod expr;
mod path;
mod project;
mod query;
mod reject;
mod row;
mod scan;
#[cfg(test)]
mod testing;
mod text;
mod trie;
mod unwrap;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use elements::check_rows;
pub use explain::{Explained, Step};
pub(crate) use expr::{Mistake, check as check_expression, check_condition};
pub use reject::{Reject, Stage};
pub use row::Surroundings;

use crate::config::Route;
use crate::domain::{Offset, Partition, Table};
use crate::record::{Chunk, Record};
use document::{Document, Reader, Scratch};
use explain::Steps;
use reject::Failure;
use row::RowPlan;

/// How rows stand in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// StarRocks: each row is `,{…}`; the load replaces the body's first byte by `[` and ends it with `]`.
    Array,
    /// Doris: each row is `{…}` and a line feed. No row holds another line feed.
    Lines,
}

/// A route that can't be compiled. A validated configuration has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table {table}: {reason}")]
pub struct CompileError {
    /// Table of the route.
    pub table: Table,
    /// What is wrong with it.
    pub reason: String,
}

/// The compiled routes of one pipeline; decode threads share it.
pub struct Decoder {
    routes: Vec<Compiled>,
    readers: Vec<Reader>,
}

struct Compiled {
    /// Which reader reads the value; routes that take it in the same form share the work.
    reader: usize,
    plan: RowPlan,
}

/// Which part of a chunk is wanted.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Records at or behind these offsets are left out, not counted as read.
    pub until: BTreeMap<Partition, Offset>,
    /// Only these routes, by index, produce rows and rejects; `None` = all.
    pub routes: Option<Vec<usize>>,
    /// At the first reject of a partition, nothing of that record and nothing behind it in that partition becomes a
    /// row or counts as read. The rejects of that one record are reported. Holds within the chunk: whoever sees a
    /// reject takes no later chunk of that partition.
    pub stop_at_reject: bool,
    /// The time that `@load_time` stands for, milliseconds since the Unix epoch.
    pub load_time_ms: i64,
}

/// What became of a chunk.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// One entry per route, in route order.
    pub rows: Vec<RouteRows>,
    /// In record order; of one record in route order.
    pub rejects: Vec<Reject>,
    /// What was read of each partition.
    pub read: BTreeMap<Partition, Read>,
}

/// Rows for one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteRows {
    /// The rows in their framing.
    pub body: Vec<u8>,
    /// Number of rows.
    pub rows: u64,
    /// Records that became no row because of the route's condition, or because there was no element to become one.
    pub filtered: u64,
}

/// What was read of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Offset of the first record; `None` if the partition was only read past control records.
    pub first: Option<Offset>,
    /// Position reached: behind the last record and what the log holds no records for.
    pub end: Offset,
    /// Number of records.
    pub records: u64,
    /// Leader epoch of the last record; -1 if it has none.
    pub leader_epoch: i32,
}

impl Decoder {
    /// Compiles the routes of a pipeline.
    ///
    /// # Errors
    /// A key of a wrong length, a path that is no JSONPath, a constant or default that is no JSON.
    pub fn new(routes: &[Route], framing: Framing) -> Result<Self, CompileError> {
        let mut decoder = Self { routes: Vec::new(), readers: Vec::new() };
        for route in routes {
            let shared = decoder.readers.iter().position(|reader| reader.reads(&route.value));
            let index = shared.unwrap_or(decoder.readers.len());
            if shared.is_none() {
                let reason = "the key has to have 16, 24 or 32 bytes";
                let error = || CompileError { table: route.table.clone(), reason: reason.into() };
                decoder.readers.push(Reader::new(&route.value).ok_or_else(error)?);
            }
            let plan = RowPlan::new(route, framing, &mut decoder.readers[index])?;
            decoder.routes.push(Compiled { reader: index, plan });
        }
        Ok(decoder)
    }

    /// Decodes one chunk. Never fails as a whole.
    pub fn decode(&self, chunk: &Chunk, scope: &Scope) -> Decoded {
        let mut work = Work {
            decoder: self,
            surroundings: Surroundings { topic: &chunk.topic, load_time_ms: scope.load_time_ms },
            wanted: self.wanted(scope),
            scratch: Scratch::default(),
            marks: Vec::new(),
            decoded: Decoded { rows: vec![RouteRows::default(); self.routes.len()], ..Decoded::default() },
        };
        let mut stopped = BTreeSet::new();
        let mut reached = chunk.reached.clone();
        for (index, record) in chunk.iter().enumerate() {
            if stopped.contains(&record.partition) {
                continue;
            }
            if let Some(&until) = scope.until.get(&record.partition).filter(|until| record.offset >= **until) {
                // Records come in order: whatever lies before `until` has been read.
                reached.insert(record.partition, until);
                continue;
            }
            if scope.stop_at_reject {
                if !work.record_or_nothing(index, &record) {
                    stopped.insert(record.partition);
                    continue;
                }
            } else {
                work.record(index, &record);
            }
            count(&mut work.decoded.read, &record);
        }
        for (partition, reached) in reached {
            if !stopped.contains(&partition) {
                let until = scope.until.get(&partition).copied().unwrap_or(Offset::MAX);
                raise(&mut work.decoded.read, partition, reached.min(until));
            }
        }
        work.decoded
    }

    /// Decodes one record for one route and keeps what each step made of it; `None` if there is no such route. It is the
    /// way that [`Decoder::decode`] goes.
    pub fn explain(&self, route: usize, record: &Record<'_>, surroundings: Surroundings<'_>) -> Option<Explained> {
        let Compiled { reader, plan } = self.routes.get(route)?;
        let (mut scratch, mut steps, mut body) = (Scratch::default(), Steps::default(), Vec::new());
        let reader = self.readers.get(*reader)?;
        let document = plan.reads_value.then(|| reader.read_watched(record, &mut scratch, &mut steps));
        let outcome = row(plan, record, surroundings, document.as_ref(), &mut body);
        let outcome = outcome.map(|rows| (rows > 0).then_some(body)).map_err(|failure| (failure.stage, failure.reason));
        Some(steps.explained(outcome))
    }

    /// For each reader the wanted routes, so that a value is read once for all of them.
    fn wanted(&self, scope: &Scope) -> Vec<Vec<usize>> {
        let mut wanted = vec![Vec::new(); self.readers.len()];
        for (index, route) in self.routes.iter().enumerate() {
            if scope.routes.as_ref().is_none_or(|routes| routes.contains(&index)) {
                wanted[route.reader].push(index);
            }
        }
        wanted
    }
}

fn count(read: &mut BTreeMap<Partition, Read>, record: &Record<'_>) {
    let none = Read { first: None, end: record.offset, records: 0, leader_epoch: -1 };
    let read = read.entry(record.partition).or_insert(none);
    read.first.get_or_insert(record.offset);
    read.end = record.offset.saturating_add(1);
    read.records += 1;
    read.leader_epoch = record.leader_epoch;
}

fn raise(read: &mut BTreeMap<Partition, Read>, partition: Partition, reached: Offset) {
    let none = Read { first: None, end: reached, records: 0, leader_epoch: -1 };
    let read = read.entry(partition).or_insert(none);
    read.end = read.end.max(reached);
}

/// One chunk being decoded.
struct Work<'a> {
    decoder: &'a Decoder,
    surroundings: Surroundings<'a>,
    /// Wanted routes by reader.
    wanted: Vec<Vec<usize>>,
    scratch: Scratch,
    /// Length of each body, its number of rows and of filtered records before the record.
    marks: Vec<(usize, u64, u64)>,
    decoded: Decoded,
}

impl Work<'_> {
    /// Decodes a record for every wanted route.
    fn record(&mut self, index: usize, record: &Record<'_>) {
        let Self { decoder, surroundings, wanted, scratch, decoded, .. } = self;
        let before = decoded.rejects.len();
        for (reader, routes) in decoder.readers.iter().zip(&*wanted) {
            let reads_value = routes.iter().any(|route| decoder.routes[*route].plan.reads_value);
            let document = reads_value.then(|| reader.read(record, scratch));
            for &route in routes {
                let plan = &decoder.routes[route].plan;
                let rows = &mut decoded.rows[route];
                match row(plan, record, *surroundings, document.as_ref(), &mut rows.body) {
                    Ok(0) => rows.filtered += 1,
                    Ok(count) => rows.rows += count,
                    Err(Failure { stage, reason }) => {
                        let Record { partition, offset, .. } = *record;
                        decoded.rejects.push(Reject { route, partition, offset, stage, reason, index });
                    }
                }
            }
        }
        if let Some(rejects) = decoded.rejects.get_mut(before..) {
            rejects.sort_by_key(|reject| reject.route);
        }
    }

    /// Decodes a record for every wanted route or, if one of them rejects it, for none. True if none did.
    fn record_or_nothing(&mut self, index: usize, record: &Record<'_>) -> bool {
        let rejects = self.decoded.rejects.len();
        self.marks.clear();
        self.marks.extend(self.decoded.rows.iter().map(|rows| (rows.body.len(), rows.rows, rows.filtered)));
        self.record(index, record);
        let sound = self.decoded.rejects.len() == rejects;
        if !sound {
            for (rows, (len, count, filtered)) in self.decoded.rows.iter_mut().zip(&self.marks) {
                rows.body.truncate(*len);
                rows.rows = *count;
                rows.filtered = *filtered;
            }
        }
        sound
    }
}

/// Appends the record's rows and counts them; none if the route leaves the record out.
fn row(
    plan: &RowPlan,
    record: &Record<'_>,
    surroundings: Surroundings<'_>,
    document: Option<&Result<Document<'_>, Failure>>,
    body: &mut Vec<u8>,
) -> Result<u64, Failure> {
    // A condition that needs no value comes first: other records of the topic may be of any form.
    if plan.leaves_out_unread(record, surroundings)? {
        return Ok(0);
    }
    match document {
        Some(Err(failure)) if plan.reads_value => Err(failure.clone()),
        Some(Ok(document)) => plan.encode(record, surroundings, Some(document), body),
        Some(Err(_)) | None => plan.encode(record, surroundings, None, body),
    }
}
