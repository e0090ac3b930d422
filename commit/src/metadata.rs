//! The text beside a stored position: the coordinator's log of the protocol.
//!
//! One line of printable ASCII, fields separated by a space, `LL1` in front:
//!
//! ```text
//! LL1 o=e/4 id=B7ctpAfhSXOmGSx6oXlTzA c=MkU3OEVBNTcwNTJENDM2Qk t=<nonce> i=<nonce>/<end>/<mapping>/<epoch>/<ms>/1a2b3c4d:18036,99aabbcc::d
//! ```
//!
//! A broker takes 4096 characters for a partition (`offset.metadata.max.bytes`) and writes all partitions of one
//! commit in one record batch of at most 1 MiB by default; the bounds here keep well below both.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::label::Tag;
use crate::domain::{Nonce, Offset, TxnId};

/// Longest metadata of one partition, in characters.
pub const METADATA_MAX: usize = 3 * 1024;

/// Longest metadata of all partitions of one OffsetCommit together, in bytes.
pub const METADATA_MAX_TOTAL: usize = 512 * 1024;

const VERSION: &str = "LL1";

/// Everything that is stored beside a position.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// How the pipeline's positions came to be.
    pub origin: Option<Origin>,
    /// Id of the topic that the offset belongs to; `None` where the broker gives none.
    pub topic_id: Option<String>,
    /// Cluster that the offset belongs to, as [`noted_cluster`] writes it; `None` where the broker gives none, and in
    /// texts that were written before it was noted.
    pub cluster: Option<String>,
    /// End of this partition in a backfill.
    pub plan: Option<Plan>,
    /// The nonce that the last advance completed.
    pub trail: Option<Nonce>,
    /// The prepared load that is to be committed.
    pub intent: Option<Intent>,
}

/// Start of a pipeline, resolved when its positions were first written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Where partitions of that time start.
    pub start: OriginStart,
    /// How many partitions the topic had.
    pub partitions: u32,
}

/// The start in a form that gives every member the same answer, whenever it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OriginStart {
    /// First record of the log.
    Earliest,
    /// End of the log at that time (milliseconds since the Unix epoch).
    Latest(i64),
    /// First record at or after that time (milliseconds since the Unix epoch).
    Timestamp(i64),
    /// Offsets given in the configuration.
    Offsets,
}

/// Bounds of a backfill for this partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Which run the bounds belong to; `[-_A-Za-z0-9]+`.
    pub run: String,
    /// Where the partition ends.
    pub end: Offset,
}

/// Durable note: these prepared loads are to be committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Intent {
    /// The attempt that prepared them.
    pub nonce: Nonce,
    /// Position of this partition once they are visible.
    pub end: Offset,
    /// Digest of the mapping that made the rows.
    pub mapping: Tag,
    /// Leader epoch of the last record of the range; -1 if unknown.
    pub leader_epoch: i32,
    /// When it was written, milliseconds since the Unix epoch. For people and limits, never for order.
    pub written_ms: i64,
    /// The tables of the batch.
    pub tables: BTreeMap<Tag, IntentTable>,
}

/// One table of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IntentTable {
    /// Transaction id, where the engine commits by id (Doris).
    pub txn: Option<TxnId>,
    /// What is known of its load without asking the engine.
    pub fate: Fate,
}

/// What an intent says of a table's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Nothing: the engine has to be asked.
    Open,
    /// Visible: nothing to do for this table.
    Done,
    /// Never visible: its rows are loaded again without asking. Written by `offsets resolve` only.
    Aborted,
}

/// Why a stored text can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Written by another tool: the offset alone counts.
    Foreign,
    /// Written by this program, but not to be understood: a later version, or damaged.
    Broken,
}

impl Metadata {
    /// Metadata of a position that says nothing yet.
    pub fn empty() -> Self {
        Self { origin: None, topic_id: None, cluster: None, plan: None, trail: None, intent: None }
    }

    /// Reads a stored text.
    ///
    /// # Errors
    /// [`Unreadable::Foreign`] for the text of another tool (an empty text too), [`Unreadable::Broken`] for a text of
    /// ours that this version can't read.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut fields = text.split(' ');
        match fields.next() {
            Some(VERSION) => {}
            Some(first) if first.starts_with("LL") => return Err(Unreadable::Broken),
            Some(_) | None => return Err(Unreadable::Foreign),
        }
        let mut metadata = Self::empty();
        for field in fields {
            let (key, value) = field.split_once('=').ok_or(Unreadable::Broken)?;
            metadata.set(key, value).ok_or(Unreadable::Broken)?;
        }
        Ok(metadata)
    }

    /// What stands beside a position once it has been advanced. A batch without rows leaves the trail as it was.
    #[must_use]
    pub fn advanced(&self, trail: Option<Nonce>) -> Self {
        Self { trail: trail.or(self.trail), intent: None, ..self.clone() }
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "o" => self.origin = Some(parse_origin(value)?),
            "id" => self.topic_id = Some(value.to_owned()),
            "c" => self.cluster = Some(value.to_owned()),
            "p" => {
                let (run, end) = value.split_once('/')?;
                self.plan = Some(Plan { run: run.to_owned(), end: end.parse().ok()? });
            }
            "t" => self.trail = Some(value.parse().ok()?),
            "i" => self.intent = Some(parse_intent(value)?),
            _ => return None,
        }
        Some(())
    }
}

/// Longest cluster id that is noted as it is, in characters. Kafka's own have 22.
const CLUSTER_MAX: usize = 36;

/// A cluster's id as it stands in metadata: itself if it is short and plain, else a digest of it.
pub fn noted_cluster(id: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=CLUSTER_MAX).contains(&id.len()) && id.bytes().all(plain) {
        return id.to_owned();
    }
    format!("digest-{}", Tag::of(id))
}

/// Room that an intent over so many tables needs at most, in characters. What stands beside it is bounded by
/// [`METADATA_MAX`] minus this.
pub fn intent_room(tables: usize) -> usize {
    // nonce, end, mapping, epoch, time with their separators; then tag, 19 digits, flag and separators for each table
    32 + 20 + 9 + 12 + 21 + 4 + tables * (8 + 1 + 20 + 2 + 1)
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(VERSION)?;
        if let Some(Origin { start, partitions }) = self.origin {
            match start {
                OriginStart::Earliest => write!(f, " o=e/{partitions}")?,
                OriginStart::Latest(ms) => write!(f, " o=l{ms}/{partitions}")?,
                OriginStart::Timestamp(ms) => write!(f, " o=t{ms}/{partitions}")?,
                OriginStart::Offsets => write!(f, " o=o/{partitions}")?,
            }
        }
        if let Some(id) = &self.topic_id {
            write!(f, " id={id}")?;
        }
        if let Some(cluster) = &self.cluster {
            write!(f, " c={cluster}")?;
        }
        if let Some(Plan { run, end }) = &self.plan {
            write!(f, " p={run}/{end}")?;
        }
        if let Some(trail) = self.trail {
            write!(f, " t={trail}")?;
        }
        if let Some(intent) = &self.intent {
            write!(f, " i={intent}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nonce, end, mapping, leader_epoch, written_ms, tables } = self;
        write!(f, "{nonce}/{end}/{mapping}/{leader_epoch}/{written_ms}/")?;
        for (index, (tag, table)) in tables.iter().enumerate() {
            if index > 0 {
                f.write_char(',')?;
            }
            write!(f, "{tag}:")?;
            if let Some(txn) = table.txn {
                write!(f, "{txn}")?;
            }
            f.write_str(match table.fate {
                Fate::Open => "",
                Fate::Done => ":d",
                Fate::Aborted => ":a",
            })?;
        }
        Ok(())
    }
}

fn parse_origin(value: &str) -> Option<Origin> {
    let (start, partitions) = value.split_once('/')?;
    let partitions = partitions.parse().ok()?;
    let start = match (start.get(..1)?, start.get(1..)?) {
        ("e", "") => OriginStart::Earliest,
        ("o", "") => OriginStart::Offsets,
        ("l", ms) => OriginStart::Latest(ms.parse().ok()?),
        ("t", ms) => OriginStart::Timestamp(ms.parse().ok()?),
        _ => return None,
    };
    Some(Origin { start, partitions })
}

fn parse_intent(value: &str) -> Option<Intent> {
    let mut parts = value.split('/');
    let nonce = parts.next()?.parse().ok()?;
    let end = parts.next()?.parse().ok()?;
    let mapping = parse_tag(parts.next()?)?;
    let leader_epoch = parts.next()?.parse().ok()?;
    let written_ms = parts.next()?.parse().ok()?;
    let list = parts.next()?;
    if parts.next().is_some() {
        return None;
    }
    let mut tables = BTreeMap::new();
    for entry in list.split(',').filter(|entry| !entry.is_empty()) {
        let (tag, table) = parse_table(entry)?;
        if tables.insert(tag, table).is_some() {
            return None;
        }
    }
    Some(Intent { nonce, end, mapping, leader_epoch, written_ms, tables })
}

fn parse_table(entry: &str) -> Option<(Tag, IntentTable)> {
    let mut parts = entry.split(':');
    let tag = parse_tag(parts.next()?)?;
    let txn = match parts.next()? {
        "" => None,
        id => Some(TxnId(i64::from_str(id).ok()?)),
    };
    let fate = match parts.next() {
        None => Fate::Open,
        Some("d") => Fate::Done,
        Some("a") => Fate::Aborted,
        Some(_) => return None,
    };
    if parts.next().is_some() {
        return None;
    }
    Some((tag, IntentTable { txn, fate }))
}

fn parse_tag(text: &str) -> Option<Tag> {
    if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(text, 16).ok().map(Tag)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_metadata() -> impl Strategy<Value = Metadata> {
        let start = prop_oneof![
            Just(OriginStart::Earliest),
            Just(OriginStart::Offsets),
            any::<i64>().prop_map(OriginStart::Latest),
            any::<i64>().prop_map(OriginStart::Timestamp),
        ];
        let origin = (start, any::<u32>()).prop_map(|(start, partitions)| Origin { start, partitions });
        let fate = prop_oneof![Just(Fate::Open), Just(Fate::Done), Just(Fate::Aborted)];
        let table = (proptest::option::of(any::<i64>().prop_map(TxnId)), fate)
            .prop_map(|(txn, fate)| IntentTable { txn, fate });
        let tables = proptest::collection::btree_map(any::<u32>().prop_map(Tag), table, 0..20);
        let intent = (any::<u128>(), any::<i64>(), any::<u32>(), any::<i32>(), any::<i64>(), tables).prop_map(
            |(nonce, end, mapping, leader_epoch, written_ms, tables)| Intent {
                nonce: Nonce(nonce),
                end,
                mapping: Tag(mapping),
                leader_epoch,
                written_ms,
                tables,
            },
        );
        let plan = ("[-_A-Za-z0-9]{1,20}", any::<i64>()).prop_map(|(run, end)| Plan { run, end });
        (
            proptest::option::of(origin),
            proptest::option::of("[-_A-Za-z0-9]{22}"),
            proptest::option::of(".{1,60}").prop_map(|id| id.map(|id| noted_cluster(&id))),
            proptest::option::of(plan),
            proptest::option::of(any::<u128>().prop_map(Nonce)),
            proptest::option::of(intent),
        )
            .prop_map(|(origin, topic_id, cluster, plan, trail, intent)| Metadata {
                origin,
                topic_id,
                cluster,
                plan,
                trail,
                intent,
            })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(metadata in any_metadata()) {
            let text = metadata.to_string();
            prop_assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b)));
            prop_assert_eq!(Metadata::parse(&text), Ok(metadata));
        }

        #[test]
        fn the_room_is_enough(metadata in any_metadata()) {
            if let Some(intent) = &metadata.intent {
                prop_assert!(intent.to_string().len() <= intent_room(intent.tables.len()));
            }
        }

        #[test]
        fn any_text_gives_an_answer(text in "(LL1 )?.{0,200}") {
            let _ = Metadata::parse(&text);
        }
    }

    #[test]
    fn a_cluster_is_noted_by_its_id_or_by_a_digest_of_it() {
        assert_eq!(noted_cluster("MkU3OEVBNTcwNTJENDM2Qk"), "MkU3OEVBNTcwNTJENDM2Qk");
        for odd in ["", "with a space", "a=b", &"x".repeat(CLUSTER_MAX + 1), "集群"] {
            let noted = noted_cluster(odd);
            assert!(noted.starts_with("digest-") && noted.len() <= CLUSTER_MAX, "{odd:?}: {noted}");
        }
        assert_ne!(noted_cluster("a=b"), noted_cluster("a=c"));
    }

    #[test]
    fn a_text_without_a_cluster_is_read() {
        let old = "LL1 o=e/4 id=T t=0000000000000000000000000000002a";
        let metadata = Metadata::parse(old).expect("ours");
        assert_eq!((metadata.cluster.as_deref(), metadata.to_string().as_str()), (None, old));
    }

    #[test]
    fn texts_of_others_are_told_from_broken_ones_of_ours() {
        for (text, expected) in [
            ("", Unreadable::Foreign),
            ("{\"version\":3}", Unreadable::Foreign),
            ("LL2 o=e/4", Unreadable::Broken),
            ("LL1 o=e", Unreadable::Broken),
            ("LL1 z=1", Unreadable::Broken),
            ("LL1 i=00/1/2", Unreadable::Broken),
        ] {
            assert_eq!(Metadata::parse(text), Err(expected), "{text}");
        }
    }
}
