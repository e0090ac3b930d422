//! What becomes of an OffsetCommit: the read-back decides, whatever the answer was.

use super::*;

const NOT_ALL: &str = "(dropped: its intent was not stored for all its partitions)";

/// A batch over partitions 0 and 1 whose intent is on its way.
fn intent_sent() -> Scene {
    let mut scene = Scene::owning(&[0, 1]);
    scene.seal(1, &[(0, 0..10), (1, 0..5)], &["a"]);
    assert_eq!(scene.prepared(), ["record 0@0+1..10(a) 1@0+1..5(a)"]);
    scene
}

/// The same batch, visible, with its end positions on their way.
fn advance_sent() -> Scene {
    let mut scene = intent_sent();
    scene.store();
    assert_eq!(scene.visible(&["a"]), ["record 0@10~1 1@5~1"]);
    scene
}

fn gone() -> RecordAnswer {
    RecordAnswer::Gone("unknown member id".to_owned())
}

fn refused() -> RecordAnswer {
    RecordAnswer::Refused("too large".to_owned())
}

#[test]
fn what_is_stored_counts_whatever_the_answer_was() {
    for answer in [RecordAnswer::Stored, passing(), unclear(), refused(), RecordAnswer::NotOwned] {
        let mut scene = intent_sent();
        let said = format!("{answer:?}");
        assert_eq!(scene.recorded(&[0, 1], answer, &[0, 1], false), ["commit 1:a"], "{said}");
    }
}

#[test]
fn what_is_not_stored_is_sent_again() {
    for answer in [RecordAnswer::Stored, passing(), unclear(), RecordAnswer::NotOwned] {
        let mut scene = intent_sent();
        let said = format!("{answer:?}");
        assert_eq!(scene.refuse(answer), ["record 0@0+1..10(a) 1@0+1..5(a)"], "{said}");
        assert_eq!(scene.store(), ["commit 1:a"]);
    }
}

#[test]
fn repeated_sending_is_counted_for_the_back_off() {
    let mut scene = intent_sent();
    for expected in 1..4 {
        scene.refuse(passing());
        let tries = scene.open.iter().rev().find_map(|effect| match effect {
            Effect::Record { tries, .. } => Some(*tries),
            _ => None,
        });
        assert_eq!(tries, Some(expected));
    }
}

#[test]
fn a_refusal_for_good_stops_the_route() {
    assert_eq!(intent_sent().refuse(refused()), ["stop position-refused"]);
    assert_eq!(advance_sent().refuse(refused()), ["stop position-refused"]);
}

#[test]
fn a_half_stored_intent_is_dropped_and_settled() {
    let mut scene = intent_sent();
    assert_eq!(
        scene.recorded(&[1], refused(), &[0, 1], false),
        ["abandon", NOT_ALL, "abandon 1:a", NOT_ALL, "hold", "read 0 1"]
    );
    // Where it is not stored, reading goes on when the other half is settled.
    assert_eq!(scene.read(), ["read 1"]);
    assert_eq!(scene.read(), ["ask 1:a"]);
    assert_eq!(scene.state("a", TxnState::Prepared), ["abort 1:a"]);
    assert_eq!(scene.abort("a"), ["ask 1:a"]);
    assert_eq!(scene.state("a", aborted()), ["(settled 1: load again)", "reload 1@0..5 for a"]);
    assert_eq!(scene.seal(2, &[(1, 0..5)], &["a"]), ["prepare"]);
    assert_eq!(scene.prepared(), ["record 1@0+2..5(a)"]);
    scene.store();
    assert_eq!(scene.visible(&["a"]), ["record 1@5~2"]);
    assert_eq!(scene.store(), ["(advanced)", "fill 0@0 1@5"]);
}

#[test]
fn a_membership_that_is_gone_drops_the_batch_even_if_everything_was_stored() {
    let mut scene = intent_sent();
    assert_eq!(
        scene.recorded(&[0, 1], gone(), &[0, 1], false),
        ["abandon", NOT_ALL, "abandon 1:a", NOT_ALL, "hold", "read 0 1"]
    );
}

#[test]
fn a_partition_that_is_gone_drops_the_batch() {
    let mut scene = intent_sent();
    assert_eq!(scene.lose(&[0]), ["abandon", "(dropped: a partition of it was taken away)", "hold", "fill 1@5"]);
    assert_eq!(
        scene.recorded(&[0, 1], passing(), &[1], false),
        ["abandon", NOT_ALL, "abandon 1:a", NOT_ALL, "hold", "read 1"]
    );
}

#[test]
fn a_partition_that_came_back_before_the_read_back_counts_as_gone() {
    let mut scene = intent_sent();
    scene.lose(&[0]);
    scene.give(&[0]);
    // None carries it, and the shell says that both are ours: the protocol knows better.
    let said = scene.recorded(&[], passing(), &[0, 1], false);
    assert!(said.contains(&"abandon 1:a".to_owned()), "{said:?}");
    assert!(said.contains(&"read 0 1".to_owned()), "{said:?}");
}

#[test]
fn nothing_owned_any_more_means_dropped() {
    let mut scene = intent_sent();
    assert_eq!(
        scene.recorded(&[], RecordAnswer::NotOwned, &[], false),
        ["abandon", NOT_ALL, "abandon 1:a", NOT_ALL, "hold", "read 0 1"]
    );
}

#[test]
fn a_half_stored_advance_is_read_and_the_rest_settled_by_its_trail() {
    let mut scene = advance_sent();
    let said = scene.recorded(&[0], refused(), &[0, 1], false);
    assert_eq!(said[said.len() - 2..], ["hold", "read 0 1"]);
    assert_eq!(scene.read(), ["read 1"]);
    assert_eq!(scene.read(), ["ask 1:a"]);
    // Partition 0 says that it was committed, even if the engine has forgotten.
    assert_eq!(scene.state("a", TxnState::Unknown), ["(settled 1: visible)", "record 1@5~1"]);
    assert_eq!(scene.store(), ["fill 0@10 1@5"]);
}

#[test]
fn an_advance_that_is_not_stored_is_sent_again() {
    let mut scene = advance_sent();
    assert_eq!(scene.refuse(passing()), ["record 0@10~1 1@5~1"]);
    assert_eq!(scene.store(), ["(advanced)"]);
}

#[test]
fn a_dropped_advance_drops_the_batch_behind_it() {
    let mut scene = advance_sent();
    scene.seal(2, &[(0, 10..20)], &["b"]);
    let said = scene.recorded(&[0, 1], gone(), &[], false);
    assert_eq!(said[0], "abandon 2:b");
    assert_eq!(said[2], "abandon 1:a");
    assert_eq!(said.last().map(String::as_str), Some("read 0 1"));
}

#[test]
fn a_commit_that_may_have_a_copy_under_way_ends_the_membership() {
    let mut scene = intent_sent();
    let said = scene.recorded(&[0, 1], RecordAnswer::Stored, &[0, 1], true);
    let dropped = "(dropped: a copy of its OffsetCommit may still arrive)";
    assert_eq!(said, ["(doubtful)", "abandon", dropped, "abandon 1:a", dropped, "hold", "rejoin"]);
    // The new membership reads and settles.
    assert_eq!(scene.give(&[0, 1]), ["read 0 1"]);
    assert_eq!(scene.read(), ["read 0 1"]);
    assert_eq!(scene.read(), ["ask 1:a"]);
}

#[test]
fn doubt_inside_a_revocation_lets_it_go_on() {
    let mut scene = intent_sent();
    scene.revoke(&[0, 1]);
    let said = scene.recorded(&[], passing(), &[0, 1], true);
    assert_eq!(said[said.len() - 2..], ["release 0 1", "rejoin"]);
}

#[test]
fn a_first_position_that_is_half_stored_is_read_again() {
    let mut scene = Scene::without_positions(StartWish::Earliest);
    scene.give(&[0, 1]);
    scene.read_as_new();
    assert_eq!(scene.resolve(&[(0, 0), (1, 0)]), ["record 0@0 1@0"]);
    assert_eq!(scene.recorded(&[1], refused(), &[0, 1], false), ["read 0 1"]);
    assert_eq!(scene.read(), ["resolve earliest 0", "fill 1@0"]);
}

#[test]
fn an_intent_that_does_not_fit_stops_before_anything_is_sent() {
    let mut scene = Scene::new();
    let long = Metadata { topic_id: Some("T".repeat(3 * 1024)), ..Metadata::empty() };
    scene.topic_id = long.topic_id.clone();
    scene.put(0, 0, &long);
    scene.give(&[0]);
    scene.read();
    scene.seal(1, &[(0, 0..10)], &["a"]);
    assert_eq!(scene.prepared(), ["stop position-refused"]);
}
