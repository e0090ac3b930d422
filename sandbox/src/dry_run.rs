//! What a load would make of a body, worked out without a server: headers and bytes in, rows and counts out. Pure.

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use crate::ddl;
use crate::loader::Loader;
use crate::options::{Door, LoadOptions, Op};
use crate::plan::{Plan, now_text};
use crate::table::EngineKind;
use crate::transactions::Counts;

/// A load that reaches no table. Its time is the Unix epoch.
#[derive(Debug)]
pub struct DryRun {
    loader: Loader,
    rows: Vec<DryRow>,
}

/// A row that a load would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DryRow {
    /// It deletes the row of its key.
    pub deletes: bool,
    /// The texts that the table's columns would keep, and behind them a hidden sequence; `None` is NULL.
    pub cells: Vec<Option<String>>,
}

/// What came of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DryOutcome {
    /// The rows taken, in their order.
    pub rows: Vec<DryRow>,
    /// Rows in the body.
    pub total: u64,
    /// Rows taken.
    pub loaded: u64,
    /// Rows refused.
    pub filtered: u64,
    /// Rows that header `where` passed over.
    pub unselected: u64,
    /// Bytes of the body.
    pub bytes: u64,
    /// The first of the refused rows with what is wrong with them, as the error log has them.
    pub error_log: Vec<String>,
    /// Why the load as a whole fails, if it does.
    pub failure: Option<String>,
}

impl DryRun {
    /// A `_stream_load` with these headers into the first table of a DDL.
    ///
    /// # Errors
    /// The engine's text when the DDL or a header is refused.
    pub fn new(kind: EngineKind, ddl: &str, headers: &[(&str, &str)]) -> Result<Self, String> {
        let schema = ddl::read(kind, ddl).map_err(|e| e.to_string())?;
        let table = schema.tables.into_iter().next().ok_or("the DDL declares no table")?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().map_err(|_| format!("{name} is no header"))?;
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| "a header holds a line break")?);
        }
        let door = match kind {
            EngineKind::StarRocks => Door::StreamLoad,
            EngineKind::Doris => Door::Doris,
        };
        let options = LoadOptions::read(door, &map)?;
        let plan = Plan::new(kind, Arc::new(table), &options, &now_text(&options, 0))?;
        Ok(Self { loader: Loader::new(door, &options, Some(plan)), rows: Vec::new() })
    }

    /// Reads a piece of the body.
    pub fn push(&mut self, piece: &[u8]) {
        self.loader.push(piece);
        self.take_rows(false);
    }

    /// Ends the body.
    #[must_use]
    pub fn finish(mut self) -> DryOutcome {
        self.loader.finish();
        self.take_rows(true);
        let Counts { total, loaded, filtered, unselected, bytes } = self.loader.counts();
        DryOutcome {
            rows: self.rows,
            total,
            loaded,
            filtered,
            unselected,
            bytes,
            error_log: self.loader.error_log().to_vec(),
            failure: self.loader.verdict().err(),
        }
    }

    fn take_rows(&mut self, all: bool) {
        let Some(chunk) = self.loader.take_chunk(all) else { return };
        let taken = chunk.for_each(|op, cells| {
            let cells = cells.iter().map(|cell| cell.map(str::to_owned)).collect();
            self.rows.push(DryRow { deletes: op == Op::Delete, cells });
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(()) = taken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_becomes_rows_and_counts() {
        let ddl = "CREATE TABLE d.t (id BIGINT NOT NULL, v VARCHAR(4)) UNIQUE KEY(id)";
        let headers = [("columns", "id, w, v = upper(w)"), ("column_separator", ","), ("where", "id < 9")];
        let mut run = DryRun::new(EngineKind::Doris, ddl, &headers).unwrap();
        run.push(b"1,a\n2,to");
        run.push(b"o long\n9,b\n3,\\N");
        let outcome = run.finish();
        let row =
            |id: &str, v: Option<&str>| DryRow { deletes: false, cells: vec![Some(id.into()), v.map(str::to_owned)] };
        assert_eq!(outcome.rows, [row("1", Some("A")), row("3", None)]);
        assert_eq!((outcome.total, outcome.loaded, outcome.filtered, outcome.unselected), (4, 2, 1, 1));
        assert_eq!((outcome.error_log.len(), outcome.failure.as_deref()), (1, Some("too many filtered rows")));
        let refused = DryRun::new(EngineKind::Doris, ddl, &[("columns", "id, v = nope(id)")]).unwrap_err();
        assert!(refused.contains("nope"), "{refused}");
    }
}
