//! Each invariant stops the pipeline under its name. No order of events leads there, so the state is bent by hand.

use super::*;
use crate::event::Effect;

/// The reason of the stop that `said` ends with.
fn violated(scene: &mut Scene, said: &[String]) -> String {
    assert_eq!(said.last().map(String::as_str), Some("stop invariant"), "{said:?}");
    scene.take("stop", |effect| match effect {
        Effect::Stop(stop) => Some(stop.what.clone()),
        _ => None,
    })
}

/// A batch of partition 0 that waits for its prepare.
fn preparing() -> Scene {
    let mut scene = Scene::owning(&[0]);
    scene.seal(1, &[(0, 0..10)], &["a"]);
    scene
}

#[test]
fn a_load_whose_intent_is_gone_is_not_committed_again() {
    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    scene.protocol.owned.get_mut(&0).expect("owned").metadata.intent = None;
    scene.commit("a", false);
    let said = scene.state("a", TxnState::Prepared);
    assert!(violated(&mut scene, &said).ends_with("(EO-3)"));
}

#[test]
fn a_nonce_is_used_once() {
    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    let said = scene.seal(1, &[(0, 10..20)], &["a"]);
    assert!(violated(&mut scene, &said).ends_with("(EO-4)"));

    let mut scene = Scene::new();
    scene.put(0, 0, &Metadata { trail: Some(Nonce(4)), ..plain() });
    scene.give(&[0]);
    scene.read();
    let said = scene.seal(4, &[(0, 0..10)], &["a"]);
    assert!(violated(&mut scene, &said).ends_with("(EO-4)"), "known from the trail");
}

#[test]
fn a_position_never_moves_back() {
    let mut scene = preparing();
    scene.protocol.owned.get_mut(&0).expect("owned").stored = Some(5);
    let said = scene.prepared();
    assert!(violated(&mut scene, &said).ends_with("(EO-5)"));
}

#[test]
fn a_batch_begins_where_the_one_before_ended() {
    let mut scene = Scene::owning(&[0]);
    let said = scene.seal(1, &[(0, 1..10)], &["a"]);
    assert!(violated(&mut scene, &said).ends_with("(EO-6)"));
}

#[test]
fn nothing_is_stored_for_what_was_given_up() {
    for bend in [
        |scene: &mut Scene| drop(scene.protocol.owned.remove(&0)),
        |scene: &mut Scene| scene.protocol.owned.get_mut(&0).expect("owned").epoch += 1,
    ] {
        let mut scene = preparing();
        bend(&mut scene);
        let said = scene.prepared();
        assert!(violated(&mut scene, &said).ends_with("(EO-7)"));
    }
}

#[test]
fn an_intent_that_is_not_settled_is_not_replaced() {
    let mut scene = preparing();
    scene.protocol.owned.get_mut(&0).expect("owned").metadata = intent(9, 10, &["a"]);
    let said = scene.prepared();
    assert!(violated(&mut scene, &said).ends_with("(EO-8)"));

    let mut scene = Scene::owning(&[0]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    scene.protocol.owned.get_mut(&0).expect("owned").metadata = intent(9, 10, &["a"]);
    let said = scene.visible(&["a"]);
    assert!(violated(&mut scene, &said).ends_with("(EO-8)"), "by an advance");
}
