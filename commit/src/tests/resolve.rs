//! Intents that a person decides: what may be said, and what is stored then.

use super::*;
use crate::resolve::{OpenIntent, Outcome, Said, Verdict, Witness, Word, open_intents, outcome, positions, verdict};

use TxnState::{Committed, Loading, Prepared, Unknown, Visible};

const COMMITTED: Option<Word> = Some(Word::Committed);
const ABORTED: Option<Word> = Some(Word::Aborted);

fn stored(positions: &[(Partition, Offset, Metadata)]) -> BTreeMap<Partition, Option<Stored>> {
    let one = |(partition, offset, metadata): &(Partition, Offset, Metadata)| {
        (*partition, Some(Stored { offset: *offset, metadata: metadata.to_string() }))
    };
    positions.iter().map(one).collect()
}

fn open(positions: &[(Partition, Offset, Metadata)]) -> OpenIntent {
    let mut open = open_intents(&stored(positions));
    assert_eq!(open.len(), 1, "{open:?}");
    open.remove(0)
}

fn others(word: Option<Word>) -> Said {
    Said { tables: BTreeMap::new(), others: word }
}

fn named(name: &str, word: Word) -> Said {
    Said { tables: BTreeMap::from([(tag(name), word)]), others: None }
}

#[test]
fn intents_are_found_by_nonce_with_all_their_partitions() {
    let mut all = stored(&[
        (0, 0, intent(7, 10, &["a", "b"])),
        (1, 5, intent(8, 20, &["a"])),
        (2, 3, Metadata { trail: Some(Nonce(7)), ..intent(7, 9, &["a", "b"]) }),
        (3, 4, plain()),
    ]);
    all.insert(4, None);
    all.insert(5, Some(Stored { offset: 1, metadata: "LL1 i=what".to_owned() }));
    all.insert(6, Some(Stored { offset: 1, metadata: "another tool's".to_owned() }));
    let open = open_intents(&all);
    let brief: Vec<_> = open.iter().map(|intent| (intent.nonce.0, crate::ranges_text(&intent.ranges()))).collect();
    assert_eq!(brief, [(7, "0:0..10 2:3..9".to_owned()), (8, "1:5..20".to_owned())]);
    assert!(open[0].trail_seen && !open[1].trail_seen);
}

#[test]
fn what_one_partition_lists_as_known_is_known_for_all() {
    for order in [["a", "-a"], ["-a", "a"]] {
        let open = open(&[(0, 0, intent(7, 10, &[order[0]])), (1, 0, intent(7, 10, &[order[1]]))]);
        assert_eq!(open.tables[&tag("a")].fate, Fate::Aborted);
    }
}

/// A person decides what nobody else knows, and nothing else.
#[test]
fn a_word_is_taken_only_where_nothing_stands_against_it() {
    use Verdict::{Contradicted, Known, Unfinished, Unsaid};
    let aborted = aborted();
    let table = [
        (Unknown, false, None, Unsaid),
        (Unknown, false, COMMITTED, Known(Word::Committed, Witness::Person)),
        (Unknown, false, ABORTED, Known(Word::Aborted, Witness::Person)),
        (Unknown, true, None, Known(Word::Committed, Witness::Trail)),
        (Unknown, true, ABORTED, Contradicted(Word::Aborted, Witness::Trail)),
        (Visible, false, None, Known(Word::Committed, Witness::Engine)),
        (Visible, false, COMMITTED, Known(Word::Committed, Witness::Engine)),
        (Visible, false, ABORTED, Contradicted(Word::Aborted, Witness::Engine)),
        (Committed, false, ABORTED, Contradicted(Word::Aborted, Witness::Engine)),
        (aborted.clone(), false, ABORTED, Known(Word::Aborted, Witness::Engine)),
        (aborted.clone(), false, COMMITTED, Contradicted(Word::Committed, Witness::Engine)),
        // Whatever a trail says: the engine's final word about this very load comes first.
        (aborted, true, None, Known(Word::Aborted, Witness::Engine)),
        (Prepared, false, None, Unfinished),
        (Prepared, false, ABORTED, Unfinished),
        (Prepared, false, COMMITTED, Contradicted(Word::Committed, Witness::Engine)),
        (Loading, false, COMMITTED, Contradicted(Word::Committed, Witness::Engine)),
        (Loading, true, ABORTED, Unfinished),
    ];
    for (state, trail_seen, said, expected) in table {
        let intent = OpenIntent { trail_seen, ..open(&[(0, 0, intent(7, 10, &["a"]))]) };
        let a = intent.tables[&tag("a")];
        for said in [others(said), said.map_or_else(Said::default, |word| named("a", word))] {
            let found = verdict(&intent, tag("a"), a, Some(&state), &said);
            assert_eq!(found, expected, "{state:?}, trail {trail_seen}, {said:?}");
        }
    }
}

#[test]
fn without_an_answer_of_the_engine_no_word_is_taken() {
    let intent = open(&[(0, 0, intent(7, 10, &["a"]))]);
    for word in [None, COMMITTED, ABORTED] {
        assert_eq!(verdict(&intent, tag("a"), intent.tables[&tag("a")], None, &others(word)), Verdict::Unasked);
    }
}

#[test]
fn what_the_intent_lists_is_contradicted_only_by_name() {
    let intent = open(&[(0, 0, intent(7, 10, &["!a", "-b"]))]);
    let of = |name: &str, said: &Said| verdict(&intent, tag(name), intent.tables[&tag(name)], None, said);
    for word in [None, COMMITTED, ABORTED] {
        assert_eq!(of("a", &others(word)), Verdict::Known(Word::Committed, Witness::Intent));
        assert_eq!(of("b", &others(word)), Verdict::Known(Word::Aborted, Witness::Intent));
    }
    assert_eq!(of("a", &named("a", Word::Aborted)), Verdict::Contradicted(Word::Aborted, Witness::Intent));
    assert_eq!(of("b", &named("b", Word::Committed)), Verdict::Contradicted(Word::Committed, Witness::Intent));
}

#[test]
fn a_word_by_name_goes_before_the_word_for_all() {
    let intent = open(&[(0, 0, intent(7, 10, &["a", "b"]))]);
    let said = Said { others: COMMITTED, ..named("b", Word::Aborted) };
    let of = |name: &str| verdict(&intent, tag(name), intent.tables[&tag(name)], Some(&Unknown), &said);
    assert_eq!(of("a"), Verdict::Known(Word::Committed, Witness::Person));
    assert_eq!(of("b"), Verdict::Known(Word::Aborted, Witness::Person));
}

/// What is stored for two partitions with these words on the tables a and b.
fn resolved(tables: &[&str], a: Word, b: Word) -> (Outcome, Vec<String>) {
    let first = Metadata { trail: Some(Nonce(6)), ..starts::origin(3) };
    let both = intent(7, 10, tables).intent;
    let open =
        open(&[(0, 4, Metadata { intent: both.clone(), ..first }), (1, 5, Metadata { intent: both, ..plain() })]);
    let outcome = outcome(&open, &BTreeMap::from([(tag("a"), a), (tag("b"), b)])).expect("every table has its word");
    let stored = positions(&open, &outcome);
    let origin = Metadata::parse(&stored[0].metadata).expect("ours").origin;
    assert_eq!(origin, starts::origin(3).origin, "what is not the intent stays");
    (outcome, stored.iter().map(brief::position).collect())
}

#[test]
fn each_outcome_stores_what_the_next_start_goes_on_from() {
    let (outcome, stored) = resolved(&["a", "b"], Word::Committed, Word::Committed);
    assert_eq!((outcome, stored), (Outcome::Advances, vec!["0@10~7".to_owned(), "1@10~7".to_owned()]));
    let (outcome, stored) = resolved(&["a", "b"], Word::Aborted, Word::Aborted);
    assert_eq!((outcome, stored), (Outcome::Withdrawn, vec!["0@4~6".to_owned(), "1@5".to_owned()]));
    for tables in [["a", "b"], ["!a", "b"], ["!a", "-b"]] {
        let (outcome, stored) = resolved(&tables, Word::Committed, Word::Aborted);
        let expected = vec!["0@4+7..10(!a,-b)~6".to_owned(), "1@5+7..10(!a,-b)".to_owned()];
        assert_eq!((outcome, stored), (Outcome::Reloads(vec![tag("b")]), expected));
    }
}

#[test]
fn without_a_word_on_every_table_there_is_no_outcome() {
    let open = open(&[(0, 0, intent(7, 10, &["a", "b"]))]);
    assert_eq!(outcome(&open, &BTreeMap::from([(tag("a"), Word::Committed)])), None);
}

#[test]
fn no_position_moves_back() {
    let open = open(&[(0, 11, intent(7, 10, &["a"]))]);
    assert_eq!(outcome(&open, &BTreeMap::from([(tag("a"), Word::Committed)])), None);
    assert_eq!(outcome(&open, &BTreeMap::from([(tag("a"), Word::Aborted)])), Some(Outcome::Withdrawn));
}

/// The next start settles what was resolved table by table: it loads exactly the range, into the aborted table alone.
#[test]
fn the_next_start_loads_again_what_was_declared_aborted_and_nothing_else() {
    let open = open(&[(0, 0, intent(7, 10, &["a", "b"]))]);
    let words = BTreeMap::from([(tag("a"), Word::Committed), (tag("b"), Word::Aborted)]);
    let resolved = positions(&open, &outcome(&open, &words).expect("decided"));
    let mut scene = Scene::new();
    scene.stored.insert(0, Some(Stored { offset: resolved[0].offset, metadata: resolved[0].metadata.clone() }));
    scene.give(&[0]);
    scene.read();
    assert_eq!(scene.read(), ["(settled 7: load again)", "reload 0@0..10 for b"], "the engine is not asked again");
}
