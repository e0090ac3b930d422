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
