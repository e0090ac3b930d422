//! Batches on their ordinary way, and loads that fail on it.

use super::*;

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
