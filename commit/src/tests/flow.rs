//! Batches on their ordinary way, and loads that fail on it.

use super::*;

const FAILED: &str = "(dropped: a load of it failed)";

#[test]
fn two_batches_go_through_one_after_the_other() {
    let mut scene = Scene::new();
    assert_eq!(scene.give(&[0, 1]), ["read 0 1"]);
    assert_eq!(scene.read(), ["fill 0@0 1@0"]);
    // The second is filled while the first is prepared.
    assert_eq!(scene.seal(1, &[(0, 0..10), (1, 0..5)], &["a", "b"]), ["prepare", "next fill"]);
    assert_eq!(scene.prepared(), ["record 0@0+1..10(a,b) 1@0+1..5(a,b)"]);
    assert_eq!(scene.seal(2, &[(0, 10..20)], &["a"]), ["prepare"], "no third batch");
    assert_eq!(scene.store(), ["commit 1:a", "commit 1:b"]);
    assert_eq!(scene.prepared(), [""; 0], "its intent waits for the advance of the one before");
    assert_eq!(scene.commit("a", false), ["ask 1:a"]);
    assert_eq!(scene.state("a", TxnState::Visible), [""; 0]);
    assert_eq!(scene.commit("b", false), ["ask 1:b"]);
    assert_eq!(scene.state("b", TxnState::Committed), ["record 0@10~1 1@5~1"]);
    assert_eq!(scene.store(), ["(advanced)", "record 0@10+2..20(a)~1", "next fill"]);
}

#[test]
fn transaction_ids_stand_in_the_intent_and_in_every_call() {
    let mut scene = Scene::owning(&[0]);
    scene.seal(1, &[(0, 0..10)], &["a"]);
    let ticket = scene.prepare_ticket();
    let ids = BTreeMap::from([(tag("a"), TxnId(77))]);
    scene.on(Event::Prepared { ticket, ids, now_ms: 9 });
    scene.store();
    let stored = scene.stored[&0].clone().expect("stored");
    let intent = Metadata::parse(&stored.metadata).expect("ours").intent.expect("there");
    assert_eq!(intent.tables[&tag("a")], IntentTable { txn: Some(TxnId(77)), fate: Fate::Open });
    assert_eq!((intent.written_ms, intent.leader_epoch, intent.mapping), (9, 3, MAPPING));
    let id = scene.take("commit", |effect| match effect {
        Effect::Commit { txn, .. } => Some(txn.id),
        _ => None,
    });
    assert_eq!(id, Some(TxnId(77)));
}

#[test]
fn a_batch_without_rows_is_advanced_without_an_intent_and_keeps_the_trail() {
    let mut scene = Scene::new();
    scene.put(0, 5, &Metadata { trail: Some(Nonce(6)), ..plain() });
    scene.give(&[0]);
    scene.read();
    assert_eq!(scene.seal(7, &[(0, 5..9)], &[]), ["prepare", "next fill"], "dead letters still have to be written");
    assert_eq!(scene.prepared(), ["record 0@9~6"]);
    assert_eq!(scene.store(), ["(advanced)"]);
}

#[test]
fn a_load_that_fails_is_read_again_under_a_new_nonce() {
    let mut scene = Scene::owning(&[0, 1]);
    scene.seal(1, &[(0, 0..10), (1, 0..5)], &["a"]);
    assert_eq!(scene.load_fails(None), ["abandon", FAILED, "abandon 1:a", FAILED, "hold", "fill 0@0 1@0"]);
    assert_eq!(scene.seal(2, &[(0, 0..10)], &["a"]), ["prepare", "next fill"]);
    assert_eq!(scene.prepared(), ["record 0@0+2..10(a)"]);
}

#[test]
fn fills_that_fail_in_a_row_are_counted_until_a_batch_is_through() {
    let failures = |scene: &mut Scene| {
        scene.take("fill", |effect| match effect {
            Effect::Fill(fill) => Some((fill.ticket, fill.failures)),
            _ => None,
        })
    };
    let mut scene = Scene::owning(&[0]);
    for count in 0..3 {
        let (ticket, failed) = failures(&mut scene);
        assert_eq!(failed, count);
        scene.on(Event::LoadFailed { ticket, stop: None });
    }
    let (ticket, _) = failures(&mut scene);
    scene.seal_as(ticket, 1, &[(0, 0..10)], &["a"]);
    scene.prepared();
    scene.store();
    scene.visible(&["a"]);
    scene.store();
    scene.lose(&[0]);
    scene.give(&[0]);
    scene.read();
    assert_eq!(failures(&mut scene).1, 0);
}

#[test]
fn the_failure_of_the_second_batch_leaves_the_first_alone() {
    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    scene.seal(2, &[(0, 10..20)], &["a"]);
    assert_eq!(scene.load_fails(None), ["abandon 2:a", FAILED, "hold", "fill 0@10"]);
    assert_eq!(scene.visible(&["a"]), ["record 0@10~1"]);
    assert_eq!(scene.store(), ["(advanced)"]);
}

#[test]
fn a_refused_load_stops_after_the_batch_before_it() {
    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    scene.seal(2, &[(0, 10..20)], &["a"]);
    assert_eq!(scene.load_fails(Some("no such column")), ["abandon 2:a", FAILED, "hold"]);
    assert_eq!(scene.visible(&["a"]), ["record 0@10~1"]);
    assert_eq!(scene.store(), ["(advanced)", "stop load-refused"]);
    assert!(scene.protocol.has_ended());
}

#[test]
fn a_fill_that_moved_nothing_begins_anew() {
    let mut scene = Scene::owning(&[0]);
    let ticket = scene.fill_ticket();
    assert_eq!(scene.on(Event::Empty { ticket }), ["hold", "fill 0@0"]);
}

#[test]
fn a_batch_that_does_not_follow_on_the_one_before_stops_the_route() {
    let mut scene = Scene::owning(&[0]);
    assert_eq!(scene.seal(1, &[(0, 1..10)], &["a"]), ["stop invariant"], "a hole");
    let mut scene = Scene::owning(&[0]);
    assert_eq!(scene.seal(1, &[(1, 0..10)], &["a"]), ["stop invariant"], "not ours");
}

#[test]
fn a_commit_is_repeated_while_the_load_stays_prepared() {
    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    for _ in 0..3 {
        assert_eq!(scene.commit("a", false), ["ask 1:a"]);
        assert_eq!(scene.state("a", TxnState::Prepared), ["commit 1:a"]);
    }
    assert_eq!(scene.commit("a", false), ["ask 1:a"]);
    assert_eq!(scene.state("a", TxnState::Loading), ["ask 1:a"], "asked again");
    assert_eq!(scene.state("a", TxnState::Visible), ["record 0@10~1"]);
}

#[test]
fn answers_to_what_is_no_longer_asked_change_nothing() {
    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    let before = format!("{:?}", scene.protocol);
    let (table, stranger) = (tag("a"), 4711);
    for event in [
        Event::Positions {
            ticket: stranger,
            stored: BTreeMap::new(),
            log: BTreeMap::new(),
            topic_id: None,
            cluster_id: None,
            now_ms: 0,
        },
        Event::Resolved { ticket: stranger, starts: BTreeMap::from([(0, 5)]) },
        Event::Recorded { ticket: stranger, answer: passing(), read: BTreeMap::new(), doubtful: true },
        Event::Sealed { ticket: stranger, nonce: Nonce(9), ranges: BTreeMap::new(), tables: BTreeSet::new() },
        Event::Empty { ticket: stranger },
        Event::Prepared { ticket: stranger, ids: BTreeMap::new(), now_ms: 0 },
        Event::LoadFailed { ticket: stranger, stop: None },
        Event::CommitAnswered { ticket: stranger, table, not_committable: true },
        Event::AbortAnswered { ticket: stranger, table },
        Event::State { ticket: stranger, table, state: aborted() },
    ] {
        let said = format!("{event:?}");
        assert_eq!(scene.on(event), [""; 0], "{said}");
    }
    assert_eq!(format!("{:?}", scene.protocol), before);
}

#[test]
fn a_table_at_least_once_has_no_intent_and_waits_for_the_batch_before() {
    let mut scene = Scene::new();
    scene.at_least_once("b");
    scene.give(&[0]);
    scene.read();
    assert_eq!(scene.seal(1, &[(0, 0..10)], &["a", "b"]), ["prepare", "next fill"]);
    assert_eq!(scene.seal(2, &[(0, 10..20)], &["b"]), [""; 0], "its rows would be visible too early");
    assert_eq!(scene.prepared(), ["record 0@0+1..10(a)"]);
    scene.store();
    scene.commit("a", false);
    assert_eq!(scene.state("a", TxnState::Visible), ["record 0@10~1"]);
    assert_eq!(scene.store(), ["(advanced)", "prepare", "next fill"]);
    assert_eq!(scene.prepared(), ["record 0@20~1"], "nothing is left to commit");
    assert_eq!(scene.store(), ["(advanced)"]);
}

#[test]
fn a_waiting_batch_is_dropped_with_the_one_before() {
    let mut scene = Scene::new();
    scene.at_least_once("b");
    scene.give(&[0]);
    scene.read();
    scene.seal(1, &[(0, 0..10)], &["b"]);
    scene.seal(2, &[(0, 10..20)], &["b"]);
    let dropped = scene.load_fails(None);
    assert_eq!(dropped.last().map(String::as_str), Some("fill 0@0"), "{dropped:?}");
}
