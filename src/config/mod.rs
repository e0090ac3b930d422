//! Configuration: what a validated file means. [`Config`] holds only values that make sense together; reading,
//! checking and the error texts live beside it.

mod batch;
mod columns;
mod decrypt;
mod digest;
mod engine;
mod headers;
mod kafka;
mod load;
mod mask;
mod origin;
mod pipelines;
mod problem;
mod properties;
mod reader;
mod route;
mod secret;
mod select;
mod start;
mod units;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use decrypt::{Cipher, Decrypt, Keys};
pub(crate) use problem::counted;
pub use problem::{Excerpt, Problem, Problems, Severity, Warning};
pub use reader::Environment;
pub(crate) use reader::nearest;
pub use secret::Secret;
pub use select::UnknownTopic;
pub use units::{show_duration, show_size};
pub use value::{Charset, Delimited, Encoding, Format, Framing, ValueForm};

use crate::domain::{Delivery, Offset, Partition, Table};

/// A whole validated configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Connection to Kafka.
    pub kafka: Kafka,
    /// Connection to the engine.
    pub engine: Engine,
    /// When a batch is sealed.
    pub batch: Batch,
    /// Deadlines of the process itself.
    pub run: Run,
    /// One pipeline per (topic, group), in file order of their first route.
    pub pipelines: Vec<Pipeline>,
}

/// `[kafka]`.
#[derive(Clone)]
pub struct Kafka {
    /// Bootstrap brokers, `host:port`, comma separated.
    pub brokers: String,
    /// librdkafka properties exactly as the user gave them; none that the loader must own (checked).
    pub properties: BTreeMap<String, String>,
}

/// Some properties are passwords, so only the names are shown.
impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.keys().collect();
        f.debug_struct("Kafka").field("brokers", &self.brokers).field("properties", &names).finish()
    }
}

/// Where a pipeline starts when its group has no position yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Only at a committed position; none is an error.
    Committed,
    /// First record of the log.
    Earliest,
    /// End of the log at the time of the first start.
    Latest,
    /// First record at or after this time, milliseconds since the Unix epoch.
    Timestamp(i64),
    /// These offsets; every partition of the topic has to be named.
    Offsets(BTreeMap<Partition, Offset>),
}

/// `[engine]`.
#[derive(Clone, Debug)]
pub struct Engine {
    /// StarRocks or Doris.
    pub kind: EngineKind,
    /// Base addresses of the frontends, `http://host:8030`, without a path.
    pub frontends: Vec<http::Uri>,
    /// Hosts, domain suffixes (`.example.com`) and CIDR blocks that may be sent the credentials after a redirect.
    /// Empty: the target of a redirect from a configured frontend is trusted.
    pub backends: Vec<String>,
    /// Backend `host:port` as the frontend names it → `host:port` as it is reached from here.
    pub rewrite: BTreeMap<String, String>,
    /// Follow a redirect from an https frontend to a plain http backend.
    pub allow_plain_redirect: bool,
    /// File of additional root certificates, PEM.
    pub ca_file: Option<PathBuf>,
    /// User of all calls.
    pub user: String,
    /// Password of that user.
    pub password: Secret,
    /// Deadlines towards the engine.
    pub timeouts: Timeouts,
}

/// Which engine is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// StarRocks, transaction interface.
    StarRocks,
    /// Apache Doris, Stream Load with two-phase commit.
    Doris,
}

/// `[engine.timeouts]`.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// TCP and TLS set-up (default 5 s).
    pub connect: Duration,
    /// Any call without a body, from request to last byte of the answer (default 30 s).
    pub call: Duration,
    /// Wait for `100 Continue` or a refusal before the body is sent anyway (default 30 s).
    pub continue_: Duration,
    /// No progress while a body is sent (default 60 s).
    pub stall: Duration,
    /// Prepare, and the end of a load (the engine flushes; default 600 s).
    pub prepare: Duration,
    /// Life of an unprepared transaction, given to the engine (default 600 s).
    pub transaction: Duration,
    /// Life of a prepared transaction, given to StarRocks 3.5.4+ (default 86400 s).
    pub prepared: Duration,
}

/// `[batch]`.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Rows after which a batch is sealed.
    pub rows: u64,
    /// Encoded bytes after which a batch is sealed.
    pub bytes: u64,
    /// Age after which a batch is sealed, counted from its first record.
    pub age: Duration,
    /// Bytes of records in memory, all pipelines of the process together.
    pub memory: u64,
}

/// `[run]`.
#[derive(Clone, Debug)]
pub struct Run {
    /// Time for finishing the open work after SIGTERM or Ctrl-C (default 30 s).
    pub drain: Duration,
    /// Decode threads; 0 = one per core. Each pipeline has at most twice as many chunks in decoding.
    pub decode_threads: usize,
}

/// One topic in one consumer group, with all tables that its routes feed.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Topic.
    pub topic: Arc<str>,
    /// Consumer group.
    pub group: Arc<str>,
    /// Where to start without a position.
    pub start: Start,
    /// What happens to records that can't become rows.
    pub rejects: RejectPolicy,
    /// The routes, in file order. A record goes through every route.
    pub routes: Vec<Route>,
}

/// One `[[topic2table]]` entry.
#[derive(Clone, Debug)]
pub struct Route {
    /// Table that the route loads into. Two routes of a pipeline never share a table (checked).
    pub table: Table,
    /// How the value becomes a document.
    pub value: ValueForm,
    /// Columns in load order; names are unique.
    pub columns: Vec<Column>,
    /// Condition under which a record becomes a row (`docs/expressions.md`, checked: it compiles); `None`: all do.
    pub filter: Option<String>,
    /// `$.items[*]`: each element of that array becomes a row, and `$` means it (checked); `None`: the record becomes one.
    pub rows: Option<String>,
    /// What is promised for the table.
    pub delivery: Delivery,
    /// Engine headers of the load (`strict_mode`, `max_filter_ratio`, `timezone`, …), lower-case names.
    pub load_headers: BTreeMap<String, String>,
    /// Digest of everything that decides which rows come out of a record: 16 hex digits.
    pub digest: String,
}

/// One column of a route.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name of the table's column.
    pub name: String,
    /// Where the value comes from.
    pub from: ColumnSource,
    /// JSON text that stands in for a missing path (default `null`). An explicit JSON `null` stays null.
    pub default: Option<String>,
    /// What the value is made into.
    pub kind: ColumnKind,
}

/// Where a column's value comes from.
#[derive(Clone, Debug)]
pub enum ColumnSource {
    /// RFC 9535 JSONPath into the value, as written by the user (checked: it parses).
    Path(String),
    /// The same JSON text for each row.
    Constant(String),
    /// Topic of the record.
    Topic,
    /// Partition of the record.
    Partition,
    /// Offset of the record.
    Offset,
    /// Timestamp of the record, milliseconds since the Unix epoch; null if it has none.
    Timestamp,
    /// Key of the record as text; null if it has none; not UTF-8 is a reject.
    Key,
    /// Last header of that name as text; null if there is none; not UTF-8 is a reject.
    Header(String),
    /// An expression (`docs/expressions.md`), as written by the user (checked: it compiles).
    Expression(String),
}

/// What a column's JSON value is made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Handed on digit for digit, character for character.
    AsIs,
    /// A JSON string: numbers and booleans as their text, objects and arrays as their JSON text. Null stays null.
    Text,
}

/// What happens to records that can't become rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RejectPolicy {
    /// Load what is before the record, then stop with a code.
    Stop,
    /// Drop and count, as long as not more than `most` of the last `of` records of this process are rejects.
    Skip {
        /// Rejects allowed …
        most: u64,
        /// … among this many records.
        of: u64,
    },
    /// Write the record to a topic and go on.
    DeadLetterTopic(String),
    /// Append the record to a file, one JSON object per line, and go on.
    DeadLetterFile(PathBuf),
}
