//! First positions, and positions that can't be gone on from.

use super::*;
use crate::commit::metadata::{Origin, OriginStart};

/// Metadata of a pipeline that began at the first record of so many partitions.
pub(super) fn origin(partitions: u32) -> Metadata {
    Metadata { origin: Some(Origin { start: OriginStart::Earliest, partitions }), ..plain() }
}

#[test]
fn a_start_resolved_under_an_earlier_assignment_is_not_used() {
    let mut scene = Scene::without_positions(StartWish::Latest);
    scene.give(&[0]);
    assert_eq!(scene.read(), ["resolve latest 5 now 0"]);
    scene.lose(&[0]);
    // Another member has begun the pipeline meanwhile.
    let begun = Metadata { origin: Some(Origin { start: OriginStart::Latest(3), partitions: 3 }), ..plain() };
    scene.put(1, 10, &begun);
    scene.give(&[0]);
    scene.read();
    assert_eq!(scene.resolve(&[(0, 900)]), ["resolve latest 3 0"]);
    assert_eq!(scene.resolve(&[(0, 500)]), ["record 0@500"]);
}

#[test]
fn nothing_is_resolved_for_a_partition_that_leaves() {
    let mut scene = Scene::without_positions(StartWish::Earliest);
    scene.put(0, 0, &origin(2));
    scene.give(&[0]);
    scene.read();
    scene.seal(1, &[(0, 0..10)], &["a"]);
    scene.prepared();
    scene.give(&[1]);
    assert_eq!(scene.store(), ["commit 1:a", "read 1"]);
    scene.visible(&["a"]);
    assert_eq!(scene.read(), ["resolve earliest 1"]);
    assert!(scene.open_record().contains(&0));
    scene.revoke(&[0, 1]);
    assert_eq!(scene.resolve(&[]), [""; 0]);
}
