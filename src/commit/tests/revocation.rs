//! Partitions that leave, in every phase of what they belong to.

use super::*;

const TAKEN: &str = "(dropped: a partition of it was taken away)";

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
fn a_batch_whose_partitions_have_all_left_does_not_hold_up_the_next() {
    let mut scene = Scene::owning(&[0, 1]);
    scene.committing(1, &[(0, 0..10)], &["a"]);
    scene.seal(2, &[(1, 0..5)], &["a"]);
    scene.prepared();
    scene.revoke(&[0]);
    assert_eq!(scene.visible(&["a"]), ["(advanced)", "record 1@0+2..5(a)", "fill 1@5"]);
}
