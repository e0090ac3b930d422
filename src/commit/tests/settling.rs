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
    assert_eq!(scene.state("b", aborted()), ["(settled 7: load again)", "reload 0@0..10 for b"]);
    assert_eq!(scene.store(), ["(started 1@0)"], "rows of 1 would go into table b only");
    assert_eq!(scene.seal(8, &[(0, 0..10)], &["b"]), ["prepare"]);
    assert_eq!(scene.prepared(), ["record 0@0+8..10(!a,b)"]);
    assert_eq!(scene.store(), ["commit 8:b"]);
    assert_eq!(scene.visible(&["b"]), ["record 0@10~8"]);
    assert_eq!(scene.store(), ["(advanced)", "fill 0@10 1@0"]);
}

#[test]
fn a_reload_holds_nothing_but_the_range_of_its_intent() {
    for ranges in [vec![(0, 0..9)], vec![(0, 0..11)], vec![(1, 0..10)], vec![(0, 0..10), (1, 0..3)], vec![]] {
        let mut scene = reloading();
        scene.give(&[1]);
        scene.read();
        // The new partition has made the reload begin anew.
        scene.read();
        scene.state("a", TxnState::Visible);
        scene.state("b", aborted());
        assert_eq!(scene.seal(8, &ranges, &["b"]), ["stop invariant"], "{ranges:?}");
    }
}
