//! What is known of every open intent, what stands in the way, and what is to be stored: values only.

use std::collections::BTreeMap;

use super::Names;
use super::engine::LoadKey;
use crate::commit::metadata::{Fate, IntentTable};
use crate::commit::resolve::{self, OpenIntent, Outcome, Said, Verdict, Witness, Word};
use crate::commit::{Tag, ranges_text};
use crate::domain::{Nonce, Partition, PositionToStore, TxnState};

/// Which of the open intents are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    All,
    /// The one with this nonce.
    Nonce(Nonce),
    /// The one that this partition carries, with all its partitions: a load has one outcome.
    Partition(Partition),
}

impl Selection {
    /// Keeps the intents that are meant.
    pub fn of(self, mut intents: Vec<OpenIntent>) -> Vec<OpenIntent> {
        intents.retain(|intent| match self {
            Self::All => true,
            Self::Nonce(nonce) => intent.nonce == nonce,
            Self::Partition(partition) => intent.holders.contains_key(&partition),
        });
        intents
    }
}

/// One load of an intent, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedLoad {
    /// Tag of its table.
    pub tag: Tag,
    /// Its table, for people.
    pub table: String,
    /// The engine's answer; `None` where it was not asked.
    pub state: Option<TxnState>,
    /// What is known of it.
    pub verdict: Verdict,
}

/// An open intent with what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The intent.
    pub intent: OpenIntent,
    /// Its loads.
    pub loads: Vec<DecidedLoad>,
    /// What becomes of it; a load that is to be aborted first counts as aborted here. `None` while something stands in
    /// the way.
    pub outcome: Option<Outcome>,
}

/// Why an intent can't be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// What the person says is not so.
    Contradicted(String),
    /// A word is missing.
    Unsaid(String),
    /// The engine can't be asked about a load, or the intent can't be right.
    Impossible(String),
}

/// Weighs everything that is known of these intents.
pub(super) fn decide(
    names: &Names,
    intents: Vec<OpenIntent>,
    states: &BTreeMap<LoadKey, TxnState>,
    said: &Said,
) -> Vec<Decided> {
    let load = |intent: &OpenIntent, tag: Tag, table: IntentTable| {
        let state = states.get(&(intent.nonce, tag));
        let verdict = resolve::verdict(intent, tag, table, state, said);
        DecidedLoad { tag, table: names.shown(tag), state: state.cloned(), verdict }
    };
    let one = |intent: OpenIntent| {
        let loads: Vec<_> = intent.tables.iter().map(|(tag, table)| load(&intent, *tag, *table)).collect();
        let words = loads.iter().filter_map(|load| Some((load.tag, expected(load.verdict)?))).collect();
        let outcome = resolve::outcome(&intent, &words);
        Decided { intent, loads, outcome }
    };
    intents.into_iter().map(one).collect()
}

/// The word on a load, as far as it can be foreseen.
fn expected(verdict: Verdict) -> Option<Word> {
    match verdict {
        Verdict::Known(word, _) => Some(word),
        Verdict::Unfinished => Some(Word::Aborted),
        Verdict::Unsaid | Verdict::Unasked | Verdict::Contradicted(..) => None,
    }
}

impl Decided {
    /// Loads that have to be aborted before anything is decided.
    pub fn unfinished(&self) -> impl Iterator<Item = Tag> {
        self.loads.iter().filter(|load| load.verdict == Verdict::Unfinished).map(|load| load.tag)
    }

    /// What is to be stored; nothing while something stands in the way.
    pub fn positions(&self) -> Vec<PositionToStore> {
        self.outcome.as_ref().map(|outcome| resolve::positions(&self.intent, outcome)).unwrap_or_default()
    }

    /// True if it takes a person's word.
    fn takes_a_word(&self) -> bool {
        let by_person = |load: &DecidedLoad| match load.verdict {
            Verdict::Known(_, witness) => witness == Witness::Person,
            Verdict::Unsaid => true,
            Verdict::Unfinished | Verdict::Unasked | Verdict::Contradicted(..) => false,
        };
        self.loads.iter().any(by_person)
    }

    fn objection(&self) -> Option<Objection> {
        let of = |load: &DecidedLoad| {
            let table = &load.table;
            let nonce = self.intent.nonce;
            match load.verdict {
                Verdict::Known(..) | Verdict::Unfinished => None,
                Verdict::Contradicted(word, witness) => {
                    let said = said(word);
                    let evidence = evidence(witness, load.state.as_ref());
                    Some(Objection::Contradicted(format!(
                        "{table} is said to be {said}, but {evidence} (intent {nonce})"
                    )))
                }
                Verdict::Unsaid => Some(Objection::Unsaid(format!(
                    "the engine has forgotten the load of intent {nonce} into {table}, and nothing is said about it"
                ))),
                Verdict::Unasked => Some(Objection::Impossible(format!(
                    "intent {nonce} names the {table}, so the engine can't be asked about that load; use the configuration \
                     with which it was made (mapping {})",
                    self.intent.mapping
                ))),
            }
        };
        let backwards = || {
            let ranges = ranges_text(&self.intent.ranges());
            let what = format!("intent {} ends before it begins ({ranges}): its text is damaged", self.intent.nonce);
            self.outcome.is_none().then_some(Objection::Impossible(what))
        };
        self.loads.iter().find_map(of).or_else(backwards)
    }
}

/// Whether these intents can be resolved together.
///
/// # Errors
/// What stands in the way.
pub(super) fn nothing_against(decided: &[Decided]) -> Result<(), Objection> {
    if let Some(objection) = decided.iter().find_map(Decided::objection) {
        return Err(objection);
    }
    let waiting: Vec<_> = decided.iter().filter(|decided| decided.takes_a_word()).collect();
    if waiting.len() < 2 {
        return Ok(());
    }
    let one = |decided: &&Decided| format!("{} ({})", decided.intent.nonce, ranges_text(&decided.intent.ranges()));
    let list: Vec<_> = waiting.iter().map(one).collect();
    Err(Objection::Unsaid(format!("several intents wait for a person's word, one at a time: {}", list.join(", "))))
}

fn said(word: Word) -> &'static str {
    match word {
        Word::Committed => "committed",
        Word::Aborted => "aborted",
    }
}

fn evidence(witness: Witness, state: Option<&TxnState>) -> String {
    match witness {
        Witness::Engine => format!("the engine says {}", state.map_or("nothing", state_name)),
        Witness::Trail => "another partition was advanced by the same batch, so it was committed".to_owned(),
        Witness::Intent => "the intent itself lists the opposite, by an earlier final word".to_owned(),
        Witness::Person => "that was said differently".to_owned(),
    }
}

/// The engines' own word for a state.
pub fn state_name(state: &TxnState) -> &'static str {
    match state {
        TxnState::Unknown => "UNKNOWN",
        TxnState::Loading => "PREPARE",
        TxnState::Prepared => "PREPARED",
        TxnState::Committed => "COMMITTED",
        TxnState::Visible => "VISIBLE",
        TxnState::Aborted { .. } => "ABORTED",
    }
}

/// What an intent lists about a table.
pub(super) fn fate_name(fate: Fate) -> &'static str {
    match fate {
        Fate::Open => "open",
        Fate::Done => "done",
        Fate::Aborted => "aborted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::resolve::open_intents;
    use crate::domain::{Stored, Table};

    fn tag(name: &str) -> Tag {
        Tag::of_table(&Table { database: "db".into(), name: name.into() })
    }

    fn names() -> Names {
        let table = |name: &str| Table { database: "db".into(), name: name.into() };
        Names { pipeline: Tag(1), mapping: Tag(2), tables: vec![table("a"), table("b")] }
    }

    /// Intents of nonces 1, 2, … over these tables, each on a partition of its own; all the engine says of them.
    fn decided(intents: &[&[&str]], state: &TxnState, said: &Said) -> Vec<Decided> {
        let position = |(number, tables): (i32, &&[&str])| {
            let tables: Vec<_> = tables.iter().map(|name| format!("{}:", tag(name))).collect();
            let metadata = format!("LL1 i={:032x}/9/00000002/0/{number}/{}", number + 1, tables.join(","));
            (number, Some(Stored { offset: 5, metadata }))
        };
        let open = open_intents(&(0..).zip(intents).map(position).collect());
        let keys = open.iter().flat_map(|intent| intent.tables.keys().map(|tag| (intent.nonce, *tag)));
        let named = keys.filter(|(_, tag)| names().table(*tag).is_some());
        let states = named.map(|key| (key, state.clone())).collect();
        decide(&names(), open, &states, said)
    }

    fn others(word: Word) -> Said {
        Said { tables: BTreeMap::new(), others: Some(word) }
    }

    fn objects(decided: &[Decided]) -> String {
        match nothing_against(decided) {
            Ok(()) => String::new(),
            Err(Objection::Contradicted(what) | Objection::Unsaid(what) | Objection::Impossible(what)) => what,
        }
    }

    #[test]
    fn one_intent_at_a_time_is_a_persons_to_decide() {
        let said = others(Word::Committed);
        assert_eq!(objects(&decided(&[&["a", "b"]], &TxnState::Unknown, &said)), "");
        let two = decided(&[&["a"], &["b"]], &TxnState::Unknown, &said);
        assert!(objects(&two).starts_with("several intents wait for a person's word"), "{}", objects(&two));
        assert_eq!(
            objects(&decided(&[&["a"], &["b"]], &TxnState::Visible, &said)),
            "",
            "what the engine knows is no word"
        );
        let meant = |selection: Selection| selection.of(two.iter().map(|one| one.intent.clone()).collect()).len();
        assert_eq!(meant(Selection::All), 2);
        assert_eq!((meant(Selection::Nonce(Nonce(2))), meant(Selection::Nonce(Nonce(3)))), (1, 0));
        assert_eq!((meant(Selection::Partition(0)), meant(Selection::Partition(2))), (1, 0));
    }

    #[test]
    fn every_objection_says_what_stands_in_the_way() {
        let only_a = Said { tables: BTreeMap::from([(tag("a"), Word::Committed)]), others: None };
        for (tables, state, said, expected) in [
            (
                &["a"][..],
                TxnState::Visible,
                &others(Word::Aborted),
                "db.a is said to be aborted, but the engine says VISIBLE",
            ),
            (
                &["a"],
                TxnState::Prepared,
                &others(Word::Committed),
                "said to be committed, but the engine says PREPARED",
            ),
            (&["a", "b"], TxnState::Unknown, &only_a, "into db.b, and nothing is said about it"),
            (
                &["gone"],
                TxnState::Unknown,
                &others(Word::Aborted),
                "the configuration with which it was made (mapping 00000002)",
            ),
        ] {
            let decided = decided(&[tables], &state, said);
            assert!(objects(&decided).contains(expected), "{}", objects(&decided));
            assert!(
                decided.iter().all(|decided| decided.positions().is_empty()),
                "{expected}: something would be stored"
            );
        }
    }

    #[test]
    fn a_load_that_is_still_prepared_is_foreseen_as_aborted() {
        let decided = decided(&[&["a"]], &TxnState::Prepared, &others(Word::Aborted));
        assert_eq!(objects(&decided), "");
        assert_eq!(decided[0].unfinished().collect::<Vec<_>>(), [tag("a")]);
        assert_eq!(decided[0].outcome, Some(Outcome::Withdrawn));
    }
}
