//! Partitions that leave, in every phase of what they belong to: all of them (eager) or some (cooperative).

use super::*;

const TAKEN: &str = "(dropped: a partition of it was taken away)";

#[test]
fn while_filling_what_stays_is_read_from_where_the_fill_began() {
    let mut scene = Scene::owning(&[0, 1]);
    assert_eq!(scene.revoke(&[0]), ["abandon", TAKEN, "hold", "release 0", "fill 1@0"]);
    let mut scene = Scene::owning(&[0, 1]);
    assert_eq!(scene.revoke(&[0, 1]), ["abandon", TAKEN, "hold", "release 0 1"]);
}

#[test]
fn while_preparing_the_batch_is_dropped_whole() {
    let mut scene = Scene::owning(&[0, 1]);
    scene.seal(1, &[(0, 0..10), (1, 0..5)], &["a"]);
    assert_eq!(scene.revoke(&[0]), ["abandon", TAKEN, "abandon 1:a", TAKEN, "hold", "release 0", "fill 1@0"]);
    let ticket = scene.prepare_ticket();
    assert_eq!(scene.on(Event::Prepared { ticket, ids: BTreeMap::new(), now_ms: 0 }), [""; 0], "too late");
}

#[test]
fn while_preparing_a_batch_of_others_stays() {
    let mut scene = Scene::owning(&[0, 1]);
    scene.seal(1, &[(1, 0..5)], &["a"]);
    assert_eq!(scene.revoke(&[0]), ["abandon", TAKEN, "hold", "release 0", "fill 1@5"]);
    assert_eq!(scene.prepared(), ["record 1@0+1..5(a)"]);
}

#[test]
fn a_prepared_batch_that_waits_is_dropped_and_the_one_before_goes_on() {
    let mut scene = Scene::owning(&[0, 1]);
    scene.committing(1, &[(0, 0..10), (1, 0..5)], &["a"]);
    scene.seal(2, &[(0, 10..20), (1, 5..9)], &["a"]);
    scene.prepared();
    // Not from the stored position: batch 1 is on its way to being visible.
    assert_eq!(scene.revoke(&[0]), ["abandon 2:a", TAKEN, "hold", "release 0", "fill 1@5"]);
    assert_eq!(scene.visible(&["a"]), ["record 1@5~1"], "only what stays is advanced");
    assert_eq!(scene.store(), ["(advanced)"]);
    assert_eq!(scene.position(0), "0@0+1..10(a)", "its new owner finds the intent");
}

#[test]
fn while_recording_the_revocation_waits_for_the_answer() {
    for leaving in [vec![0], vec![0, 1]] {
        let mut scene = Scene::owning(&[0, 1]);
        scene.seal(1, &[(0, 0..10), (1, 0..5)], &["a"]);
        scene.prepared();
        let said = scene.revoke(&leaving);
        assert_eq!(said[..3], ["abandon", TAKEN, "hold"]);
        assert!(!said.iter().any(|line| line.starts_with("release")), "{said:?}");
        let said = scene.store();
        let released = list("release", &leaving);
        assert_eq!(said[..2], ["commit 1:a".to_owned(), released], "committed, because its intent is there");
    }
}

fn list(what: &str, partitions: &[Partition]) -> String {
    partitions.iter().fold(what.to_owned(), |text, partition| format!("{text} {partition}"))
}

#[test]
fn an_intent_that_is_not_stored_inside_the_revocation_is_not_sent_again() {
    let mut scene = Scene::owning(&[0, 1]);
    scene.seal(1, &[(0, 0..10), (1, 0..5)], &["a"]);
    scene.prepared();
    scene.revoke(&[0]);
    let dropped = "(dropped: its intent was not stored for all its partitions)";
    assert_eq!(scene.refuse(passing()), ["abandon", dropped, "abandon 1:a", dropped, "hold", "release 0", "read 1"]);
    assert_eq!(scene.read(), ["fill 1@0"]);
}

#[test]
fn while_committing_the_engine_decides_and_what_stays_is_advanced() {
    let mut scene = Scene::owning(&[0, 1]);
    scene.committing(1, &[(0, 0..10), (1, 0..5)], &["a"]);
    assert_eq!(scene.revoke(&[0]), ["abandon", TAKEN, "hold", "release 0", "fill 1@5"]);
    // The new owner of 0 was faster with its abort.
    scene.commit("a", false);
    let said = scene.state("a", aborted());
    assert_eq!(said[said.len() - 2..], ["hold", "read 1"]);
    assert_eq!(scene.read(), ["read 1"]);
    scene.read();
    assert_eq!(scene.state("a", aborted()), ["(settled 1: load again)", "reload 1@0..5 for a"]);
}

#[test]
fn while_advancing_the_leaving_partition_is_advanced_inside_its_revocation() {
    let mut scene = Scene::owning(&[0, 1]);
    scene.committing(1, &[(0, 0..10), (1, 0..5)], &["a"]);
    assert_eq!(scene.visible(&["a"]), ["record 0@10~1 1@5~1"]);
    scene.revoke(&[0]);
    let said = scene.store();
    assert_eq!(said[..2], ["(advanced)", "release 0"]);
    assert_eq!(scene.position(0), "0@10~1");
}

#[test]
fn while_settling_nothing_more_is_done_for_what_leaves() {
    let mut scene = Scene::new();
    scene.put(0, 0, &intent(7, 10, &["a"]));
    scene.give(&[0]);
    scene.read();
    scene.read();
    assert_eq!(scene.revoke(&[0]), ["release 0"]);
    assert_eq!(scene.state("a", TxnState::Prepared), [""; 0], "no abort: that is the new owner's to decide");
}

#[test]
fn while_settling_what_stays_is_settled_again() {
    let mut scene = Scene::new();
    scene.put(0, 0, &intent(7, 10, &["a"]));
    scene.put(1, 0, &intent(7, 5, &["a"]));
    scene.give(&[0, 1]);
    scene.read();
    scene.read();
    assert_eq!(scene.revoke(&[0]), ["release 0", "read 1"]);
    scene.read();
    assert_eq!(scene.state("a", TxnState::Visible), ["(settled 7: visible)", "record 1@5~7"], "1 alone");
}

#[test]
fn while_loading_again_the_reload_is_dropped_whole() {
    let mut scene = Scene::new();
    scene.put(0, 0, &intent(7, 10, &["a"]));
    scene.put(1, 0, &intent(7, 5, &["a"]));
    scene.give(&[0, 1]);
    scene.read();
    scene.read();
    assert_eq!(scene.state("a", aborted()), ["(settled 7: load again)", "reload 0@0..10 1@0..5 for a"]);
    scene.seal(8, &[(0, 0..10), (1, 0..5)], &["a"]);
    assert_eq!(scene.revoke(&[0]), ["abandon 8:a", TAKEN, "release 0", "read 1"]);
    scene.read();
    assert_eq!(scene.state("a", aborted()), ["(settled 7: load again)", "reload 1@0..5 for a"]);
}

#[test]
fn a_partition_that_comes_back_is_read_again() {
    let mut scene = Scene::owning(&[0, 1]);
    scene.committing(1, &[(0, 0..10), (1, 0..5)], &["a"]);
    scene.revoke(&[0]);
    assert_eq!(scene.give(&[0]), ["read 0"]);
    // It still carries our own intent: settled when the batch is through, which advances only what never left.
    let said = scene.read();
    assert_eq!(said, ["abandon", "hold"]);
    assert_eq!(scene.visible(&["a"]), ["record 1@5~1"]);
    assert_eq!(scene.store(), ["(advanced)", "read 0"]);
    assert_eq!(scene.read(), ["ask 1:a"]);
    assert_eq!(scene.state("a", TxnState::Visible), ["(settled 1: visible)", "record 0@10~1"]);
    assert_eq!(scene.store(), ["fill 0@10 1@5"]);
}

#[test]
fn positions_read_under_an_earlier_assignment_prove_nothing() {
    let mut scene = Scene::new();
    scene.give(&[0]);
    scene.lose(&[0]);
    scene.give(&[0]);
    assert_eq!(scene.read(), ["read 0"], "what was asked before does not count");
    scene.put(0, 40, &plain());
    assert_eq!(scene.read(), ["fill 0@40"]);
}

#[test]
fn a_batch_whose_partitions_have_all_left_does_not_hold_up_the_next() {
    let mut scene = Scene::owning(&[0, 1]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    scene.seal(2, &[(1, 0..5)], &["a"]);
    scene.prepared();
    scene.revoke(&[0]);
    assert_eq!(scene.visible(&["a"]), ["(advanced)", "record 1@0+2..5(a)", "fill 1@5"]);
}

#[test]
fn what_is_lost_is_never_stored_again() {
    let mut scene = Scene::owning(&[0, 1]);
    scene.committing(1, &[(0, 0..10), (1, 0..5)], &["a"]);
    assert_eq!(scene.lose(&[0, 1]), ["abandon", TAKEN, "hold"]);
    assert_eq!(scene.visible(&["a"]), ["(advanced)"]);
    assert_eq!(scene.position(0), "0@0+1..10(a)");
}

#[test]
fn a_first_position_is_stored_for_a_leaving_partition_which_is_not_read_any_more() {
    let mut scene = Scene::new();
    scene.put(1, 0, &starts::origin(3));
    scene.stored.insert(0, None);
    scene.give(&[0, 1]);
    assert_eq!(scene.read(), ["resolve earliest 0", "fill 1@0"]);
    assert_eq!(scene.resolve(&[(0, 0)]), ["record 0@0"]);
    assert_eq!(scene.revoke(&[0]), ["abandon", TAKEN, "hold", "fill 1@0"]);
    assert_eq!(scene.store(), ["(started 0@0)", "release 0"], "and no join");
}

#[test]
fn what_is_given_twice_was_lost_in_between() {
    let mut scene = Scene::owning(&[0, 1]);
    scene.seal(1, &[(0, 0..10), (1, 0..5)], &["a"]);
    let said = scene.give(&[0]);
    assert_eq!(said[said.len() - 3..], ["hold", "read 0", "fill 1@0"]);
    assert!(said.contains(&"abandon 1:a".to_owned()), "prepared under an earlier assignment: {said:?}");
}

#[test]
fn a_revocation_that_nobody_waits_for_any_more_ends_with_the_call() {
    // Its deadline passed inside the call, and the partition came back before the answer.
    let mut scene = Scene::owning(&[0]);
    scene.seal(1, &[(0, 0..10)], &["a"]);
    scene.prepared();
    scene.revoke(&[0]);
    scene.give(&[0]);
    let said = scene.recorded(&[], RecordAnswer::NotOwned, &[], false);
    assert_eq!(said.last().map(String::as_str), Some("read 0"));
    assert_eq!(scene.read(), ["fill 0@0"]);
}
