//! Partitions that leave, in every phase of what they belong to.

use super::*;

#[test]
fn a_first_position_is_stored_for_a_leaving_partition_which_is_not_read_any_more() {
    let mut scene = Scene::new();
    scene.put(1, 0, &starts::origin(3));
    scene.stored.insert(0, None);
    scene.give(&[0, 1]);
    assert_eq!(scene.read(), ["resolve earliest 0", "fill 1@0"]);
    assert_eq!(scene.resolve(&[(0, 0)]), ["record 0@0"]);
    assert_eq!(scene.revoke(&[0]), ["abandon", "hold", "fill 1@0"]);
    assert_eq!(scene.store(), ["(started 0@0)", "release 0"], "and no join");
}
