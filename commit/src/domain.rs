//! The nouns that every stage shares. Plain values: no Kafka, no HTTP, no runtime.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Number of a partition within its topic.
pub type Partition = i32;

/// Place of a record in its partition. As a *position*: the next offset to read.
pub type Offset = i64;

/// Half-open range of offsets; `end` is the next position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// First offset of the range.
    pub start: Offset,
    /// First offset behind the range.
    pub end: Offset,
}

impl Range {
    /// True if no offset lies in the range.
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// One range for each partition of a batch.
pub type Ranges = BTreeMap<Partition, Range>;

/// 128 random bits, new for every attempt to load a batch (`docs/exactly-once.md`, rule 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub u128);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({self})")
    }
}

impl FromStr for Nonce {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(());
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| ())
    }
}

/// Name of a table, with its database: what a route loads into.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table {
    /// Database of the table.
    pub database: Arc<str>,
    /// Name of the table within its database.
    pub name: Arc<str>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.name)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({self})")
    }
}

/// The client's name of a load transaction: `[-_A-Za-z0-9]{1,128}`, legal in both engines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(pub Arc<str>);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The engine's number of a load transaction. Doris in cloud mode uses all 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnId(pub i64);

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A stored position as it was read: offset, and the text beside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    /// Next offset to read.
    pub offset: Offset,
    /// Text beside the offset (`commit::metadata`).
    pub metadata: String,
}

/// One partition of an OffsetCommit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PositionToStore {
    /// Partition.
    pub partition: Partition,
    /// Next offset to read.
    pub offset: Offset,
    /// Text beside the offset.
    pub metadata: String,
}

/// What an OffsetCommit was answered. The read-back decides; the answer only says whether to look for more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RecordAnswer {
    /// A clean ok.
    Stored,
    /// A refusal that comes with every passing rebalance and means only that.
    Passing(String),
    /// The membership is gone; or it was found gone before anything was sent.
    Gone(String),
    /// Refused for good: authorization, size.
    Refused(String),
    /// Neither stored nor refused for sure.
    Unclear(String),
    /// Not sent: the guard found a partition that is not owned, or no membership.
    NotOwned,
}

/// What a route promises for its table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Loads in two phases: each record is visible exactly once.
    #[default]
    ExactlyOnce,
    /// Loads that are visible at once, for tables that refuse two phases: nothing is lost, but whatever is interrupted
    /// between its load and its stored position is loaded twice.
    AtLeastOnce,
}

/// State of a load transaction as the engine tells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TxnState {
    /// The engine knows no such label: never there, or forgotten.
    Unknown,
    /// Open, not prepared (PREPARE).
    Loading,
    /// Durable and invisible (PREPARED; Doris PRECOMMITTED).
    Prepared,
    /// Will be visible: a final word.
    Committed,
    /// Visible: a final word.
    Visible,
    /// Never visible: a final word.
    Aborted {
        /// The engine's reason, if it gives one.
        reason: Option<String>,
    },
}
