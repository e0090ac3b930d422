//! Drains and stops, in every phase.

use super::*;

#[test]
fn a_drain_leaves_a_reload_that_is_being_filled_to_the_next_start() {
    let mut scene = settling::reloading();
    assert_eq!(scene.on(Event::Drain(None)), ["abandon", "hold", "drained"]);
}

#[test]
fn a_drain_with_nothing_open_ends_at_once() {
    let mut scene = Scene::new();
    assert_eq!(scene.on(Event::Drain(None)), ["drained"]);
    assert!(scene.protocol.has_ended());
    let mut scene = Scene::new();
    scene.give(&[0]);
    assert_eq!(scene.on(Event::Drain(None)), ["drained"], "what is being read only is left");
}

#[test]
fn a_drain_seals_what_is_being_filled_and_finishes_it() {
    let mut scene = Scene::owning(&[0]);
    assert_eq!(scene.on(Event::Drain(None)), ["seal"]);
    assert_eq!(scene.seal(1, &[(0, 0..3)], &["a"]), ["prepare"], "no other is begun");
    assert_eq!(scene.prepared(), ["record 0@0+1..3(a)"]);
    assert_eq!(scene.store(), ["commit 1:a"]);
    assert_eq!(scene.visible(&["a"]), ["record 0@3~1"]);
    assert_eq!(scene.store(), ["(advanced)", "drained"]);
    assert_eq!(scene.position(0), "0@3~1");
}

#[test]
fn a_drain_of_an_empty_fill_ends() {
    let mut scene = Scene::owning(&[0]);
    scene.on(Event::Drain(None));
    let ticket = scene.fill_ticket();
    assert_eq!(scene.on(Event::Empty { ticket }), ["hold", "drained"]);
}

#[test]
fn a_drain_finishes_both_batches() {
    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    scene.seal(2, &[(0, 10..20)], &["b"]);
    assert_eq!(scene.on(Event::Drain(None)), [""; 0]);
    scene.prepared();
    scene.visible(&["a"]);
    assert_eq!(scene.store(), ["(advanced)", "record 0@10+2..20(b)~1"]);
    scene.store();
    scene.visible(&["b"]);
    assert_eq!(scene.store(), ["(advanced)", "drained"]);
}

#[test]
fn a_drain_waits_for_positions_that_are_on_their_way() {
    let mut scene = Scene::without_positions(StartWish::Earliest);
    scene.give(&[0]);
    scene.read_as_new();
    scene.resolve(&[(0, 0)]);
    assert_eq!(scene.on(Event::Drain(None)), [""; 0]);
    assert_eq!(scene.store(), ["(started 0@0)", "drained"]);
}

#[test]
fn a_batch_dropped_while_draining_is_left_to_the_next_start() {
    let mut scene = Scene::owning(&[0]);
    scene.seal(1, &[(0, 0..10)], &["a"]);
    scene.on(Event::Drain(None));
    let said = scene.load_fails(None);
    assert_eq!(said.last().map(String::as_str), Some("drained"));
    // Also past its intent: the next start settles it.
    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    scene.on(Event::Drain(None));
    let ticket = scene.fill_ticket();
    scene.on(Event::Empty { ticket });
    scene.commit("a", false);
    let said = scene.state("a", aborted());
    assert_eq!(said.last().map(String::as_str), Some("drained"));
    assert_eq!(scene.position(0), "0@0+1..10(a)");
}

#[test]
fn a_drain_leaves_a_settlement_to_the_next_start() {
    let mut scene = Scene::new();
    scene.put(0, 0, &intent(7, 10, &["a"]));
    scene.give(&[0]);
    scene.read();
    scene.read();
    assert_eq!(scene.on(Event::Drain(None)), ["drained"]);
}

#[test]
fn a_drain_while_a_reload_is_on_its_way_finishes_it() {
    let mut scene = settling::reloading();
    scene.seal(8, &[(0, 0..10)], &["b"]);
    assert_eq!(scene.on(Event::Drain(None)), [""; 0]);
    assert_eq!(scene.prepared(), ["record 0@0+8..10(!a,b)"]);
    scene.store();
    scene.visible(&["b"]);
    assert_eq!(scene.store(), ["(advanced)", "drained"]);
}

#[test]
fn a_bad_record_stops_after_everything_before_it() {
    let mut scene = Scene::owning(&[0]);
    assert_eq!(scene.on(Scene::stop_with(StopCode::BadRecord)), ["seal"]);
    scene.seal(1, &[(0, 0..4)], &["a"]);
    scene.prepared();
    scene.store();
    scene.visible(&["a"]);
    assert_eq!(scene.store(), ["(advanced)", "stop bad-record"]);
    assert_eq!(scene.position(0), "0@4~1");
}

#[test]
fn the_first_reason_to_stop_is_the_one_that_is_told() {
    let mut scene = Scene::owning(&[0]);
    scene.on(Event::Drain(None));
    scene.on(Scene::stop_with(StopCode::BadRecord));
    scene.on(Scene::stop_with(StopCode::DeadLetters));
    let ticket = scene.fill_ticket();
    assert_eq!(scene.on(Event::Empty { ticket }), ["hold", "stop bad-record"]);
}

#[test]
fn a_drain_inside_a_revocation_lets_go() {
    let mut scene = Scene::owning(&[0, 1]);
    scene.seal(1, &[(0, 0..10), (1, 0..5)], &["a"]);
    scene.prepared();
    scene.on(Event::Drain(None));
    scene.revoke(&[0, 1]);
    assert_eq!(scene.store(), ["commit 1:a", "release 0 1"]);
    assert_eq!(scene.visible(&["a"]), ["(advanced)", "drained"]);
}

#[test]
fn a_halt_leaves_everything_as_it_is() {
    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    let stop = Stop { code: StopCode::Kafka, what: "a reason".to_owned() };
    assert_eq!(scene.on(Event::Halt(stop)), ["stop kafka"]);
    assert_eq!(scene.position(0), "0@0+1..10(a)");
}
