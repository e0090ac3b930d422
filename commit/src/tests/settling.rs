//! Intents found on assignment are brought to their end.

use super::*;

/// Partition 0 with an intent of nonce 7 over both tables, b aborted: its rows are being read again.
pub(super) fn reloading() -> Scene {
    let mut scene = Scene::new();
    scene.put(0, 0, &intent(7, 10, &["a", "b"]));
    scene.give(&[0]);
    scene.read();
    scene.read();
    scene.state("a", TxnState::Visible);
    assert_eq!(scene.state("b", aborted()), ["(settled 7: load again)", "reload 0@0..10 for b"]);
    scene
}

#[test]
fn a_partition_that_becomes_ready_waits_for_the_end_of_a_reload() {
    let mut scene = Scene::new();
    scene.put(0, 0, &Metadata { origin: starts::origin(3).origin, ..intent(7, 10, &["a", "b"]) });
    scene.stored.insert(1, None);
    scene.give(&[0, 1]);
    assert_eq!(scene.read(), ["resolve earliest 1", "read 0"]);
    scene.read();
    scene.state("a", TxnState::Visible);
    scene.resolve(&[(1, 0)]);
    assert_eq!(scene.state("b", aborted()), ["(settled 7: load again)", "reload 0@0..10 for b", "record 1@0"]);
    assert_eq!(scene.store(), ["(started 1@0)"], "rows of 1 would go into table b only");
    assert_eq!(scene.seal(8, &[(0, 0..10)], &["b"]), ["prepare"]);
    assert_eq!(scene.prepared(), ["record 0@0+8..10(!a,b)"]);
    assert_eq!(scene.store(), ["commit 8:b"]);
    assert_eq!(scene.visible(&["b"]), ["record 0@10~8"]);
    assert_eq!(scene.store(), ["(advanced)", "fill 0@10 1@0"]);
}

#[test]
fn a_first_position_waits_for_the_end_of_a_settlement() {
    // Two OffsetCommits under way could be served in any order, and the first position wipe out a later intent.
    let mut scene = Scene::new();
    scene.put(0, 0, &Metadata { origin: starts::origin(3).origin, ..intent(7, 10, &["a"]) });
    scene.stored.insert(1, None);
    scene.give(&[0, 1]);
    assert_eq!(scene.read(), ["resolve earliest 1", "read 0"]);
    assert_eq!(scene.read(), ["ask 7:a"]);
    assert_eq!(scene.resolve(&[(1, 0)]), [""; 0], "the end of the settlement is stored by a call of its own");
    assert_eq!(scene.state("a", TxnState::Visible), ["(settled 7: visible)", "record 0@10~7"]);
    assert_eq!(scene.store(), ["record 1@0", "fill 0@10"]);
    assert_eq!(scene.store(), ["(started 1@0)", "join 1@0"]);
}

#[test]
fn a_settlement_waits_for_the_end_of_a_first_position() {
    let mut scene = Scene::new();
    scene.put(0, 0, &Metadata { origin: starts::origin(3).origin, ..intent(7, 10, &["a"]) });
    scene.stored.insert(1, None);
    scene.give(&[0, 1]);
    assert_eq!(scene.read(), ["resolve earliest 1", "read 0"]);
    assert_eq!(scene.resolve(&[(1, 0)]), ["record 1@0"]);
    assert_eq!(scene.read(), [""; 0], "what it says is read again once the call has ended");
    assert_eq!(scene.store(), ["(started 1@0)", "read 0"]);
    assert_eq!(scene.read(), ["ask 7:a"]);
}

#[test]
fn a_reload_holds_nothing_but_the_range_of_its_intent() {
    for ranges in [vec![(0, 0..9)], vec![(0, 0..11)], vec![(1, 0..10)], vec![(0, 0..10), (1, 0..3)], vec![]] {
        let mut scene = reloading();
        scene.give(&[1]);
        scene.read();
        assert_eq!(scene.seal(8, &ranges, &["b"]), ["stop invariant"], "{ranges:?}");
    }
}

/// Partition 0 at 0 with this metadata, assigned and asked about.
fn found(metadata: &Metadata) -> Scene {
    let mut scene = Scene::new();
    scene.put(0, 0, metadata);
    assert_eq!(scene.give(&[0]), ["read 0"]);
    assert_eq!(scene.read(), ["read 0"], "positions are read again before each settlement");
    scene
}

#[test]
fn a_visible_load_is_advanced() {
    for state in [TxnState::Visible, TxnState::Committed] {
        let mut scene = found(&intent(7, 10, &["a", "b"]));
        assert_eq!(scene.read(), ["ask 7:a", "ask 7:b"]);
        assert_eq!(scene.state("a", state.clone()), [""; 0]);
        assert_eq!(scene.state("b", state), ["(settled 7: visible)", "record 0@10~7"]);
        assert_eq!(scene.store(), ["fill 0@10"]);
    }
}

#[test]
fn a_prepared_load_is_aborted_and_its_rows_are_loaded_again() {
    for open in [TxnState::Prepared, TxnState::Loading] {
        let mut scene = found(&intent(7, 10, &["a"]));
        scene.read();
        assert_eq!(scene.state("a", open.clone()), ["abort 7:a"]);
        assert_eq!(scene.abort("a"), ["ask 7:a"], "the answer to an abort is not the final word");
        assert_eq!(scene.state("a", open), ["abort 7:a"], "it did nothing, whatever was answered");
        assert_eq!(scene.abort("a"), ["ask 7:a"]);
        assert_eq!(scene.state("a", aborted()), ["(settled 7: load again)", "reload 0@0..10 for a"]);
        assert_eq!(scene.seal(8, &[(0, 0..10)], &["a"]), ["prepare"]);
        assert_eq!(scene.prepared(), ["record 0@0+8..10(a)"], "the old nonce gives way only now");
        assert_eq!(scene.store(), ["commit 8:a"]);
        assert_eq!(scene.visible(&["a"]), ["record 0@10~8"]);
        assert_eq!(scene.store(), ["(advanced)", "fill 0@10"]);
    }
}

#[test]
fn a_commit_that_came_before_our_abort_counts() {
    let mut scene = found(&intent(7, 10, &["a"]));
    scene.read();
    scene.state("a", TxnState::Prepared);
    scene.abort("a");
    assert_eq!(scene.state("a", TxnState::Visible), ["(settled 7: visible)", "record 0@10~7"]);
}

#[test]
fn only_the_outstanding_tables_are_loaded_again() {
    let mut scene = found(&intent(7, 10, &["a", "b"]));
    scene.read();
    scene.state("b", TxnState::Visible);
    assert_eq!(scene.state("a", aborted()), ["(settled 7: load again)", "reload 0@0..10 for a"]);
    scene.seal(8, &[(0, 0..10)], &["a"]);
    assert_eq!(scene.prepared(), ["record 0@0+8..10(a,!b)"]);
    scene.store();
    // Aborted once more: b stays done.
    scene.commit("a", false);
    scene.state("a", aborted());
    scene.read();
    assert_eq!(scene.read(), ["ask 8:a"], "nobody asks for b");
    assert_eq!(scene.state("a", aborted()), ["(settled 8: load again)", "reload 0@0..10 for a"]);
}

#[test]
fn nothing_is_decided_before_every_table_has_its_final_word() {
    // c ABORTED while a is PREPARED with an unclear commit: a may still become visible, or expire.
    let mut scene = found(&intent(7, 10, &["a", "b"]));
    scene.read();
    assert_eq!(scene.state("b", aborted()), [""; 0]);
    assert_eq!(scene.state("a", TxnState::Prepared), ["abort 7:a"]);
    scene.abort("a");
    assert_eq!(scene.state("a", aborted()), ["(settled 7: load again)", "reload 0@0..10 for a b"]);
}

#[test]
fn tables_that_are_all_done_are_advanced_at_once() {
    let mut scene = found(&intent(7, 10, &["!a", "!b"]));
    assert_eq!(scene.read(), ["(settled 7: visible)", "record 0@10~7"]);
}

#[test]
fn a_table_that_a_person_declared_aborted_is_loaded_again_unasked() {
    let mut scene = found(&intent(7, 10, &["!a", "-b"]));
    assert_eq!(scene.read(), ["(settled 7: load again)", "reload 0@0..10 for b"]);
    scene.seal(8, &[(0, 0..10)], &["b"]);
    assert_eq!(scene.prepared(), ["record 0@0+8..10(!a,b)"], "under the new nonce the engine is asked again");
    // The others are asked about as ever.
    let mut scene = found(&intent(7, 10, &["a", "-b"]));
    assert_eq!(scene.read(), ["ask 7:a"]);
    assert_eq!(scene.state("a", TxnState::Visible), ["(settled 7: load again)", "reload 0@0..10 for b"]);
}

#[test]
fn a_stop_without_an_outcome_names_the_command_that_resolves_it() {
    let mut scene = found(&intent(7, 10, &["a"]));
    scene.read();
    scene.state("a", TxnState::Unknown);
    scene.evidence("a", false);
    let what = scene.take("stop", |effect| match effect {
        Effect::Stop(stop) => Some(stop.what.clone()),
        _ => None,
    });
    let command = "loadlock offsets resolve -c FILE --topic t --nonce 00000000000000000000000000000007";
    assert!(what.contains(&format!("`{command} --committed`")), "{what}");
    assert!(what.contains(&format!("`{command} --aborted`")), "{what}");
}

#[test]
fn a_reload_without_any_row_is_advanced_without_an_intent() {
    let mut scene = reloading();
    scene.seal(8, &[(0, 0..10)], &[]);
    assert_eq!(scene.prepared(), ["record 0@10"]);
    assert_eq!(scene.store(), ["(advanced)", "fill 0@10"]);
}

#[test]
fn a_reload_that_fails_is_settled_anew() {
    let mut scene = reloading();
    scene.seal(8, &[(0, 0..10)], &["b"]);
    assert_eq!(scene.load_fails(None), ["abandon 8:b", "(dropped: a load of it failed)", "read 0"]);
    assert_eq!(scene.read(), ["ask 7:a", "ask 7:b"]);
}

#[test]
fn what_the_engine_has_forgotten_needs_evidence() {
    let mut scene = found(&intent(7, 10, &["a"]));
    scene.read();
    assert_eq!(scene.state("a", TxnState::Unknown), ["look for rows of 7:a in 0:0..10"]);
    assert_eq!(scene.evidence("a", false), ["stop outcome-unknown"]);
    // Another partition of the batch was advanced by it, and belongs to somebody else.
    let mut scene = found(&intent(7, 10, &["a"]));
    scene.put(2, 30, &Metadata { trail: Some(Nonce(7)), ..plain() });
    scene.read();
    assert_eq!(scene.state("a", TxnState::Unknown), ["(settled 7: visible)", "record 0@10~7"]);
    // Loaded again by somebody else: no evidence for us.
    let mut scene = found(&intent(7, 10, &["a"]));
    scene.put(2, 30, &Metadata { trail: Some(Nonce(8)), ..plain() });
    scene.read();
    scene.state("a", TxnState::Unknown);
    assert_eq!(scene.evidence("a", false), ["stop outcome-unknown"]);
}

#[test]
fn what_only_a_visible_load_leaves_behind_is_evidence() {
    let mut scene = found(&intent(7, 10, &["a", "b"]));
    scene.read();
    scene.state("a", TxnState::Unknown);
    assert_eq!(scene.evidence("a", true), [""; 0], "b has no final word yet");
    assert_eq!(scene.state("b", TxnState::Visible), ["(settled 7: visible)", "record 0@10~7"]);

    // It speaks for its own table only.
    let mut scene = found(&intent(7, 10, &["a", "b"]));
    scene.read();
    scene.state("a", TxnState::Unknown);
    scene.evidence("a", true);
    assert_eq!(scene.state("b", aborted()), ["(settled 7: load again)", "reload 0@0..10 for b"]);
}

#[test]
fn evidence_for_a_settlement_that_is_over_is_ignored() {
    let mut scene = found(&intent(7, 10, &["a"]));
    scene.read();
    scene.state("a", TxnState::Unknown);
    scene.lose(&[0]);
    assert_eq!(scene.evidence("a", false), [""; 0]);
}

#[test]
fn evidence_does_not_outweigh_what_the_engine_says() {
    let mut scene = found(&intent(7, 10, &["a", "b"]));
    scene.put(2, 30, &Metadata { trail: Some(Nonce(7)), ..plain() });
    scene.read();
    scene.state("a", TxnState::Unknown);
    assert_eq!(scene.state("b", aborted()), ["(settled 7: load again)", "reload 0@0..10 for b"]);
}

#[test]
fn two_nonces_are_settled_one_after_the_other() {
    let mut scene = Scene::new();
    scene.put(0, 0, &intent(7, 10, &["a"]));
    scene.put(1, 0, &intent(8, 5, &["a"]));
    scene.put(2, 0, &intent(7, 3, &["a"]));
    scene.give(&[0, 1, 2]);
    scene.read();
    assert_eq!(scene.read(), ["ask 7:a"]);
    assert_eq!(scene.state("a", TxnState::Visible), ["(settled 7: visible)", "record 0@10~7 2@3~7"]);
    assert_eq!(scene.store(), ["read 1"]);
    assert_eq!(scene.read(), ["ask 8:a"]);
    assert_eq!(scene.state("a", aborted()), ["(settled 8: load again)", "reload 1@0..5 for a"]);
}

#[test]
fn what_somebody_else_has_settled_meanwhile_is_not_settled_again() {
    let mut scene = found(&intent(7, 10, &["a"]));
    scene.put(0, 10, &Metadata { trail: Some(Nonce(7)), ..plain() });
    assert_eq!(scene.read(), ["fill 0@10"]);
}

#[test]
fn batches_under_way_go_first() {
    let mut scene = Scene::owning(&[1]);
    scene.seal(1, &[(1, 0..5)], &["a"]);
    scene.put(0, 0, &intent(7, 10, &["a"]));
    scene.give(&[0]);
    assert_eq!(scene.read(), ["abandon", "hold"], "what is being filled gives way");
    assert_eq!(scene.prepared(), ["record 1@0+1..5(a)"]);
    scene.store();
    scene.visible(&["a"]);
    assert_eq!(scene.store(), ["(advanced)", "read 0"]);
    assert_eq!(scene.read(), ["ask 7:a"]);
}

#[test]
fn a_reload_does_not_give_way_to_a_new_partition() {
    let mut scene = reloading();
    scene.put(1, 0, &intent(9, 5, &["a"]));
    scene.give(&[1, 2]);
    assert_eq!(scene.read(), [""; 0]);
    scene.seal(8, &[(0, 0..10)], &["b"]);
    scene.prepared();
    scene.store();
    scene.visible(&["b"]);
    assert_eq!(scene.store(), ["(advanced)", "read 1"]);
    assert_eq!(scene.read(), ["ask 9:a"]);
}

#[test]
fn another_mapping_never_loads_the_rest_of_a_batch() {
    let mut changed = intent(7, 10, &["a"]);
    if let Some(intent) = &mut changed.intent {
        intent.mapping = Tag(8);
    }
    let mut scene = found(&changed);
    scene.read();
    assert_eq!(scene.state("a", aborted()), ["stop mapping-changed"]);
    // What is visible needs no mapping.
    let mut scene = found(&changed);
    scene.read();
    assert_eq!(scene.state("a", TxnState::Visible), ["(settled 7: visible)", "record 0@10~7"]);
    // A table that is no longer configured can't be asked about.
    let mut scene = found(&intent(7, 10, &["c"]));
    assert_eq!(scene.read(), ["stop mapping-changed"]);
}

#[test]
fn a_log_that_was_rewritten_is_not_loaded_again() {
    let mut scene = reloading();
    scene.leader_epoch = 4;
    assert_eq!(scene.seal(8, &[(0, 0..10)], &["b"]), ["stop log-rewritten"]);
    for unknown in [-1, 3] {
        let mut scene = reloading();
        scene.leader_epoch = unknown;
        assert_eq!(scene.seal(8, &[(0, 0..10)], &["b"]), ["prepare"], "{unknown}");
    }
}

#[test]
fn a_load_that_can_not_be_committed_is_dropped_once_and_stops_the_second_time() {
    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    scene.commit("a", true);
    let said = scene.state("a", TxnState::Prepared);
    assert!(said.contains(&"(dropped: its load can't be committed)".to_owned()), "{said:?}");
    scene.read();
    scene.read();
    scene.state("a", TxnState::Prepared);
    scene.abort("a");
    scene.state("a", aborted());
    scene.seal(2, &[(0, 0..10)], &["a"]);
    scene.prepared();
    scene.store();
    scene.commit("a", true);
    assert_eq!(scene.state("a", TxnState::Prepared), ["stop not-committable"]);
}

#[test]
fn a_refusal_to_commit_is_not_believed_if_the_load_is_visible() {
    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    scene.commit("a", true);
    assert_eq!(scene.state("a", TxnState::Visible), ["record 0@10~1"]);
}

#[test]
fn a_commit_that_never_takes_effect_is_given_up() {
    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    for _ in 1..20 {
        scene.commit("a", false);
        assert_eq!(scene.state("a", TxnState::Prepared), ["commit 1:a"]);
    }
    scene.commit("a", false);
    let said = scene.state("a", TxnState::Prepared);
    assert!(said.contains(&"(dropped: its load can't be committed)".to_owned()), "{said:?}");
}

#[test]
fn a_load_that_the_engine_does_not_know_any_more_is_settled() {
    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    scene.commit("a", false);
    let said = scene.state("a", TxnState::Unknown);
    assert!(said.contains(&"(dropped: the engine does not know its load)".to_owned()), "{said:?}");
    scene.read();
    scene.read();
    assert_eq!(scene.state("a", TxnState::Unknown), ["look for rows of 1:a in 0:0..10"]);
}

#[test]
fn a_stop_names_what_a_person_has_to_look_at() {
    let mut scene = found(&intent(7, 10, &["a"]));
    scene.read();
    scene.state("a", TxnState::Unknown);
    scene.evidence("a", false);
    let what = scene.take("stop", |effect| match effect {
        Effect::Stop(stop) => Some(stop.what.clone()),
        _ => None,
    });
    for part in ["topic t", "0:0..10", "d.a", "looked everywhere", "00000000000000000000000000000007"] {
        assert!(what.contains(part), "{part} in {what}");
    }
}
